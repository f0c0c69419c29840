//! Finds links in tweets by the rules of Twitter's twitter-text: with a scheme or without one, in
//! any script, whatever letters stand around them.

use std::sync::LazyLock;

use hashbrown::HashSet;

/// Most characters of a part of a host's name: 63 bytes as it is sent, which one in another script
/// takes with a few less.
const LABEL: usize = 63;
const FOREIGN_LABEL: usize = 59;
/// Most bytes that are looked at for a host's name, so that no text takes long: a name has 253 as
/// it is sent. Behind a scheme more is looked at, for letters of other scripts are more bytes.
const NAME: usize = 256;
const HOST: usize = 1024;
/// Most characters of what follows `t.co/`.
const SLUG: usize = 40;

/// Last parts of host names in other scripts than Latin.
static FOREIGN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let foreign = tld::TLD.iter().filter_map(|name| name.strip_prefix("xn--"));
    foreign
        .filter_map(idna::punycode::decode_to_string)
        .collect()
});
static LONGEST_FOREIGN: LazyLock<usize> =
    LazyLock::new(|| FOREIGN.iter().map(String::len).max().unwrap_or(0));

/// The link that begins with `http://` or `https://` at `at`: its end. `Err` is the end of what
/// looks like one and is none.
pub(crate) fn with_scheme(text: &str, at: usize) -> Option<Result<usize, usize>> {
    let bytes = &text.as_bytes()[at..];
    let same = |scheme: &&str| {
        bytes.len() > scheme.len() && bytes[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
    };
    let scheme = ["https://", "http://"].into_iter().find(same)?;
    if before(text, at).is_some_and(|c| c.is_ascii_alphanumeric() || "@＠$#＃".contains(c)) {
        return None;
    }
    let start = at + scheme.len();
    let Some(end) = host(text, start) else {
        let blank = |c: char| c.is_whitespace() || c == '…';
        let length = text[start..].find(blank).unwrap_or(text.len() - start);
        return Some(Err(start + length));
    };
    if text[start..end].eq_ignore_ascii_case("t.co") && text[end..].starts_with('/') {
        return Some(short(text, end + 1));
    }
    Some(Ok(tail(text, end)))
}

/// The link without a scheme of whose host a dot stands at `at`, no earlier than `floor`: where it
/// begins and ends.
pub(crate) fn bare(text: &str, at: usize, floor: usize) -> Option<(usize, usize)> {
    let label = |c: char| c.is_ascii_alphanumeric() || c == '-' || accented(c);
    let floor = floor.max(text.floor_char_boundary(at.saturating_sub(NAME)));
    let head = &text[floor..at];
    let kept = head.trim_end_matches(|c| label(c) || c == '.');
    let head = head[kept.len()..].trim_start_matches('.');
    let start = at - head.len();
    if head.is_empty() || head.starts_with('-') || head.ends_with('-') || head.ends_with('.') {
        return None;
    }
    // What stands before must not make it a part of something else.
    let joined = |c: char| c.is_ascii_alphanumeric() || "@＠$#＃-_./".contains(c);
    if before(text, start).is_some_and(joined) {
        return None;
    }
    let end = host(text, start).filter(|end| *end > at)?;
    // Letters of other scripts stand around it: it ends with the first part that may end it.
    let end = latin_end(text, start, end)?;
    // A word that ends a sentence, with the next begun without a blank ("end.It was"), is no link.
    let next = text.as_bytes()[at + 1];
    let previous = text.as_bytes()[at - 1];
    if next.is_ascii_uppercase() && previous.is_ascii_lowercase() {
        return None;
    }
    Some((start, tail(text, end)))
}

fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// Letters with accents, which paths and names may have.
fn accented(c: char) -> bool {
    matches!(c as u32, 0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..=0x24F | 0x253 | 0x254 | 0x256 | 0x257 | 0x259 | 0x25B | 0x263 | 0x268 | 0x26F | 0x272 | 0x289 | 0x28B | 0x2BB | 0x300..=0x36F | 0x1E00..=0x1EFF)
}

/// What a part of a host's name may be made of.
fn letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    !c.is_whitespace()
        && !matches!(c as u32, 0xFEFF | 0xFFFE | 0xFFFF | 0x61C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069)
        && c != '…'
}

/// Where the longest host's name that begins at `start` ends.
fn host(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    let inside = |c: char| letter(c) || matches!(c, '-' | '_' | '.');
    let near = &rest[..rest.floor_char_boundary(HOST)];
    let run = near.find(|c| !inside(c)).unwrap_or(near.len());
    let (mut from, mut best) = (0, None);
    // The part before is one of a host's own name, which may have no `_`.
    let mut named = false;
    for part in rest[..run].split('.') {
        if named && let Some(length) = top(&rest[from..]) {
            best = Some(start + from + length);
        }
        if !sound(part) {
            break;
        }
        named = !part.contains('_');
        from += part.len() + 1;
    }
    best
}

fn sound(label: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(letter);
    let most = if label.is_ascii() {
        LABEL
    } else {
        FOREIGN_LABEL
    };
    let coded = label
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    edge(label.chars().next())
        && edge(label.chars().next_back())
        && label.chars().take(most + 1).count() <= most
        && (!coded || label.is_ascii())
}

/// Length of the last part of a host's name that `rest` begins with.
fn top(rest: &str) -> Option<usize> {
    let free = |length: usize| {
        let next = rest[length..].chars().next();
        next.is_none_or(|c| !(c.is_ascii_alphanumeric() || "@+-".contains(c)))
    };
    let bytes = rest.as_bytes();
    if bytes.len() > 4 && bytes[..4].eq_ignore_ascii_case(b"xn--") {
        let more = bytes[4..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-');
        let length = 4 + more.count();
        return (length > 4 && free(length)).then_some(length);
    }
    let ascii = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic());
    let ascii = ascii.count();
    if ascii > 0 {
        return (free(ascii) && tld::exist_case_insensitive(&rest[..ascii])).then_some(ascii);
    }
    if bytes.first().is_none_or(u8::is_ascii) {
        return None;
    }
    let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
    let ends = ends.take_while(|end| *end <= *LONGEST_FOREIGN);
    ends.filter(|end| FOREIGN.contains(&rest[..*end]) && free(*end))
        .last()
}

/// Of a host's name without a scheme only what is Latin but for the last part is meant.
fn latin_end(text: &str, start: usize, end: usize) -> Option<usize> {
    let latin = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || accented(c);
    let run = text[start..end].find(|c| !latin(c)).map(|run| start + run);
    let Some(run) = run else { return Some(end) };
    // The last dot before the other script: what follows it ends the name.
    let mut best = None;
    for (dot, _) in text[start..run].match_indices('.') {
        if let Some(length) = top(&text[start + dot + 1..]) {
            best = Some(start + dot + 1 + length);
        }
    }
    best
}

/// `t.co/slug`, from the slug on: nothing but a query may follow.
fn short(text: &str, from: usize) -> Result<usize, usize> {
    let bytes = &text.as_bytes()[from..];
    let slug = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let slug = slug.count();
    let end = query(text, from + slug);
    if slug > SLUG { Err(end) } else { Ok(end) }
}

/// What follows a host: port, path, query.
fn tail(text: &str, mut end: usize) -> usize {
    let digits = text[end..].strip_prefix(':').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    if digits > 0 {
        end += 1 + digits;
    }
    if text[end..].starts_with('/') {
        end = path(text, end + 1);
    }
    query(text, end)
}

fn path_letter(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c as u32, 0x400..=0x4FF)
        || "!*';:=+,.$/%#[]-–_~@|&".contains(c)
        || accented(c)
}

fn path(text: &str, from: usize) -> usize {
    let (mut at, mut end) = (from, from);
    while let Some(c) = text[at..].chars().next() {
        if c == '(' {
            let Some(length) = balanced(&text[at..], 0) else {
                break;
            };
            at += length;
            end = at;
        } else if path_letter(c) {
            at += c.len_utf8();
            if c.is_alphanumeric() || accented(c) || "+-=_#/".contains(c) {
                end = at;
            }
        } else {
            break;
        }
    }
    end
}

/// Length of what stands in parentheses at the start, which may hold one more pair.
fn balanced(text: &str, depth: u32) -> Option<usize> {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ')' => return (at > 1).then_some(at + 1),
            '(' if depth == 0 => at += balanced(&text[at..], 1)?,
            other if path_letter(other) => at += other.len_utf8(),
            _ => return None,
        }
    }
    None
}

fn query(text: &str, from: usize) -> usize {
    let Some(rest) = text[from..].strip_prefix('?') else {
        return from;
    };
    let inner =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!?*'@();:&=+$/%#[]-_.,~|".contains(byte);
    let length = rest.bytes().take_while(inner).count();
    let ends = |byte: u8| byte.is_ascii_alphanumeric() || b"-_&=#/".contains(&byte);
    let last = rest.as_bytes()[..length]
        .iter()
        .rposition(|byte| ends(*byte));
    last.map_or(from, |last| from + 1 + last + 1)
}
