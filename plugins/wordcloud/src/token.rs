//! From the text of a tweet to the words that are counted.
//!
//! HTML escapes are undone and apostrophes made one first. Links and mail addresses go, hashtags
//! and cashtags stay whole, mentions by choice. What lies between is cut into words by the rules of
//! Unicode (UAX 29), with dictionaries for the scripts that set no blanks. Words cut off by the "…"
//! that ends a shortened tweet, stop words, numbers, and words too short or too long are left out.

use hashbrown::HashSet;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed, options::WordBreakInvariantOptions};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use crate::entities::{self, Entity, Kind};

/// What counts as a word.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Words left out, in lower case.
    pub stop: HashSet<Box<str>>,
    /// Whether upper and lower case are one.
    pub fold_case: bool,
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

/// Cuts texts into words; keeps its buffers.
#[derive(Debug)]
pub struct Tokenizer {
    rules: Rules,
    segmenter: WordSegmenterBorrowed<'static>,
    text: String,
    found: Vec<Entity>,
    word: Word,
}

/// Buffers for one word on its way out.
#[derive(Debug, Default)]
struct Word {
    folded: String,
    composed: String,
}

impl Tokenizer {
    /// A tokenizer by `rules`.
    pub fn new(rules: Rules) -> Self {
        let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
        Self {
            rules,
            segmenter,
            text: String::new(),
            found: Vec::new(),
            word: Word::default(),
        }
    }

    /// Gives each word of `text` to `sink`, in order.
    pub fn words(&mut self, text: &str, mut sink: impl FnMut(&str)) {
        clean(text, &mut self.text);
        entities::find(&self.text, &mut self.found);
        let cut = cut_at(&self.text);
        let mut from = 0;
        for index in 0..=self.found.len() {
            let entity = self.found.get(index).copied();
            let until = entity.map_or(self.text.len(), |entity| entity.start);
            pieces(
                &self.text[from..until],
                self.segmenter,
                self.rules.emoji,
                |piece, end| {
                    if cut != Some(from + end) {
                        self.word.emit(piece, &self.rules, &mut sink);
                    }
                },
            );
            let Some(entity) = entity else { break };
            from = entity.end;
            let wanted = match entity.kind {
                Kind::Hashtag | Kind::Cashtag => self.rules.hashtags,
                Kind::Mention => self.rules.mentions,
                Kind::Link | Kind::Mail => false,
            };
            if wanted && cut != Some(entity.end) {
                self.word
                    .emit_tag(&self.text[entity.start..entity.end], &self.rules, &mut sink);
            }
        }
    }
}

impl Word {
    fn fold(&mut self, word: &str, fold_case: bool) {
        self.folded.clear();
        if word.is_ascii() {
            self.folded.push_str(word);
            if fold_case {
                self.folded.make_ascii_lowercase();
            }
            return;
        }
        if is_nfkc_quick(word.chars()) != IsNormalized::Yes {
            self.composed.clear();
            self.composed.extend(word.nfkc());
        } else {
            self.composed.clear();
            self.composed.push_str(word);
        }
        if fold_case {
            self.folded
                .extend(self.composed.chars().flat_map(char::to_lowercase));
        } else {
            self.folded.push_str(&self.composed);
        }
    }

    fn emit(&mut self, piece: &str, rules: &Rules, sink: &mut impl FnMut(&str)) {
        let word = piece.trim_matches(['\'', '_']);
        if word.is_empty() {
            return;
        }
        self.fold(word, rules.fold_case);
        if self.stopped(rules, self.folded.len()) {
            return;
        }
        // "London's" counts as "London".
        let own = self
            .folded
            .strip_suffix("'s")
            .or_else(|| self.folded.strip_suffix("'S"));
        let length = own.map_or(self.folded.len(), str::len);
        if length < self.folded.len() && self.stopped(rules, length) {
            return;
        }
        let word = &self.folded[..length];
        let count = word.chars().take(rules.max_length + 1).count();
        let symbol = rules.emoji && word.chars().next().is_some_and(emoji);
        if (count < rules.min_length && !symbol) || count > rules.max_length {
            return;
        }
        // One or two hiragana are endings and particles, cut off by the dictionary.
        if count <= 2
            && word
                .chars()
                .all(|letter| ('\u{3041}'..='\u{309f}').contains(&letter))
        {
            return;
        }
        if !rules.numbers && !symbol && !word.contains(char::is_alphabetic) {
            return;
        }
        sink(word);
    }

    fn emit_tag(&mut self, tag: &str, rules: &Rules, sink: &mut impl FnMut(&str)) {
        self.fold(tag, rules.fold_case);
        let mut name = self.folded.chars();
        name.next();
        let count = name.clone().take(rules.max_length + 1).count();
        if count <= rules.max_length
            && !rules.stop.contains(&*self.folded)
            && !rules.stop.contains(name.as_str())
        {
            sink(&self.folded);
        }
    }

    fn stopped(&self, rules: &Rules, length: usize) -> bool {
        let word = &self.folded[..length];
        if rules.fold_case {
            rules.stop.contains(word)
        } else {
            rules.stop.contains(&*word.to_lowercase())
        }
    }
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
    while let Some(letter) = rest.chars().next() {
        match letter {
            '&' => {
                if let Some((escape, plain)) =
                    ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape))
                {
                    out.push(*plain);
                    rest = &rest[escape.len()..];
                    continue;
                }
                out.push('&');
            }
            '’' | '‘' | 'ʼ' | '＇' | '′' | '`' | '´' | '‛' => out.push('\''),
            '\u{ad}'
            | '\u{200b}'
            | '\u{feff}'
            | '\u{2066}'..='\u{2069}'
            | '\u{202a}'..='\u{202e}' => {}
            other => out.push(other),
        }
        rest = &rest[letter.len_utf8()..];
    }
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

/// Cuts plain text into words; `sink` gets each with the byte at which it ends in `text`.
fn pieces(
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
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'\'';
    let mut at = 0;
    while at < bytes.len() {
        if !inner(bytes[at]) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| inner(**byte)).count();
        sink(&text[at..at + length], at + length);
        at += length;
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
            // The Unicode rules keep "end.It" and "3,4" together; here they part.
            for part in piece.split(['.', ',', ':', ';', '·']) {
                let end = start + (part.as_ptr() as usize - piece.as_ptr() as usize) + part.len();
                if !part.is_empty() {
                    sink(part, end);
                }
            }
        } else if emoji_too && piece.chars().next().is_some_and(emoji) {
            sink(piece, until);
        }
    }
}

fn emoji(letter: char) -> bool {
    matches!(letter as u32, 0x1F300..=0x1F64F | 0x1F680..=0x1F6FF | 0x1F900..=0x1FAFF | 0x2600..=0x27BF | 0x1F1E6..=0x1F1FF)
}
