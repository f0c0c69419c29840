//! The words of a window and the ways in which they are written.
//!
//! A *form* is a text as written; its *key* is that text with the case folded, a form too. How
//! often a form was written stands at the form, how often the word occurs at its key. So a word
//! that comes again as it was written before costs one look-up, and folding costs nothing then.

use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Counts that are told apart in finding the most frequent words.
const LEVELS: usize = 1024;

/// No form.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Form {
    /// Short ones stand here, so that comparing them reads no other memory.
    text: CompactString,
    hash: u64,
    written: u64,
    key: u32,
    /// The forms of one key are a ring in both directions, the key itself being one of them.
    next: u32,
    previous: u32,
}

/// All forms that are in use, by number. A number is used again when its form has gone.
#[derive(Debug)]
pub(super) struct Forms {
    forms: Vec<Form>,
    /// Of each key, how often its word occurs; apart, because it is searched from end to end.
    totals: Vec<u64>,
    /// How many words occur so often, the last for all that occur more often: so one knows at once
    /// how often the most frequent ones do at least.
    levels: Box<[u32; LEVELS]>,
    unused: Vec<u32>,
    index: HashTable<u32>,
    /// Seeded anew in each process, so that nobody can send words that collide.
    hasher: DefaultHashBuilder,
    words: usize,
}

impl Forms {
    pub(super) fn new() -> Self {
        Self {
            forms: Vec::new(),
            totals: Vec::new(),
            levels: Box::new([0; LEVELS]),
            unused: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            words: 0,
        }
    }

    /// Forms in use.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Different words.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Numbers are below this one.
    pub(super) fn end(&self) -> usize {
        self.forms.len()
    }

    pub(super) fn text(&self, id: u32) -> &str {
        &self.forms[id as usize].text
    }

    pub(super) fn key(&self, id: u32) -> u32 {
        self.forms[id as usize].key
    }

    pub(super) fn total(&self, id: u32) -> u64 {
        self.totals[id as usize]
    }

    pub(super) fn written(&self, id: u32) -> u64 {
        self.forms[id as usize].written
    }

    /// Whether a form of this number is in use.
    pub(super) fn used(&self, id: u32) -> bool {
        let form = &self.forms[id as usize];
        form.written > 0 || self.totals[id as usize] > 0
    }

    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.look(text, self.hasher.hash_one(text))
    }

    fn look(&self, text: &str, hash: u64) -> Option<u32> {
        let forms = &self.forms;
        let same = |&id: &u32| forms[id as usize].hash == hash && forms[id as usize].text == text;
        self.index.find(hash, same).copied()
    }

    /// Counts `text`, whose key is `key`, unless that makes more than `most` forms.
    pub(super) fn count(&mut self, text: &str, key: &str, most: usize) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        let id = match self.look(text, hash) {
            Some(id) => id,
            None if text == key => {
                if self.len() >= most {
                    return None;
                }
                self.insert(text, hash, None)
            }
            None => {
                let key_hash = self.hasher.hash_one(key);
                let known = self.look(key, key_hash);
                if self.len() + 1 + usize::from(known.is_none()) > most {
                    return None;
                }
                let key = known.unwrap_or_else(|| self.insert(key, key_hash, None));
                self.insert(text, hash, Some(key))
            }
        };
        self.add(id, 1);
        Some(id)
    }

    /// Takes in a form that is not known, with the key `key` or as a key; counts nothing.
    pub(super) fn define(&mut self, text: &str, key: Option<u32>) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        if self.look(text, hash).is_some() {
            return None;
        }
        Some(self.insert(text, hash, key))
    }

    pub(super) fn add(&mut self, id: u32, times: u64) {
        let form = &mut self.forms[id as usize];
        form.written += times;
        let total = &mut self.totals[form.key as usize];
        self.words += usize::from(*total == 0 && times > 0);
        let before = std::mem::replace(total, *total + times);
        self.levels[level(before)] -= u32::from(before > 0);
        self.levels[level(before + times)] += u32::from(before + times > 0);
    }

    /// Counts a form once less; what is not used any more goes.
    pub(super) fn release(&mut self, id: u32) {
        let form = &mut self.forms[id as usize];
        form.written -= 1;
        let (key, written) = (form.key, form.written);
        let total = &mut self.totals[key as usize];
        *total -= 1;
        let total = *total;
        self.levels[level(total + 1)] -= 1;
        self.levels[level(total)] += u32::from(total > 0);
        if written == 0 && key != id {
            self.remove(id);
        }
        if total == 0 {
            self.words -= 1;
            self.remove(key);
        }
    }

    /// Forgets forms that were taken in and never counted.
    pub(super) fn sweep(&mut self) {
        for id in 0..self.forms.len() as u32 {
            let form = &self.forms[id as usize];
            let listed = form.next != NONE;
            if listed && form.written == 0 && (form.key != id || self.total(id) == 0) {
                self.remove(id);
            }
        }
    }

    fn insert(&mut self, text: &str, hash: u64, key: Option<u32>) -> u32 {
        let id = match self.unused.pop() {
            Some(id) => {
                let form = &mut self.forms[id as usize];
                form.text.clear();
                form.text.push_str(text);
                form.hash = hash;
                id
            }
            None => {
                self.forms.push(Form {
                    text: CompactString::new(text),
                    hash,
                    written: 0,
                    key: NONE,
                    next: NONE,
                    previous: NONE,
                });
                self.totals.push(0);
                self.forms.len() as u32 - 1
            }
        };
        let (next, previous) = match key {
            None => (id, id),
            Some(key) => (self.forms[key as usize].next, key),
        };
        let form = &mut self.forms[id as usize];
        form.key = key.unwrap_or(id);
        (form.next, form.previous) = (next, previous);
        self.forms[previous as usize].next = id;
        self.forms[next as usize].previous = id;
        let forms = &self.forms;
        self.index
            .insert_unique(hash, id, |&id| forms[id as usize].hash);
        id
    }

    fn remove(&mut self, id: u32) {
        let Form {
            hash,
            next,
            previous,
            ..
        } = self.forms[id as usize];
        self.forms[previous as usize].next = next;
        self.forms[next as usize].previous = previous;
        self.forms[id as usize].next = NONE;
        if let Ok(found) = self.index.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        self.unused.push(id);
    }

    /// How the word of a key is written most often; of two ways that are as frequent the folded
    /// one, else the one that stands first in the order of Unicode.
    pub(super) fn shown(&self, key: u32) -> &str {
        let (mut best, mut at) = (key, self.forms[key as usize].next);
        while at != key {
            let (one, other) = (&self.forms[at as usize], &self.forms[best as usize]);
            let tie = one.written == other.written && best != key && one.text < other.text;
            if one.written > other.written || tie {
                best = at;
            }
            at = one.next;
        }
        self.text(best)
    }

    /// Keys of the `n` most frequent words that occur at least `least` times, those of one count
    /// in the order of the alphabet.
    pub(super) fn top(&self, n: usize, least: u64) -> Vec<u32> {
        let order = |a: &Ranked, b: &Ranked| {
            let ranks = (b.total, a.start).cmp(&(a.total, b.start));
            ranks.then_with(|| self.text(a.id).cmp(self.text(b.id)))
        };
        let mut best: Vec<Ranked> = Vec::new();
        if n == 0 {
            return Vec::new();
        }
        let mut bound = least.max(self.bound(n)).max(1);
        for (part, totals) in self.totals.chunks(CHUNK).enumerate() {
            // Most words are rarer than all of the best.
            if totals.iter().fold(0, |most, total| most.max(*total)) < bound {
                continue;
            }
            for (id, &total) in (part * CHUNK..).zip(totals) {
                if total < bound {
                    continue;
                }
                let (id, text) = (id as u32, self.text(id as u32));
                let start = start_of(text);
                best.push(Ranked { total, start, id });
                if best.len() >= 4 * n {
                    best.select_nth_unstable_by(n - 1, order);
                    best.truncate(n);
                    bound = bound.max(best[n - 1].total);
                }
            }
        }
        best.sort_unstable_by(order);
        best.truncate(n);
        best.into_iter().map(|word| word.id).collect()
    }

    /// A count that no less than `n` words reach, if there are so many: the greatest of those that
    /// are told apart.
    fn bound(&self, n: usize) -> u64 {
        let mut number = 0;
        let levels = self.levels.iter().enumerate().rev();
        let reached = levels.map(|(level, words)| {
            number += *words as usize;
            (level, number)
        });
        let mut enough = reached.take_while(|(level, _)| *level > 0);
        let enough = enough.find(|(_, number)| *number >= n);
        enough.map_or(1, |(level, _)| level as u64)
    }
}

/// Counts that are looked through at once.
const CHUNK: usize = 32;

/// A word that may be one of the most frequent.
#[derive(Clone, Copy)]
struct Ranked {
    total: u64,
    /// The first bytes of its text, by which most words are in order.
    start: u64,
    id: u32,
}

fn level(total: u64) -> usize {
    total.min(LEVELS as u64 - 1) as usize
}

fn start_of(text: &str) -> u64 {
    let mut start = [0; 8];
    let len = text.len().min(start.len());
    start[..len].copy_from_slice(&text.as_bytes()[..len]);
    u64::from_be_bytes(start)
}
