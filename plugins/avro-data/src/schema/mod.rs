//! The schema model: an `.avsc` file as an arena of nodes, cheap to walk for every datum.
//!
//! Our own rather than a library's because the original project's files have dotted field
//! names, which libraries reject, and because a field may carry `"from"`.

mod convert;
mod from;
mod parse;
mod print;
mod same;

use std::fmt;

pub use convert::Convert;
pub(crate) use convert::Form;
pub use from::Origin;

/// Index of a node in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub(crate) u32);

/// An Avro schema: what a datum of it looks like, and where its fields come from.
#[derive(Debug, Clone)]
pub struct Schema {
    nodes: Vec<Node>,
    root: NodeId,
    json: String,
}

/// One type within a schema.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Node {
    /// No value.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A 32-bit integer.
    Int,
    /// A 64-bit integer.
    Long,
    /// A 32-bit floating-point number.
    Float,
    /// A 64-bit floating-point number.
    Double,
    /// Bytes of any length.
    Bytes,
    /// UTF-8 text.
    String,
    /// Bytes of one length.
    Fixed {
        /// Full name.
        name: String,
        /// Length in bytes.
        size: usize,
    },
    /// One of a list of symbols.
    Enum {
        /// Full name.
        name: String,
        /// The symbols in order.
        symbols: Vec<String>,
    },
    /// A list of items of one type.
    Array(NodeId),
    /// Text keys, values of one type.
    Map(NodeId),
    /// A value of one of several types.
    Union(Vec<NodeId>),
    /// Named fields.
    Record {
        /// Full name.
        name: String,
        /// The fields in order.
        fields: Vec<Field>,
    },
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, with dots where the schema has them.
    pub name: String,
    /// Its type.
    pub node: NodeId,
    /// What a missing value becomes, as JSON.
    pub default: Option<serde_json::Value>,
    /// Where in a JSON document it is looked for, in order. Without `"from"` in the schema:
    /// the key that is the field's name.
    pub from: Vec<Origin>,
    /// What it is if none of these places has a value, as JSON: the constant at the end of its
    /// `"from"`.
    pub constant: Option<serde_json::Value>,
}

impl Schema {
    /// Parses the JSON text of a schema. Dots in names are accepted.
    ///
    /// # Errors
    /// Text that is no Avro schema, or a `"from"` that cannot be understood; the message names
    /// the field.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        parse::parse(text)
    }

    /// The schema as one line of JSON, without `"from"`: what other readers need.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The outermost type.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The type behind an id of this schema.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The fields of the outermost record in order; empty if the schema is no record.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self.node(self.root) {
            Node::Record { fields, .. } => fields,
            _ => &[],
        }
    }

    /// Whether a datum of this schema is, byte by byte, one of the other: the same types in the
    /// same order, and the same names of fields and symbols, where a dot counts as an underscore.
    #[must_use]
    pub fn same_datums(&self, other: &Schema) -> bool {
        same::same((self, self.root), (other, other.root), &mut Vec::new())
    }

    /// A short name of a type for messages: `long`, `string`, `record Tweet`.
    #[must_use]
    pub fn type_name(&self, id: NodeId) -> String {
        match self.node(id) {
            Node::Null => "null".into(),
            Node::Boolean => "boolean".into(),
            Node::Int => "int".into(),
            Node::Long => "long".into(),
            Node::Float => "float".into(),
            Node::Double => "double".into(),
            Node::Bytes => "bytes".into(),
            Node::String => "string".into(),
            Node::Fixed { name, .. } => format!("fixed {name}"),
            Node::Enum { name, .. } => format!("enum {name}"),
            Node::Record { name, .. } => format!("record {name}"),
            Node::Array(_) => "array".into(),
            Node::Map(_) => "map".into(),
            Node::Union(branches) => {
                let names: Vec<_> = branches.iter().map(|b| self.type_name(*b)).collect();
                names.join(" or ")
            }
        }
    }
}

/// Why a schema was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    message: String,
}

impl SchemaError {
    pub(crate) fn new(message: impl Into<String>) -> SchemaError {
        SchemaError {
            message: message.into(),
        }
    }

    /// Prefixes the message with where it happened.
    pub(crate) fn within(self, place: &str) -> SchemaError {
        SchemaError {
            message: format!("{place}: {}", self.message),
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SchemaError {}

#[cfg(test)]
mod tests;
