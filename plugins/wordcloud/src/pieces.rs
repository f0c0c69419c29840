//! Where plain text is cut: blanks and marks in ASCII, else by the rules of Unicode (UAX 29).

use icu_segmenter::WordSegmenterBorrowed;

use crate::emoji::is_emoji;

/// Cuts plain text into words; `sink` gets each with the byte at which it ends in `text`.
pub(crate) fn pieces(
    text: &str,
    segmenter: WordSegmenterBorrowed<'static>,
    emoji_too: bool,
    mut sink: impl FnMut(&str, usize),
) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii())
            .count();
        let mut end = at + length;
        if end < bytes.len() {
            // Leave a half ASCII word to the general rules.
            end -= bytes[at..end]
                .iter()
                .rev()
                .take_while(|byte| !byte.is_ascii_whitespace())
                .count();
        }
        ascii(&text[at..end], |piece, piece_end| {
            sink(piece, at + piece_end)
        });
        at = end;
        let length = bytes[at..]
            .iter()
            .take_while(|byte| !byte.is_ascii_whitespace())
            .count();
        general(
            &text[at..at + length],
            segmenter,
            emoji_too,
            |piece, piece_end| sink(piece, at + piece_end),
        );
        at += length;
    }
}

fn ascii(text: &str, mut sink: impl FnMut(&str, usize)) {
    let bytes = text.as_bytes();
    let inner = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\'');
    let run = |from: usize| from + bytes[from..].iter().take_while(inner).count();
    let mut at = 0;
    while at < bytes.len() {
        let (mut part, mut end) = (at, run(at));
        while let Some(mark @ (b'.' | b',')) = bytes.get(end) {
            let (next, until) = (end + 1, run(end + 1));
            if !joins(&text[part..end], char::from(*mark), &text[next..until]) {
                break;
            }
            (part, end) = (next, until);
        }
        if end > at {
            sink(&text[at..end], end);
        }
        at = end.max(at + 1);
    }
}

/// Whether a mark between two parts makes them one word, as in "3,000", "U.S" and "intel·ligent".
/// The rules of Unicode join more, "end.It" among them, where a blank was forgotten.
fn joins(before: &str, mark: char, after: &str) -> bool {
    let (last, first) = (before.chars().next_back(), after.chars().next());
    let (Some(last), Some(first)) = (last, first) else {
        return false;
    };
    // "o.O" is a face.
    let initial = |part: &str| part.contains(char::is_uppercase) && part.chars().nth(1).is_none();
    let ending = after.strip_suffix("'s").unwrap_or(after);
    match mark {
        '.' | ',' if last.is_numeric() && first.is_numeric() => true,
        '.' => initial(before) && initial(ending),
        '·' => matches!((last, first), ('l' | 'L', 'l' | 'L')),
        _ => false,
    }
}

fn general(
    text: &str,
    segmenter: WordSegmenterBorrowed<'static>,
    emoji_too: bool,
    mut sink: impl FnMut(&str, usize),
) {
    if text.is_empty() {
        return;
    }
    let mut from = 0;
    let mut segments = segmenter.segment_str(text);
    while let Some(until) = segments.next() {
        let (piece, start) = (&text[from..until], from);
        from = until;
        if segments.is_word_like() {
            let (mut word, mut part) = (0, 0);
            for (at, mark) in piece.match_indices(['.', ',', ':', ';', '·']) {
                let after = at + mark.len();
                let next = piece[after..].split(['.', ',', ':', ';', '·']).next();
                let mark = mark.chars().next().unwrap_or_default();
                if !joins(&piece[part..at], mark, next.unwrap_or_default()) {
                    if at > word {
                        sink(&piece[word..at], start + at);
                    }
                    word = after;
                }
                part = after;
            }
            if word < piece.len() {
                sink(&piece[word..], until);
            }
        } else if emoji_too && is_emoji(piece) {
            sink(piece, until);
        }
    }
}
