//! Ids of records that come from files, for the header [`plugin_api::ID_HEADER`].

use crate::find::Origin;
use crate::fingerprint::fingerprint;

/// Hexadecimal digits of a file's fingerprint: two of 10,000 files meet once in 5 million times.
const DIGITS: usize = 12;
const PREFIX: usize = DIGITS + 1;

/// Writes ids, `FINGERPRINT:POSITION`, without an allocation.
pub struct Id {
    prefix: [u8; PREFIX],
    /// An id stands at its end: the prefix and two numbers of up to 20 digits.
    bytes: [u8; PREFIX + 41],
}

impl Id {
    /// Of records of this file: its fingerprint is that of its path.
    #[must_use]
    pub fn of(origin: &Origin) -> Self {
        let hash = match origin {
            Origin::Stdin => fingerprint(b"-"),
            Origin::File { path, .. } => fingerprint(path.as_os_str().as_encoded_bytes()),
        };
        let mut prefix = [b':'; PREFIX];
        prefix[..DIGITS].copy_from_slice(&format!("{hash:016x}").as_bytes()[..DIGITS]);
        Self {
            prefix,
            bytes: [0; PREFIX + 41],
        }
    }

    /// The id of the record at a position.
    pub fn at(&mut self, position: u64) -> &[u8] {
        let start = self.digits(position, self.bytes.len());
        self.prefixed(start)
    }

    /// The id of a record of a block, `FINGERPRINT:BLOCK.INDEX`.
    pub fn within(&mut self, block: u64, index: u64) -> &[u8] {
        let dot = self.digits(index, self.bytes.len()) - 1;
        self.bytes[dot] = b'.';
        let start = self.digits(block, dot);
        self.prefixed(start)
    }

    /// Writes a number that ends before `end`; where it begins.
    fn digits(&mut self, mut number: u64, end: usize) -> usize {
        let mut start = end;
        loop {
            start -= 1;
            self.bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return start;
            }
        }
    }

    fn prefixed(&mut self, start: usize) -> &[u8] {
        self.bytes[start - PREFIX..start].copy_from_slice(&self.prefix);
        &self.bytes[start - PREFIX..]
    }
}
