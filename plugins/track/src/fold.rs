//! Case folding for matching: per character, so that positions stay simple, and the same for
//! phrases and tweets. Nothing is normalised: Twitter compares `é` and `e` as different, and
//! half-width and full-width forms too.

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
