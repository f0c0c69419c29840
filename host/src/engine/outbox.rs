//! Where a stage's calls report to: batches go to the edges after the call, fates to the
//! accounts and the dead letters at once.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, MutexGuard, PoisonError},
};

use plugin_api::{
    Batch, Code, Format, StageError,
    abi::{batch::RawBatch, services::OutApi},
    manifest::StageKind,
};

use super::{
    account::{Counters, Fate, Ledger, add, settle},
    contract,
    edge::{Inbox, Item, Sent, Upstream},
    retained::{Retained, Sent as Kept},
    shared::StageShared,
};
use crate::{
    checkpoint::{
        coordinator::Barrier,
        dead_letters::{DeadLetter, DeadLetters},
        epoch::Tally,
    },
    config::{OnError, Ordering},
    plan::memory::IN_HAND,
};

/// One edge, at its sender: to all instances of a stage.
#[derive(Clone)]
pub struct Route {
    pub to: Arc<StageShared>,
    /// Lane in each instance's inbox.
    pub lanes: Vec<usize>,
    pub ordering: Ordering,
    pub turn: usize,
    /// The life of the receiving inboxes that is meant.
    pub generation: u64,
}

/// Code of an error that no restart mends: the host's own verdict. Exit code 70.
pub const STOPPED: Code = Code(1_000);

/// The region is being torn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn;

/// Batches that a call may emit before it is told that it is enough.
const EMIT_BATCHES: usize = 16;
/// Bytes that a call may emit in all: one that goes on after it was told is stopped.
const MAX_EMIT_BYTES: usize = 256 << 20;

/// What an instance's calls report to.
pub struct Outbox {
    pub stage: Arc<StageShared>,
    pub worker: usize,
    /// Routes of each output port.
    pub routes: Vec<Vec<Route>>,
    /// Format of each output port.
    pub outputs: Vec<Format>,
    pub ledger: Ledger,
    pub on_error: OnError,
    pub letters: Arc<DeadLetters>,
    /// Format of each input port, for dead letters.
    pub formats: Vec<String>,
    /// All that comes in is text, and was checked to be.
    text_in: bool,
    /// The input port of the batch in hand, for dead letters.
    pub input: u32,
    emitted: Vec<(u32, Batch)>,
    emitted_bytes: usize,
    /// Records emitted by the last call.
    pub emitted_records: u64,
    /// The plugin broke the contract, or `on_error = "stop"` met a rejected record.
    pub fault: Option<StageError>,
    /// The epoch whose barrier this instance passed last; 0: none.
    epoch: u64,
    /// The life of the dead letters that it writes in.
    letters_life: u64,
    /// Rejected records that were dropped, apart from what edges dropped.
    dropped: u64,
    /// An epoch that waits for late fates: the first batch behind its barrier, and the accounts
    /// at it.
    at_barrier: Option<(u64, Tally)>,
}

/// Parts of an outbox that do not change.
#[derive(Clone)]
pub struct Wiring {
    pub stage: Arc<StageShared>,
    pub worker: usize,
    pub routes: Vec<Vec<Route>>,
    pub outputs: Vec<Format>,
    pub on_error: OnError,
    pub letters: Arc<DeadLetters>,
    pub formats: Vec<String>,
}

impl Outbox {
    pub fn new(wiring: Wiring) -> Self {
        let Wiring {
            stage,
            worker,
            routes,
            outputs,
            on_error,
            letters,
            formats,
        } = wiring;
        let mut out = Self {
            stage,
            worker,
            routes,
            outputs,
            ledger: Ledger::default(),
            on_error,
            letters,
            text_in: formats.iter().all(|format| format == "text"),
            formats,
            input: 0,
            emitted: Vec::new(),
            emitted_bytes: 0,
            emitted_records: 0,
            fault: None,
            epoch: 0,
            letters_life: 0,
            dropped: 0,
            at_barrier: None,
        };
        out.attach();
        out
    }

    /// What is sent from now on goes to the present life of the receivers.
    pub fn attach(&mut self) {
        self.letters_life = self.letters.life();
        for route in self.routes.iter_mut().flatten() {
            route.generation = route.to.inboxes.first().map_or(0, |i| i.generation());
        }
    }

    /// Counts on from an epoch.
    pub fn restore(&mut self, epoch: u64, tally: &Tally) {
        self.epoch = epoch;
        self.letters_life = self.letters.life();
        self.dropped = tally.dropped;
        self.counters().set(tally);
    }

    fn counters(&self) -> &Counters {
        &self.stage.counters[self.worker]
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        let retained = &self.stage.retained[self.worker];
        retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_source(&self) -> bool {
        self.stage.kind == StageKind::Source
    }

    /// The batch in hand, if this is the same records over the same bytes: it was checked when it
    /// left the stage that made it.
    fn in_hand(&self, batch: &RawBatch) -> Option<&Batch> {
        let newest = self.ledger.newest();
        newest.filter(|newest| contract::are_same(newest.raw(), batch))
    }

    fn fault(&mut self, message: String) {
        self.fault.get_or_insert_with(|| StageError::fatal(message));
    }

    /// Sends what the last call emitted, waiting where an edge is full.
    pub fn flush(&mut self) -> Result<(), Torn> {
        self.emitted_bytes = 0;
        let mut emitted = std::mem::take(&mut self.emitted);
        if self.stage.live {
            // All of it first: after a restart it comes from there.
            let mut retained = self.retained();
            for (port, batch) in &emitted {
                retained.keep(Kept::Batch(*port, batch.clone()));
            }
        }
        let mut sent = Ok(());
        for (port, batch) in emitted.drain(..) {
            sent = sent.and_then(|()| self.send(port, batch));
        }
        // Keeps its allocation.
        self.emitted = emitted;
        sent
    }

    fn send(&mut self, port: u32, batch: Batch) -> Result<(), Torn> {
        let routes = self.routes.get_mut(port as usize);
        let Some((last, others)) = routes.and_then(|r| r.split_last_mut()) else {
            return Ok(());
        };
        for route in others {
            route.send(batch.clone())?;
        }
        last.send(batch)
    }

    /// Whether a live source must wait for an epoch before it reads on.
    pub fn is_full(&self) -> bool {
        self.stage.live && self.retained().is_full()
    }

    /// An epoch is durable: nothing before it is needed again.
    pub fn forget(&mut self, epoch: u64) {
        if self.stage.live {
            self.retained().forget(epoch);
        }
    }

    /// Sends what is in no epoch up to `epoch` once more, to receivers that start again from it.
    /// Whether the source's end was part of it.
    pub fn replay(&mut self, epoch: u64) -> Result<bool, Torn> {
        self.attach();
        self.epoch = epoch;
        let again = self.retained().again(epoch);
        let ended = matches!(again.last(), Some(Kept::End));
        for kept in again {
            match kept {
                Kept::Batch(port, batch) => self.send(port, batch)?,
                Kept::End => self.mark(&Item::End),
                // It is counted already: a live source's accounts stand.
                Kept::Rejected(raw, why, pointer) => self.raw_letter(&raw, &why, &pointer),
            }
        }
        Ok(ended)
    }

    /// Sends the end to every edge.
    pub fn end(&mut self) {
        if self.stage.live {
            self.retained().keep(Kept::End);
        }
        self.mark(&Item::End);
    }

    /// Sends a barrier to every edge. `dropped`: what the edges into this stage dropped before it.
    pub fn barrier(&mut self, barrier: Barrier, upstream: &Upstream, dropped: u64) {
        let tally = self.counters().tally(self.dropped + dropped);
        self.at_barrier = Some((self.ledger.next(), tally));
        self.epoch = barrier.epoch;
        if self.stage.live {
            self.retained().barrier(barrier.epoch);
        }
        self.mark(&Item::Barrier(barrier, upstream.clone()));
    }

    /// The accounts at the last barrier, with the fates that came late.
    pub fn tally(&mut self) -> Tally {
        self.at_barrier
            .take()
            .map_or_else(Tally::default, |(_, tally)| tally)
    }

    fn mark(&self, mark: &Item) {
        for route in self.routes.iter().flatten() {
            for (inbox, lane) in route.targets() {
                inbox.send_mark(lane, mark.clone(), route.generation);
            }
        }
    }

    /// Counts fates of a batch (`None`: of no batch). They belong to the epoch of the batch.
    fn count(&mut self, fate: Fate, seq: Option<u64>, n: u64) {
        add(self.counters().of(fate), n);
        if fate == Fate::Dropped {
            self.dropped += n;
        }
        if let (Some((behind, tally)), Some(seq)) = (&mut self.at_barrier, seq)
            && seq < *behind
        {
            settle(tally, fate, n);
        }
    }

    /// The epoch that a record's barrier follows, as [`DeadLetters::write`] wants it.
    fn epoch_of(&self, seq: Option<u64>) -> u64 {
        match (&self.at_barrier, seq) {
            (Some((behind, _)), Some(seq)) if seq < *behind => self.epoch.saturating_sub(1),
            _ => self.epoch,
        }
    }

    fn letter(&mut self, seq: Option<u64>, letter: &DeadLetter<'_>) {
        let epoch = self.epoch_of(seq);
        if let Err(e) = self.letters.write(self.letters_life, epoch, letter) {
            self.fault(format!("a dead letter cannot be written: {e}"));
        }
    }

    /// Writes down what a source read and could not make a record of.
    fn raw_letter(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        let stage = self.stage.clone();
        let letter = DeadLetter {
            stage: &stage.name,
            input: None,
            content_type: "bytes",
            reason,
            pointer,
            payload: Some(bytes),
            record: None,
        };
        self.letter(None, &letter);
    }

    /// Counts and keeps a rejected record.
    fn settle_rejected(&mut self, seq: Option<u64>, write: impl FnOnce(&mut Self), why: &str) {
        match self.on_error {
            OnError::Drop => self.count(Fate::Dropped, seq, 1),
            OnError::DeadLetter | OnError::Stop => {
                self.count(Fate::DeadLettered, seq, 1);
                write(self);
            }
        }
        if self.on_error == OnError::Stop {
            let error = StageError::fatal(format!("a record was rejected: {why}"));
            self.fault.get_or_insert(StageError {
                code: STOPPED,
                ..error
            });
        }
    }
}

impl OutApi for Outbox {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        let (batch, checked) = match self.in_hand(&batch) {
            Some(in_hand) => (in_hand.clone(), true),
            None => match Batch::try_from(batch) {
                Ok(batch) => (batch, false),
                Err(e) => {
                    self.fault(format!("it emitted a batch that is not sound: {e}"));
                    return false;
                }
            },
        };
        if port as usize >= self.routes.len() {
            self.fault(format!("it emitted to port {port}, which it does not have"));
            return false;
        }
        self.emitted_bytes += batch.pinned_bytes();
        if contract::is_giant(&batch) {
            self.fault(format!("it emitted a giant batch: {batch:?}"));
            return false;
        }
        if self.emitted_bytes > MAX_EMIT_BYTES {
            self.fault("it goes on emitting in one call, though it was told to stop".into());
            return false;
        }
        if self.outputs.get(port as usize) == Some(&Format::Text)
            && !(checked && self.text_in)
            && let Some(at) = contract::not_text(&batch)
        {
            self.fault(format!(
                "it promises text, and record {at} of a batch is not UTF-8"
            ));
            return false;
        }
        let n = batch.len() as u64;
        let counters = self.counters();
        if self.is_source() {
            add(&counters.received, n);
            add(&counters.consumed, n);
        }
        add(&counters.emitted, n);
        self.emitted_records += n;
        self.emitted.push((port, batch));
        self.emitted_bytes < IN_HAND && self.emitted.len() < EMIT_BATCHES
    }

    fn consumed(&mut self, seq: u64, n: u64) {
        if self.ledger.settle(seq, n) {
            self.count(Fate::Consumed, Some(seq), n);
        } else {
            self.fault(format!(
                "it reported {n} records of batch {seq} as consumed, which has not so many left"
            ));
        }
    }

    fn filtered(&mut self, seq: u64, n: u64) {
        if self.is_source() {
            add(&self.counters().received, n);
            self.count(Fate::Filtered, None, n);
        } else if self.ledger.settle(seq, n) {
            self.count(Fate::Filtered, Some(seq), n);
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
            Some(seq),
            |out| {
                let record = batch.record(index as usize);
                let letter = DeadLetter {
                    stage: &stage.name,
                    input: Some(out.input),
                    content_type: &format,
                    reason,
                    pointer,
                    payload: record.value(),
                    record: Some(record),
                };
                out.letter(Some(seq), &letter);
            },
            reason,
        );
        if !self.ledger.settle(seq, 1) {
            self.fault(format!(
                "it reported more fates for batch {seq} than it has records"
            ));
        }
    }

    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        add(&self.counters().received, 1);
        self.settle_rejected(
            None,
            |out| {
                if out.stage.live {
                    let kept = Kept::Rejected(bytes.into(), reason.into(), pointer.into());
                    out.retained().keep(kept);
                }
                out.raw_letter(bytes, reason, pointer);
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
        let inbox = &self.to.inboxes[worker];
        let counters = &self.to.counters[worker];
        match inbox.send_batch(self.lanes[worker], batch, self.generation, counters) {
            Sent::Queued => Ok(()),
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
