//! Exact accounts: each record that a stage receives has one fate.
//!
//! `received = consumed + filtered + dead_lettered + dropped + in_flight`, at any time.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use plugin_api::Batch;
use serde::Serialize;

/// Counters of a stage, all its instances together.
#[derive(Debug, Default)]
pub struct Counters {
    pub received: AtomicU64,
    pub emitted: AtomicU64,
    pub consumed: AtomicU64,
    pub filtered: AtomicU64,
    pub dead_lettered: AtomicU64,
    pub dropped: AtomicU64,
    /// Bytes of payload received (sources: emitted).
    pub bytes: AtomicU64,
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

impl Counters {
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
