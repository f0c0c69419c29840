//! Pass two: the walk. It goes into an object only where the trie does, notes where each wanted
//! value stands, and steps over everything else by the bitmaps.
//!
//! What it checks: all of the objects it goes into, keys and scalars beside the wanted ones
//! included. What it does not: the inside of containers that nobody asked for, but for their
//! brackets' number and their texts' ends.

use super::bitmap::Bitmaps;
use super::number::number;
use super::trie::{Index, Trie};
use super::{JsonError, Kind, Slot, fault, is_space, text};

/// One document, while it is walked.
pub(crate) struct Walk<'a> {
    pub json: &'a [u8],
    pub maps: &'a Bitmaps,
    pub trie: &'a Trie,
    /// One a node of the trie; all missing at the start.
    pub slots: &'a mut [Slot],
    /// For keys written with escapes.
    pub scratch: &'a mut Vec<u8>,
}

impl Walk<'_> {
    /// Walks the whole document, which must be one object.
    pub(crate) fn document(&mut self) -> Result<(), JsonError> {
        let start = self.space(0);
        if self.byte(start) != b'{' {
            return fault(start, "not a JSON object");
        }
        let end = self.object(0, start + 1)?;
        self.slots[0] = Slot::new(start, end, Kind::Object);
        let rest = self.space(end);
        if rest < self.json.len() {
            return fault(rest, "something after the object");
        }
        Ok(())
    }

    /// The byte at a position; 0, which is never valid where this is asked, past the end.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.json.get(at).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while is_space(self.byte(at)) {
            at += 1;
        }
        at
    }

    /// Walks an object from after its brace to after its closing one. Recursion is as deep as
    /// the schema's paths are long.
    fn object(&mut self, index: Index, mut at: usize) -> Result<usize, JsonError> {
        let trie = self.trie;
        let node = trie.node(index);
        at = self.space(at);
        if self.byte(at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            if self.byte(at) != b'"' {
                return fault(at, "no key where one must be");
            }
            let start = at + 1;
            let Some(end) = self.maps.quote(start) else {
                return fault(at, "ends within a key");
            };
            at = end + 1;
            if self.byte(at) != b':' {
                at = self.space(at);
                if self.byte(at) != b':' {
                    return fault(at, "no colon after a key");
                }
            }
            at += 1;
            if self.byte(at) <= b' ' {
                at = self.space(at);
            }
            let child = match trie.child(node, self.json, start, end) {
                None if self.maps.escape(start, end).is_some() => {
                    self.scratch.clear();
                    text::unescape(self.json, start, end, self.scratch)?;
                    trie.child_named(node, self.scratch)
                }
                child => child,
            };
            at = match child {
                None => self.skip(at)?,
                Some(child) => self.take(child, at)?,
            };
            if is_space(self.byte(at)) {
                at = self.space(at);
            }
            match self.byte(at) {
                b',' => at += 1,
                b'}' => return Ok(at + 1),
                _ => return fault(at, "neither comma nor brace after a value"),
            }
            if self.byte(at) <= b' ' {
                at = self.space(at);
            }
        }
    }

    /// Steps over a value.
    #[inline]
    fn skip(&mut self, at: usize) -> Result<usize, JsonError> {
        match self.byte(at) {
            b'"' => match self.maps.quote(at + 1) {
                Some(end) => Ok(end + 1),
                None => fault(at, "ends within a text"),
            },
            b'{' | b'[' => self.container(at),
            _ => self.scalar(at).map(|(end, _)| end),
        }
    }

    /// Notes a value, and goes into it if paths do.
    fn take(&mut self, child: Index, at: usize) -> Result<usize, JsonError> {
        let node = self.trie.node(child);
        let own = child as usize;
        if self.slots[own].kind != Kind::Missing {
            self.slots[own..node.end as usize].fill(Slot::default());
        }
        let (slot, end) = match self.byte(at) {
            b'"' => match self.maps.quote(at + 1) {
                Some(end) => (Slot::new(at + 1, end, Kind::Text), end + 1),
                None => return fault(at, "ends within a text"),
            },
            b'{' if node.has_children() => {
                let end = self.object(child, at + 1)?;
                (Slot::new(at, end, Kind::Object), end)
            }
            bracket @ (b'{' | b'[') => {
                let end = self.container(at)?;
                let kind = if bracket == b'{' {
                    Kind::Object
                } else {
                    Kind::Array
                };
                (Slot::new(at, end, kind), end)
            }
            _ => {
                let (end, kind) = self.scalar(at)?;
                (Slot::new(at, end, kind), end)
            }
        };
        self.slots[own] = slot;
        Ok(end)
    }

    #[inline]
    fn container(&self, at: usize) -> Result<usize, JsonError> {
        match self.maps.after_container(at + 1) {
            Some(end) => Ok(end),
            None => fault(at, "ends within an object or a list"),
        }
    }

    #[inline]
    fn scalar(&self, at: usize) -> Result<(usize, Kind), JsonError> {
        let word = |word: &'static [u8], kind| match self.json.get(at..at + word.len()) {
            Some(found) if found == word => Ok((at + word.len(), kind)),
            _ => fault(at, "no value where one must be"),
        };
        match self.byte(at) {
            b'n' => word(b"null", Kind::Null),
            b't' => word(b"true", Kind::True),
            b'f' => word(b"false", Kind::False),
            b'-' | b'0'..=b'9' => number(self.json, at),
            _ => fault(at, "no value where one must be"),
        }
    }
}
