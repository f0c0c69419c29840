//! What a condition looks at: the whole payload or one field of it.

use avro_data::Schema;
use avro_data::datum::{Value, visit};
use json_walk::Path;
use plugin_api::prelude::*;
use std::io::Write;

pub(crate) enum Place {
    /// The payload as it stands.
    Whole,
    /// A place in a JSON document.
    Json(Path),
    /// A field of an Avro record, and a place inside it where it has fields of its own.
    Avro {
        schema: Box<Schema>,
        field: String,
        inner: Option<Path>,
    },
}

impl Place {
    /// Finds out how to look `field` up in records of a type.
    pub(crate) fn new(field: Option<&str>, input: &ContentType) -> Result<Self, StageError> {
        let wrong = |message: String| StageError::config("/field", message);
        let Some(field) = field else {
            return Ok(Self::Whole);
        };
        match (input.format, &input.schema) {
            (Format::Json, _) => {
                let path = Path::parse(field).map_err(|error| wrong(error.to_string()))?;
                Ok(Self::Json(path))
            }
            (Format::Avro, Some(schema)) => {
                let schema = Schema::parse(schema)
                    .map_err(|error| StageError::config("/inputs", error.to_string()))?;
                Self::avro(field, schema).map_err(wrong)
            }
            (format, _) => Err(wrong(format!(
                "the input is {format}, which has no fields; if it holds JSON, say so with \
                 format = \"json\" where it is read, else leave out `field`"
            ))),
        }
    }

    fn avro(field: &str, schema: Schema) -> Result<Self, String> {
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        let (first, inner) = match field.split_once('.') {
            Some((first, rest)) if !names.contains(&field) => (first, Some(rest)),
            _ => (field, None),
        };
        if !names.contains(&first) {
            let names = names.join(", ");
            return Err(format!("the input has no field `{first}`; it has: {names}"));
        }
        let inner = inner.map(Path::parse).transpose();
        Ok(Self::Avro {
            field: first.to_owned(),
            inner: inner.map_err(|error| error.to_string())?,
            schema: Box::new(schema),
        })
    }

    /// The text at this place: of a string its content, of anything else its JSON. `None`: it is
    /// not there or null.
    pub(crate) fn look_up<'a>(
        &self,
        record: &Record<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, Reject> {
        let Some(payload) = record.value() else {
            return Ok(None);
        };
        match self {
            Self::Whole => Ok(Some(payload)),
            Self::Json(path) => {
                let found = path.find(payload).map_err(|error| not_json(&error))?;
                let found = found.filter(|value| !value.is_null());
                Ok(found.map(|value| value.text(scratch)))
            }
            Self::Avro {
                schema,
                field,
                inner,
            } => {
                scratch.clear();
                let mut there = false;
                let mut trouble = None;
                let visited = visit(schema, payload, |name, value| {
                    if name == field {
                        there = true;
                        match push(value, scratch) {
                            Ok(present) => there = present,
                            Err(error) => trouble = Some(error),
                        }
                    }
                });
                if let Some(error) = visited.err().or(trouble) {
                    return Err(Reject::new(error.to_string()));
                }
                if !there {
                    return Ok(None);
                }
                match inner {
                    None => Ok(Some(scratch)),
                    Some(path) => inside(path, scratch),
                }
            }
        }
    }
}

/// Looks into a nested value, which stands in `scratch` as JSON.
fn inside<'a>(path: &Path, scratch: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Reject> {
    let mut text = Vec::new();
    match path.find(scratch).map_err(|error| not_json(&error))? {
        Some(value) if !value.is_null() => value.push_text(&mut text),
        _ => return Ok(None),
    }
    *scratch = text;
    Ok(Some(scratch))
}

/// Appends a value as text; false for null.
fn push(value: Value<'_>, out: &mut Vec<u8>) -> Result<bool, avro_data::datum::DatumError> {
    // Writing to a `Vec` cannot fail.
    match value {
        Value::Null => return Ok(false),
        Value::Boolean(value) => drop(write!(out, "{value}")),
        Value::Long(value) => drop(write!(out, "{value}")),
        Value::Double(value) => drop(write!(out, "{value}")),
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Nested(nested) => nested.to_json(out)?,
        _ => {}
    }
    Ok(true)
}

fn not_json(error: &json_walk::Malformed) -> Reject {
    Reject::new(error.to_string())
}
