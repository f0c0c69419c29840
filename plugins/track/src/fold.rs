//! Case folding for matching: per character, so that positions stay simple, and the same for
//! phrases and tweets. Nothing is normalised: Twitter compares `é` and `e` as different, and
//! half-width and full-width forms too.

/// Appends the inside of a JSON string, as a parser has found it valid, unescaped and in lower
/// case. Half of a surrogate pair becomes U+FFFD.
pub(crate) fn fold_escaped_into(json: &str, out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        fold_into(&rest[..at], out);
        let (c, len) = unescape(&rest.as_bytes()[at..]);
        fold_char(c, out);
        // An escape is ASCII; what a broken one would leave is no reason to fail.
        rest = rest.get(at + len..).unwrap_or_default();
    }
    fold_into(rest, out);
}

/// The character of the escape that `bytes` begin with, and the escape's length.
fn unescape(bytes: &[u8]) -> (char, usize) {
    let simple = match bytes.get(1) {
        Some(b'u') => {
            let high = escaped_unit(bytes, 0).unwrap_or(0xFFFD);
            if (0xD800..0xDC00).contains(&high)
                && let Some(low @ 0xDC00..=0xDFFF) = escaped_unit(bytes, 6)
            {
                let pair = char::decode_utf16([high, low]).next();
                return (pair.and_then(Result::ok).unwrap_or('\u{fffd}'), 12);
            }
            return (char::from_u32(high.into()).unwrap_or('\u{fffd}'), 6);
        }
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&other) => other as char,
        None => '\\',
    };
    (simple, 2)
}

/// The code unit of the escape `\uXXXX` at `at`.
pub(crate) fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    if !escape.starts_with(b"\\u") {
        return None;
    }
    let mut value = 0;
    for &digit in &escape[2..] {
        value = value << 4 | (digit as char).to_digit(16)? as u16;
    }
    Some(value)
}

/// Undoes, in what was appended from `start` on, the only three entities that Twitter's APIs
/// escape in texts. In place, as the result is never longer.
pub(crate) fn undo_entities(folded: &mut Vec<u8>, start: usize) {
    const ENTITIES: [(&[u8], u8); 3] = [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>')];
    let Some(first) = memchr::memchr(b'&', &folded[start..]) else {
        return;
    };
    let (mut from, mut to) = (start + first, start + first);
    while from < folded.len() {
        let rest = &folded[from..];
        let entity = ENTITIES.iter().find(|(name, _)| rest.starts_with(name));
        let (len, byte) = entity.map_or((1, rest[0]), |(name, byte)| (name.len(), *byte));
        folded[to] = byte;
        from += len;
        to += 1;
    }
    folded.truncate(to);
}

/// Appends `text` in lower case.
pub(crate) fn fold_into(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        if first.is_ascii() {
            let run = rest
                .iter()
                .position(|b| !b.is_ascii())
                .unwrap_or(rest.len());
            let start = out.len();
            out.extend_from_slice(&rest[..run]);
            out[start..].make_ascii_lowercase();
            rest = &rest[run..];
        } else {
            let at = text.len() - rest.len();
            let c = text[at..].chars().next().unwrap_or('\u{fffd}');
            fold_char(c, out);
            rest = &rest[c.len_utf8()..];
        }
    }
}

fn fold_char(c: char, out: &mut Vec<u8>) {
    let mut utf8 = [0; 4];
    let mut put = |c: char| out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
    match c {
        // The end-of-word sigma is the same letter.
        'Σ' | 'ς' => put('σ'),
        c if is_caseless(c) => put(c),
        c => c.to_lowercase().for_each(put),
    }
}

/// Large blocks without any case, which make up most non-ASCII text: spared the table look-up.
fn is_caseless(c: char) -> bool {
    matches!(c as u32,
        0x0590..=0x109F      // Hebrew, Arabic, Indic scripts, Thai, Tibetan, Burmese
        | 0x2E80..=0xA63F    // CJK, kana, symbols
        | 0xAC00..=0xD7A3    // Hangul
        | 0xFE00..=0xFE0F    // variation selectors
        | 0x1F000..=0x1FAFF) // emoji
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_on_the_way() {
        let folded = |json: &str| {
            let mut out = Vec::new();
            fold_escaped_into(json, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(folded(r#"A\"\\\/\n\t\r\b\fB"#), "a\"\\/\n\t\r\u{8}\u{c}b");
        assert_eq!(folded(r"\u00C9t\u00e9 \ud83d\uDE00É"), "été 😀é");
        assert_eq!(folded(r"\ud83d\ud83d\ude00\ude00x"), "\u{fffd}😀\u{fffd}x");
        assert_eq!(folded(r"\ud83dA \ud83d\n"), "\u{fffd}a \u{fffd}\n");
        for broken in ["\\", "a\\u12", "\\ué"] {
            folded(broken);
        }
    }

    #[test]
    fn folds_each_script_that_has_case_and_leaves_the_others() {
        let folded = |text: &str| {
            let mut out = Vec::new();
            fold_into(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(folded("TWITTER Touché ÉÀ"), "twitter touché éà");
        assert_eq!(folded("ΟΔΟΣ οδός"), "οδοσ οδόσ");
        assert_eq!(
            folded("МОСКВА 東京 タワー 한국 😀"),
            "москва 東京 タワー 한국 😀"
        );
        assert_eq!(folded(""), "");
    }
}
