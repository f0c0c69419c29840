//! Texts: escapes resolved, white space cleaned.
//!
//! A lone surrogate (half an emoji, as a cut text leaves it) becomes U+FFFD.

use super::{JsonError, fault};

/// Hexadecimal digits by byte; others have bit 16 set.
const HEX: [u32; 256] = {
    let mut table = [0x1_0000; 256];
    let mut i = 0;
    while i < 16 {
        table[b"0123456789abcdef"[i] as usize] = i as u32;
        table[b"0123456789ABCDEF"[i] as usize] = i as u32;
        i += 1;
    }
    table
};

/// Four hexadecimal digits.
#[inline]
fn hex(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..)?.first_chunk::<4>()?;
    let [a, b, c, d] = digits.map(|digit| HEX[digit as usize]);
    let value = (a << 12) | (b << 8) | (c << 4) | d;
    // A bad digit leaves a bit at 16 or above, whichever place it has.
    (value < 0x1_0000).then_some(value)
}

/// Resolves the escape at a position of a document: its length and what it stands for.
#[inline]
pub(crate) fn escape(json: &[u8], at: usize) -> Result<(usize, char), JsonError> {
    let simple = |c| Ok((2, c));
    match json.get(at + 1) {
        Some(b'u') => unicode(json, at),
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'/') => simple('/'),
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        _ => fault(at, "an unknown escape"),
    }
}

#[inline]
fn unicode(json: &[u8], at: usize) -> Result<(usize, char), JsonError> {
    let Some(unit) = hex(json, at + 2) else {
        return fault(at, "an escape without four digits");
    };
    if let Some(c) = char::from_u32(unit) {
        return Ok((6, c));
    }
    if unit < 0xDC00
        && json.get(at + 6..at + 8) == Some(b"\\u")
        && let Some(low @ 0xDC00..0xE000) = hex(json, at + 8)
    {
        let c = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        return Ok((12, char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    Ok((6, char::REPLACEMENT_CHARACTER))
}

/// Appends a text with its escapes resolved; the plain way, for texts off the hot path.
pub(crate) fn unescape(
    json: &[u8],
    start: usize,
    end: usize,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let mut at = start;
    while at < end {
        let run = json[at..end]
            .iter()
            .position(|b| *b == b'\\')
            .map_or(end, |n| at + n);
        out.extend_from_slice(&json[at..run]);
        at = run;
        if at < end {
            let (len, c) = escape(json, at)?;
            if at + len > end {
                return fault(at, "an escape that is cut off");
            }
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            at += len;
        }
    }
    Ok(())
}

/// Appends a text with each run of white space as one space. White space is what Unicode and
/// Python's `\s` call so.
pub(crate) fn clean(text: &str, out: &mut String) {
    let space = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
    let mut rest = text;
    while let Some(at) = rest.find(space) {
        out.push_str(&rest[..at]);
        out.push(' ');
        rest = rest[at..].trim_start_matches(space);
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<String, JsonError> {
        let mut out = Vec::new();
        unescape(text.as_bytes(), 0, text.len(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn escapes_of_all_kinds() {
        assert_eq!(
            plain(r#"a\"\\\/\n\t\r\b\fz"#).unwrap(),
            "a\"\\/\n\t\r\u{8}\u{c}z"
        );
        assert_eq!(
            plain(r"\u00e9\u2764\uFE0F\ud83d\ude04").unwrap(),
            "é❤\u{fe0f}😄"
        );
    }

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        assert_eq!(plain(r"a\ud83d").unwrap(), "a\u{fffd}");
        assert_eq!(plain(r"\ud83dz").unwrap(), "\u{fffd}z");
        assert_eq!(plain(r"\ude04\ud83d").unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(plain(r"\ud83d\u0041").unwrap(), "\u{fffd}A");
        assert_eq!(plain(r"\ud83d\ud83d\ude04").unwrap(), "\u{fffd}😄");
    }

    #[test]
    fn refuses_broken_escapes() {
        for text in [r"\x", r"\u12", r"\u12g4", r"\ug123", r"\u123", "\\"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn white_space_becomes_one_space() {
        let mut out = String::new();
        clean(" a\r\n\t b\u{a0}\u{2003}c\u{1f}d ", &mut out);
        assert_eq!(out, " a b c d ");
    }
}
