//! Finding where values begin and end.

use crate::text::unescape;
use memchr::memchr2;
use std::fmt;

/// Deepest nesting followed; deeper input is malformed rather than a burden.
const MAX_DEPTH: usize = 512;

/// The bytes are not JSON, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Where, in bytes from the start of what was parsed.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// One JSON value: its bytes, without white space around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a [u8],
}

impl<'a> Value<'a> {
    pub(crate) fn of(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The bytes as they stand, quotes included.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.raw == b"null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.raw.first() == Some(&b'{')
    }

    /// Whether it is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.raw.first() == Some(&b'[')
    }

    /// Whether it is a string.
    #[must_use]
    pub fn is_string(self) -> bool {
        self.raw.first() == Some(&b'"')
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        self.scalar()?.parse().ok()
    }

    /// The whole number, if it is one that fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.scalar()?.parse().ok()
    }

    /// The bytes of a string without quotes and escapes; those of any other value as they stand.
    /// They are borrowed from the input where they can be, else written to `scratch`.
    pub fn text<'s>(self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        let Some(inner) = self.inner() else {
            return self.raw;
        };
        if memchr::memchr(b'\\', inner).is_none() {
            return inner;
        }
        scratch.clear();
        unescape(inner, scratch);
        scratch
    }

    /// Appends what [`text`](Self::text) gives.
    pub fn push_text(self, out: &mut Vec<u8>) {
        match self.inner() {
            Some(inner) => unescape(inner, out),
            None => out.extend_from_slice(self.raw),
        }
    }

    fn inner(self) -> Option<&'a [u8]> {
        self.raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
    }

    fn scalar(self) -> Option<&'a str> {
        let first = *self.raw.first()?;
        let number = first == b'-' || first.is_ascii_digit();
        std::str::from_utf8(self.raw).ok().filter(|_| number)
    }
}

/// The one value that `json` is, with nothing but white space around.
///
/// # Errors
/// If it is not JSON as far as it was looked at: strings closed, brackets matched, nothing behind.
pub fn parse(json: &[u8]) -> Result<Value<'_>, Malformed> {
    let start = skip_space(json, 0);
    let end = skip_value(json, start)?;
    let rest = skip_space(json, end);
    if rest != json.len() {
        return Err(Malformed { at: rest });
    }
    Ok(Value {
        raw: &json[start..end],
    })
}

/// The members of an object, in order; nothing if the value is no object.
#[must_use]
pub fn members(object: Value<'_>) -> Members<'_> {
    Members {
        json: object.raw,
        at: usize::from(object.is_object()),
        first: true,
        keyed: true,
        done: !object.is_object(),
    }
}

/// The elements of an array, in order, each with an empty key; nothing if the value is no array.
#[must_use]
pub fn elements(array: Value<'_>) -> Members<'_> {
    Members {
        json: array.raw,
        at: usize::from(array.is_array()),
        first: true,
        keyed: false,
        done: !array.is_array(),
    }
}

/// Iterator over members: the key as it stands between its quotes, and the value.
pub struct Members<'a> {
    json: &'a [u8],
    at: usize,
    first: bool,
    keyed: bool,
    done: bool,
}

impl<'a> Members<'a> {
    fn step(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, Malformed> {
        let json = self.json;
        let mut at = skip_space(json, self.at);
        match json.get(at) {
            Some(b'}' | b']') => return Ok(None),
            Some(b',') if !self.first => at = skip_space(json, at + 1),
            Some(_) if self.first => {}
            _ => return Err(Malformed { at }),
        }
        self.first = false;
        let mut key: &[u8] = b"";
        if self.keyed {
            if json.get(at) != Some(&b'"') {
                return Err(Malformed { at });
            }
            let end = skip_string(json, at)?;
            key = &json[at + 1..end - 1];
            at = skip_space(json, end);
            if json.get(at) != Some(&b':') {
                return Err(Malformed { at });
            }
            at = skip_space(json, at + 1);
        }
        let end = skip_value(json, at)?;
        self.at = end;
        let raw = &json[at..end];
        Ok(Some((key, Value { raw })))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(&'a [u8], Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

pub(crate) fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string whose opening quote is at `at`.
pub(crate) fn skip_string(json: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut from = at + 1;
    loop {
        let rest = json.get(from..).unwrap_or_default();
        let found = memchr2(b'"', b'\\', rest).ok_or(Malformed { at: json.len() })?;
        from += found;
        if json[from] == b'"' {
            return Ok(from + 1);
        }
        from += 2;
    }
}

/// The end of the value that begins at `at`.
pub(crate) fn skip_value(json: &[u8], at: usize) -> Result<usize, Malformed> {
    match json.get(at) {
        Some(b'"') => skip_string(json, at),
        Some(b'{' | b'[') => skip_container(json, at),
        Some(b'-' | b'0'..=b'9') => Ok(skip_plain(json, at)),
        Some(b't' | b'f' | b'n') => {
            let end = skip_plain(json, at);
            match &json[at..end] {
                b"true" | b"false" | b"null" => Ok(end),
                _ => Err(Malformed { at }),
            }
        }
        _ => Err(Malformed { at }),
    }
}

fn skip_plain(json: &[u8], mut at: usize) -> usize {
    while matches!(
        json.get(at),
        Some(b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E')
    ) {
        at += 1;
    }
    at
}

fn skip_container(json: &[u8], start: usize) -> Result<usize, Malformed> {
    // One bit per level: set for an object.
    let mut objects = [0u64; MAX_DEPTH / 64];
    let mut depth = 0;
    let mut at = start;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                at = skip_string(json, at)?;
                continue;
            }
            b'{' | b'[' => {
                if depth == MAX_DEPTH {
                    return Err(Malformed { at });
                }
                let bit = 1 << (depth % 64);
                if byte == b'{' {
                    objects[depth / 64] |= bit;
                } else {
                    objects[depth / 64] &= !bit;
                }
                depth += 1;
            }
            b'}' | b']' => {
                // `depth` is at least 1: the loop begins at an opening bracket and ends at its pair.
                depth -= 1;
                let is_object = objects[depth / 64] >> (depth % 64) & 1 == 1;
                if is_object != (byte == b'}') {
                    return Err(Malformed { at });
                }
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Malformed { at })
}
