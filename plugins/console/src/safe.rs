//! Text that is safe to show: bytes that are not UTF-8 become U+FFFD, and on a terminal what
//! would move its cursor, change its state or reorder its text is written as an escape.

/// What of the control characters is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Line breaks and tabs too: the text must stay on one line.
    All,
    /// Everything but line breaks and tabs.
    Terminal,
    /// Nothing.
    Nothing,
}

pub(crate) fn push(text: &[u8], escape: Escape, out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        push_str(chunk.valid(), escape, out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_str(text: &str, escape: Escape, out: &mut Vec<u8>) {
    let mut start = 0;
    for (at, character) in text.char_indices() {
        if !is_escaped(character, escape) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[start..at]);
        start = at + character.len_utf8();
        out.extend(character.escape_default().map(|character| character as u8));
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
}

fn is_escaped(character: char, escape: Escape) -> bool {
    match character {
        '\n' | '\t' | '\r' if escape != Escape::Terminal => escape == Escape::All,
        '\n' | '\t' => false,
        // The marks that reorder text could make a line read as another.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escape != Escape::Nothing,
        _ => escape != Escape::Nothing && character.is_control(),
    }
}
