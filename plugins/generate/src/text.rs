//! Texts with the entities in them, whose places count code points as Twitter does.

use crate::languages::{EMOJI, Language};
use crate::people::Person;
use crate::rng::Rng;
use crate::topics::{SENTENCES, TOPICS};

/// Longest text.
const MAX: usize = 280;

/// A text under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) chars: usize,
    pub(crate) hashtags: Vec<(usize, usize)>,
    pub(crate) mentions: Vec<(usize, usize, usize)>,
    pub(crate) links: Vec<Link>,
}

/// A link in a text.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) short: String,
    pub(crate) expanded: String,
}

impl Text {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.chars = 0;
        self.hashtags.clear();
        self.mentions.clear();
        self.links.clear();
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.chars += text.chars().count();
    }

    fn fits(&self, more: usize) -> bool {
        self.chars + more <= MAX
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            self.push(" ");
        }
    }

    pub(crate) fn mention(&mut self, index: usize, people: &[Person]) {
        self.space();
        let start = self.chars;
        self.push("@");
        self.push(&people[index].screen_name);
        self.mentions.push((start, self.chars, index));
    }

    fn hashtag(&mut self, tag: &str) {
        self.space();
        if self.fits(tag.chars().count() + 1) {
            let start = self.chars;
            self.push("#");
            self.push(tag);
            self.hashtags.push((start, self.chars));
        }
    }

    pub(crate) fn link(&mut self, expanded: String, rng: &mut Rng) {
        self.space();
        if self.fits(23) {
            let start = self.chars;
            let short = short_link(rng);
            self.push(&short);
            let end = self.chars;
            self.links.push(Link {
                start,
                end,
                short,
                expanded,
            });
        }
    }
}

pub(crate) fn short_link(rng: &mut Rng) -> String {
    const DIGITS: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
    let code: String = (0..10).map(|_| char::from(rng.pick(DIGITS))).collect();
    format!("https://t.co/{code}")
}

/// Writes what `author` has to say about `topic`, in one sentence or several.
pub(crate) fn compose(text: &mut Text, author: &Person, topic: usize, long: bool, rng: &mut Rng) {
    let sentences = if long {
        4 + rng.below(3)
    } else {
        1 + rng.below(2)
    };
    for number in 0..sentences {
        let before = text.text.len();
        if number > 0 {
            text.push(rng.pick(&[". ", "! ", "… ", ".\n", "\n\n", " — "]));
        }
        match author.language {
            Some(language) => foreign(text, language, topic, rng),
            None => english(text, topic, number == 0, rng),
        }
        if text.chars > MAX - 40 {
            text.text.truncate(before);
            text.chars = text.text.chars().count();
            break;
        }
    }
    if rng.chance(0.45) {
        text.space();
        let emoji = if rng.chance(0.6) {
            &TOPICS[topic].emoji[..]
        } else {
            EMOJI
        };
        for _ in 0..1 + rng.below(2) {
            text.push(rng.favour(emoji));
        }
    }
    if rng.chance(0.35) {
        let tags = author
            .language
            .map_or(&TOPICS[topic].hashtags, |language| &language.hashtags);
        text.hashtag(rng.favour(tags));
        if rng.chance(0.2) {
            text.hashtag(rng.pick(&TOPICS[topic].hashtags));
        }
    }
    if rng.chance(0.18) {
        let expanded = format!(
            "https://{}/{}",
            TOPICS[topic].site,
            rng.below(90_000) + 1_000
        );
        text.link(expanded, rng);
    }
}

fn english(text: &mut Text, topic: usize, first: bool, rng: &mut Rng) {
    let sentence = rng.pick(SENTENCES);
    let start = text.text.len();
    let topic = &TOPICS[topic];
    let mut rest = sentence;
    while let Some(at) = rest.find('{') {
        text.push(&rest[..at]);
        match rest.as_bytes().get(at + 1) {
            Some(b'n') => text.push(rng.favour(&topic.nouns)),
            Some(b'a') => text.push(rng.favour(&topic.adjectives)),
            Some(b'v') => text.push(rng.favour(&topic.doing)),
            _ => text.push(&(rng.below(98) + 2).to_string()),
        }
        rest = &rest[at + 3..];
    }
    text.push(rest);
    if first && rng.chance(0.5) {
        let capital = text.text[start..start + 1].to_ascii_uppercase();
        text.text.replace_range(start..start + 1, &capital);
    }
}

/// Words of a language. Each topic has its own likeliest ones, so that topics burst in all languages.
fn foreign(text: &mut Text, language: &Language, topic: usize, rng: &mut Rng) {
    let words = &language.words;
    for number in 0..3 + rng.below(4) {
        if number > 0 {
            text.push(if language.spaced {
                " "
            } else {
                rng.pick(&["と", "の", "が", "は"])
            });
        }
        text.push(words[(rng.favoured(words.len()) + 7 * topic) % words.len()]);
    }
}
