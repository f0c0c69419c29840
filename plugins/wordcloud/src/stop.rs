//! Stop words: those that say nothing about what is talked about.
//!
//! The lists are NLTK's (from Snowball, short and grammatical; the long "ISO" lists remove words
//! that a cloud is made of), with what tweets add, and a list of Japanese particles and auxiliary
//! forms, which NLTK lacks.

use hashbrown::HashSet;

use crate::token::fold;

/// What is written in tweets of every language and means nothing.
const TWITTER: &[&str] = &[
    "rt", "via", "amp", "http", "https", "www", "htt", "fav", "dm",
];

/// Contractions that the English list lacks, also as written without their apostrophe, and the
/// most frequent filler.
const ENGLISH: &[&str] = &[
    "ain't", "aint", "arent", "can't", "cannot", "cant", "could", "couldnt", "could've", "didnt",
    "doesnt", "dont", "gonna", "gotta", "had", "hasnt", "havent", "he's", "here's", "hes", "how's",
    "i'm", "id", "im", "isnt", "ive", "let's", "lets", "ll", "may", "might", "must", "shes",
    "shouldnt", "thats", "that's", "theyre", "there's", "theres", "u", "ur", "wanna", "wasnt",
    "werent", "what's", "whats", "when's", "where's", "who's", "whos", "why's", "wont", "would",
    "wouldnt", "would've", "ya", "y'all", "yall", "yet", "youre", "youve",
];

/// What the Russian list lacks.
const RUSSIAN: &[&str] = &[
    "это",
    "эта",
    "эти",
    "этих",
    "всё",
    "ещё",
    "её",
    "очень",
    "просто",
    "твой",
    "мои",
    "наш",
    "ваш",
];

const JAPANESE: &[&str] = &[
    "から",
    "まで",
    "より",
    "だけ",
    "ほど",
    "など",
    "とか",
    "って",
    "けど",
    "けれど",
    "ので",
    "のに",
    "でも",
    "では",
    "には",
    "にも",
    "とは",
    "とも",
    "です",
    "ます",
    "でした",
    "ました",
    "ません",
    "ない",
    "なかった",
    "なく",
    "ある",
    "あり",
    "あった",
    "いる",
    "いた",
    "いて",
    "います",
    "する",
    "した",
    "して",
    "します",
    "しました",
    "される",
    "された",
    "れる",
    "られる",
    "せる",
    "たい",
    "てる",
    "てた",
    "なる",
    "なった",
    "なって",
    "なり",
    "なら",
    "これ",
    "それ",
    "あれ",
    "この",
    "その",
    "あの",
    "ここ",
    "そこ",
    "こと",
    "もの",
    "ため",
    "よう",
    "そう",
    "どう",
    "もう",
    "まだ",
    "また",
    "かな",
    "よね",
    "だよ",
    "だね",
    "だった",
    "だろう",
    "でしょう",
    "ください",
    "という",
    "として",
    "さん",
    "ちゃん",
    "くん",
    "そして",
    "しかし",
    "だから",
    "何",
    "私",
    "今",
    "人",
];

/// Codes of the languages that have a list.
pub fn languages() -> Vec<&'static str> {
    let mut codes = stop_words::available_languages().to_vec();
    codes.push("ja");
    codes.sort_unstable();
    codes
}

/// The stop words of `languages` and the `extra` ones, in lower case. A language without a list
/// is the error, so that the caller can point at it.
pub fn collect(languages: &[String], extra: &[String]) -> Result<HashSet<Box<str>>, usize> {
    let mut words: HashSet<Box<str>> = TWITTER.iter().map(|word| Box::from(*word)).collect();
    for (position, language) in languages.iter().enumerate() {
        let list = match language.as_str() {
            "ja" => JAPANESE,
            code => stop_words::lookup(code).ok_or(position)?,
        };
        words.extend(list.iter().map(|word| own(word)));
        let more = match language.as_str() {
            "en" => ENGLISH,
            "ru" => RUSSIAN,
            _ => &[],
        };
        words.extend(more.iter().map(|word| own(word)));
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
