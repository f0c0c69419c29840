//! Origin the JSON of a schema to the model.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::from::Origins;
use super::{Field, Node, NodeId, Schema, SchemaError, print};

/// Types within types before a schema is refused.
const MAX_DEPTH: usize = 64;
/// The largest `fixed`, in bytes.
const MAX_FIXED: u64 = 16 << 20;

pub(super) fn parse(text: &str) -> Result<Schema, SchemaError> {
    let value: Value = serde_json::from_str(text)
        .or_else(|error| match text.trim() {
            // A bare name of a primitive type is a schema too.
            name if PRIMITIVES.iter().any(|(n, _)| *n == name) => Ok(Value::String(name.into())),
            _ => Err(error),
        })
        .map_err(|error| SchemaError::new(format!("not JSON: {error}")))?;
    let mut parser = Parser {
        nodes: Vec::new(),
        names: HashMap::new(),
    };
    let root = parser.node(&value, "", 0)?;
    Ok(Schema {
        nodes: parser.nodes,
        root,
        json: print::one_line(&value),
    })
}

const PRIMITIVES: [(&str, Node); 8] = [
    ("null", Node::Null),
    ("boolean", Node::Boolean),
    ("int", Node::Int),
    ("long", Node::Long),
    ("float", Node::Float),
    ("double", Node::Double),
    ("bytes", Node::Bytes),
    ("string", Node::String),
];

struct Parser {
    nodes: Vec<Node>,
    /// Full name to type, for references.
    names: HashMap<String, NodeId>,
}

impl Parser {
    fn push(&mut self, node: Node) -> NodeId {
        let id = u32::try_from(self.nodes.len()).expect("a schema has fewer than 2^32 types");
        self.nodes.push(node);
        NodeId(id)
    }

    fn node(&mut self, value: &Value, space: &str, depth: usize) -> Result<NodeId, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::new(format!(
                "more than {MAX_DEPTH} types within types"
            )));
        }
        match value {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => self.union(branches, space, depth),
            Value::Object(object) => self.object(object, space, depth),
            _ => Err(SchemaError::new(
                "a type is a name, an object or a list of types",
            )),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<NodeId, SchemaError> {
        if let Some((_, node)) = PRIMITIVES.iter().find(|(n, _)| *n == name) {
            return Ok(self.push(node.clone()));
        }
        let full = full_name(name, space);
        self.names
            .get(&full)
            .or_else(|| self.names.get(name))
            .copied()
            .ok_or_else(|| SchemaError::new(format!("unknown type `{name}`")))
    }

    fn union(
        &mut self,
        branches: &[Value],
        space: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            let id = self.node(branch, space, depth + 1)?;
            let node = &self.nodes[id.0 as usize];
            if matches!(node, Node::Union(_)) {
                return Err(SchemaError::new("a union directly within a union"));
            }
            let same = |other: &NodeId| kind(&self.nodes[other.0 as usize]) == kind(node);
            if ids.iter().any(same) {
                return Err(SchemaError::new("a union with two types of the same kind"));
            }
            ids.push(id);
        }
        if ids.is_empty() {
            return Err(SchemaError::new("a union of no types"));
        }
        Ok(self.push(Node::Union(ids)))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        space: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let kind = object
            .get("type")
            .ok_or_else(|| SchemaError::new("a type without `type`"))?;
        let Value::String(kind) = kind else {
            return self.node(kind, space, depth + 1);
        };
        match kind.as_str() {
            "record" | "error" => self.record(object, space, depth),
            "enum" => {
                let (name, _) = self.name_of(object, space)?;
                let symbols = object
                    .get("symbols")
                    .and_then(Value::as_array)
                    .and_then(|s| s.iter().map(|v| v.as_str().map(str::to_owned)).collect())
                    .ok_or_else(|| {
                        SchemaError::new(format!("enum `{name}` without a list of `symbols`"))
                    })?;
                self.define(name.clone(), Node::Enum { name, symbols })
            }
            "fixed" => {
                let (name, _) = self.name_of(object, space)?;
                let size = object
                    .get("size")
                    .and_then(Value::as_u64)
                    .filter(|size| *size <= MAX_FIXED)
                    .and_then(|size| usize::try_from(size).ok())
                    .ok_or_else(|| {
                        SchemaError::new(format!(
                            "fixed `{name}` needs a `size` of 0 to {MAX_FIXED} bytes"
                        ))
                    })?;
                self.define(name.clone(), Node::Fixed { name, size })
            }
            "array" => {
                let items = object
                    .get("items")
                    .ok_or_else(|| SchemaError::new("array without `items`"))?;
                let items = self.node(items, space, depth + 1)?;
                Ok(self.push(Node::Array(items)))
            }
            "map" => {
                let values = object
                    .get("values")
                    .ok_or_else(|| SchemaError::new("map without `values`"))?;
                let values = self.node(values, space, depth + 1)?;
                Ok(self.push(Node::Map(values)))
            }
            name => self.named(name, space),
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        space: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let (name, space) = self.name_of(object, space)?;
        // The name must be known before the fields, which may refer to it.
        let begun = Node::Record {
            name: name.clone(),
            fields: Vec::new(),
        };
        let id = self.define(name.clone(), begun)?;
        let entries = object
            .get("fields")
            .and_then(Value::as_array)
            .ok_or_else(|| SchemaError::new(format!("record `{name}` without `fields`")))?;
        let mut fields: Vec<Field> = Vec::with_capacity(entries.len());
        for entry in entries {
            let field_name = entry.get("name").and_then(Value::as_str).ok_or_else(|| {
                SchemaError::new(format!("record `{name}`: a field without `name`"))
            })?;
            let place = format!("field `{field_name}`");
            if fields.iter().any(|f| f.name == field_name) {
                return Err(SchemaError::new("there twice").within(&place));
            }
            let kind = entry
                .get("type")
                .ok_or_else(|| SchemaError::new("without `type`").within(&place))?;
            let node = self
                .node(kind, &space, depth + 1)
                .map_err(|e| e.within(&place))?;
            let from = match entry.get("from") {
                Some(from) => Origins::parse(from).map_err(|e| e.within(&place))?,
                None => Origins::key(field_name),
            };
            let default = entry.get("default").cloned();
            fields.push(Field {
                name: field_name.to_owned(),
                node,
                default,
                from: from.places,
                constant: from.constant,
            });
        }
        self.nodes[id.0 as usize] = Node::Record { name, fields };
        Ok(id)
    }

    fn define(&mut self, name: String, node: Node) -> Result<NodeId, SchemaError> {
        let id = self.push(node);
        if self.names.insert(name.clone(), id).is_some() {
            return Err(SchemaError::new(format!("type `{name}` is defined twice")));
        }
        Ok(id)
    }

    /// The full name of a named type, and the namespace its inner names are in.
    fn name_of(
        &self,
        object: &Map<String, Value>,
        space: &str,
    ) -> Result<(String, String), SchemaError> {
        let name = object
            .get("name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| SchemaError::new("a record, enum or fixed without `name`"))?;
        let space = object
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or(space);
        let full = full_name(name, space);
        let inner = full
            .rsplit_once('.')
            .map_or("", |(inner, _)| inner)
            .to_owned();
        Ok((full, inner))
    }
}

fn full_name(name: &str, space: &str) -> String {
    if space.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}

/// What must differ between the types of a union.
fn kind(node: &Node) -> (u8, &str) {
    match node {
        Node::Null => (0, ""),
        Node::Boolean => (1, ""),
        Node::Int => (2, ""),
        Node::Long => (3, ""),
        Node::Float => (4, ""),
        Node::Double => (5, ""),
        Node::Bytes => (6, ""),
        Node::String => (7, ""),
        Node::Array(_) => (8, ""),
        Node::Map(_) => (9, ""),
        Node::Union(_) => (10, ""),
        Node::Fixed { name, .. } | Node::Enum { name, .. } | Node::Record { name, .. } => {
            (11, name)
        }
    }
}
