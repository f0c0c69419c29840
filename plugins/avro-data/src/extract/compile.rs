//! From a schema to what the encoder runs: one operation a field.

use std::ops::Range;

use super::nested;
use crate::json::trie::{Index, Trie};
use crate::schema::{Convert, Field, Form, Node, NodeId, Schema, SchemaError};

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
    /// The datum if nothing is there: the constant's, else the default's, else null's.
    pub absent: Option<Box<[u8]>>,
    /// Whether `absent` is a constant, which also stands for what no conversion could read.
    pub is_constant: bool,
}

/// One alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub slot: Index,
    /// Which of the chains its value goes through, if any.
    pub chain: Option<u16>,
}

pub(super) struct Compiled {
    pub trie: Trie,
    pub ops: Vec<Op>,
    pub sources: Vec<Source>,
    pub chains: Vec<Box<[Convert]>>,
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
    let mut chains = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let start = sources.len();
        for (from, slot) in field.from.iter().zip(&mut slots) {
            let chain = chain(&from.convert, &mut chains)?;
            sources.push(Source { slot, chain });
        }
        let place = format!("field `{}`", field.name);
        let op = op(schema, i, field, start..sources.len()).map_err(|e| e.within(&place))?;
        push(&mut ops, op);
    }
    Ok(Compiled {
        trie,
        ops,
        sources,
        chains,
    })
}

/// Adds an operation; constants that follow each other become one.
fn push(ops: &mut Vec<Op>, op: Op) {
    if let (Some(last), Some(datum)) = (ops.last_mut(), &op.absent)
        && let Some(before) = &mut last.absent
        && last.sources.is_empty()
        && op.sources.is_empty()
    {
        *before = [&**before, &**datum].concat().into();
    } else {
        ops.push(op);
    }
}

/// The number of a chain among all; each is kept once.
fn chain(
    converts: &[Convert],
    chains: &mut Vec<Box<[Convert]>>,
) -> Result<Option<u16>, SchemaError> {
    if converts.is_empty() {
        return Ok(None);
    }
    let known = chains.iter().position(|chain| **chain == *converts);
    let number = known.unwrap_or_else(|| {
        chains.push(converts.into());
        chains.len() - 1
    });
    let too_many = |_| SchemaError::new("more than 65,536 different conversions");
    u16::try_from(number).map(Some).map_err(too_many)
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
        let fits = match from.convert.last().map(|last| last.gives()) {
            None => true,
            Some(Form::Integer) => matches!(shape, Shape::Long | Shape::Text),
            Some(Form::Boolean) => shape == Shape::Boolean,
            Some(_) => shape == Shape::Text,
        };
        if !fits {
            let wanted = schema.type_name(field.node);
            return Err(SchemaError::new(format!(
                "the conversion of `{}` does not give {wanted}",
                from.dotted()
            )));
        }
    }
    let mut null = nested::null(schema, field.node).map(Vec::into_boxed_slice);
    let absent = match (&field.constant, &field.default) {
        (Some(constant), _) => {
            null = None;
            Some(datum(schema, field.node, constant, "value")?)
        }
        (None, Some(default)) => Some(datum(schema, field.node, default, "default")?),
        (None, None) => null.clone(),
    };
    Ok(Op {
        shape,
        node,
        field: index,
        sources,
        branch,
        null,
        absent,
        is_constant: field.constant.is_some(),
    })
}

/// The datum of what a schema itself holds.
fn datum(
    schema: &Schema,
    node: NodeId,
    given: &serde_json::Value,
    what: &str,
) -> Result<Box<[u8]>, SchemaError> {
    let mut out = Vec::new();
    nested::given(schema, node, given, &mut out).map_err(|_| {
        let wanted = schema.type_name(node);
        SchemaError::new(format!("its {what} {given} is not {wanted}"))
    })?;
    Ok(out.into_boxed_slice())
}
