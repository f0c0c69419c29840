//! Texts of records in which the words of a cloud stand, so that one sees what they are about.

use std::collections::VecDeque;

use hashbrown::HashSet;

use super::Window;

/// Number of a text that was not kept.
pub(super) const UNKEPT: u64 = u64::MAX;
/// Most bytes of a text that are kept.
const LONGEST: usize = 1200;
/// What a text costs beside its bytes.
const HEADER: usize = 32;

/// The newest texts, by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    kept: VecDeque<String>,
    /// Number of the oldest.
    base: u64,
    bytes: usize,
    /// One that has gone, for its memory.
    spare: String,
}

impl Texts {
    /// Keeps a text, and lets go of the oldest until no more than `most` bytes are kept.
    pub(super) fn keep(&mut self, text: &str, most: usize) -> u64 {
        let text = &text[..text.floor_char_boundary(LONGEST)];
        if text.len() + HEADER > most {
            return UNKEPT;
        }
        self.bytes += text.len() + HEADER;
        while self.bytes > most {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.len() + HEADER;
            self.base += 1;
            self.spare = oldest;
        }
        let mut own = std::mem::take(&mut self.spare);
        own.clear();
        own.push_str(text);
        self.kept.push_back(own);
        self.base + self.kept.len() as u64 - 1
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    pub(super) fn get(&self, number: u64) -> Option<&str> {
        let place = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.kept.get(place).map(String::as_str)
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
        let mut wanted = vec![u32::MAX; self.forms.end()];
        let mut open = 0;
        for (position, key) in keys.iter().enumerate() {
            if let Some(id) = self.forms.find(key) {
                wanted[id as usize] = position as u32;
                open += usize::from(each > 0);
            }
        }
        let mut seen: HashSet<&str> = HashSet::new();
        let mut of: Vec<u32> = Vec::new();
        for entry in self.entries.iter().rev() {
            if open == 0 {
                break;
            }
            let record = &self.records[entry.record as usize];
            let Some(text) = self.texts.get(record.text) else {
                continue;
            };
            of.clear();
            for word in self.words_of(record) {
                let position = wanted[self.forms.key(word) as usize];
                let lacks = |position: u32| chosen.of[position as usize].len() < each;
                if position != u32::MAX && lacks(position) && !of.contains(&position) {
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
            records.push(entry.record);
        }
        (chosen, records)
    }
}
