//! The conversions of a `"from"`, by name: what each takes and gives.

use serde_json::Value;

use super::SchemaError;

/// What is done to a value between the document and the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Convert {
    /// `"snowflake-ms"`: the time in a Twitter id, in milliseconds since 1970. Ids from before
    /// such ids were issued (November 2010) hold none, and the next alternative is tried.
    SnowflakeMs,
    /// `"id-number"`: an id as a number: an integer as it is, of any other text 63 bits of its
    /// SHA-256, so that the same id is the same number.
    IdNumber,
    /// `"iso-ms"`: a date and time of ISO 8601 with its offset (`2024-05-25T14:23:28.778Z`), in
    /// milliseconds since 1970.
    IsoMs,
    /// `"us-ms"`: microseconds as milliseconds.
    UsMs,
    /// `"ms-date"`: milliseconds since 1970 as Twitter's v1.1 writes a date
    /// (`Wed Sep 01 03:20:30 +0000 2010`).
    MsDate,
    /// `"clean-text"`: each run of white space becomes one space.
    CleanText,
    /// `"non-empty"`: the text itself. An empty one holds nothing, and the next alternative is
    /// tried.
    NonEmpty,
    /// `"html-text"`: HTML becomes plain text.
    HtmlText,
    /// `"post-uri"`: an `at://` URI, if it is that of a Bluesky post; else the next alternative is
    /// tried.
    PostUri,
    /// `"tid"`: the number in a TID, the AT protocol's record key, which may be the end of an
    /// `at://` URI. Other record keys hold none, and the next alternative is tried.
    Tid,
    /// `"did"`: the DID in an `at://` URI. One with a handle in its place holds none, and the next
    /// alternative is tried.
    Did,
    /// `"present"`: true, whatever the value is, unless it is null.
    Present,
}

/// A kind of value, as conversions take and give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Any,
    Text,
    Integer,
    Boolean,
}

const NAMES: [(&str, Convert); 12] = [
    ("snowflake-ms", Convert::SnowflakeMs),
    ("id-number", Convert::IdNumber),
    ("iso-ms", Convert::IsoMs),
    ("us-ms", Convert::UsMs),
    ("ms-date", Convert::MsDate),
    ("clean-text", Convert::CleanText),
    ("non-empty", Convert::NonEmpty),
    ("html-text", Convert::HtmlText),
    ("post-uri", Convert::PostUri),
    ("tid", Convert::Tid),
    ("did", Convert::Did),
    ("present", Convert::Present),
];

impl Convert {
    fn takes(self) -> Form {
        match self {
            Convert::SnowflakeMs | Convert::UsMs | Convert::MsDate => Form::Integer,
            Convert::Present => Form::Any,
            _ => Form::Text,
        }
    }

    /// What it gives.
    pub(crate) fn gives(self) -> Form {
        match self {
            Convert::SnowflakeMs
            | Convert::IdNumber
            | Convert::IsoMs
            | Convert::UsMs
            | Convert::Tid => Form::Integer,
            Convert::Present => Form::Boolean,
            _ => Form::Text,
        }
    }
}

/// Reads the names of an `"as"`.
pub(super) fn chain(names: &[Value]) -> Result<Vec<Convert>, SchemaError> {
    let mut chain: Vec<(&str, Convert)> = Vec::with_capacity(names.len());
    for name in names {
        let next = match name {
            Value::String(name) => named(name)?,
            _ => {
                return Err(SchemaError::new(
                    "`as` in `from` is neither a text nor a list of texts",
                ));
            }
        };
        if let Some((before, last)) = chain.last()
            && !follows(last.gives(), next.1.takes())
        {
            return Err(SchemaError::new(format!(
                "the conversion `{}` does not take what `{before}` gives",
                next.0
            )));
        }
        chain.push(next);
    }
    Ok(chain.into_iter().map(|(_, convert)| convert).collect())
}

fn named(name: &str) -> Result<(&'static str, Convert), SchemaError> {
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.copied().ok_or_else(|| {
        let all: Vec<_> = NAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
        SchemaError::new(format!(
            "unknown conversion `{name}` in `from`: there are {}",
            all.join(", ")
        ))
    })
}

fn follows(given: Form, taken: Form) -> bool {
    taken == Form::Any || taken == given || (given, taken) == (Form::Integer, Form::Text)
}
