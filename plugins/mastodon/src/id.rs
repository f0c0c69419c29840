//! Ids of statuses: text that servers order by length, then by its characters.

use std::fmt;
use std::time::Duration;

use json_walk::Value;

/// Longest id: Mastodon's are numbers, other servers' are ULIDs (26 characters) and the like.
const MAX_BYTES: usize = 31;
/// A time that an id tells is between 2010 and 2100, or it was no such id.
const FIRST_MS: u64 = 1_262_304_000_000;
const LAST_MS: u64 = 4_102_444_800_000;

/// Ids that begin with a time: as numbers, so many bits below their milliseconds.
struct Kind {
    digits: &'static [u8],
    /// None: as long as the number is.
    len: Option<u8>,
    below_bits: u32,
}

const KINDS: [Kind; 3] = [
    // Mastodon's.
    Kind {
        digits: b"0123456789",
        len: None,
        below_bits: 16,
    },
    // ULIDs, as of GoToSocial.
    Kind {
        digits: b"0123456789ABCDEFGHJKMNPQRSTVWXYZ",
        len: Some(26),
        below_bits: 80,
    },
    // Flakes, as of Pleroma and Akkoma.
    Kind {
        digits: b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        len: Some(18),
        below_bits: 64,
    },
];

impl Kind {
    fn ms(&self, id: &Id) -> Option<u64> {
        if self.len.is_some_and(|len| len != id.len) {
            return None;
        }
        let base = self.digits.len() as u128;
        let number = id.as_str().bytes().try_fold(0_u128, |number, byte| {
            let digit = self.digits.iter().position(|digit| *digit == byte)?;
            number.checked_mul(base)?.checked_add(digit as u128)
        })?;
        let ms = u64::try_from(number >> self.below_bits).ok()?;
        (FIRST_MS..LAST_MS).contains(&ms).then_some(ms)
    }

    /// The first id of this time.
    fn id(&self, ms: u64) -> Option<Id> {
        let base = self.digits.len() as u128;
        let (mut number, mut digits) = (u128::from(ms) << self.below_bits, Vec::new());
        while number > 0 || self.len.is_some_and(|len| digits.len() < usize::from(len)) {
            digits.push(self.digits[(number % base) as usize]);
            number /= base;
        }
        digits.reverse();
        Id::new(&digits)
    }
}

/// An id, without a heap, since so many are remembered. The order of its fields is the servers'
/// order of ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    len: u8,
    bytes: [u8; MAX_BYTES],
}

impl Id {
    /// None: empty, too long, or with characters that no server uses.
    pub fn new(text: &[u8]) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_BYTES;
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !fits || !text.iter().all(is_plain) {
            return None;
        }
        let mut bytes = [0; MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self {
            len: text.len() as u8,
            bytes,
        })
    }

    /// Below all others: that of a timeline without posts.
    pub const LOWEST: Self = {
        let mut bytes = [0; MAX_BYTES];
        bytes[0] = b'0';
        Self { len: 1, bytes }
    };

    /// Of a document: a string, on old servers a number.
    pub fn of(value: Value<'_>) -> Option<Self> {
        let raw = value.raw();
        let quoted = raw
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        match quoted {
            Some(text) => Self::new(text),
            None => value.as_i64().and_then(|_| Self::new(raw)),
        }
    }

    pub fn as_str(&self) -> &str {
        // Made of ASCII above.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// When it was made, in milliseconds since 1970, if it tells.
    pub fn ms(&self) -> Option<u64> {
        KINDS.iter().find_map(|kind| kind.ms(self))
    }

    /// An id from so long before; the same, if it tells no time.
    pub fn earlier(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let earlier = |kind: &Kind| {
            let ms = kind.ms(&self)?.saturating_sub(by).max(FIRST_MS);
            kind.id(ms)
        };
        KINDS.iter().find_map(earlier).unwrap_or(self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_order_is_that_of_the_servers() {
        assert!(id("9") < id("10") && id("10") < id("11"));
        assert!(id("01H0000000000000000000000A") < id("01H0000000000000000000000B"));
        assert!(id("109348677773283527") > id("9349"));
        assert!(Id::LOWEST == id("0") && Id::LOWEST < id("1"));
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in ["", "a b", "é", "1@2", &"1".repeat(32)] {
            assert_eq!(Id::new(text.as_bytes()), None, "{text}");
        }
        let of = |json: &str| Id::of(json_walk::parse(json.as_bytes()).unwrap());
        assert_eq!(of("\"12\""), Some(id("12")));
        assert_eq!(of("12"), Some(id("12")));
        for json in ["null", "true", "{}", "\"\"", "1.5"] {
            assert_eq!(of(json), None, "{json}");
        }
    }

    #[test]
    fn ids_tell_the_time_where_they_hold_it() {
        for (text, ms) in [
            ("109348677773283527", 1_668_528_408_405),
            // From the specification of ULIDs, and from Pleroma's documentation.
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1_469_922_850_259),
            ("9umDrYheeY451cQnEe", 1_588_786_299_262),
        ] {
            assert_eq!(id(text).ms(), Some(ms), "{text}");
            let earlier = id(text).earlier(Duration::from_secs(60));
            assert_eq!(earlier.ms(), Some(ms - 60_000), "{text}");
            assert_eq!(earlier.len, id(text).len);
            assert!(earlier < id(text));
            assert!(id(text).earlier(Duration::ZERO) <= id(text));
        }
        for text in [
            "12",
            "0",
            "99999999999999999999999",
            "short",
            "01H_0000000000000000000000",
        ] {
            assert_eq!(id(text).ms(), None, "{text}");
            assert_eq!(id(text).earlier(Duration::from_secs(60)), id(text));
        }
    }
}
