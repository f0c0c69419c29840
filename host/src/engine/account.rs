//! Exact accounts: each record that a stage receives has one fate.
//!
//! `received = consumed + filtered + dead_lettered + dropped + in_flight`, at any time. Accounts
//! are part of an epoch: who starts again from one counts on from there.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use plugin_api::Batch;
use serde::Serialize;

use crate::checkpoint::epoch::Tally;

/// Counters of one instance of a stage.
#[derive(Debug, Default)]
pub struct Counters {
    pub received: AtomicU64,
    pub emitted: AtomicU64,
    pub consumed: AtomicU64,
    pub filtered: AtomicU64,
    pub dead_lettered: AtomicU64,
    pub dropped: AtomicU64,
}

/// The counters at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Records that came in; for a source: what it read from outside.
    pub received: u64,
    /// Records that went out.
    pub emitted: u64,
    /// Records that were used; for a sink: delivered.
    pub consumed: u64,
    /// Records passed over on purpose.
    pub filtered: u64,
    /// Records that could not be used and were kept with their reason.
    pub dead_lettered: u64,
    /// Records dropped by a full edge's or an error's policy.
    pub dropped: u64,
    /// Records with no fate yet.
    pub in_flight: u64,
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

impl std::iter::Sum for Account {
    fn sum<I: Iterator<Item = Self>>(accounts: I) -> Self {
        accounts.fold(Self::default(), |a, b| Self {
            received: a.received + b.received,
            emitted: a.emitted + b.emitted,
            consumed: a.consumed + b.consumed,
            filtered: a.filtered + b.filtered,
            dead_lettered: a.dead_lettered + b.dead_lettered,
            dropped: a.dropped + b.dropped,
            in_flight: a.in_flight + b.in_flight,
        })
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Consumed,
    Filtered,
    DeadLettered,
    Dropped,
}

/// Adds fates to a tally; what was received is the sum of them.
pub fn settle(tally: &mut Tally, fate: Fate, n: u64) {
    tally.received += n;
    *match fate {
        Fate::Consumed => &mut tally.consumed,
        Fate::Filtered => &mut tally.filtered,
        Fate::DeadLettered => &mut tally.dead_lettered,
        Fate::Dropped => &mut tally.dropped,
    } += n;
}

impl Counters {
    /// The counter of a fate.
    pub fn of(&self, fate: Fate) -> &AtomicU64 {
        match fate {
            Fate::Consumed => &self.consumed,
            Fate::Filtered => &self.filtered,
            Fate::DeadLettered => &self.dead_lettered,
            Fate::Dropped => &self.dropped,
        }
    }

    /// Counts on from an epoch.
    pub fn set(&self, tally: &Tally) {
        self.received.store(tally.received, Relaxed);
        self.emitted.store(tally.emitted, Relaxed);
        self.consumed.store(tally.consumed, Relaxed);
        self.filtered.store(tally.filtered, Relaxed);
        self.dead_lettered.store(tally.dead_lettered, Relaxed);
        self.dropped.store(tally.dropped, Relaxed);
    }

    /// What met its fate so far, apart from what an edge dropped.
    pub fn tally(&self, dropped: u64) -> Tally {
        let (consumed, filtered) = (self.consumed.load(Relaxed), self.filtered.load(Relaxed));
        let dead_lettered = self.dead_lettered.load(Relaxed);
        Tally {
            received: consumed + filtered + dead_lettered + dropped,
            emitted: self.emitted.load(Relaxed),
            consumed,
            filtered,
            dead_lettered,
            dropped,
        }
    }

    /// The counters now.
    pub fn account(&self) -> Account {
        // Fates before what was received: read the other way round, a record that passes in
        // between would make `in_flight` negative.
        let consumed = self.consumed.load(Relaxed);
        let filtered = self.filtered.load(Relaxed);
        let dead_lettered = self.dead_lettered.load(Relaxed);
        let dropped = self.dropped.load(Relaxed);
        let received = self.received.load(Relaxed);
        Account {
            received,
            emitted: self.emitted.load(Relaxed),
            consumed,
            filtered,
            dead_lettered,
            dropped,
            in_flight: received.saturating_sub(consumed + filtered + dead_lettered + dropped),
        }
    }
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    left: u64,
}

/// The batches of one instance whose records do not all have a fate yet, kept so that a late
/// rejection still finds its bytes.
#[derive(Debug, Default)]
pub struct Ledger {
    open: VecDeque<Open>,
    first: u64,
}

impl Ledger {
    /// Enters a batch; its number.
    pub fn enter(&mut self, batch: Batch) -> u64 {
        let left = batch.len() as u64;
        self.open.push_back(Open { batch, left });
        self.first + self.open.len() as u64 - 1
    }

    fn get(&mut self, seq: u64) -> Option<&mut Open> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.open.get_mut(at)
    }

    /// `n` records of a batch have their fate. False: the batch has not so many left.
    pub fn settle(&mut self, seq: u64, n: u64) -> bool {
        let Some(open) = self.get(seq) else {
            return false;
        };
        let Some(left) = open.left.checked_sub(n) else {
            return false;
        };
        open.left = left;
        while self.open.front().is_some_and(|o| o.left == 0) {
            self.open.pop_front();
            self.first += 1;
        }
        true
    }

    /// The number that the next batch gets.
    pub fn next(&self) -> u64 {
        self.first + self.open.len() as u64
    }

    /// The batch that came last, if it is still open.
    pub fn newest(&self) -> Option<&Batch> {
        self.open.back().map(|o| &o.batch)
    }

    /// A batch that is still open.
    pub fn batch(&mut self, seq: u64) -> Option<Batch> {
        self.get(seq).map(|o| o.batch.clone())
    }

    /// How many records of a batch have no fate.
    pub fn left(&mut self, seq: u64) -> u64 {
        self.get(seq).map_or(0, |o| o.left)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    #[test]
    fn batches_stay_until_each_record_has_its_fate() {
        let mut ledger = Ledger::default();
        let mut b = BatchBuilder::new();
        b.push(Some(b"1")).push(Some(b"2"));
        let two = b.finish();
        let (first, second) = (ledger.enter(two.clone()), ledger.enter(two));
        assert!(ledger.settle(second, 2));
        assert!(ledger.settle(first, 1) && ledger.batch(first).is_some());
        assert!(!ledger.settle(first, 2), "more fates than records");
        assert!(ledger.settle(first, 1));
        assert!(ledger.batch(first).is_none() && ledger.batch(second).is_none());
        assert!(!ledger.settle(second, 1));
    }
}
