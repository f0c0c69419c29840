//! A datum as JSON.
//!
//! Unions are written as the plain value, without the type's name around it. Bytes are a text
//! with one character below U+0100 a byte, as Avro's JSON has them. What JSON cannot say (NaN,
//! infinities) is null.

use std::io::Write;

use super::visit::{boolean, branch, double, float, items, symbol};
use super::wire::Cursor;
use super::{DatumError, MAX_DEPTH};
use crate::schema::{Node, NodeId, Schema};

/// Appends a datum as one line of JSON, without a line end.
///
/// # Errors
/// Bytes that are not a datum of the schema, or more than one. `out` is then as it was.
pub fn to_json(schema: &Schema, datum: &[u8], out: &mut Vec<u8>) -> Result<(), DatumError> {
    let before = out.len();
    let mut cursor = Cursor::new(datum);
    let result = value(schema, schema.root(), &mut cursor, 0, out).and_then(|()| {
        if cursor.left() > 0 {
            cursor.fault("bytes after the datum")
        } else {
            Ok(())
        }
    });
    if result.is_err() {
        out.truncate(before);
    }
    result
}

pub(super) fn value(
    schema: &Schema,
    node: NodeId,
    cursor: &mut Cursor<'_>,
    depth: u32,
    out: &mut Vec<u8>,
) -> Result<(), DatumError> {
    if depth > MAX_DEPTH {
        return cursor.fault("too many types within types");
    }
    match schema.node(node) {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Boolean => out.extend_from_slice(if boolean(cursor)? { b"true" } else { b"false" }),
        Node::Int => print(format_args!("{}", cursor.int()?), out),
        Node::Long => print(format_args!("{}", cursor.long()?), out),
        Node::Float => match float(cursor)? {
            value if value.is_finite() => print(format_args!("{value:?}"), out),
            _ => out.extend_from_slice(b"null"),
        },
        Node::Double => match double(cursor)? {
            value if value.is_finite() => print(format_args!("{value:?}"), out),
            _ => out.extend_from_slice(b"null"),
        },
        Node::Bytes => latin(cursor.sized()?, out),
        Node::Fixed { size, .. } => latin(cursor.take(*size)?, out),
        Node::String => text(cursor.text()?, out),
        Node::Enum { symbols, .. } => text(symbol(symbols, cursor)?, out),
        Node::Union(branches) => {
            value(schema, branch(branches, cursor)?, cursor, depth + 1, out)?;
        }
        Node::Array(item) => {
            out.push(b'[');
            let mut first = true;
            items(cursor, |cursor| {
                comma(&mut first, out);
                value(schema, *item, cursor, depth + 1, out)
            })?;
            out.push(b']');
        }
        Node::Map(values) => {
            out.push(b'{');
            let mut first = true;
            items(cursor, |cursor| {
                comma(&mut first, out);
                text(cursor.text()?, out);
                out.push(b':');
                value(schema, *values, cursor, depth + 1, out)
            })?;
            out.push(b'}');
        }
        Node::Record { fields, .. } => {
            out.push(b'{');
            let mut first = true;
            for field in fields {
                comma(&mut first, out);
                text(&field.name, out);
                out.push(b':');
                value(schema, field.node, cursor, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn comma(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

fn print(value: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.write_fmt(value)
        .expect("writing to memory does not fail");
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(byte, 0..0x20 | b'"' | b'\\') {
            out.extend_from_slice(&bytes[done..at]);
            escape(*byte, out);
            done = at + 1;
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

fn latin(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            0..0x20 | b'"' | b'\\' => escape(*byte, out),
            0x20..0x80 => out.push(*byte),
            _ => out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => print(format_args!("\\u{byte:04x}"), out),
    }
}
