//! Ids of statuses: text that servers order by length, then by its characters.

use std::fmt;
use std::time::Duration;

use json_walk::Value;

/// Longest id: Mastodon's are numbers, other servers' are ULIDs (26 characters) and the like.
const MAX_BYTES: usize = 31;
/// What is no id of Mastodon's own kind (a time in milliseconds, then 16 bits) tells no time:
/// between 2010 and 2100 it does.
const FIRST_MS: u64 = 1_262_304_000_000;
const LAST_MS: u64 = 4_102_444_800_000;

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
        let ms = self.as_str().parse::<u64>().ok()? >> 16;
        (FIRST_MS..LAST_MS).contains(&ms).then_some(ms)
    }

    /// An id from so long before; the same, if it tells no time.
    pub fn earlier(self, by: Duration) -> Self {
        let Some(ms) = self.ms() else {
            return self;
        };
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let earlier = ms.saturating_sub(by).max(FIRST_MS) << 16;
        Self::new(earlier.to_string().as_bytes()).unwrap_or(self)
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
    fn ids_of_mastodon_tell_the_time_and_others_do_not() {
        assert_eq!(id("109348677773283527").ms(), Some(1_668_528_408_405));
        assert_eq!(
            id("109348677773283527")
                .earlier(Duration::from_secs(60))
                .ms(),
            Some(1_668_528_348_405)
        );
        for text in [
            "12",
            "01H0000000000000000000000A",
            "99999999999999999999999",
        ] {
            assert_eq!(id(text).ms(), None, "{text}");
            assert_eq!(id(text).earlier(Duration::from_secs(60)), id(text));
        }
    }
}
