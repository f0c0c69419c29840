//! Walking a datum without allocating.

use super::wire::Cursor;
use super::{DatumError, MAX_DEPTH};
use crate::schema::{Node, NodeId, Schema};

/// Items that take no bytes (nulls) which a list may hold: nothing else bounds their number.
const MAX_EMPTY_ITEMS: u64 = 1 << 16;

/// A field's value.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Null.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An int or a long.
    Long(i64),
    /// A float or a double.
    Double(f64),
    /// A text, or an enum's symbol.
    Text(&'a str),
    /// Bytes or a fixed.
    Bytes(&'a [u8]),
    /// A list, a map or a record.
    Nested(Nested<'a>),
}

/// A value with values inside, still encoded.
#[derive(Debug, Clone, Copy)]
pub struct Nested<'a> {
    pub(super) schema: &'a Schema,
    pub(super) node: NodeId,
    pub(super) bytes: &'a [u8],
}

impl Nested<'_> {
    /// Appends it as JSON.
    ///
    /// # Errors
    /// Bytes that are not a datum of the type; `visit` has checked most already.
    pub fn to_json(&self, out: &mut Vec<u8>) -> Result<(), DatumError> {
        super::json::value(self.schema, self.node, &mut Cursor::new(self.bytes), 0, out)
    }
}

/// Calls `field` with the name and value of each field of a record, in order. A schema that is
/// no record gives one value with an empty name.
///
/// # Errors
/// Bytes that are not a datum of the schema, or more than one; fields before the fault have
/// then been visited.
pub fn visit<'a>(
    schema: &'a Schema,
    datum: &'a [u8],
    mut field: impl FnMut(&'a str, Value<'a>),
) -> Result<(), DatumError> {
    let mut cursor = Cursor::new(datum);
    match schema.node(schema.root()) {
        Node::Record { fields, .. } => {
            for f in fields {
                field(&f.name, value(schema, f.node, &mut cursor, 1)?);
            }
        }
        _ => field("", value(schema, schema.root(), &mut cursor, 1)?),
    }
    if cursor.left() > 0 {
        return cursor.fault("bytes after the datum");
    }
    Ok(())
}

/// How many bytes the datum at the start of a slice takes.
///
/// # Errors
/// Bytes that are not a datum of the schema; `cut` says whether they merely end too early.
pub fn length(schema: &Schema, bytes: &[u8]) -> Result<usize, DatumError> {
    let mut cursor = Cursor::new(bytes);
    skip(schema, schema.root(), &mut cursor, 0)?;
    Ok(cursor.position())
}

fn value<'a>(
    schema: &'a Schema,
    node: NodeId,
    cursor: &mut Cursor<'a>,
    depth: u32,
) -> Result<Value<'a>, DatumError> {
    Ok(match schema.node(node) {
        Node::Null => Value::Null,
        Node::Boolean => Value::Boolean(boolean(cursor)?),
        Node::Int => Value::Long(cursor.int()?.into()),
        Node::Long => Value::Long(cursor.long()?),
        Node::Float => Value::Double(float(cursor)?.into()),
        Node::Double => Value::Double(double(cursor)?),
        Node::Bytes => Value::Bytes(cursor.sized()?),
        Node::String => Value::Text(cursor.text()?),
        Node::Fixed { size, .. } => Value::Bytes(cursor.take(*size)?),
        Node::Enum { symbols, .. } => Value::Text(symbol(symbols, cursor)?),
        Node::Union(branches) => value(schema, branch(branches, cursor)?, cursor, depth)?,
        Node::Array(_) | Node::Map(_) | Node::Record { .. } => {
            let start = cursor.position();
            skip(schema, node, cursor, depth)?;
            Value::Nested(Nested {
                schema,
                node,
                bytes: cursor.since(start),
            })
        }
    })
}

fn skip(
    schema: &Schema,
    node: NodeId,
    cursor: &mut Cursor<'_>,
    depth: u32,
) -> Result<(), DatumError> {
    if depth > MAX_DEPTH {
        return cursor.fault("too many types within types");
    }
    match schema.node(node) {
        Node::Null => {}
        Node::Boolean => {
            boolean(cursor)?;
        }
        Node::Int => {
            cursor.int()?;
        }
        Node::Long => {
            cursor.long()?;
        }
        Node::Float => {
            cursor.take(4)?;
        }
        Node::Double => {
            cursor.take(8)?;
        }
        Node::Bytes => {
            cursor.sized()?;
        }
        Node::String => {
            cursor.text()?;
        }
        Node::Fixed { size, .. } => {
            cursor.take(*size)?;
        }
        Node::Enum { symbols, .. } => {
            symbol(symbols, cursor)?;
        }
        Node::Union(branches) => skip(schema, branch(branches, cursor)?, cursor, depth + 1)?,
        Node::Array(item) => {
            items(cursor, |cursor| skip(schema, *item, cursor, depth + 1))?;
        }
        Node::Map(value) => items(cursor, |cursor| {
            cursor.text()?;
            skip(schema, *value, cursor, depth + 1)
        })?,
        Node::Record { fields, .. } => {
            for field in fields {
                skip(schema, field.node, cursor, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// Calls `item` for each item of a list or map, whatever blocks they come in.
pub(super) fn items<'a>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), DatumError>,
) -> Result<(), DatumError> {
    let mut empty = 0u64;
    loop {
        let count = cursor.count()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let before = cursor.left();
            item(cursor)?;
            if cursor.left() == before {
                empty += 1;
                if empty > MAX_EMPTY_ITEMS {
                    return cursor.fault("too many items without bytes");
                }
            }
        }
    }
}

pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, DatumError> {
    match cursor.take(1)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => cursor.fault("a boolean that is neither 0 nor 1"),
    }
}

pub(super) fn float(cursor: &mut Cursor<'_>) -> Result<f32, DatumError> {
    let bytes = cursor.take(4)?;
    Ok(f32::from_le_bytes(
        bytes.try_into().expect("four bytes were taken"),
    ))
}

pub(super) fn double(cursor: &mut Cursor<'_>) -> Result<f64, DatumError> {
    let bytes = cursor.take(8)?;
    Ok(f64::from_le_bytes(
        bytes.try_into().expect("eight bytes were taken"),
    ))
}

pub(super) fn symbol<'a>(
    symbols: &'a [String],
    cursor: &mut Cursor<'_>,
) -> Result<&'a str, DatumError> {
    let index = cursor.long()?;
    match usize::try_from(index).ok().and_then(|i| symbols.get(i)) {
        Some(symbol) => Ok(symbol),
        None => cursor.fault("an enum without such a symbol"),
    }
}

pub(super) fn branch(branches: &[NodeId], cursor: &mut Cursor<'_>) -> Result<NodeId, DatumError> {
    let index = cursor.long()?;
    match usize::try_from(index).ok().and_then(|i| branches.get(i)) {
        Some(branch) => Ok(*branch),
        None => cursor.fault("a union without such a type"),
    }
}
