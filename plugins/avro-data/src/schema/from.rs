//! `"from"`: where in a JSON document a field comes from.
//!
//! One path (`"user.name"`), or a list of alternatives tried in order, each a path or an object
//! `{"path": "id", "as": "snowflake-ms"}`. A path is keys joined by dots, or, when a key itself
//! has a dot, a JSON pointer (`"/a.b/c"`).

use serde_json::Value;

use super::SchemaError;

/// The most keys a path may have.
const MAX_DEPTH: usize = 32;

/// One place to look for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The keys from the document's root (or the enclosing record's value) to the value.
    pub path: Vec<String>,
    /// What is done to the value on the way.
    pub convert: Convert,
}

/// What is done to a value between the document and the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Convert {
    /// Nothing.
    None,
    /// `"snowflake-ms"`: the time in a Twitter id, in milliseconds since 1970. Ids from before
    /// such ids were issued (November 2010) hold none, and the next alternative is tried.
    SnowflakeMs,
    /// `"clean-text"`: each run of white space becomes one space.
    CleanText,
}

/// The names of all conversions, for messages.
const NAMES: &str = "`snowflake-ms`, `clean-text`";

impl Origin {
    /// The path as it is written with dots.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// The path as a JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> String {
        self.path.iter().fold(String::new(), |mut pointer, key| {
            pointer.push('/');
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            pointer
        })
    }

    /// The single key that a field without `"from"` is looked for under.
    pub(crate) fn key(name: &str) -> Origin {
        Origin {
            path: vec![name.to_owned()],
            convert: Convert::None,
        }
    }
}

/// Reads the value of a `"from"`.
pub(super) fn parse(value: &Value) -> Result<Vec<Origin>, SchemaError> {
    match value {
        Value::Array(entries) if entries.is_empty() => {
            Err(SchemaError::new("`from` is an empty list"))
        }
        Value::Array(entries) => entries.iter().map(entry).collect(),
        one => Ok(vec![entry(one)?]),
    }
}

fn entry(value: &Value) -> Result<Origin, SchemaError> {
    match value {
        Value::String(path) => Ok(Origin {
            path: keys(path)?,
            convert: Convert::None,
        }),
        Value::Object(object) => {
            if let Some(other) = object.keys().find(|k| *k != "path" && *k != "as") {
                return Err(SchemaError::new(format!(
                    "unknown key `{other}` in `from`: it takes `path` and `as`"
                )));
            }
            let path = object
                .get("path")
                .and_then(Value::as_str)
                .ok_or_else(|| SchemaError::new("an object in `from` needs `path`, a text"))?;
            let convert = match object.get("as") {
                None => Convert::None,
                Some(Value::String(name)) => match name.as_str() {
                    "snowflake-ms" => Convert::SnowflakeMs,
                    "clean-text" => Convert::CleanText,
                    other => {
                        return Err(SchemaError::new(format!(
                            "unknown conversion `{other}` in `from`: there are {NAMES}"
                        )));
                    }
                },
                Some(_) => return Err(SchemaError::new("`as` in `from` is not a text")),
            };
            Ok(Origin {
                path: keys(path)?,
                convert,
            })
        }
        _ => Err(SchemaError::new(
            "`from` takes a path, an object with `path` and `as`, or a list of these",
        )),
    }
}

fn keys(path: &str) -> Result<Vec<String>, SchemaError> {
    let keys: Vec<String> = match path.strip_prefix('/') {
        Some(pointer) => pointer
            .split('/')
            .map(|k| k.replace("~1", "/").replace("~0", "~"))
            .collect(),
        None => path.split('.').map(str::to_owned).collect(),
    };
    if keys.len() > MAX_DEPTH {
        return Err(SchemaError::new(format!(
            "the path `{path}` has more than {MAX_DEPTH} keys"
        )));
    }
    if keys.iter().any(String::is_empty) {
        return Err(SchemaError::new(format!(
            "the path `{path}` has an empty key"
        )));
    }
    Ok(keys)
}
