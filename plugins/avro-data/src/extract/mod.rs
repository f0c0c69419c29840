//! Schema-driven extraction: a JSON document to an Avro datum, in one pass, as the `"from"` of
//! the schema's fields say.
//!
//! The rules: of a field's alternatives the first that is there and not null is taken. It must
//! fit the field's type; an integer written as a text fits an integer, a number fits a text.
//! What a conversion cannot read is passed over, and refused only if no other alternative is there.
//! If none is, the field becomes its constant, else its default, else null if it may be null, else
//! the document is refused and the field named. A null in the document is null before it is the
//! default. A field whose type is a record reads its own fields' paths within its value. Of a
//! key that comes twice the last counts; half a surrogate pair becomes U+FFFD.

mod compile;
mod convert;
mod emit;
mod encode;
mod nested;

use std::fmt;

use crate::json::bitmap::Bitmaps;
use crate::json::trie::Trie;
use crate::json::walk::Walk;
use crate::json::{JsonError, Slot};
use crate::schema::{Convert, Schema, SchemaError};

/// Turns JSON documents into datums of one schema. Keeps its working memory from one document
/// to the next: in steady state it allocates nothing, but for what reading HTML takes.
///
/// ```
/// let schema = avro_data::Schema::parse(
///     r#"{"type": "record", "name": "T", "fields": [
///         {"name": "id", "type": "long"},
///         {"name": "text", "type": "string", "from": ["full_text", "text"]}]}"#,
/// )?;
/// let mut extractor = avro_data::Extractor::new(&schema)?;
/// let mut datum = Vec::new();
/// extractor.extract(br#"{"id": 1, "text": "caf\u00e9"}"#, &mut datum)?;
/// assert_eq!(datum, b"\x02\x0acaf\xc3\xa9");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Extractor {
    schema: Schema,
    trie: Trie,
    ops: Vec<compile::Op>,
    sources: Vec<compile::Source>,
    chains: Vec<Box<[Convert]>>,
    maps: Bitmaps,
    slots: Vec<Slot>,
    scratch: encode::Scratch,
}

impl Extractor {
    /// Compiles a schema.
    ///
    /// # Errors
    /// A schema that is no record, or a default that does not fit its field.
    pub fn new(schema: &Schema) -> Result<Extractor, SchemaError> {
        let compile::Compiled {
            trie,
            ops,
            sources,
            chains,
        } = compile::compile(schema)?;
        Ok(Extractor {
            schema: schema.clone(),
            slots: vec![Slot::default(); trie.len()],
            trie,
            ops,
            sources,
            chains,
            maps: Bitmaps::default(),
            scratch: encode::Scratch::default(),
        })
    }

    /// The schema of the datums.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Appends the datum of one document to `out`.
    ///
    /// # Errors
    /// A document that is not valid JSON, or that does not fill the schema. `out` is then as it
    /// was.
    pub fn extract(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), ExtractError> {
        self.maps.read(json)?;
        self.slots.fill(Slot::default());
        Walk {
            json,
            maps: &self.maps,
            trie: &self.trie,
            slots: &mut self.slots,
            scratch: &mut self.scratch.text,
        }
        .document()?;
        let encode = encode::Encode {
            schema: &self.schema,
            ops: &self.ops,
            sources: &self.sources,
            chains: &self.chains,
            json,
            maps: &self.maps,
            slots: &self.slots,
        };
        encode.run(&mut self.scratch, out)
    }
}

/// Why a document gave no datum.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractError {
    /// It is not valid JSON.
    Json {
        /// Position of the byte at fault.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A required field that nothing fills.
    Missing {
        /// The field.
        field: String,
        /// Where it was looked for, as JSON pointers, in order.
        looked_at: Vec<String>,
        /// Whether the document has a null there.
        null: bool,
    },
    /// A value that does not fit its field's type.
    Unfit {
        /// The field.
        field: String,
        /// The type of the field.
        wanted: String,
        /// What the document has.
        found: String,
        /// Where it has it, as JSON pointer.
        pointer: String,
    },
}

impl ExtractError {
    /// The JSON pointer of the value at fault, if there is one.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            ExtractError::Json { .. } => None,
            ExtractError::Missing { looked_at, .. } => looked_at.first().map(String::as_str),
            ExtractError::Unfit { pointer, .. } => Some(pointer),
        }
    }

    /// Puts an enclosing field and its pointer in front.
    fn within(mut self, outer: &str, place: &str) -> ExtractError {
        match &mut self {
            ExtractError::Json { .. } => {}
            ExtractError::Missing {
                field, looked_at, ..
            } => {
                *field = format!("{outer}.{field}");
                looked_at.iter_mut().for_each(|at| at.insert_str(0, place));
            }
            ExtractError::Unfit { field, pointer, .. } => {
                *field = if field.is_empty() {
                    outer.to_owned()
                } else {
                    format!("{outer}.{field}")
                };
                pointer.insert_str(0, place);
            }
        }
        self
    }
}

impl From<JsonError> for ExtractError {
    fn from(error: JsonError) -> ExtractError {
        ExtractError::Json {
            at: error.at,
            what: error.what,
        }
    }
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtractError::Json { at, what } => write!(f, "not valid JSON at byte {at}: {what}"),
            ExtractError::Missing {
                field,
                looked_at,
                null,
            } => {
                let fault = if *null { "null" } else { "missing" };
                write!(
                    f,
                    "required field `{field}` is {fault} (looked at {})",
                    looked_at.join(", ")
                )
            }
            ExtractError::Unfit {
                field,
                wanted,
                found,
                pointer,
            } => {
                write!(
                    f,
                    "field `{field}` wants {wanted}, but {pointer} is {found}"
                )
            }
        }
    }
}

impl std::error::Error for ExtractError {}

#[cfg(test)]
mod tests;
