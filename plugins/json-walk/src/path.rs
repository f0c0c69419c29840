//! Paths to one place in a JSON record.

use crate::scan::{Malformed, Value, elements, members, parse};
use crate::text::unescape;
use std::fmt;

/// A path: `user.name`, `entities.hashtags.0.text` (a number counts from 0 in an array), or a
/// JSON pointer, `/user/name`, for keys that hold dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<String>,
}

/// A path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError(String);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PathError {}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// If it is empty or has an empty step.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        if !text.starts_with('/') && steps.iter().any(String::is_empty) {
            return Err(PathError(format!("`{text}` has an empty step")));
        }
        Ok(Self { steps })
    }

    /// Its steps, each a key or a number.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The value at this path in a whole record; of a repeated key the last one.
    ///
    /// # Errors
    /// If the record is not JSON as far as it was looked at.
    pub fn find<'a>(&self, json: &'a [u8]) -> Result<Option<Value<'a>>, Malformed> {
        let mut value = parse(json)?;
        let mut scratch = Vec::new();
        for step in &self.steps {
            let mut found = None;
            if value.is_object() {
                for member in members(value) {
                    let (key, member) = member?;
                    if same_key(key, step.as_bytes(), &mut scratch) {
                        found = Some(member);
                    }
                }
            } else if let Ok(index) = step.parse() {
                found = elements(value)
                    .nth(index)
                    .transpose()?
                    .map(|(_, value)| value);
            }
            match found {
                Some(found) => value = found,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

pub(crate) fn same_key(raw: &[u8], wanted: &[u8], scratch: &mut Vec<u8>) -> bool {
    if raw == wanted {
        return true;
    }
    if raw.len() <= wanted.len() || !raw.contains(&b'\\') {
        return false;
    }
    scratch.clear();
    unescape(raw, scratch);
    scratch == wanted
}
