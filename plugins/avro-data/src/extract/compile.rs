//! From a schema to what the encoder runs: one operation a field.

use std::ops::Range;

use super::nested;
use crate::json::trie::{Index, Trie};
use crate::json::value;
use crate::schema::{Convert, Field, Node, NodeId, Schema, SchemaError};

/// What a field's value is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    /// Anything else: the plain encoder.
    Nested,
}

/// How one field is filled.
#[derive(Debug)]
pub(super) struct Op {
    pub shape: Shape,
    /// The type of the value, without the null beside it.
    pub node: NodeId,
    /// Which of the schema's fields this is.
    pub field: usize,
    /// Alternatives, as a range of all sources.
    pub sources: Range<usize>,
    /// The byte that says which type of a union the value is.
    pub branch: Option<u8>,
    /// The datum of null, if the field may be null.
    pub null: Option<Box<[u8]>>,
    /// The datum if nothing is there: the default's, else null's.
    pub absent: Option<Box<[u8]>>,
}

/// One alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub slot: Index,
    pub convert: Convert,
}

pub(super) struct Compiled {
    pub trie: Trie,
    pub ops: Vec<Op>,
    pub sources: Vec<Source>,
}

pub(super) fn compile(schema: &Schema) -> Result<Compiled, SchemaError> {
    if !matches!(schema.node(schema.root()), Node::Record { .. }) {
        let found = schema.type_name(schema.root());
        return Err(SchemaError::new(format!(
            "only records can be extracted, not {found}"
        )));
    }
    let fields = schema.fields();
    let paths = fields
        .iter()
        .flat_map(|f| f.from.iter())
        .map(|from| from.path.as_slice());
    let (trie, slots) = Trie::new(paths);
    let mut slots = slots.into_iter();
    let mut ops = Vec::with_capacity(fields.len());
    let mut sources = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let start = sources.len();
        for (from, slot) in field.from.iter().zip(&mut slots) {
            sources.push(Source {
                slot,
                convert: from.convert,
            });
        }
        let place = format!("field `{}`", field.name);
        let op = op(schema, i, field, start..sources.len()).map_err(|e| e.within(&place))?;
        ops.push(op);
    }
    Ok(Compiled { trie, ops, sources })
}

fn op(
    schema: &Schema,
    index: usize,
    field: &Field,
    sources: Range<usize>,
) -> Result<Op, SchemaError> {
    let (node, branch) = match schema.node(field.node) {
        Node::Union(branches) => {
            let mut values = branches
                .iter()
                .enumerate()
                .filter(|(_, branch)| !matches!(schema.node(**branch), Node::Null));
            match (values.next(), values.next()) {
                // One type beside null: the branch is known before the value is seen.
                (Some((i, value)), None) if i < 64 => (*value, Some((i * 2) as u8)),
                _ => (field.node, None),
            }
        }
        _ => (field.node, None),
    };
    let shape = match schema.node(node) {
        Node::Null => Shape::Null,
        Node::Boolean => Shape::Boolean,
        Node::Int => Shape::Int,
        Node::Long => Shape::Long,
        Node::Float => Shape::Float,
        Node::Double => Shape::Double,
        Node::String => Shape::Text,
        _ => Shape::Nested,
    };
    for from in &field.from {
        let fits = match from.convert {
            Convert::None => true,
            Convert::SnowflakeMs => matches!(shape, Shape::Long | Shape::Text),
            Convert::CleanText => shape == Shape::Text,
        };
        if !fits {
            let wanted = schema.type_name(field.node);
            return Err(SchemaError::new(format!(
                "the conversion of `{}` does not give {wanted}",
                from.dotted()
            )));
        }
    }
    let null = nested::null(schema, field.node).map(Vec::into_boxed_slice);
    let absent = match &field.default {
        Some(default) => Some(self::default(schema, field.node, default)?),
        None => null.clone(),
    };
    Ok(Op {
        shape,
        node,
        field: index,
        sources,
        branch,
        null,
        absent,
    })
}

fn default(
    schema: &Schema,
    node: NodeId,
    default: &serde_json::Value,
) -> Result<Box<[u8]>, SchemaError> {
    let json = default.to_string().into_bytes();
    let mut out = Vec::new();
    value::value(&json, 0)
        .map_err(super::ExtractError::from)
        .and_then(|(slot, _)| nested::Nested::default(schema, &json).encode(node, slot, &mut out))
        .map_err(|_| {
            let wanted = schema.type_name(node);
            SchemaError::new(format!("its default {default} is not {wanted}"))
        })?;
    Ok(out.into_boxed_slice())
}
