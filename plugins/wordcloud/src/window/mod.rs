//! The sliding window: exact counts of the words of the last records, kept up to date as records
//! come and go. A word costs one look-up when it comes and one decrement when it goes; nothing is
//! ever counted again, and in the steady state nothing is allocated.
//!
//! A window of time holds its records in the order of their time, so a record that comes late is
//! put where it belongs and leaves when it should. A window of so many records holds them in the
//! order in which they came. [`groups`] holds a window for each group of records.

mod entries;
mod forms;
pub mod groups;
mod samples;
mod state;
#[cfg(test)]
mod tests;

use entries::{Entries, Entry};
use forms::{Forms, NONE};
use hashbrown::HashMap;

pub use samples::{Recent, Samples};
use samples::{Texts, UNKEPT};

/// Words in a link of the chain that holds a record's words.
const LINK: usize = 14;
/// What a record costs beside its words, in words, when memory is reckoned.
const RECORD: usize = 8;

/// What bounds a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most records in it.
    pub records: Option<usize>,
    /// Time it spans in microseconds. Without this and `records` nothing ever leaves.
    pub span_us: Option<i64>,
    /// How far behind the newest a record may be in microseconds; without it, as far as the
    /// window reaches.
    pub lateness_us: Option<i64>,
    /// Most ways of writing words known at once; further ones are not counted until others leave.
    pub words: usize,
    /// Most words held over all records; beyond it the oldest records leave early.
    pub tokens: usize,
    /// Most bytes of texts kept as samples in one window; beyond it the oldest ones go.
    pub samples: usize,
}

impl Bounds {
    /// How far ahead of the clock a record's time is believed: clocks differ, but one wrong time
    /// must not empty the window, nor make all that follow late.
    pub fn ahead_us(&self) -> i64 {
        const MOST: i64 = 60_000_000;
        let span = self.span_us.map_or(MOST, |span| span / 8);
        let lateness = self.lateness_us.map_or(MOST, |lateness| lateness / 2);
        MOST.min(span).min(lateness)
    }

    /// Whether nothing ever leaves.
    pub fn everything(&self) -> bool {
        self.records.is_none() && self.span_us.is_none()
    }
}

/// A word that occurs in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Its number while it is in the window.
    pub id: u32,
    /// The word with its case folded: what is counted.
    pub key: &'a str,
    /// The word as most often written.
    pub text: &'a str,
    /// How often it occurs.
    pub count: u64,
}

/// Where a tweet came from: retweets and the tweet itself have the same, other tweets another.
pub type Origin = u128;

/// A text whose words are counted as long as one entry is there that stands for it.
#[derive(Debug, Clone, Copy)]
struct Record {
    entries: u32,
    first: u32,
    len: u32,
    /// Number of its sample.
    text: u64,
    origin: Option<Origin>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    words: [u32; LINK],
    next: u32,
}

/// The window and its counts.
#[derive(Debug)]
pub struct Window {
    bounds: Bounds,
    forms: Forms,
    entries: Entries,
    records: Vec<Record>,
    free_record: Vec<u32>,
    links: Vec<Link>,
    free_link: u32,
    origins: HashMap<Origin, u32>,
    texts: Texts,
    tokens: usize,
    refused: u64,
    /// Records and words ever counted.
    ever: (u64, u64),
    pending: Vec<u32>,
}

impl Window {
    /// An empty window.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            forms: Forms::new(),
            entries: Entries::default(),
            records: Vec::new(),
            free_record: Vec::new(),
            links: Vec::new(),
            free_link: NONE,
            origins: HashMap::new(),
            texts: Texts::default(),
            tokens: 0,
            refused: 0,
            ever: (0, 0),
            pending: Vec::new(),
        }
    }

    /// Takes a record that repeats one of the window: its words are counted already and stay
    /// until the last of both leaves. Answers whether there is one.
    pub fn repeat(&mut self, time_us: i64, origin: Origin) -> bool {
        let Some(&record) = self.origins.get(&origin) else {
            return false;
        };
        self.records[record as usize].entries += 1;
        self.ever.0 += 1;
        self.enter(Entry { time_us, record });
        self.trim();
        true
    }

    /// Counts a word of the record at hand, written `text`, which is `key` with the case folded,
    /// unless that makes more than `most` ways of writing words. [`Window::end_record`] ends that
    /// record.
    pub fn word(&mut self, text: &str, key: &str, most: usize) {
        if let Some(id) = self.forms.count(text, key, most) {
            self.pending.push(id);
        } else {
            self.refused += 1;
        }
    }

    /// Ends the record at hand, and lets go of those that leave by it. `text` is kept as a sample
    /// of its words for a while.
    pub fn end_record(&mut self, time_us: i64, origin: Option<Origin>, text: &str) {
        let record = Record {
            entries: 1,
            first: self.chain(),
            len: self.pending.len() as u32,
            text: UNKEPT,
            origin,
        };
        self.tokens += self.pending.len();
        self.ever.0 += 1;
        self.ever.1 += self.pending.len() as u64;
        let id = match self.free_record.pop() {
            Some(id) => {
                self.records[id as usize] = record;
                id
            }
            None => {
                self.records.push(record);
                self.records.len() as u32 - 1
            }
        };
        if !self.pending.is_empty() {
            let sample = self.texts.keep(text, id, self.bounds.samples);
            self.records[id as usize].text = sample;
        }
        self.pending.clear();
        if let Some(origin) = origin {
            self.origins.insert(origin, id);
        }
        self.enter(Entry {
            time_us,
            record: id,
        });
        self.trim();
    }

    fn enter(&mut self, entry: Entry) {
        if self.bounds.span_us.is_some() {
            self.entries.insert(entry);
        } else {
            self.entries.push(entry);
        }
    }

    /// Records in the window, repetitions too.
    pub fn records(&self) -> u64 {
        if self.bounds.everything() {
            return self.ever.0;
        }
        self.entries.len() as u64
    }

    /// Whether it holds one record at most.
    pub fn is_last(&self) -> bool {
        self.entries.len() <= 1
    }

    /// Words in the window, each as often as it occurs.
    pub fn tokens(&self) -> u64 {
        if self.bounds.everything() {
            return self.ever.1;
        }
        self.tokens as u64
    }

    /// Different words in the window.
    pub fn distinct(&self) -> usize {
        self.forms.words()
    }

    /// Ways of writing words that are known.
    pub fn forms(&self) -> usize {
        self.forms.len()
    }

    /// What the records cost, in words.
    pub fn cost(&self) -> usize {
        self.entries.len() * RECORD + self.tokens
    }

    /// Words that were not counted because too many were known, so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Time of the record that leaves next.
    pub fn oldest_us(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.time_us)
    }

    /// How often a word occurs, given with its case folded.
    pub fn count(&self, key: &str) -> u64 {
        let found = self.forms.find(key);
        found.map_or(0, |id| self.forms.total(id))
    }

    /// The `n` most frequent words that occur at least `least` times, those of one count in the
    /// order of the alphabet.
    pub fn top(&self, n: usize, least: u64) -> Vec<Counted<'_>> {
        let counted = |id| Counted {
            id,
            key: self.forms.text(id),
            text: self.forms.shown(id),
            count: self.forms.total(id),
        };
        self.forms.top(n, least).into_iter().map(counted).collect()
    }

    fn trim(&mut self) {
        if let Some(most) = self.bounds.records {
            while self.entries.len() > most {
                self.drop_oldest();
            }
        }
        // Where nothing leaves, records are kept for their samples and to know repetitions only.
        if self.bounds.everything() {
            while let Some(oldest) = self.entries.front() {
                let record = &self.records[oldest.record as usize];
                if record.origin.is_some() || self.texts.has(record.text) {
                    break;
                }
                self.drop_oldest();
            }
        }
    }

    /// Makes all records older by as much.
    pub fn set_back(&mut self, by_us: i64) {
        self.entries.set_back(by_us);
    }

    /// Lets go of what is not newer than `horizon`; answers whether there was something.
    pub fn leave_until(&mut self, horizon: i64) -> bool {
        let before = self.entries.len();
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.time_us <= horizon)
        {
            self.drop_oldest();
        }
        self.entries.len() != before
    }

    /// Lets go of the oldest record. Answers whether anybody can tell: where nothing ever leaves,
    /// only its repetitions are not known any more.
    pub fn drop_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop() else {
            return false;
        };
        let everything = self.bounds.everything();
        let record = &mut self.records[entry.record as usize];
        let told = !everything || record.origin.is_some();
        record.entries -= 1;
        if record.entries > 0 {
            return told;
        }
        if let Some(origin) = record.origin {
            self.origins.remove(&origin);
        }
        record.text = UNKEPT;
        self.free_record.push(entry.record);
        let (mut link, mut left) = (record.first, record.len as usize);
        self.tokens -= left;
        while link != NONE {
            let Link { words, next } = self.links[link as usize];
            if !everything {
                for &id in &words[..left.min(LINK)] {
                    self.forms.release(id);
                }
            }
            left = left.saturating_sub(LINK);
            self.links[link as usize].next = self.free_link;
            self.free_link = link;
            link = next;
        }
        told
    }

    /// Stores the words of the record at hand, answers the first link.
    fn chain(&mut self) -> u32 {
        let mut next = NONE;
        for part in self.pending.chunks(LINK).rev() {
            let mut link = Link {
                words: [0; LINK],
                next,
            };
            link.words[..part.len()].copy_from_slice(part);
            next = if self.free_link == NONE {
                self.links.push(link);
                self.links.len() as u32 - 1
            } else {
                let reused = self.free_link;
                self.free_link = self.links[reused as usize].next;
                self.links[reused as usize] = link;
                reused
            };
        }
        next
    }

    /// The words of a record, by number.
    fn words_of(&self, record: &Record) -> impl Iterator<Item = u32> + '_ {
        let (mut link, mut left) = (record.first, record.len as usize);
        std::iter::from_fn(move || {
            let Link { words, next } = *self.links.get(link as usize)?;
            let part = left.min(LINK);
            left -= part;
            link = next;
            Some(words.into_iter().take(part))
        })
        .flatten()
    }
}
