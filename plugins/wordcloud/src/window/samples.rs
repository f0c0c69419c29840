//! Texts of records in which the words of a cloud stand, so that one sees what they are about.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{Counted, Window};

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
    pub(super) fn get(&self, number: u64) -> Option<(&str, u32)> {
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
    /// The positions of the words' texts, one word after the other, and where each word's end.
    positions: Vec<u32>,
    ends: Vec<usize>,
}

impl Samples<'_> {
    /// Positions of the texts of a word.
    pub fn of(&self, word: usize) -> &[u32] {
        let Some(&end) = self.ends.get(word) else {
            return &[];
        };
        let start = word.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.positions[start..end]
    }
}

/// The samples of the last frame, so that the next one looks at what has come since.
#[derive(Debug, Default)]
pub struct Recent {
    /// By the form that is the word's key.
    of: HashMap<u32, Known>,
    /// Number of the text that came next.
    next: u64,
    each: usize,
    frame: u32,
}

/// The texts of a word.
#[derive(Debug, Default)]
struct Known {
    /// By number, newest first.
    texts: Vec<u64>,
    /// How many of them are of before.
    old: usize,
    /// Whether none is missing.
    whole: bool,
    /// The frame that showed the word last.
    frame: u32,
}

impl Recent {
    /// Up to `each` different texts for each of the words, the newest that are kept.
    pub fn samples<'a>(
        &mut self,
        window: &'a Window,
        words: &[Counted<'_>],
        each: usize,
    ) -> Samples<'a> {
        let (numbers, of) = self.chosen(window, words, each);
        let texts = numbers
            .iter()
            .filter_map(|number| window.texts.get(*number));
        let texts: Vec<&str> = texts.map(|(text, _)| text).collect();
        let position = |number: &u64| numbers.partition_point(|other| other > number) as u32;
        let mut samples = Samples {
            texts,
            positions: Vec::with_capacity(of.len() * each),
            ends: Vec::with_capacity(of.len()),
        };
        for texts in of {
            samples.positions.extend(texts.iter().map(position));
            samples.ends.push(samples.positions.len());
        }
        samples
    }

    /// The same with the numbers of the texts.
    pub(super) fn chosen(
        &mut self,
        window: &Window,
        words: &[Counted<'_>],
        each: usize,
    ) -> (Vec<u64>, Vec<&[u64]>) {
        if std::mem::replace(&mut self.each, each) != each {
            self.of.clear();
        }
        self.frame = self.frame.wrapping_add(1);
        let mut unknown = 0;
        for word in words {
            let known = self.of.entry(word.id).or_default();
            known.frame = self.frame;
            // One that has lost a text may have others that are older.
            known.whole &= known.texts.iter().all(|number| window.keeps(*number));
            if !known.whole {
                known.texts.clear();
                unknown += 1;
            }
            known.old = known.texts.len();
        }
        if self.of.len() > words.len() {
            let frame = self.frame;
            self.of.retain(|_, known| known.frame == frame);
        }
        self.look(window, unknown);
        for known in self.of.values_mut() {
            known.settle(window, each);
        }
        let of = words.iter().map(|word| self.of.get(&word.id));
        let of: Vec<&[u64]> = of
            .map(|known| known.map_or(&[][..], |known| &known.texts))
            .collect();
        let mut numbers: Vec<u64> = of.iter().copied().flatten().copied().collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        numbers.dedup();
        (numbers, of)
    }

    /// Adds what has come since the last frame, and for words of which nothing is known all that
    /// is wanted.
    fn look(&mut self, window: &Window, mut unknown: usize) {
        // Words that lack new ones: mostly the newest texts hold all.
        let mut open = if self.each > 0 { self.of.len() } else { 0 };
        for (text, number, id) in window.texts.newest().take(LOOKED) {
            let new = number >= self.next;
            if open == 0 || !new && unknown == 0 {
                break;
            }
            let record = window.records.get(id as usize);
            let Some(record) = record.filter(|record| record.text == number) else {
                continue;
            };
            for word in window.words_of(record) {
                let Some(known) = self.of.get_mut(&window.forms.key(word)) else {
                    continue;
                };
                let added = &known.texts[known.old..];
                if added.len() < self.each && (new || !known.whole) && window.differs(added, text) {
                    known.texts.push(number);
                    let full = known.texts.len() - known.old == self.each;
                    unknown -= usize::from(full && !known.whole);
                    open -= usize::from(full);
                }
            }
        }
        self.next = window.texts.next();
    }
}

impl Known {
    /// Puts what was added before the others, as far as they differ, and no more than so many.
    fn settle(&mut self, window: &Window, each: usize) {
        self.whole = true;
        let (old, added) = (self.old, self.texts.len() - self.old);
        if added == 0 {
            return;
        }
        self.texts.rotate_left(old);
        let mut kept = added;
        for at in added..self.texts.len() {
            let number = self.texts[at];
            let text = window.texts.get(number).map_or("", |(text, _)| text);
            if kept < each && window.differs(&self.texts[..kept], text) {
                self.texts[kept] = number;
                kept += 1;
            }
        }
        self.texts.truncate(kept);
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
