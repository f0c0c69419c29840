//! Escapes, and JSON on one line.

use crate::scan::skip_string;
use memchr::memchr;

/// Appends a string's content (what stands between the quotes) without escapes. A lone surrogate
/// becomes U+FFFD, an unknown escape the character behind the backslash.
pub fn unescape(mut inner: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', inner) {
        out.extend_from_slice(&inner[..at]);
        let Some(&kind) = inner.get(at + 1) else {
            return;
        };
        inner = &inner[at + 2..];
        match kind {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let character = unicode_escape(&mut inner).unwrap_or(char::REPLACEMENT_CHARACTER);
                let mut utf8 = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(inner);
}

/// What follows `\u`: four digits and, after a leading surrogate, its other half.
fn unicode_escape(inner: &mut &[u8]) -> Option<char> {
    let high = hex4(inner)?;
    *inner = &inner[4..];
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high);
    }
    let low = hex4(inner.strip_prefix(b"\\u")?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    *inner = &inner[6..];
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0, |sum, &byte| {
        char::from(byte).to_digit(16).map(|digit| sum * 16 + digit)
    })
}

/// Appends text as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
pub fn push_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_escaped(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends JSON without the white space outside its strings, so that it stands on one line.
/// Nothing else is changed: numbers and escapes stay as they were written.
pub fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        if byte == b'"' {
            let end = skip_string(json, at).unwrap_or(json.len());
            out.extend_from_slice(&json[at..end]);
            at = end;
            continue;
        }
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.push(byte);
        }
        at += 1;
    }
}
