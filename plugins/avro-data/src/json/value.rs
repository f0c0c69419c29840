//! The plain cursor: reads any JSON value byte by byte and checks all of it. For values of
//! nested types and for defaults, which are off the hot path.

use super::number::number;
use super::{JsonError, Kind, Slot, fault, is_space};

/// Containers within containers before a value is refused.
const MAX_DEPTH: u32 = 128;

/// Where the value that begins at or after a position stands.
pub(crate) fn value(json: &[u8], at: usize) -> Result<(Slot, usize), JsonError> {
    nested(json, at, 0)
}

/// Calls `visit` with each item of a list: its place.
pub(crate) fn items<E: From<JsonError>>(
    json: &[u8],
    list: Slot,
    mut visit: impl FnMut(Slot) -> Result<(), E>,
) -> Result<(), E> {
    walk(json, list.start as usize, 0, b']', &mut |_, item| {
        visit(item)
    })?;
    Ok(())
}

/// Calls `visit` with each key (its place, escapes unresolved) and value of an object.
pub(crate) fn members<E: From<JsonError>>(
    json: &[u8],
    object: Slot,
    mut visit: impl FnMut(Slot, Slot) -> Result<(), E>,
) -> Result<(), E> {
    walk(json, object.start as usize, 0, b'}', &mut |key, value| {
        visit(key, value)
    })?;
    Ok(())
}

fn byte(json: &[u8], at: usize) -> u8 {
    json.get(at).copied().unwrap_or(0)
}

fn space(json: &[u8], mut at: usize) -> usize {
    while is_space(byte(json, at)) {
        at += 1;
    }
    at
}

fn nested(json: &[u8], at: usize, depth: u32) -> Result<(Slot, usize), JsonError> {
    if depth > MAX_DEPTH {
        return fault(at, "too many objects or lists within each other");
    }
    let at = space(json, at);
    let none = &mut |_, _| Ok::<(), JsonError>(());
    let word = |word: &[u8], kind| match json.get(at..at + word.len()) {
        Some(found) if found == word => Ok((at + word.len(), kind)),
        _ => fault(at, "no value where one must be"),
    };
    let (end, kind) = match byte(json, at) {
        b'"' => {
            let end = text(json, at)?;
            return Ok((Slot::new(at + 1, end - 1, Kind::Text), end));
        }
        b'{' => (walk(json, at, depth, b'}', none)?, Kind::Object),
        b'[' => (walk(json, at, depth, b']', none)?, Kind::Array),
        b'n' => word(b"null", Kind::Null)?,
        b't' => word(b"true", Kind::True)?,
        b'f' => word(b"false", Kind::False)?,
        _ => number(json, at)?,
    };
    Ok((Slot::new(at, end, kind), end))
}

/// Walks a container from its bracket; gives the position after the closing one.
fn walk<E: From<JsonError>>(
    json: &[u8],
    start: usize,
    depth: u32,
    close: u8,
    visit: &mut dyn FnMut(Slot, Slot) -> Result<(), E>,
) -> Result<usize, E> {
    let mut at = space(json, start + 1);
    if byte(json, at) == close {
        return Ok(at + 1);
    }
    loop {
        let mut key = Slot::default();
        if close == b'}' {
            if byte(json, at) != b'"' {
                return Err(E::from(JsonError {
                    at,
                    what: "no key where one must be",
                }));
            }
            let end = text(json, at)?;
            key = Slot::new(at + 1, end - 1, Kind::Text);
            at = space(json, end);
            if byte(json, at) != b':' {
                return Err(E::from(JsonError {
                    at,
                    what: "no colon after a key",
                }));
            }
            at += 1;
        }
        let (value, end) = nested(json, at, depth + 1)?;
        visit(key, value)?;
        at = space(json, end);
        match byte(json, at) {
            b',' => at = space(json, at + 1),
            found if found == close => return Ok(at + 1),
            _ => {
                return Err(E::from(JsonError {
                    at,
                    what: "no comma after a value",
                }));
            }
        }
    }
}

/// The position after the closing quote of the text that begins at a position.
fn text(json: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start + 1;
    loop {
        match json.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => {
                let (len, _) = super::text::escape(json, at)?;
                at += len;
            }
            Some(0..0x20) => return fault(at, "a control character in a text"),
            Some(_) => at += 1,
            None => return fault(start, "ends within a text"),
        }
    }
}
