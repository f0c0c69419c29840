//! Languages other than English, from `data/languages.txt`.

use crate::topics::{blocks, words};
use std::sync::LazyLock;

pub(crate) struct Language {
    pub(crate) code: &'static str,
    /// How common it is, English being 55.
    pub(crate) weight: u32,
    /// The likeliest first.
    pub(crate) words: Vec<&'static str>,
    pub(crate) hashtags: Vec<&'static str>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) spaced: bool,
}

pub(crate) const ENGLISH: u32 = 55;

pub(crate) static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let blocks = blocks(include_str!("../data/languages.txt"));
    let language = |block: &std::collections::HashMap<&str, &'static str>| {
        let text = |name| block.get(name).copied().unwrap_or_default();
        Language {
            code: text("code"),
            weight: text("weight").parse().unwrap_or(0),
            words: words(block, "words"),
            hashtags: words(block, "hashtags"),
            names: words(block, "names"),
            spaced: text("spaced") == "true",
        }
    };
    blocks.iter().map(language).collect()
});

/// Emoji that fit anywhere, among them ones of several code points.
pub(crate) const EMOJI: &[&str] = &[
    "😂",
    "❤️",
    "😍",
    "🙏",
    "🔥",
    "🥰",
    "😭",
    "✨",
    "😊",
    "👍🏽",
    "🎉",
    "💯",
    "🤔",
    "👀",
    "🙌🏾",
    "😅",
    "💙",
    "🌸",
    "👨‍👩‍👧",
    "🇧🇷",
    "🏳️‍🌈",
    "🤷‍♀️",
    "🥳",
    "😴",
    "🫶",
];
