//! Avro's encoding, written into a buffer that is longer than what is written: a bounds check
//! a value instead of a growth check a byte.

use crate::json::bitmap::Bitmaps;
use crate::json::{JsonError, Slot, fault, text};

/// The most bytes a variable-length integer takes.
const VARINT: usize = 10;
/// Short runs are copied as one block of this many bytes.
const RUN: usize = 16;

/// A datum in the making, appended to a buffer.
pub(super) struct Emit<'a> {
    buf: &'a mut Vec<u8>,
    start: usize,
    at: usize,
}

impl<'a> Emit<'a> {
    pub(super) fn new(buf: &'a mut Vec<u8>) -> Emit<'a> {
        let start = buf.len();
        // A tweet's datum, as a first guess.
        buf.resize(start + 1024, 0);
        Emit {
            buf,
            start,
            at: start,
        }
    }

    /// Ends the datum: the buffer is cut to it.
    pub(super) fn finish(self) {
        self.buf.truncate(self.at);
    }

    /// Gives the datum up: the buffer is as it was.
    pub(super) fn abandon(self) {
        self.buf.truncate(self.start);
    }

    /// The next `n` bytes of the buffer.
    #[inline]
    fn room(&mut self, n: usize) -> &mut [u8] {
        if self.buf.len() - self.at < n {
            self.grow(n);
        }
        &mut self.buf[self.at..self.at + n]
    }

    #[cold]
    fn grow(&mut self, n: usize) {
        let written = self.at - self.start;
        self.buf.resize(self.at + n.max(written).max(1024), 0);
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.at += 1;
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    pub(super) fn long(&mut self, value: i64) {
        self.at += varint(self.room(VARINT), zigzag(value));
    }

    /// Bytes with their length before them.
    #[inline]
    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.bytes(bytes);
    }

    /// A text of the document, its escapes resolved, with its length before it.
    #[inline]
    pub(super) fn text(
        &mut self,
        json: &[u8],
        maps: &Bitmaps,
        slot: Slot,
    ) -> Result<(), JsonError> {
        let (start, end) = (slot.start as usize, slot.end as usize);
        match maps.escape(start, end) {
            None => {
                self.sized(&json[start..end]);
                Ok(())
            }
            Some(first) => self.escaped(json, maps, start, end, first),
        }
    }

    /// The length is known only afterwards. Escapes only shrink a text, so the width of the
    /// longest possible length is kept free, and the text moved if less was needed.
    fn escaped(
        &mut self,
        json: &[u8],
        maps: &Bitmaps,
        mut start: usize,
        end: usize,
        first: usize,
    ) -> Result<(), JsonError> {
        let most = end - start;
        let width = varint_width(most);
        let room = self.room(width + most + RUN);
        let mut at = width;
        let mut next = Some(first);
        while let Some(escape) = next {
            at += run(&mut room[at..], &json[start..], escape - start);
            start = escape;
            // Escapes often stand next to each other: whole texts are written in them.
            while start < end && json[start] == b'\\' {
                let (len, c) = text::escape(json, start)?;
                start += len;
                if start > end {
                    return fault(escape, "an escape that is cut off");
                }
                at += utf8(&mut room[at..], c);
            }
            next = maps.escape(start, end);
        }
        at += run(&mut room[at..], &json[start..], end - start);
        let len = at - width;
        let needed = varint_width(len);
        if needed < width {
            room.copy_within(width..at, needed);
            at -= width - needed;
        }
        varint(room, zigzag(len as i64));
        self.at += at;
        Ok(())
    }
}

/// Copies `len` bytes; gives their number.
#[inline]
fn run(to: &mut [u8], from: &[u8], len: usize) -> usize {
    match (to.first_chunk_mut::<RUN>(), from.first_chunk::<RUN>()) {
        (Some(to), Some(from)) if len <= RUN => *to = *from,
        _ => to[..len].copy_from_slice(&from[..len]),
    }
    len
}

/// Writes a character; there are always four bytes of room.
#[inline]
fn utf8(to: &mut [u8], c: char) -> usize {
    let code = c as u32;
    let tail = |shift: u32| 0x80 | ((code >> shift) & 0x3F) as u8;
    let Some(to) = to.first_chunk_mut::<4>() else {
        return 0;
    };
    match code {
        0..0x80 => {
            to[0] = code as u8;
            1
        }
        0x80..0x800 => {
            to[0] = 0xC0 | (code >> 6) as u8;
            to[1] = tail(0);
            2
        }
        0x800..0x1_0000 => {
            *to = [0xE0 | (code >> 12) as u8, tail(6), tail(0), 0];
            3
        }
        _ => {
            *to = [0xF0 | (code >> 18) as u8, tail(12), tail(6), tail(0)];
            4
        }
    }
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The width of a length as variable-length integer.
fn varint_width(len: usize) -> usize {
    (64 - (len as u64 * 2).leading_zeros() as usize)
        .div_ceil(7)
        .max(1)
}

#[inline]
fn varint(to: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        to[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    to[at] = value as u8;
    at + 1
}
