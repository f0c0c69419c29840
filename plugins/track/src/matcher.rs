//! Which texts a list of phrases matches: every term of a phrase must occur as a word of its own,
//! in any order, whatever the case. One Aho-Corasick automaton over all terms, one pass a tweet.
//!
//! Word rules, from Twitter's documentation and its examples:
//! - `twitter` finds `TWITTER`, `"Twitter"`, `twitter.`, `#twitter`, `@twitter` and
//!   `http://twitter.com`, but not `TwitterTracker` or `#newtwitter`.
//! - Punctuation in a phrase counts (`hello.` is not `hello`), and is never part of a hashtag or
//!   mention: `twitter's` does not find `@Twitter's`.
//! - A term that looks like an address (`example.com`, `example.com/page`) must be the whole of
//!   it: no sub-domain but `www`, no longer path. `example com` finds them all.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::fold::fold_into;
use crate::phrases::{self, PhraseError};

/// Above this many bytes of terms the denser automaton is used: a third slower, a tenth the size.
const DFA_BYTES: usize = 8 * 1024;

/// Compiled phrases of a `track` parameter.
#[derive(Debug, Clone)]
pub struct Track {
    terms: AhoCorasick,
    kinds: Vec<Term>,
    /// Phrases of several terms, by term numbers. Those of one term need no list.
    phrases: Vec<Box<[u32]>>,
}

#[derive(Debug, Clone, Default)]
struct Term {
    /// A phrase by itself.
    alone: bool,
    /// Where in `phrases` it takes part.
    phrases: Vec<u32>,
    punctuation: bool,
    address: bool,
    /// Its first or last character is neither letter nor ASCII: an emoji stands for itself,
    /// wherever it is.
    free_start: bool,
    free_end: bool,
}

/// Working memory of [`Track::matches`], kept from tweet to tweet.
#[derive(Debug, Default)]
pub struct Scratch {
    round: u32,
    seen: Vec<u32>,
    candidates: Vec<u32>,
}

impl Track {
    /// Compiles phrases.
    ///
    /// # Errors
    /// Those of Twitter's limits: at most 400 phrases of 1 to 60 bytes, none with a comma.
    pub fn new<P: AsRef<str>>(phrases: &[P]) -> Result<Self, PhraseError> {
        phrases::check(phrases)?;
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut kinds: Vec<Term> = Vec::new();
        let mut lists: Vec<Box<[u32]>> = Vec::new();
        for phrase in phrases {
            let mut numbers: Vec<u32> = Vec::new();
            for term in phrases::terms(phrase.as_ref()) {
                let mut folded = Vec::new();
                fold_into(term, &mut folded);
                let known = patterns.iter().position(|p| *p == folded);
                let number = known.unwrap_or_else(|| {
                    kinds.push(Term::of(&folded));
                    patterns.push(folded);
                    patterns.len() - 1
                }) as u32;
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            if let [only] = numbers[..] {
                kinds[only as usize].alone = true;
            } else {
                for number in &numbers {
                    kinds[*number as usize].phrases.push(lists.len() as u32);
                }
                lists.push(numbers.into());
            }
        }
        let small = patterns.iter().map(Vec::len).sum::<usize>() <= DFA_BYTES;
        let kind = if small {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let terms = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&patterns)
            .expect("400 phrases of 60 bytes are far below the automaton's limits");
        Ok(Self {
            terms,
            kinds,
            phrases: lists,
        })
    }

    /// Whether a phrase matches `text`: UTF-8 in lower case, as [`crate::Message::text`] gives it.
    pub fn matches(&self, text: &[u8], scratch: &mut Scratch) -> bool {
        scratch.begin(self.kinds.len());
        for found in self.terms.find_overlapping_iter(text) {
            let number = found.pattern().as_u32();
            let term = &self.kinds[number as usize];
            if scratch.is_seen(number) || !term.stands_alone(text, found.start(), found.end()) {
                continue;
            }
            if term.alone {
                return true;
            }
            scratch.see(number, &term.phrases);
        }
        scratch.candidates.iter().any(|phrase| {
            self.phrases[*phrase as usize]
                .iter()
                .all(|term| scratch.is_seen(*term))
        })
    }
}

impl Scratch {
    fn begin(&mut self, terms: usize) {
        self.candidates.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.seen.len() < terms {
            self.seen.clear();
            self.seen.resize(terms, 0);
            self.round = 1;
        }
    }

    fn is_seen(&self, term: u32) -> bool {
        self.seen[term as usize] == self.round
    }

    fn see(&mut self, term: u32, phrases: &[u32]) {
        self.seen[term as usize] = self.round;
        self.candidates.extend_from_slice(phrases);
    }
}

impl Term {
    fn of(folded: &[u8]) -> Self {
        let text = std::str::from_utf8(folded).unwrap_or_default();
        let is_inner = |mark: char| {
            text.match_indices(mark).any(|(at, _)| {
                text[..at].ends_with(is_word) && text[at + mark.len_utf8()..].starts_with(is_word)
            })
        };
        let free = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_word(c));
        Self {
            punctuation: text.bytes().any(|b| b.is_ascii_punctuation() && b != b'_'),
            address: is_inner('.') || is_inner('/') || text.contains("://"),
            free_start: free(text.chars().next()),
            free_end: free(text.chars().next_back()),
            ..Self::default()
        }
    }

    /// Whether the term found at `start..end` is a word of its own there.
    fn stands_alone(&self, text: &[u8], start: usize, end: usize) -> bool {
        let before = last_char(&text[..start]);
        let after = first_char(&text[end..]);
        if !self.free_start && before.is_some_and(is_word)
            || !self.free_end && after.is_some_and(is_word)
        {
            return false;
        }
        if self.punctuation && matches!(before, Some('#' | '@')) {
            return false;
        }
        !self.address || is_whole_address(text, start, end)
    }
}

fn is_whole_address(text: &[u8], start: usize, end: usize) -> bool {
    let mut head = &text[..start];
    if let Some(shorter) = head.strip_suffix(b"www.")
        && !last_char(shorter).is_some_and(|c| is_word(c) || c == '.')
    {
        head = shorter;
    }
    if matches!(head.last(), Some(b'/')) && !head.ends_with(b"://")
        || matches!(head.last(), Some(b'.' | b'-' | b'%' | b'=' | b'&'))
    {
        return false;
    }
    match first_char(&text[end..]) {
        Some('…') => false, // a shortened display_url: the path goes on
        Some(mark @ ('/' | '?' | '#' | '.' | '&' | '=' | ':' | '-' | '%' | '+' | '~')) => {
            !first_char(&text[end + mark.len_utf8()..]).is_some_and(is_word)
        }
        _ => true,
    }
}

/// Letters, digits, `_`, and the marks that belong to the letter before them.
fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    c.is_alphanumeric()
        || matches!(c as u32,
            0x0300..=0x036F                         // combining accents
            | 0x0900..=0x0963 | 0x0966..=0x0DFF     // Indic signs, without the danda
            | 0x0E31..=0x0E3A | 0x0E47..=0x0E4E     // Thai vowels and tones
            | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0xFE20..=0xFE2F)
}

fn last_char(text: &[u8]) -> Option<char> {
    let last = *text.last()?;
    if last.is_ascii() {
        return Some(last as char);
    }
    let start = (1..=4.min(text.len()))
        .map(|back| text.len() - back)
        .find(|at| text[*at] & 0xC0 != 0x80)?;
    std::str::from_utf8(&text[start..])
        .ok()?
        .chars()
        .next_back()
}

fn first_char(text: &[u8]) -> Option<char> {
    let first = *text.first()?;
    let len = match first {
        0..=0x7F => return Some(first as char),
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        _ => 4,
    };
    std::str::from_utf8(text.get(..len)?).ok()?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(track: &str, text: &str) -> bool {
        let track = Track::new(&phrases::split(track)).unwrap();
        let mut folded = Vec::new();
        fold_into(text, &mut folded);
        let mut scratch = Scratch::default();
        let first = track.matches(&folded, &mut scratch);
        assert_eq!(
            first,
            track.matches(&folded, &mut scratch),
            "scratch is reusable"
        );
        first
    }

    #[test]
    fn the_documented_examples() {
        for text in [
            "TWITTER",
            "twitter",
            "\"Twitter\"",
            "twitter.",
            "#twitter",
            "@twitter",
            "http://twitter.com",
        ] {
            assert!(found("Twitter", text), "{text}");
        }
        for text in [
            "TwitterTracker",
            "#newtwitter",
            "twitter_api",
            "Twitterﬁ",
            "1twitter",
        ] {
            assert!(!found("Twitter", text), "{text}");
        }
        assert!(found("Twitter's", "I like Twitter's new design"));
        assert!(!found(
            "Twitter's",
            "Someday I'd like to visit @Twitter's office"
        ));
        let track = "twitter api,twitter streaming";
        assert!(found(track, "The Twitter API is awesome"));
        assert!(found(track, "The twitter streaming service is fast"));
        assert!(found(track, "Twitter has a streaming API"));
        assert!(!found(track, "I'm new to Twitter"));
        assert!(!found(track, "api streaming"));
    }

    #[test]
    fn addresses_are_matched_whole() {
        assert!(found("example.com", "Someday I will visit example.com"));
        assert!(found(
            "example.com",
            "see http://example.com/ or http://www.example.com."
        ));
        assert!(!found("example.com", "There is no example.com/foobarbaz"));
        assert!(!found(
            "example.com",
            "foo.example.com example.com.au me@example.com"
        ));
        assert!(found("example.com/foobarbaz", "example.com/foobarbaz"));
        assert!(found("example.com/foobarbaz", "www.example.com/foobarbaz"));
        assert!(!found(
            "example.com/foobarbaz",
            "example.com example.com/foobarbaz/x"
        ));
        assert!(!found("example.com/foo", "example.com/foo…"));
        assert!(found(
            "www.example.com/foobarbaz",
            "www.example.com/foobarbaz"
        ));
        assert!(!found("www.example.com/foobarbaz", "example.com/foobarbaz"));
        for text in [
            "example.com",
            "www.example.com",
            "foo.example.com",
            "foo.example.com/bar",
            "I hope my merger with another company isn't an example com lapse",
        ] {
            assert!(found("example com", text), "{text}");
        }
    }

    #[test]
    fn punctuation_accents_and_scripts() {
        assert!(found("hello", "my brother says hello."));
        assert!(!found("hello.", "hello world"));
        assert!(found("hello.", "hello."));
        assert!(found("touché", "TOUCHÉ!"));
        assert!(!found("touche", "touché"));
        assert!(!found("touche", "touche\u{301}"));
        assert!(found("c++", "I write C++, still"));
        assert!(!found("c++", "c++11"));
        assert!(found("$goog", "buy $GOOG now"));
        assert!(found("#rust", "#Rust"));
        assert!(!found("#rust", "rust"));
        assert!(
            !found("東京", "東京に行く"),
            "no words inside unspaced scripts"
        );
        assert!(found("東京", "東京 に行く"));
        assert!(found("😀", "hi😀😀there"));
        assert!(found("москва", "#МОСКВА"));
        assert!(!found("a b", "a"));
        assert!(found("a a", "A"));
    }

    #[test]
    fn many_phrases_use_the_denser_automaton_and_agree() {
        let phrases: Vec<String> = (0..400).map(|n| format!("{n:050} word{n}")).collect();
        let track = Track::new(&phrases).unwrap();
        let mut scratch = Scratch::default();
        let text = format!("word399 and {:050}", 399);
        assert!(track.matches(text.as_bytes(), &mut scratch));
        let text = format!("word399 and {:050}", 398);
        assert!(!track.matches(text.as_bytes(), &mut scratch));
    }
}
