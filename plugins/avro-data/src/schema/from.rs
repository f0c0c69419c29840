//! `"from"`: where in a JSON document a field comes from.
//!
//! One place (`"user.name"`), or a list of alternatives tried in order, each a path or an object
//! `{"path": "id", "as": "snowflake-ms"}`; several conversions are a list. A path is keys joined by
//! dots, or, when a key itself has a dot, a JSON pointer (`"/a.b/c"`). The last alternative may be
//! a constant, `{"value": false}`.

use serde_json::{Map, Value};

use super::SchemaError;
use super::convert::{self, Convert};

/// The most keys a path may have.
const MAX_DEPTH: usize = 32;

/// One place to look for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The keys from the document's root (or the enclosing record's value) to the value.
    pub path: Vec<String>,
    /// What is done to the value on the way, in order.
    pub convert: Vec<Convert>,
}

/// All that a `"from"` says.
#[derive(Debug)]
pub(super) struct Origins {
    pub places: Vec<Origin>,
    pub constant: Option<Value>,
}

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
            convert: Vec::new(),
        }
    }
}

impl Origins {
    /// Where a field without a `"from"` comes from.
    pub(super) fn key(name: &str) -> Origins {
        Origins {
            places: vec![Origin::key(name)],
            constant: None,
        }
    }

    /// Reads the value of a `"from"`.
    pub(super) fn parse(value: &Value) -> Result<Origins, SchemaError> {
        let entries = match value {
            Value::Array(entries) if entries.is_empty() => {
                return Err(SchemaError::new("`from` is an empty list"));
            }
            Value::Array(entries) => entries.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut from = Origins {
            places: Vec::new(),
            constant: None,
        };
        for entry in entries {
            if from.constant.is_some() {
                return Err(SchemaError::new(
                    "nothing in `from` can follow a `value`, which is always there",
                ));
            }
            from.add(entry)?;
        }
        Ok(from)
    }

    fn add(&mut self, entry: &Value) -> Result<(), SchemaError> {
        match entry {
            Value::String(path) => self.places.push(Origin {
                path: keys(path)?,
                convert: Vec::new(),
            }),
            Value::Object(object) if object.contains_key("value") => {
                if object.len() > 1 {
                    return Err(SchemaError::new("a `value` in `from` takes no other key"));
                }
                self.constant = object.get("value").cloned();
            }
            Value::Object(object) => self.places.push(origin(object)?),
            _ => {
                return Err(SchemaError::new(
                    "`from` takes a path, an object with `path` and `as` or with `value`, or a list of these",
                ));
            }
        }
        Ok(())
    }
}

fn origin(object: &Map<String, Value>) -> Result<Origin, SchemaError> {
    if let Some(other) = object.keys().find(|k| *k != "path" && *k != "as") {
        return Err(SchemaError::new(format!(
            "unknown key `{other}` in `from`: it takes `path` and `as`, or `value`"
        )));
    }
    let path = object
        .get("path")
        .and_then(Value::as_str)
        .ok_or_else(|| SchemaError::new("an object in `from` needs `path`, a text, or `value`"))?;
    let convert = match object.get("as") {
        None => Vec::new(),
        Some(Value::Array(names)) => convert::chain(names)?,
        Some(name) => convert::chain(std::slice::from_ref(name))?,
    };
    Ok(Origin {
        path: keys(path)?,
        convert,
    })
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
