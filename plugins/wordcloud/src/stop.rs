//! Stop words: those that say nothing about what is talked about.
//!
//! The lists are NLTK's (from Snowball, short and grammatical; the long "ISO" lists remove words
//! that a cloud is made of), with what tweets add. Those of `stop/` complete one of them, or are
//! for languages that have none.

use hashbrown::HashSet;

use crate::token::fold;

/// What is written in tweets of every language and means nothing.
const TWITTER: &[&str] = &[
    "rt", "via", "amp", "http", "https", "www", "htt", "fav", "dm", "t.t",
];

/// Lists of our own by their language.
const OWN: &[(&str, &str)] = &[
    ("en", include_str!("../stop/en.txt")),
    ("hi", include_str!("../stop/hi.txt")),
    ("ja", include_str!("../stop/ja.txt")),
    ("ko", include_str!("../stop/ko.txt")),
    ("pl", include_str!("../stop/pl.txt")),
    ("ru", include_str!("../stop/ru.txt")),
    ("th", include_str!("../stop/th.txt")),
];

/// What loses its vowel before another word and is written together with it: "l'amour", "c'est".
/// By language; the lists are Lucene's.
const ELISIONS: &[(&str, &[&str])] = &[
    ("ca", &["d", "l", "m", "n", "s", "t"]),
    (
        "fr",
        &[
            "c", "d", "j", "jusqu", "l", "lorsqu", "m", "n", "puisqu", "qu", "quoiqu", "s", "t",
        ],
    ),
    (
        "it",
        &[
            "agl", "all", "c", "coll", "d", "dagl", "dall", "degl", "dell", "gl", "l", "m", "negl",
            "nell", "pell", "s", "sugl", "sull", "t", "un", "v",
        ],
    ),
];

/// What stands before an apostrophe and is no part of the word behind it.
pub fn elisions(languages: &[String]) -> Vec<&'static str> {
    let chosen = ELISIONS.iter();
    let chosen = chosen.filter(|(code, _)| languages.iter().any(|language| language == code));
    chosen.flat_map(|(_, words)| *words).copied().collect()
}

/// Codes of the languages that have a list.
pub fn languages() -> Vec<&'static str> {
    let mut codes = stop_words::available_languages().to_vec();
    codes.extend(OWN.iter().map(|own| own.0));
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// The stop words of `languages` and the `extra` ones, in lower case. A language without a list
/// is the error, so that the caller can point at it.
pub fn collect(languages: &[String], extra: &[String]) -> Result<HashSet<Box<str>>, usize> {
    let mut words: HashSet<Box<str>> = TWITTER.iter().map(|word| Box::from(*word)).collect();
    for (position, language) in languages.iter().enumerate() {
        let known = stop_words::lookup(language);
        let ours = OWN.iter().find(|own| own.0 == language);
        if known.is_none() && ours.is_none() {
            return Err(position);
        }
        words.extend(known.unwrap_or_default().iter().map(|word| own(word)));
        words.extend(ours.iter().flat_map(|ours| lines(ours.1)).map(own));
    }
    words.extend(extra.iter().map(|word| own(word)));
    Ok(words)
}

/// A word of a list as the tokenizer makes those of texts.
fn own(word: &str) -> Box<str> {
    fold(&word.trim().replace(['’', '‘'], "'")).into()
}

/// The words of a file: one a line, `#` begins a comment.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let words = text.trim_start_matches('\u{feff}').lines();
    let words = words.map(|line| line.split_once('#').map_or(line, |(word, _)| word).trim());
    words.filter(|word| !word.is_empty())
}
