//! The slow path for messages that cut an emoji in half: `"\ud83d"` alone is no character, and
//! JSON parsers refuse it. Real streams hold such tweets, so each half becomes U+FFFD. (Texts never
//! come here: they are unescaped by [`crate::fold`].)

use crate::fold::escaped_unit;

/// A copy of `json` in which every `\u` escape of a lone surrogate is `\ufffd`; `None` if there
/// is none.
pub(crate) fn mend(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match escaped_unit(bytes, at) {
            None => at += 2, // another escape: `\\`, `\"`, `\n` …
            Some(0xD800..=0xDBFF)
                if matches!(escaped_unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) =>
            {
                at += 12;
            }
            Some(0xD800..=0xDFFF) => {
                let copy = mended.get_or_insert_with(|| bytes.to_vec());
                copy[at + 2..at + 6].copy_from_slice(b"fffd");
                at += 6;
            }
            Some(_) => at += 6,
        }
    }
    mended.and_then(|copy| String::from_utf8(copy).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_halves_are_mended_and_pairs_kept() {
        assert_eq!(mend(r#""\ud83d\ude00 \\ud83d \n""#), None);
        assert_eq!(mend(r#""\ud83d""#).unwrap(), r#""\ufffd""#);
        assert_eq!(
            mend(r#""\ud83d\ud83d\ude00\ude00""#).unwrap(),
            r#""\ufffd\ud83d\ude00\ufffd""#
        );
        assert_eq!(mend(r#""\\\ud83dé""#).unwrap(), r#""\\\ufffdé""#);
        assert_eq!(mend(r#""\ud8"#), None);
    }
}
