//! Texts of records in which the words of a cloud stand, so that one sees what they are about.

use std::collections::VecDeque;

use hashbrown::HashMap;

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

    /// A text and its record.
    fn get(&self, number: u64) -> Option<(&str, u32)> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let (text, record) = self.kept.get(at)?;
        Some((text, *record))
    }

    /// Number of the text that comes next.
    fn next(&self) -> u64 {
        self.base + self.kept.len() as u64
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

/// The samples of the last frame, so that the next one looks at what has come since.
#[derive(Debug, Default)]
pub struct Recent {
    /// For each word numbers of its texts, newest first.
    of: HashMap<Box<str>, Vec<u64>>,
    /// Number of the text that came next.
    next: u64,
    each: usize,
}

impl Recent {
    /// Up to `each` different texts for each of the words, which are given with their case folded;
    /// the newest that are kept.
    pub fn samples<'a>(&mut self, window: &'a Window, keys: &[&str], each: usize) -> Samples<'a> {
        let numbers = self.look(window, keys, each);
        let mut all: Vec<u64> = numbers.iter().flatten().copied().collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.dedup();
        let mut chosen = Samples::default();
        let mut known: HashMap<&str, u32> = HashMap::with_capacity(all.len());
        let mut positions = Vec::with_capacity(all.len());
        for &number in &all {
            let text = window.texts.get(number).map_or("", |(text, _)| text);
            let position = *known.entry(text).or_insert_with(|| {
                chosen.texts.push(text);
                chosen.texts.len() as u32 - 1
            });
            positions.push(position);
        }
        let position = |number: &u64| {
            let at = all.partition_point(|other| other > number);
            positions[at]
        };
        let of = numbers
            .iter()
            .map(|list| list.iter().map(position).collect());
        chosen.of = of.collect();
        chosen
    }

    /// The texts of those words, newest first, and their records.
    pub(super) fn chosen<'a>(
        &mut self,
        window: &'a Window,
        keys: &[&str],
        each: usize,
    ) -> Vec<(&'a str, u32)> {
        let numbers = self.look(window, keys, each);
        let mut all: Vec<u64> = numbers.into_iter().flatten().collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.dedup();
        all.iter()
            .filter_map(|number| window.texts.get(*number))
            .collect()
    }

    /// For each word the numbers of its texts.
    fn look(&mut self, window: &Window, keys: &[&str], each: usize) -> Vec<Vec<u64>> {
        if std::mem::replace(&mut self.each, each) != each {
            self.of.clear();
        }
        let mut before: Vec<Option<(Box<str>, Vec<u64>)>> = Vec::with_capacity(keys.len());
        for key in keys {
            // What has lost one may have others that are older.
            let known = self.of.remove_entry(*key);
            before.push(known.filter(|(_, list)| list.iter().all(|number| window.keeps(*number))));
        }
        self.of.clear();
        let ids = keys.iter().zip(0_u32..);
        let ids = ids.filter_map(|(key, position)| Some((window.forms.find(key)?, position)));
        let wanted: HashMap<u32, u32> = ids.collect();
        let mut lists: Vec<Vec<u64>> = vec![Vec::new(); keys.len()];
        let mut unknown = before.iter().filter(|known| known.is_none()).count();
        for (text, number, id) in window.texts.newest().take(LOOKED) {
            let new = number >= self.next;
            if each == 0 || !new && unknown == 0 {
                break;
            }
            let record = window.records.get(id as usize);
            let Some(record) = record.filter(|record| record.text == number) else {
                continue;
            };
            for word in window.words_of(record) {
                let Some(&position) = wanted.get(&window.forms.key(word)) else {
                    continue;
                };
                let list = &mut lists[position as usize];
                let known = before[position as usize].is_some();
                if list.len() < each && (new || !known) && window.differs(list, text) {
                    list.push(number);
                    unknown -= usize::from(!known && list.len() == each);
                }
            }
        }
        for ((list, before), key) in lists.iter_mut().zip(before).zip(keys) {
            let (key, old) = before.unwrap_or_else(|| (Box::from(*key), Vec::new()));
            for number in old {
                let text = window.texts.get(number).map_or("", |(text, _)| text);
                if list.len() < each && window.differs(list, text) {
                    list.push(number);
                }
            }
            self.of.insert(key, list.clone());
        }
        self.next = window.texts.next();
        lists
    }
}

impl Window {
    /// Whether a text is still kept and its record in the window.
    fn keeps(&self, number: u64) -> bool {
        let record = self.texts.get(number).map(|(_, record)| record);
        let record = record.and_then(|record| self.records.get(record as usize));
        record.is_some_and(|record| record.text == number)
    }

    /// Whether a text is none of those of these numbers.
    fn differs(&self, numbers: &[u64], text: &str) -> bool {
        let texts = numbers.iter().filter_map(|number| self.texts.get(*number));
        texts.map(|(other, _)| other).all(|other| other != text)
    }
}
