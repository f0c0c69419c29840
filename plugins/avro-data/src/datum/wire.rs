//! The primitives of Avro's encoding.

use super::DatumError;

/// Appends an integer: zigzag, then seven bits a byte.
pub fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes or a text, its length first.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Reads primitives off a slice, checking every length against what is there.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at the slice's start.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// How far it has come.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// What was read since an earlier position.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn fault<T>(&self, what: &'static str) -> Result<T, DatumError> {
        Err(DatumError {
            at: self.at,
            what,
            cut: false,
        })
    }

    fn cut<T>(&self) -> Result<T, DatumError> {
        Err(DatumError {
            at: self.bytes.len(),
            what: "ends too early",
            cut: true,
        })
    }

    /// An integer.
    ///
    /// # Errors
    /// More than ten bytes, or none left.
    #[inline]
    pub fn long(&mut self) -> Result<i64, DatumError> {
        let mut value = 0u64;
        for i in 0..10 {
            let Some(byte) = self.bytes.get(self.at + i) else {
                return self.cut();
            };
            value |= u64::from(byte & 0x7F) << (i * 7);
            if byte & 0x80 == 0 {
                self.at += i + 1;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        self.fault("an integer of more than ten bytes")
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// As [`Cursor::long`], and values beyond 32 bits.
    pub fn int(&mut self) -> Result<i32, DatumError> {
        let value = self.long()?;
        i32::try_from(value).or_else(|_| self.fault("an int beyond 32 bits"))
    }

    /// `n` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DatumError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..n)) {
            Some(taken) => {
                self.at += n;
                Ok(taken)
            }
            None => self.cut(),
        }
    }

    /// Bytes with their length before them.
    ///
    /// # Errors
    /// A negative length, or fewer bytes left.
    #[inline]
    pub fn sized(&mut self) -> Result<&'a [u8], DatumError> {
        let len = self.long()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len),
            Err(_) => self.fault("a negative length"),
        }
    }

    /// A text with its length before it.
    ///
    /// # Errors
    /// As [`Cursor::sized`], and bytes that are not UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, DatumError> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).or_else(|_| self.fault("a text that is not UTF-8"))
    }

    /// The number of items in the next block of a list or map; 0 at its end. A negative number
    /// is followed by the block's size, which is not needed here.
    ///
    /// # Errors
    /// As [`Cursor::long`].
    pub(crate) fn count(&mut self) -> Result<u64, DatumError> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}
