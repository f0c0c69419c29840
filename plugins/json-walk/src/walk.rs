//! One pass over an object and those within it: each is gone into or skipped where it stands, and
//! no byte is looked at twice.

use crate::scan::{Malformed, Value, skip_space, skip_string, skip_value};

/// A place in an object, and in those around it.
///
/// ```
/// # fn main() -> Result<(), json_walk::Malformed> {
/// let mut walk = json_walk::Walk::begin(br#"{"id": 7, "user": {"name": "Ann", "tags": []}}"#)?;
/// let mut name = None;
/// while let Some(key) = walk.key()? {
///     if key != b"user" || !walk.enter() {
///         continue;
///     }
///     while let Some(key) = walk.key()? {
///         if key == b"name" {
///             name = Some(walk.value()?);
///         }
///     }
/// }
/// walk.end()?;
/// assert_eq!(name.map(|name| name.raw()), Some(&br#""Ann""#[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    json: &'a [u8],
    at: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind an opening bracket.
    Opened,
    /// Before a value whose key was given.
    Value,
    /// Behind a value, or behind an object that was gone into.
    Behind,
}

impl<'a> Walk<'a> {
    /// Begins within the object that `json` is.
    ///
    /// # Errors
    /// If it is no object.
    pub fn begin(json: &'a [u8]) -> Result<Self, Malformed> {
        let at = skip_space(json, 0);
        if json.get(at) != Some(&b'{') {
            return Err(Malformed { at });
        }
        Ok(Self {
            json,
            at: at + 1,
            place: Place::Opened,
        })
    }

    /// The next key of the object, as it stands between its quotes; a value that was not taken is
    /// skipped. `None`: the object has ended, and the one around it goes on.
    ///
    /// # Errors
    /// If it is not JSON as far as it was looked at.
    pub fn key(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.place == Place::Value {
            self.value()?;
        }
        let mut at = skip_space(self.json, self.at);
        match self.json.get(at) {
            Some(b'}') => {
                self.at = at + 1;
                self.place = Place::Behind;
                return Ok(None);
            }
            Some(b',') if self.place == Place::Behind => at = skip_space(self.json, at + 1),
            Some(_) if self.place == Place::Opened => {}
            _ => return Err(Malformed { at }),
        }
        if self.json.get(at) != Some(&b'"') {
            return Err(Malformed { at });
        }
        let end = skip_string(self.json, at)?;
        let key = &self.json[at + 1..end - 1];
        at = skip_space(self.json, end);
        if self.json.get(at) != Some(&b':') {
            return Err(Malformed { at });
        }
        self.at = skip_space(self.json, at + 1);
        self.place = Place::Value;
        Ok(Some(key))
    }

    /// The value of the key that was given last, once.
    ///
    /// # Errors
    /// If it is not JSON as far as it was looked at, or was taken before.
    pub fn value(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        if self.place != Place::Value {
            return Err(Malformed { at: start });
        }
        self.at = skip_value(self.json, start)?;
        self.place = Place::Behind;
        Ok(Value::of(&self.json[start..self.at]))
    }

    /// Goes into the value of the key that was given last, if it is an object.
    pub fn enter(&mut self) -> bool {
        let enters = self.place == Place::Value && self.json.get(self.at) == Some(&b'{');
        if enters {
            self.at += 1;
            self.place = Place::Opened;
        }
        enters
    }

    /// Behind the last object: that there is nothing but white space.
    ///
    /// # Errors
    /// If there is more.
    pub fn end(&self) -> Result<(), Malformed> {
        match skip_space(self.json, self.at) {
            rest if rest == self.json.len() => Ok(()),
            at => Err(Malformed { at }),
        }
    }
}
