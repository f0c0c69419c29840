//! Finds the text in a record of whatever content type flows in.

use avro_data::Schema;
use avro_data::datum::{self, Value};
use avro_data::schema::{Node, NodeId};
use plugin_api::prelude::*;

use crate::text::Paths;

/// JSON paths tried when the option `text` is left out.
const JSON_TEXTS: [&str; 3] = ["extended_tweet.full_text", "full_text", "text"];
/// Avro fields tried when the option `text` is left out; dots as old files have them.
const AVRO_TEXTS: [&str; 5] = ["full_text", "t_text", "t.text", "text", "body"];

/// Reads the text of records of one content type.
#[derive(Debug)]
pub enum Reader {
    /// JSON: the first of these paths.
    Json(Paths),
    /// Avro: these fields of the schema, by their rank in order of preference.
    Avro(Box<AvroReader>),
    /// The record is the text.
    Text,
}

/// The fields of an Avro schema that may hold the text.
#[derive(Debug)]
pub struct AvroReader {
    schema: Schema,
    fields: Vec<String>,
}

impl Reader {
    /// A reader for `input` by the option `text`.
    ///
    /// # Errors
    /// An input without text, or a path or field that cannot be.
    pub fn new(input: &ContentType, text: &[String]) -> Result<Self, StageError> {
        match input.format {
            Format::Text => Ok(Self::Text),
            Format::Json => {
                let paths = if text.is_empty() {
                    Paths::new(&JSON_TEXTS)
                } else {
                    Paths::new(text)
                };
                let wrong = |at: usize| {
                    let message = format!(
                        "`{}` is no path of its own: expected such as `outer.inner`",
                        text[at]
                    );
                    StageError::config(&format!("/text/{at}"), message)
                };
                paths.map(Self::Json).map_err(wrong)
            }
            Format::Avro => AvroReader::new(input, text).map(|reader| Self::Avro(Box::new(reader))),
            other => Err(StageError::config(
                "/inputs/0",
                format!("a word cloud needs json, avro or text, and this sends {other}"),
            )),
        }
    }

    /// Writes the text of `record` into `out`.
    ///
    /// # Errors
    /// Why the record cannot be used.
    pub fn text(&self, record: &Record<'_>, out: &mut String) -> Result<(), Reject> {
        out.clear();
        match self {
            Self::Text => out.push_str(record.text()?),
            Self::Json(paths) => match paths.find(record.bytes(), out) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Reject::new(
                        "no text at any of the paths of the option `text`",
                    ));
                }
                Err(error) => return Err(Reject::new(format!("not JSON: {error}"))),
            },
            Self::Avro(reader) => reader.text(record.bytes(), out)?,
        }
        Ok(())
    }
}

impl AvroReader {
    fn new(input: &ContentType, text: &[String]) -> Result<Self, StageError> {
        let Some(schema) = &input.schema else {
            return Err(StageError::config(
                "/inputs/0",
                "this sends avro without a schema",
            ));
        };
        let schema = Schema::parse(schema).map_err(|error| {
            StageError::config("/inputs/0", format!("the schema that this sends: {error}"))
        })?;
        let texts: Vec<&str> = schema
            .fields()
            .iter()
            .filter(|field| holds_text(&schema, field.node))
            .map(|field| &*field.name)
            .collect();
        let known = || {
            if texts.is_empty() {
                "none".to_owned()
            } else {
                texts.join(", ")
            }
        };
        for (position, name) in text.iter().enumerate() {
            if !texts.contains(&&**name) {
                let message = format!("the schema has no text field `{name}`: it has {}", known());
                return Err(StageError::config(&format!("/text/{position}"), message));
            }
        }
        let fields: Vec<String> = if text.is_empty() {
            AVRO_TEXTS
                .iter()
                .filter(|name| texts.contains(name))
                .map(|name| (*name).to_owned())
                .collect()
        } else {
            text.to_vec()
        };
        if fields.is_empty() {
            let message = format!(
                "name the field that holds the text, such as `text = [\"…\"]`: the schema has {}",
                known()
            );
            return Err(StageError::config("/text", message));
        }
        Ok(Self { schema, fields })
    }

    fn text(&self, datum: &[u8], out: &mut String) -> Result<(), Reject> {
        let mut best: Option<(usize, &str)> = None;
        datum::visit(&self.schema, datum, |name, value| {
            if let Value::Text(text) = value
                && let Some(rank) = self.fields.iter().position(|field| field == name)
                && best.is_none_or(|(least, _)| rank < least)
            {
                best = Some((rank, text));
            }
        })
        .map_err(|error| Reject::new(error.to_string()))?;
        let Some((_, text)) = best else {
            return Err(Reject::new(
                "none of the fields of the option `text` holds a text",
            ));
        };
        out.push_str(text);
        Ok(())
    }
}

fn holds_text(schema: &Schema, node: NodeId) -> bool {
    match schema.node(node) {
        Node::String => true,
        Node::Union(branches) => branches.iter().any(|branch| holds_text(schema, *branch)),
        _ => false,
    }
}
