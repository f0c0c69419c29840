//! What English tweets are about, from `data/topics.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A topic's words, in each list the likeliest first.
pub(crate) struct Topic {
    pub(crate) hashtags: Vec<&'static str>,
    pub(crate) nouns: Vec<&'static str>,
    pub(crate) adjectives: Vec<&'static str>,
    pub(crate) doing: Vec<&'static str>,
    pub(crate) emoji: Vec<&'static str>,
    pub(crate) site: &'static str,
}

pub(crate) static TOPICS: LazyLock<Vec<Topic>> = LazyLock::new(|| {
    let block = |block: &HashMap<&str, &'static str>| Topic {
        hashtags: words(block, "hashtags"),
        nouns: words(block, "nouns"),
        adjectives: words(block, "adjectives"),
        doing: words(block, "doing"),
        emoji: words(block, "emoji"),
        site: block.get("site").copied().unwrap_or_default(),
    };
    blocks(include_str!("../data/topics.txt"))
        .iter()
        .map(block)
        .collect()
});

/// Reads blocks of `name: value` lines, parted by blank lines; `#` begins a comment.
pub(crate) fn blocks(text: &'static str) -> Vec<HashMap<&'static str, &'static str>> {
    let lines = |block: &'static str| -> HashMap<&str, &str> {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(": ")).collect()
    };
    let blocks = text.split("\n\n").map(lines);
    blocks.filter(|block| !block.is_empty()).collect()
}

/// A list of a block.
pub(crate) fn words(block: &HashMap<&str, &'static str>, name: &str) -> Vec<&'static str> {
    let list = block.get(name).copied().unwrap_or_default();
    list.split(", ").filter(|word| !word.is_empty()).collect()
}

/// Sentences: `{n}` a noun, `{a}` an adjective, `{v}` something done, `{d}` a number. The words
/// between are mostly such as every sentence has, so that the topics stand out of them.
pub(crate) const SENTENCES: &[&str] = &[
    "{n} and {n} all day",
    "why are we not {v} {n}?",
    "that {a} {n} though",
    "who is {v} {n} with me?",
    "more {n}, fewer {n}",
    "{v} {n} before {n}",
    "if you like {n} you should see my {n}",
    "day {d} of {v} {n}",
    "there is no {n} without {n}",
    "what is it about {n} and {n}?",
    "{a}, {a} and very {a}: {n}",
    "here is to the {a} {n}",
    "{n}, {n} and above all {n}",
    "{n} is the new {n}",
    "still {v} {n}, and it is so {a}",
    "it was {n} all along",
    "this {n} was made for {v} {n}",
    "once more: {a} {n}",
    "{d} of us were {v} {n} and {n}",
    "nothing but {n} and {a} {n}",
    "the {n} was {a}, the {n} even more so",
    "between {n} and {n} there is only {n}",
    "we should be {v} {n} again",
    "my {n}, your {n}, our {a} {n}",
    "{n}, but {a}",
    "after {n} comes {n}",
    "how {a} is this {n}?",
    "{n} or {n}? I am for {n}",
    "some are {v} {n}, others just {n}",
    "breaking: {a} {n} near {n}",
    "today I learned that {n} needs {n}",
    "unpopular opinion: {n} beats {n}",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::LANGUAGES;

    #[test]
    fn the_lists_are_whole() {
        assert_eq!((TOPICS.len(), LANGUAGES.len()), (16, 11));
        for topic in TOPICS.iter() {
            assert!(
                topic.nouns.len() >= 28 && topic.site.ends_with(".example"),
                "{}",
                topic.site
            );
            let others = [
                &topic.hashtags,
                &topic.adjectives,
                &topic.doing,
                &topic.emoji,
            ];
            assert!(others.iter().all(|list| list.len() >= 4), "{}", topic.site);
        }
        for language in LANGUAGES.iter() {
            assert!(
                language.words.len() >= 17 && language.weight > 0,
                "{}",
                language.code
            );
            assert!(
                language.names.len() >= 3 && language.hashtags.len() >= 2,
                "{}",
                language.code
            );
        }
        let slots = |sentence: &&str| {
            ["{n}", "{a}", "{v}", "{d}"]
                .iter()
                .map(|slot| sentence.matches(slot).count())
                .sum::<usize>()
        };
        assert!(
            SENTENCES
                .iter()
                .all(|sentence| sentence.matches('{').count() == slots(sentence))
        );
    }
}
