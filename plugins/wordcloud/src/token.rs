//! From the text of a tweet to the words that are counted.
//!
//! HTML escapes are undone and apostrophes made one first. Links and mail addresses go, hashtags
//! and cashtags stay whole, mentions by choice. What lies between is cut into words by the rules of
//! Unicode (UAX 29), with dictionaries for the scripts that set no blanks. Words cut off by the "…"
//! that ends a shortened tweet, stop words, numbers, and words too short or too long are left out.

use std::borrow::Cow;

use hashbrown::HashSet;
use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed, options::WordBreakInvariantOptions};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::emoji::is_emoji;
use crate::entities::{self, Entity, Kind};
use crate::pieces::pieces;

/// What counts as a word.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Words left out, as [`fold`] makes them.
    pub stop: HashSet<Box<str>>,
    /// What is left out before an apostrophe, in lower case: "l" of "l'amour".
    pub elisions: Vec<&'static str>,
    /// Whether words of one or two hiragana are counted: mostly endings and particles of Japanese,
    /// cut off by the dictionary.
    pub particles: bool,
    /// Whether upper and lower case are one.
    pub fold_case: bool,
    /// Whether two words in a row are counted as a pair besides.
    pub bigrams: bool,
    /// Whether hashtags and cashtags are counted.
    pub hashtags: bool,
    /// Whether mentions are counted.
    pub mentions: bool,
    /// Whether numbers are counted.
    pub numbers: bool,
    /// Whether emoji are counted.
    pub emoji: bool,
    /// Fewest characters of a word.
    pub min_length: usize,
    /// Most characters of a word.
    pub max_length: usize,
}

/// A word as it is compared: composed, its case folded by the rules of Unicode, so that "Straße"
/// and "STRASSE" are one, as are both forms of the Greek sigma.
pub fn fold(word: &str) -> String {
    let word: String = if word.contains(' ') {
        word.nfkc().collect()
    } else {
        composed(word).collect()
    };
    CaseMapper::new().fold_string(&word).into_owned()
}

/// The letters of a word, composed by NFKC. A blank stands between two words that are a pair, not in
/// what a single sign such as "ﷺ" stands for.
fn composed(word: &str) -> impl Iterator<Item = char> {
    let unbroken = |letter| if letter == ' ' { '\u{a0}' } else { letter };
    word.nfkc().map(unbroken)
}

/// Cuts texts into words; keeps its buffers.
#[derive(Debug)]
pub struct Tokenizer {
    segmenter: WordSegmenterBorrowed<'static>,
    text: String,
    found: Vec<Entity>,
    words: Words,
}

/// Judges the pieces of a text, one by one; keeps its buffers.
#[derive(Debug)]
struct Words {
    rules: Rules,
    cases: CaseMapperBorrowed<'static>,
    /// The piece at hand, composed, and with its case folded.
    text: String,
    key: String,
    /// Whether all of it is letters without case.
    uniform: bool,
    /// The word before and the byte after it, for pairs.
    before: Option<usize>,
    before_text: String,
    before_key: String,
}

impl Tokenizer {
    /// A tokenizer by `rules`.
    pub fn new(rules: Rules) -> Self {
        let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
        Self {
            segmenter,
            text: String::new(),
            found: Vec::new(),
            words: Words {
                rules,
                cases: CaseMapper::new(),
                text: String::new(),
                key: String::new(),
                uniform: false,
                before: None,
                before_text: String::new(),
                before_key: String::new(),
            },
        }
    }

    /// Whether a word that was counted, by its key, is not of a kind that is left out by now: a stop
    /// word, a pair, a tag, a mention, a number, an emoji. It may be longer or shorter than words
    /// that come from now on.
    pub fn keeps(&self, key: &str) -> bool {
        let rules = &self.words.rules;
        match key.split_once(' ') {
            Some((first, second)) => {
                let pairs = rules.bigrams && !rules.stop.contains(key);
                pairs && rules.keep(&fold(first)) && rules.keep(&fold(second))
            }
            None => rules.keep(&fold(key)),
        }
    }

    /// Gives each word of `text` to `sink`, in order: as written, and with its case folded.
    pub fn words(&mut self, text: &str, mut sink: impl FnMut(&str, &str)) {
        clean(text, &mut self.text);
        entities::find(&self.text, &mut self.found);
        let (text, words) = (self.text.as_str(), &mut self.words);
        words.before = None;
        let cut = cut_at(text);
        let mut from = 0;
        for index in 0..=self.found.len() {
            let entity = self.found.get(index).copied();
            let until = entity.map_or(text.len(), |entity| entity.start);
            let emoji_too = words.rules.emoji;
            pieces(
                &text[from..until],
                self.segmenter,
                emoji_too,
                |piece, end| {
                    if cut != Some(from + end) {
                        words.plain(text, piece, from + end, &mut sink);
                    }
                },
            );
            let Some(entity) = entity else { break };
            from = entity.end;
            let wanted = match entity.kind {
                Kind::Hashtag | Kind::Cashtag => words.rules.hashtags,
                Kind::Mention => words.rules.mentions,
                Kind::Link | Kind::Broken | Kind::Mail => false,
            };
            if wanted && cut != Some(entity.end) {
                words.tag(&text[entity.start..entity.end], &mut sink);
            }
        }
    }
}

impl Rules {
    /// Whether a folded word is of a kind that is counted.
    fn keep(&self, key: &str) -> bool {
        if self.stop.contains(key) {
            return false;
        }
        let name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut letters = key.chars();
        match letters.next() {
            Some('#' | '$') if !is_emoji(key) => {
                self.hashtags && !self.stop.contains(letters.as_str())
            }
            // Else a mark stands on the sign.
            Some('@') if letters.as_str().starts_with(name) => self.mentions,
            _ => {
                (self.emoji && is_emoji(key))
                    || (self.numbers && key.contains(char::is_numeric))
                    || key.contains(char::is_alphabetic)
            }
        }
    }

    /// Whether the name of a tag or a mention is counted.
    fn names(&self, name: &str) -> bool {
        let count = name.chars().take(self.max_length + 1).count();
        count <= self.max_length && !self.stop.contains(name)
    }

    /// Whether a word has the length and the letters of one; all of one that is `uniform` are
    /// letters.
    fn counts(&self, word: &str, uniform: bool) -> bool {
        let count = if word.is_ascii() {
            word.len()
        } else {
            word.chars().count()
        };
        let symbol = self.emoji && is_emoji(word);
        if (count < self.min_length && !symbol) || count > self.max_length {
            return false;
        }
        let hiragana = |letter| ('\u{3041}'..='\u{309f}').contains(&letter);
        if !self.particles && count <= 2 && word.chars().all(hiragana) {
            return false;
        }
        (self.numbers && word.contains(char::is_numeric))
            || symbol
            || uniform
            || word.contains(char::is_alphabetic)
    }
}

impl Words {
    /// Composes a word into `text` and folds it into `key`.
    fn fold(&mut self, word: &str) {
        self.text.clear();
        self.key.clear();
        self.uniform = false;
        if word.is_ascii() {
            self.text.push_str(word);
            self.key.push_str(word);
            self.key.make_ascii_lowercase();
            return;
        }
        if word.chars().all(settled) {
            self.uniform = true;
            self.text.push_str(word);
            self.key.push_str(word);
            return;
        }
        if is_nfkc_quick(word.chars()) == IsNormalized::Yes {
            self.text.push_str(word);
        } else {
            self.text.extend(composed(word));
        }
        match self.cases.fold_string(&self.text) {
            Cow::Borrowed(folded) => self.key.push_str(folded),
            Cow::Owned(folded) => self.key = folded,
        }
    }

    /// A piece of plain text that ends at byte `end` of `text`.
    fn plain(&mut self, text: &str, piece: &str, end: usize, sink: &mut impl FnMut(&str, &str)) {
        const EDGES: [char; 2] = ['\'', '_'];
        let word = piece.trim_end_matches(EDGES);
        let end = end - (piece.len() - word.len());
        let word = self.unelided(word.trim_start_matches(EDGES));
        if word.is_empty() {
            return;
        }
        self.fold(word);
        if self.rules.stop.contains(&*self.key) {
            return;
        }
        // "London's" counts as "London".
        if self.key.ends_with("'s") {
            self.key.truncate(self.key.len() - 2);
            self.text.pop();
            self.text.pop();
            if self.rules.stop.contains(&*self.key) {
                return;
            }
        }
        if !self.rules.counts(&self.text, self.uniform) {
            return;
        }
        if !self.rules.fold_case {
            self.key.clone_from(&self.text);
        }
        sink(&self.text, &self.key);
        if self.rules.bigrams {
            self.pair(text, end - word.len(), end, sink);
        }
    }

    /// The word without an article or the like that is written together with it.
    fn unelided<'a>(&self, word: &'a str) -> &'a str {
        // Words are short: a search made for long texts would only begin.
        let Some(at) = word.bytes().position(|byte| byte == b'\'') else {
            return word;
        };
        let (head, rest) = (&word[..at], &word[at + 1..]);
        let elisions = &self.rules.elisions;
        if elisions
            .iter()
            .any(|elided| elided.eq_ignore_ascii_case(head))
        {
            rest
        } else {
            word
        }
    }

    /// Counts the word at hand with the one before it if nothing but a blank, or in scripts without
    /// blanks nothing, stands between; so a stop word, which stands between, parts them.
    fn pair(&mut self, text: &str, start: usize, end: usize, sink: &mut impl FnMut(&str, &str)) {
        if let Some(before) = self.before.replace(end)
            && let Some(gap) = text.get(before..start)
            && gap
                .chars()
                .all(|letter| matches!(letter, ' ' | '\u{a0}' | '\u{3000}'))
        {
            let blank = if gap.is_empty() { "" } else { " " };
            for (first, second) in [
                (&mut self.before_text, &self.text),
                (&mut self.before_key, &self.key),
            ] {
                first.push_str(blank);
                first.push_str(second);
            }
            if !self.rules.stop.contains(&*self.before_key) {
                sink(&self.before_text, &self.before_key);
            }
        }
        self.before_text.clone_from(&self.text);
        self.before_key.clone_from(&self.key);
    }

    fn tag(&mut self, tag: &str, sink: &mut impl FnMut(&str, &str)) {
        self.fold(tag);
        let mark = self.key.chars().next().map_or(0, char::len_utf8);
        let rules = &self.rules;
        if rules.stop.contains(&*self.key) || !rules.names(&self.key[mark..]) {
            return;
        }
        let key = if self.rules.fold_case {
            &self.key
        } else {
            &self.text
        };
        sink(&self.text, key);
    }
}

/// Letters that are composed and have no case, of the scripts that are seen most: to find that out
/// by the tables of Unicode takes longer than all else that is done with such a word.
fn settled(letter: char) -> bool {
    matches!(letter,
        '\u{4e00}'..='\u{9fff}' // Han
        | '\u{3041}'..='\u{3096}' // Hiragana
        | '\u{30a1}'..='\u{30fa}' // Katakana
        | '\u{ac00}'..='\u{d7a3}' // Hangul
        | '\u{0e01}'..='\u{0e32}' | '\u{0e34}'..='\u{0e37}' | '\u{0e40}'..='\u{0e47}' // Thai without marks that may change places
        | '\u{0621}'..='\u{064a}' // Arabic
        | '\u{05d0}'..='\u{05ea}' // Hebrew
    )
}

/// Copies `text` with HTML escapes undone and every apostrophe a `'`.
fn clean(text: &str, out: &mut String) {
    const ESCAPES: [(&str, char); 6] = [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&#39;", '\''),
        ("&apos;", '\''),
    ];
    out.clear();
    if text.is_ascii() && memchr::memchr2(b'&', b'`', text.as_bytes()).is_none() {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(begins_special) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(letter) = rest.chars().next() else {
            break;
        };
        let escape = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape));
        let length = match (letter, escape) {
            (_, Some((escape, plain))) => {
                out.push(*plain);
                escape.len()
            }
            ('’' | '‘' | 'ʼ' | '＇' | '′' | '`' | '´' | '‛', _) => {
                out.push('\'');
                letter.len_utf8()
            }
            (
                '\u{ad}'
                | '\u{200b}'
                | '\u{feff}'
                | '\u{2066}'..='\u{2069}'
                | '\u{202a}'..='\u{202e}',
                _,
            ) => letter.len_utf8(),
            _ => {
                out.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
}

/// Whether a letter that is not copied as it is may begin with this byte of UTF-8.
fn begins_special(byte: u8) -> bool {
    matches!(byte, b'&' | b'`' | 0xc2 | 0xca | 0xe2 | 0xef)
}

/// Where the "…" stands that ends a shortened text: nothing but links may follow it.
fn cut_at(text: &str) -> Option<usize> {
    let at = text.rfind('…')?;
    let rest = text[at..].trim_start_matches('…').trim_start();
    let links = rest
        .split_whitespace()
        .all(|part| part.starts_with("http://") || part.starts_with("https://"));
    links.then(|| text[..at].trim_end_matches('…').len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_apostrophes_and_what_is_not_seen() {
        let cleaned = |text: &str| {
            let mut out = String::new();
            clean(text, &mut out);
            out
        };
        assert_eq!(cleaned("&amp;lt; a&b ’ʼ＇´‛`′‘"), "&lt; a&b ''''''''");
        assert_eq!(
            cleaned("soft\u{ad}hy\u{200b}ph\u{202e}en\u{feff}"),
            "softhyphen"
        );
        assert_eq!(cleaned("£ Ê … ﷺ 日本 é"), "£ Ê … ﷺ 日本 é");
    }

    #[test]
    fn settled_letters_are_what_the_tables_say() {
        for letter in ('\u{80}'..=char::MAX).filter(|letter| settled(*letter)) {
            let word = letter.to_string();
            // Some would compose with what stands before; in the same run nothing does.
            assert_eq!(word.nfkc().collect::<String>(), word);
            assert_eq!(fold(&word), word);
        }
        let words = ["ก็", "น้ำ", "กำ", "ที่", "がぎ", "آأؤ", "한국", "พิซซ่า"];
        for word in words.iter().filter(|word| word.chars().all(settled)) {
            assert_eq!(&fold(word), word);
        }
    }
}
