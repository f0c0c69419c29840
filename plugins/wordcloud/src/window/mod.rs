//! The sliding window: exact counts of the words of the last records, kept up to date as records
//! come and go. A word costs one look-up when it comes and one decrement when it goes; nothing is
//! ever counted again, and in the steady state nothing is allocated.
//!
//! Records stand in the order of their time (those without one in the order of arrival), so a
//! record that comes late is put where it belongs and leaves when it should.

mod state;

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::layout::hash;

/// Words in a link of the chain that holds a record's words.
const LINK: usize = 14;
const NONE: u32 = u32::MAX;
/// What an entry costs beside its words, in words, when the window's memory is reckoned.
const ENTRY: usize = 6;

/// What bounds the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most records in it.
    pub records: Option<usize>,
    /// Time it spans in microseconds.
    pub span_us: Option<i64>,
    /// Most different words known at once; further ones are not counted until others leave.
    pub words: usize,
    /// Most words held over all records; beyond it the oldest records leave early.
    pub tokens: usize,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the window.
    Counted,
    /// It was older than the window reaches back.
    Late,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    time_us: i64,
    first: u32,
    len: u32,
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
    texts: Vec<String>,
    counts: Vec<u32>,
    unused: Vec<u32>,
    index: HashTable<u32>,
    entries: VecDeque<Entry>,
    links: Vec<Link>,
    free: u32,
    tokens: usize,
    newest_us: i64,
    refused: u64,
    cut: u64,
    pending: Vec<u32>,
}

impl Window {
    /// An empty window.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            texts: Vec::new(),
            counts: Vec::new(),
            unused: Vec::new(),
            index: HashTable::new(),
            entries: VecDeque::new(),
            links: Vec::new(),
            free: NONE,
            tokens: 0,
            newest_us: i64::MIN,
            refused: 0,
            cut: 0,
            pending: Vec::new(),
        }
    }

    /// Counts a word of the record at hand; [`Window::end_record`] ends that record.
    pub fn word(&mut self, word: &str) {
        if let Some(id) = self.intern(word) {
            self.counts[id as usize] += 1;
            self.pending.push(id);
        } else {
            self.refused += 1;
        }
    }

    /// Ends the record at hand, whose time is `time_us`, and lets go of those that leave by it.
    pub fn end_record(&mut self, time_us: i64) -> Added {
        self.newest_us = self.newest_us.max(time_us);
        let late = self.horizon().is_some_and(|horizon| time_us <= horizon);
        if late {
            while let Some(id) = self.pending.pop() {
                self.release(id);
            }
            return Added::Late;
        }
        let entry = Entry {
            time_us,
            first: self.chain(),
            len: self.pending.len() as u32,
        };
        self.tokens += self.pending.len();
        self.pending.clear();
        if self
            .entries
            .back()
            .is_none_or(|last| last.time_us <= time_us)
        {
            self.entries.push_back(entry);
        } else {
            let place = self
                .entries
                .partition_point(|other| other.time_us <= time_us);
            self.entries.insert(place, entry);
        }
        self.trim();
        Added::Counted
    }

    /// Lets go of what is too old at `now_us`, as when the stream has gone quiet. A record that
    /// comes afterwards is still measured against the newest record, so that a stream which was
    /// held up loses nothing. Answers whether records left the window.
    pub fn expire(&mut self, now_us: i64) -> bool {
        let before = self.entries.len();
        if let Some(span) = self.bounds.span_us {
            self.leave_until(now_us.saturating_sub(span));
        }
        self.entries.len() != before
    }

    /// The newest time seen, `i64::MIN` before the first record.
    pub fn newest_us(&self) -> i64 {
        self.newest_us
    }

    /// Records in the window.
    pub fn records(&self) -> usize {
        self.entries.len()
    }

    /// Words in the window, each as often as it occurs.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Different words in the window.
    pub fn distinct(&self) -> usize {
        self.index.len()
    }

    /// Words that were not counted because `words` different ones were known, so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Records that left early because of the bound on `tokens`, so far.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// How often a word occurs.
    pub fn count(&self, word: &str) -> u64 {
        let texts = &self.texts;
        let found = self
            .index
            .find(hash(word, 0), |&id| texts[id as usize] == word);
        found.map_or(0, |&id| u64::from(self.counts[id as usize]))
    }

    /// The `n` most frequent words that occur at least `least` times, those of one count in the
    /// order of the alphabet.
    pub fn top(&self, n: usize, least: u64) -> Vec<(&str, u64)> {
        let known = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| u64::from(**count) >= least.max(1));
        let mut ids: Vec<u32> = known.map(|(id, _)| id as u32).collect();
        let order = |a: &u32, b: &u32| {
            let (a, b) = (*a as usize, *b as usize);
            self.counts[b]
                .cmp(&self.counts[a])
                .then_with(|| self.texts[a].cmp(&self.texts[b]))
        };
        if n == 0 {
            return Vec::new();
        }
        if ids.len() > n {
            ids.select_nth_unstable_by(n - 1, order);
            ids.truncate(n);
        }
        ids.sort_unstable_by(order);
        ids.into_iter()
            .map(|id| {
                (
                    self.texts[id as usize].as_str(),
                    u64::from(self.counts[id as usize]),
                )
            })
            .collect()
    }

    fn horizon(&self) -> Option<i64> {
        self.bounds
            .span_us
            .map(|span| self.newest_us.saturating_sub(span))
    }

    fn trim(&mut self) {
        if let Some(horizon) = self.horizon() {
            self.leave_until(horizon);
        }
        if let Some(most) = self.bounds.records {
            while self.entries.len() > most {
                self.drop_oldest();
            }
        }
        while self.tokens + self.entries.len() * ENTRY > self.bounds.tokens
            && self.entries.len() > 1
        {
            self.cut += 1;
            self.drop_oldest();
        }
    }

    fn leave_until(&mut self, horizon: i64) {
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.time_us <= horizon)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        let (mut link, mut left) = (entry.first, entry.len as usize);
        self.tokens -= left;
        while link != NONE {
            let Link { words, next } = self.links[link as usize];
            for &id in &words[..left.min(LINK)] {
                self.release(id);
            }
            left = left.saturating_sub(LINK);
            self.links[link as usize].next = self.free;
            self.free = link;
            link = next;
        }
    }

    /// Stores the words of the record at hand, answers the first link.
    fn chain(&mut self) -> u32 {
        let mut next = NONE;
        let pending = std::mem::take(&mut self.pending);
        for part in pending.chunks(LINK).rev() {
            let mut link = Link {
                words: [0; LINK],
                next,
            };
            link.words[..part.len()].copy_from_slice(part);
            next = if self.free == NONE {
                self.links.push(link);
                self.links.len() as u32 - 1
            } else {
                let reused = self.free;
                self.free = self.links[reused as usize].next;
                self.links[reused as usize] = link;
                reused
            };
        }
        self.pending = pending;
        next
    }

    fn intern(&mut self, word: &str) -> Option<u32> {
        let key = hash(word, 0);
        let texts = &self.texts;
        if let Some(&id) = self.index.find(key, |&id| texts[id as usize] == word) {
            return Some(id);
        }
        (self.index.len() < self.bounds.words).then(|| self.add(word))
    }

    /// Takes in a word, known or not, beyond all bounds.
    fn add(&mut self, word: &str) -> u32 {
        let key = hash(word, 0);
        let texts = &self.texts;
        if let Some(&id) = self.index.find(key, |&id| texts[id as usize] == word) {
            return id;
        }
        let id = match self.unused.pop() {
            Some(id) => {
                let text = &mut self.texts[id as usize];
                text.clear();
                text.push_str(word);
                id
            }
            None => {
                self.texts.push(word.to_owned());
                self.counts.push(0);
                self.texts.len() as u32 - 1
            }
        };
        let texts = &self.texts;
        self.index
            .insert_unique(key, id, |&id| hash(&texts[id as usize], 0));
        id
    }

    fn release(&mut self, id: u32) {
        let count = &mut self.counts[id as usize];
        *count -= 1;
        if *count == 0 {
            let key = hash(&self.texts[id as usize], 0);
            if let Ok(found) = self.index.find_entry(key, |&other| other == id) {
                found.remove();
            }
            self.unused.push(id);
        }
    }
}

#[cfg(test)]
mod tests;
