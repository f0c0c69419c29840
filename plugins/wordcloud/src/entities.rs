//! Finds what is no plain word in a tweet: links, mail addresses, hashtags, mentions, cashtags,
//! by the rules of Twitter's twitter-text (checked against its conformance cases).

use unicode_normalization::char::is_combining_mark;

use crate::links;

/// What a stretch of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link, with or without `https://`.
    Link,
    /// What begins as a link does and is none.
    Broken,
    /// A mail address.
    Mail,
    /// `#tag`.
    Hashtag,
    /// `@name` or `@name/list`.
    Mention,
    /// `$TICKER`.
    Cashtag,
}

/// A stretch of text that is no plain word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Byte at which it begins.
    pub start: usize,
    /// Byte after its last.
    pub end: usize,
}

/// Collects the entities of `text` into `found`, in their order and without overlaps.
pub fn find(text: &str, found: &mut Vec<Entity>) {
    found.clear();
    let bytes = text.as_bytes();
    let (mut at, mut done) = (0, 0);
    while at < bytes.len() {
        let entity = match bytes[at] {
            b'#' => hashtag(text, at, 1),
            b'@' => mention(text, at, 1).or_else(|| mail(text, at, done)),
            b'$' => cashtag(text, at),
            b'h' | b'H' => link(text, at),
            b'.' => bare_link(text, at, done),
            0xEF if text[at..].starts_with('＃') => hashtag(text, at, 3),
            0xEF if text[at..].starts_with('＠') => mention(text, at, 3),
            _ => None,
        };
        match entity {
            Some(entity) => {
                found.push(entity);
                at = entity.end;
                done = entity.end;
            }
            None => at += 1,
        }
    }
}

fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

fn tag_letter(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_alphabetic();
    }
    (letter.is_alphabetic() && !letter.is_numeric()) || is_combining_mark(letter)
}

fn tag_character(letter: char) -> bool {
    const SPECIAL: &str = "_\u{200c}\u{200d}\u{a67e}\u{05be}\u{05f3}\u{05f4}\u{ff5e}\u{301c}\u{309b}\u{309c}\u{30a0}\u{30fb}\u{3003}\u{0f0b}\u{0f0c}\u{00b7}";
    tag_letter(letter)
        || letter.is_ascii_digit()
        || (!letter.is_ascii() && letter.is_numeric() && digit(letter))
        || SPECIAL.contains(letter)
}

/// Decimal digits of other scripts; numbers such as ½ or ① do not belong in a tag.
fn digit(letter: char) -> bool {
    !matches!(letter as u32, 0xB2..=0xBE | 0x2070..=0x218B | 0x2460..=0x2793 | 0x3192..=0x33FF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF)
}

fn hashtag(text: &str, at: usize, mark: usize) -> Option<Entity> {
    if before(text, at).is_some_and(|letter| {
        letter == '&' || (tag_character(letter) && !matches!(letter, '\u{fe0e}' | '\u{fe0f}'))
    }) {
        return None;
    }
    let rest = &text[at + mark..];
    if rest.starts_with(['\u{fe0f}', '\u{20e3}']) {
        return None;
    }
    let length = rest
        .find(|letter| !tag_character(letter))
        .unwrap_or(rest.len());
    let (tag, after) = rest.split_at(length);
    if !tag.contains(tag_letter) || after.starts_with(['#', '＃']) || after.starts_with("://") {
        return None;
    }
    Some(Entity {
        kind: Kind::Hashtag,
        start: at,
        end: at + mark + length,
    })
}

fn mention(text: &str, at: usize, mark: usize) -> Option<Entity> {
    let previous = before(text, at);
    let open = previous
        .is_none_or(|letter| !(letter.is_ascii_alphanumeric() || "_!#$%&*@＠".contains(letter)));
    if !open && !after_retweet(&text[..at]) {
        return None;
    }
    let rest = &text.as_bytes()[at + mark..];
    let name = rest
        .iter()
        .take(20)
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    if name == 0 {
        return None;
    }
    let mut length = name;
    if rest.get(name) == Some(&b'/') && rest.get(name + 1).is_some_and(u8::is_ascii_alphabetic) {
        let list = rest[name + 1..].iter().take(25);
        length += 1 + list
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
    }
    let after = &text[at + mark + length..];
    let accented = |letter: char| matches!(letter as u32, 0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..=0x24F | 0x253..=0x263 | 0x268 | 0x26F | 0x272 | 0x289 | 0x28B | 0x2BB | 0x300..=0x36F | 0x1E00..=0x1EFF);
    if after.starts_with(['@', '＠']) || after.starts_with(accented) || after.starts_with("://") {
        return None;
    }
    Some(Entity {
        kind: Kind::Mention,
        start: at,
        end: at + mark + length,
    })
}

/// `RT@name` and `RT:@name` are mentions though a letter stands before the sign.
fn after_retweet(text: &str) -> bool {
    let head = text.strip_suffix(':').unwrap_or(text);
    let Some(head) = head.len().checked_sub(2).and_then(|end| {
        head.is_char_boundary(end)
            .then(|| head.split_at(end))
            .filter(|(_, mark)| mark.eq_ignore_ascii_case("rt"))
    }) else {
        return false;
    };
    head.0
        .chars()
        .next_back()
        .is_none_or(|letter| !(letter.is_ascii_alphanumeric() || "_+~.-".contains(letter)))
}

fn cashtag(text: &str, at: usize) -> Option<Entity> {
    if before(text, at).is_some_and(|letter| !letter.is_whitespace()) {
        return None;
    }
    let rest = &text.as_bytes()[at + 1..];
    let mut length = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    if !(1..=6).contains(&length) {
        return None;
    }
    if matches!(rest.get(length), Some(b'.' | b'_')) {
        let more = rest[length + 1..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        if (1..=2).contains(&more) {
            length += 1 + more;
        }
    }
    let after = text[at + 1 + length..].chars().next();
    let ends = after.is_none_or(|letter| letter.is_whitespace() || letter.is_ascii_punctuation());
    ends.then_some(Entity {
        kind: Kind::Cashtag,
        start: at,
        end: at + 1 + length,
    })
}

fn link(text: &str, at: usize) -> Option<Entity> {
    let (kind, end) = match links::with_scheme(text, at)? {
        Ok(end) => (Kind::Link, end),
        Err(end) => (Kind::Broken, end),
    };
    Some(Entity {
        kind,
        start: at,
        end,
    })
}

fn bare_link(text: &str, at: usize, floor: usize) -> Option<Entity> {
    let (start, end) = links::bare(text, at, floor)?;
    Some(Entity {
        kind: Kind::Link,
        start,
        end,
    })
}

/// `someone@example.com`, seen from the sign.
fn mail(text: &str, at: usize, floor: usize) -> Option<Entity> {
    let bytes = text.as_bytes();
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
    let head = bytes[floor..at]
        .iter()
        .rev()
        .take_while(|byte| part(byte))
        .count();
    let tail = bytes[at + 1..].iter().take_while(|byte| part(byte)).count();
    let host = &bytes[at + 1..at + 1 + tail];
    (head > 0 && host.contains(&b'.')).then_some(Entity {
        kind: Kind::Mail,
        start: at - head,
        end: at + 1 + tail,
    })
}
