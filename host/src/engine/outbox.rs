//! Where a stage's calls report to: batches go to the edges after the call, fates to the
//! accounts and the dead letters at once.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use plugin_api::{
    Batch, Reject, StageError,
    abi::{batch::RawBatch, services::OutApi},
    manifest::StageKind,
};

use super::{
    account::{Ledger, add},
    edge::{Inbox, Item, Sent},
    shared::StageShared,
};
use crate::{
    checkpoint::dead_letters::{DeadLetter, DeadLetters},
    config::{OnError, Ordering},
};

/// One edge, at its sender: to all instances of a stage.
pub struct Route {
    pub to: Arc<StageShared>,
    /// Lane in each instance's inbox.
    pub lanes: Vec<usize>,
    pub ordering: Ordering,
    pub turn: usize,
}

/// The host is being torn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn;

/// Bytes that a call may emit before it is told that it is enough.
const EMIT_BYTES: usize = 4 << 20;
/// Batches that a call may emit before it is told that it is enough.
const EMIT_BATCHES: usize = 16;

/// What an instance's calls report to.
pub struct Outbox {
    pub stage: Arc<StageShared>,
    /// Routes of each output port.
    pub routes: Vec<Vec<Route>>,
    pub ledger: Ledger,
    pub on_error: OnError,
    pub letters: Arc<DeadLetters>,
    /// Format of each input port, for dead letters.
    pub formats: Vec<String>,
    /// The input port of the batch in hand, for dead letters.
    pub input: u32,
    /// Indices of the batch in hand that were rejected.
    pub rejected: Vec<u32>,
    emitted: Vec<(u32, Batch)>,
    emitted_bytes: usize,
    /// Records emitted by the last call.
    pub emitted_records: u64,
    /// The plugin broke the contract, or `on_error = "stop"` met a rejected record.
    pub fault: Option<StageError>,
}

impl Outbox {
    pub fn new(
        stage: Arc<StageShared>,
        routes: Vec<Vec<Route>>,
        on_error: OnError,
        letters: Arc<DeadLetters>,
        formats: Vec<String>,
    ) -> Self {
        Self {
            stage,
            routes,
            ledger: Ledger::default(),
            on_error,
            letters,
            formats,
            input: 0,
            rejected: Vec::new(),
            emitted: Vec::new(),
            emitted_bytes: 0,
            emitted_records: 0,
            fault: None,
        }
    }

    fn is_source(&self) -> bool {
        self.stage.kind == StageKind::Source
    }

    fn fault(&mut self, message: String) {
        self.fault.get_or_insert_with(|| StageError::fatal(message));
    }

    /// Sends what the last call emitted, waiting where an edge is full.
    pub fn flush(&mut self) -> Result<(), Torn> {
        self.emitted_bytes = 0;
        let mut emitted = std::mem::take(&mut self.emitted);
        for (port, batch) in emitted.drain(..) {
            let Some((last, others)) = self
                .routes
                .get_mut(port as usize)
                .and_then(|r| r.split_last_mut())
            else {
                continue;
            };
            for route in others {
                route.send(batch.clone())?;
            }
            last.send(batch)?;
        }
        // Keeps its allocation.
        self.emitted = emitted;
        Ok(())
    }

    /// Sends a mark to every edge.
    pub fn mark(&self, mark: &Item) {
        for route in self.routes.iter().flatten() {
            for (inbox, lane) in route.targets() {
                inbox.send_mark(lane, mark.clone());
            }
        }
    }

    fn letter(&mut self, letter: &DeadLetter<'_>) {
        if let Err(e) = self.letters.write(letter) {
            self.fault(format!("a dead letter cannot be written: {e}"));
        }
    }

    /// Counts and keeps a rejected record.
    fn settle_rejected(&mut self, write: impl FnOnce(&mut Self), why: &str) {
        match self.on_error {
            OnError::Drop => add(&self.stage.counters.dropped, 1),
            OnError::DeadLetter | OnError::Stop => {
                add(&self.stage.counters.dead_lettered, 1);
                write(self);
            }
        }
        if self.on_error == OnError::Stop {
            self.fault(format!("a record was rejected: {why}"));
        }
    }

    /// The stage crashed over this batch: what has no fate becomes dead letters.
    pub fn reject_rest(&mut self, seq: u64, why: &str) {
        let Some(batch) = self.ledger.batch(seq) else {
            return;
        };
        let rejected = std::mem::take(&mut self.rejected);
        for index in 0..batch.len() as u32 {
            if self.ledger.left(seq) == 0 {
                break;
            }
            if !rejected.contains(&index) {
                self.reject(seq, index, why, "");
            }
        }
    }
}

impl OutApi for Outbox {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        let batch = match Batch::try_from(batch) {
            Ok(batch) => batch,
            Err(e) => {
                self.fault(format!("it emitted a batch that is not sound: {e}"));
                return false;
            }
        };
        if port as usize >= self.routes.len() {
            self.fault(format!("it emitted to port {port}, which it does not have"));
            return false;
        }
        let n = batch.len() as u64;
        let counters = &self.stage.counters;
        if self.is_source() {
            add(&counters.received, n);
            add(&counters.consumed, n);
        }
        add(&counters.emitted, n);
        self.emitted_records += n;
        self.emitted_bytes += batch.pinned_bytes();
        self.emitted.push((port, batch));
        self.emitted_bytes < EMIT_BYTES && self.emitted.len() < EMIT_BATCHES
    }

    fn consumed(&mut self, seq: u64, n: u64) {
        if self.ledger.settle(seq, n) {
            add(&self.stage.counters.consumed, n);
        } else {
            self.fault(format!(
                "it reported {n} records of batch {seq} as consumed, which has not so many left"
            ));
        }
    }

    fn filtered(&mut self, seq: u64, n: u64) {
        if self.is_source() {
            add(&self.stage.counters.received, n);
            add(&self.stage.counters.filtered, n);
        } else if self.ledger.settle(seq, n) {
            add(&self.stage.counters.filtered, n);
        } else {
            self.fault(format!(
                "it reported {n} records of batch {seq} as filtered, which has not so many left"
            ));
        }
    }

    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str) {
        let batch = self
            .ledger
            .batch(seq)
            .filter(|b| (index as usize) < b.len());
        let Some(batch) = batch else {
            return self.fault(format!(
                "it rejected record {index} of batch {seq}, which it does not have"
            ));
        };
        let stage = self.stage.clone();
        let format = self
            .formats
            .get(self.input as usize)
            .cloned()
            .unwrap_or_default();
        self.settle_rejected(
            |out| {
                let record = batch.record(index as usize);
                out.letter(&DeadLetter {
                    stage: &stage.name,
                    input: Some(out.input),
                    content_type: &format,
                    reason,
                    pointer,
                    payload: record.value(),
                    record: Some(record),
                });
            },
            reason,
        );
        self.rejected.push(index);
        if !self.ledger.settle(seq, 1) {
            self.fault(format!(
                "it reported more fates for batch {seq} than it has records"
            ));
        }
    }

    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        let stage = self.stage.clone();
        add(&stage.counters.received, 1);
        self.settle_rejected(
            |out| {
                out.letter(&DeadLetter {
                    stage: &stage.name,
                    input: None,
                    content_type: "bytes",
                    reason,
                    pointer,
                    payload: Some(bytes),
                    record: None,
                });
            },
            reason,
        );
    }
}

impl Route {
    fn targets(&self) -> impl Iterator<Item = (&Arc<Inbox>, usize)> {
        self.to.inboxes.iter().zip(self.lanes.iter().copied())
    }

    fn send(&mut self, batch: Batch) -> Result<(), Torn> {
        if self.lanes.len() == 1 {
            return self.send_to(0, batch);
        }
        for (worker, part) in self.split(&batch) {
            self.send_to(worker, part)?;
        }
        Ok(())
    }

    fn send_to(&self, worker: usize, batch: Batch) -> Result<(), Torn> {
        let counters = &self.to.counters;
        add(&counters.received, batch.len() as u64);
        match self.to.inboxes[worker].send_batch(self.lanes[worker], batch) {
            Sent::Queued { dropped } => {
                add(&counters.dropped, dropped);
                Ok(())
            }
            Sent::Torn => Err(Torn),
        }
    }

    /// Spreads a batch over the workers: by key, keyless records in turn.
    fn split(&mut self, batch: &Batch) -> Vec<(usize, Batch)> {
        let n = self.lanes.len();
        let mut parts: Vec<Vec<u32>> = vec![Vec::new(); n];
        for record in batch.iter() {
            let worker = match record.key() {
                Some(key) if self.ordering == Ordering::Key => {
                    let mut hasher = DefaultHasher::new();
                    key.hash(&mut hasher);
                    (hasher.finish() % n as u64) as usize
                }
                _ => {
                    self.turn = (self.turn + 1) % n;
                    self.turn
                }
            };
            parts[worker].push(record.index());
        }
        let parts = parts.into_iter().enumerate().filter(|(_, p)| !p.is_empty());
        parts
            .map(|(worker, p)| (worker, batch.select(&p)))
            .collect()
    }
}

/// Why a record of a crashed call is a dead letter.
pub fn crash_reason(e: &StageError) -> Reject {
    Reject::new(format!("the stage crashed over its batch: {e}"))
}
