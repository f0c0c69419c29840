//! Rows with the types of an Avro schema: as datums or as JSON.

use avro_data::Schema;
use avro_data::datum::wire::{put_bytes, put_long};
use avro_data::schema::{Node, NodeId};
use plugin_api::prelude::*;
use std::io::Write;

/// How rows become records.
pub(crate) struct Typed {
    /// The fields of the schema.
    fields: Vec<Field>,
    /// For each field its column in the file at hand.
    columns: Vec<Option<usize>>,
    null: Vec<u8>,
}

struct Field {
    name: String,
    /// The types it may have, with their number in the union.
    kinds: Vec<(usize, Kind)>,
    /// Number of null in the union.
    null: Option<usize>,
    union: bool,
}

enum Kind {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    Enum(Vec<String>),
}

impl Typed {
    pub(crate) fn new(schema: &Schema, null: &str) -> Result<Self, String> {
        let fields = schema.fields();
        if fields.is_empty() {
            return Err("the schema is no record, so it has no columns".into());
        }
        let fields: Result<Vec<Field>, String> = fields
            .iter()
            .map(|field| Field::new(schema, &field.name, field.node))
            .collect();
        let fields = fields?;
        Ok(Self {
            columns: vec![None; fields.len()],
            fields,
            null: null.into(),
        })
    }

    /// A file begins that has these columns.
    pub(crate) fn columns(&mut self, names: &[String]) -> Result<(), String> {
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            *column = names.iter().position(|name| *name == field.name);
            if column.is_none() && field.null.is_none() {
                return Err(format!(
                    "it has no column `{}`, which the schema needs; it has: {}",
                    field.name,
                    names.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// Appends a row as a datum.
    pub(crate) fn datum<'a>(
        &self,
        text: impl Fn(usize) -> &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reject> {
        for (field, column) in self.fields.iter().zip(&self.columns) {
            match self.pick(field, column.map(&text))? {
                None => put_branch(field, field.null, out),
                Some((branch, kind, text)) => {
                    put_branch(field, Some(branch), out);
                    kind.put(text, out);
                }
            }
        }
        Ok(())
    }

    /// Appends a row as a JSON object.
    pub(crate) fn json<'a>(
        &self,
        text: impl Fn(usize) -> &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reject> {
        out.push(b'{');
        for (index, (field, column)) in self.fields.iter().zip(&self.columns).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json_walk::push_string(field.name.as_bytes(), out);
            out.push(b':');
            match self.pick(field, column.map(&text))? {
                None => out.extend_from_slice(b"null"),
                Some((_, kind, text)) => kind.print(text, out),
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The type that a field's text is of; `None`: null.
    fn pick<'f, 'a>(
        &self,
        field: &'f Field,
        text: Option<&'a [u8]>,
    ) -> Result<Option<(usize, &'f Kind, &'a str)>, Reject> {
        let Some(text) = text else {
            return Ok(None);
        };
        if field.null.is_some() && text == self.null {
            return Ok(None);
        }
        let at = || format!("/{}", field.name.replace('~', "~0").replace('/', "~1"));
        let text = std::str::from_utf8(text)
            .map_err(|_| Reject::new(format!("`{}` is not UTF-8", field.name)).at(at()))?;
        let kind = field.kinds.iter().find(|(_, kind)| kind.fits(text));
        let (branch, kind) = kind.ok_or_else(|| {
            let names: Vec<&str> = field.kinds.iter().map(|(_, kind)| kind.name()).collect();
            let shown: String = text.chars().take(40).collect();
            let reason = format!("`{}` is `{shown}`, no {}", field.name, names.join(" or "));
            Reject::new(reason).at(at())
        })?;
        Ok(Some((*branch, kind, text)))
    }
}

impl Field {
    fn new(schema: &Schema, name: &str, node: NodeId) -> Result<Self, String> {
        let (branches, union) = match schema.node(node) {
            Node::Union(branches) => (branches.clone(), true),
            _ => (vec![node], false),
        };
        let mut field = Self {
            name: name.to_owned(),
            kinds: Vec::new(),
            null: None,
            union,
        };
        for (number, &branch) in branches.iter().enumerate() {
            let kind = match schema.node(branch) {
                Node::Null => {
                    field.null = Some(number);
                    continue;
                }
                Node::Boolean => Kind::Boolean,
                Node::Int => Kind::Int,
                Node::Long => Kind::Long,
                Node::Float => Kind::Float,
                Node::Double => Kind::Double,
                Node::String => Kind::Text,
                Node::Bytes => Kind::Bytes,
                Node::Enum { symbols, .. } => Kind::Enum(symbols.clone()),
                _ => {
                    return Err(format!(
                        "field `{name}` is {}, which no CSV field can hold",
                        schema.type_name(branch)
                    ));
                }
            };
            field.kinds.push((number, kind));
        }
        Ok(field)
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Enum(_) => "symbol of the enum",
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Boolean => boolean(text).is_some(),
            Self::Int => text.parse::<i32>().is_ok(),
            Self::Long => text.parse::<i64>().is_ok(),
            Self::Float | Self::Double => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Text | Self::Bytes => true,
            Self::Enum(symbols) => symbols.iter().any(|symbol| symbol == text),
        }
    }

    /// Appends a text that fits in Avro's encoding.
    fn put(&self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Boolean => out.push(u8::from(boolean(text) == Some(true))),
            Self::Int | Self::Long => put_long(text.parse().unwrap_or_default(), out),
            Self::Float => {
                let value: f32 = text.parse().unwrap_or_default();
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Double => {
                let value: f64 = text.parse().unwrap_or_default();
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Text | Self::Bytes => put_bytes(text.as_bytes(), out),
            Self::Enum(symbols) => {
                let symbol = symbols.iter().position(|symbol| symbol == text);
                put_long(symbol.unwrap_or_default() as i64, out);
            }
        }
    }

    /// Appends a text that fits as JSON.
    fn print(&self, text: &str, out: &mut Vec<u8>) {
        // Writing to a `Vec` cannot fail.
        match self {
            Self::Boolean => drop(write!(out, "{}", boolean(text) == Some(true))),
            Self::Int | Self::Long => {
                drop(write!(out, "{}", text.parse::<i64>().unwrap_or_default()));
            }
            Self::Float | Self::Double => {
                drop(write!(out, "{}", text.parse::<f64>().unwrap_or_default()));
            }
            Self::Text | Self::Bytes | Self::Enum(_) => {
                json_walk::push_string(text.as_bytes(), out);
            }
        }
    }
}

fn put_branch(field: &Field, branch: Option<usize>, out: &mut Vec<u8>) {
    if let (true, Some(branch)) = (field.union, branch) {
        put_long(branch as i64, out);
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
