//! Texts of records in which the words of a cloud stand, so that one sees what they are about.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::Window;

/// Number of a text that was not kept.
pub(super) const UNKEPT: u64 = u64::MAX;
/// Most bytes of a text that are kept.
const LONGEST: usize = 1200;
/// What a text costs beside its bytes.
const HEADER: usize = 32;

/// Most texts that are looked at for those of a frame's words: the newest of them nearly always
/// hold all.
const LOOKED: usize = 10_000;

/// The newest texts, by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Each with its record, which may have gone or be another by now.
    kept: VecDeque<(String, u32)>,
    /// Number of the oldest.
    base: u64,
    bytes: usize,
    /// One that has gone, for its memory.
    spare: String,
}

impl Texts {
    /// Keeps the text of a record, and lets go of the oldest until no more than `most` bytes are
    /// kept.
    pub(super) fn keep(&mut self, text: &str, record: u32, most: usize) -> u64 {
        let text = &text[..text.floor_char_boundary(LONGEST)];
        if text.len() + HEADER > most {
            return UNKEPT;
        }
        let mut own = std::mem::take(&mut self.spare);
        // Most texts take the memory of one before; a short one not that of the longest.
        if own.capacity() > 4 * text.len() + 256 {
            own = String::new();
        }
        own.clear();
        own.push_str(text);
        self.bytes += own.capacity() + HEADER;
        self.kept.push_back((own, record));
        let number = self.base + self.kept.len() as u64 - 1;
        while self.bytes > most
            && let Some((oldest, _)) = self.kept.pop_front()
        {
            self.bytes -= oldest.capacity() + HEADER;
            self.base += 1;
            self.spare = oldest;
        }
        number
    }

    pub(super) fn has(&self, number: u64) -> bool {
        number >= self.base && number - self.base < self.kept.len() as u64
    }

    /// Bytes that the texts hold, and what they cost besides.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let texts = self.kept.iter();
        texts.map(|(text, _)| text.capacity() + HEADER).sum()
    }

    /// Texts with their numbers and records, newest first.
    fn newest(&self) -> impl Iterator<Item = (&str, u64, u32)> {
        let texts = self.kept.iter().enumerate().rev();
        texts.map(|(at, (text, record))| (text.as_str(), self.base + at as u64, *record))
    }

    /// Gives records other numbers.
    pub(super) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        for (_, record) in &mut self.kept {
            *record = number(*record);
        }
    }
}

/// Texts chosen for the words of a cloud. One text may stand for several words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Samples<'a> {
    /// The texts, newest first, none twice.
    pub texts: Vec<&'a str>,
    /// For each word the positions of its texts.
    pub of: Vec<Vec<u32>>,
}

impl Window {
    /// Up to `each` different texts for each of the words, which are given with their case folded;
    /// the newest that are kept.
    pub fn samples(&self, keys: &[&str], each: usize) -> Samples<'_> {
        self.choose(keys, each).0
    }

    /// The same, with the records that the texts are of.
    pub(super) fn choose(&self, keys: &[&str], each: usize) -> (Samples<'_>, Vec<u32>) {
        let mut chosen = Samples {
            texts: Vec::new(),
            of: vec![Vec::new(); keys.len()],
        };
        let mut records = Vec::new();
        // For each form that is a key of interest, its position among the keys.
        let ids = keys.iter().zip(0..);
        let ids = ids.filter_map(|(key, position)| Some((self.forms.find(key)?, position)));
        let wanted: HashMap<u32, u32> = ids.collect();
        let mut open = if each > 0 { wanted.len() } else { 0 };
        let mut seen: HashSet<&str> = HashSet::new();
        let mut of: Vec<u32> = Vec::new();
        for (text, number, id) in self.texts.newest().take(LOOKED) {
            if open == 0 {
                break;
            }
            let record = self.records.get(id as usize);
            let Some(record) = record.filter(|record| record.text == number) else {
                continue;
            };
            of.clear();
            for word in self.words_of(record) {
                let Some(&position) = wanted.get(&self.forms.key(word)) else {
                    continue;
                };
                let lacks = chosen.of[position as usize].len() < each;
                if lacks && !of.contains(&position) {
                    of.push(position);
                }
            }
            if of.is_empty() || !seen.insert(text) {
                continue;
            }
            for &position in &of {
                let list = &mut chosen.of[position as usize];
                list.push(chosen.texts.len() as u32);
                open -= usize::from(list.len() == each);
            }
            chosen.texts.push(text);
            records.push(id);
        }
        (chosen, records)
    }
}
