//! A source and a sink, driven by the calls that the host promises: barrier, store, commit; and
//! what is left of them after a kill.

use std::{fs, path::PathBuf, sync::Arc};

use plugin_api::{
    Batch, BatchLimits, ContentType, StageError, Upstream,
    abi::{
        root::{bytes, plain},
        services::{HostServices, OutHandle},
        stage::{Recovered, StageBox},
    },
    context::Start,
    testing::{Outcome, TestHost},
};

use super::{Stage, Value, json};

/// A stage without the harness, which knows nothing of epochs that are not finished.
pub struct Driven {
    pub stage: StageBox,
    pub host: &'static TestHost,
    seq: u64,
    /// Why records were rejected.
    pub rejected: Vec<String>,
}

impl Driven {
    pub fn open(kind: &str, of: &str, options: &Value) -> Result<Self, StageError> {
        let inputs = [ContentType::bytes()];
        let inputs = if kind == "sink" { &inputs[..] } else { &[] };
        let (mut stage, _) = Stage::plan(kind, "kafka", options, inputs)?;
        let start = Start {
            host: of.into(),
            stage: kind.into(),
            worker: 0,
            workers: 1,
            batch: BatchLimits::default(),
        };
        let start = serde_json::to_vec(&start).unwrap();
        let host = TestHost::leaked();
        plain(stage.open(HostServices::new(host), bytes(&start)))?;
        Ok(Self {
            stage,
            host,
            seq: 0,
            rejected: Vec::new(),
        })
    }

    pub fn recover(&mut self, epochs: &[u64]) -> Result<Recovered, StageError> {
        patiently(|| plain(self.stage.recover(epochs.into())))
    }

    pub fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        patiently(|| plain(self.stage.restore(epoch, 1, state.map(bytes).into())))
    }

    pub fn poll(&mut self, budget: usize) -> Result<Outcome, StageError> {
        let deadline = plugin_api::batch::monotonic_ns() + 20_000_000;
        let mut outcome = Outcome::default();
        let stage = &mut self.stage;
        OutHandle::with(&mut outcome, |o| plain(stage.poll(budget, deadline, o)))?;
        Ok(outcome)
    }

    /// How many records were taken.
    pub fn write(&mut self, batch: &Batch, from: usize) -> Result<usize, StageError> {
        self.seq += 1;
        let (seq, stage) = (self.seq, &mut self.stage);
        let mut outcome = Outcome::default();
        let taken = OutHandle::with(&mut outcome, |o| {
            plain(stage.write(0, seq, batch.raw(), from, o))
        });
        self.rejected
            .extend(outcome.rejected.into_iter().map(|r| r.2));
        taken
    }

    /// The barrier passes; a source answers.
    pub fn barrier(
        &mut self,
        epoch: u64,
        upstream: &[Upstream],
        last: bool,
    ) -> Result<Vec<u8>, StageError> {
        let upstream = serde_json::to_vec(upstream).unwrap();
        let answer = plain(self.stage.checkpoint(epoch, bytes(&upstream), last))?;
        Ok(answer.into_option().map_or_else(Vec::new, Vec::from))
    }

    pub fn is_ready(&mut self, epoch: u64) -> Result<bool, StageError> {
        let mut outcome = Outcome::default();
        let stage = &mut self.stage;
        let answer = OutHandle::with(&mut outcome, |o| plain(stage.checkpoint_poll(epoch, o)))?;
        self.rejected
            .extend(outcome.rejected.into_iter().map(|r| r.2));
        Ok(answer.is_some())
    }

    pub fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        plain(self.stage.abort(epoch))
    }

    pub fn commit(&mut self, epoch: u64) -> Result<bool, StageError> {
        plain(self.stage.commit(epoch))
    }
}

/// Repeats a call while its trouble is transient, as the host does: a broker that has just started
/// takes its time for a first transaction.
fn patiently<T>(mut call: impl FnMut() -> Result<T, StageError>) -> Result<T, StageError> {
    loop {
        match call() {
            Err(e) if e.is_transient() => println!("{e}"),
            other => return other,
        }
    }
}

/// Where epochs are kept: the newest two, each a file.
#[derive(Clone)]
pub struct Store(pub Arc<PathBuf>);

impl Store {
    fn file(&self, epoch: u64) -> PathBuf {
        self.0.join(format!("{epoch}.epoch"))
    }

    /// Newest first.
    pub fn epochs(&self) -> Vec<u64> {
        let name = |e: std::io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut epochs: Vec<u64> = fs::read_dir(&*self.0)
            .unwrap()
            .map(name)
            .filter_map(|n| n.strip_suffix(".epoch")?.parse().ok())
            .collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        epochs
    }

    fn read(&self, epoch: u64) -> Vec<u8> {
        fs::read(self.file(epoch)).unwrap()
    }

    /// Killed processes lose nothing that was renamed, so nothing is synced.
    fn write(&self, epoch: u64, state: &[u8]) {
        let aside = self.0.join("aside");
        fs::write(&aside, state).unwrap();
        fs::rename(aside, self.file(epoch)).unwrap();
    }

    fn keep_two(&self) {
        for old in self.epochs().into_iter().skip(2) {
            fs::remove_file(self.file(old)).unwrap();
        }
    }

    fn forget_after(&self, epoch: u64) {
        for newer in self.epochs().into_iter().filter(|e| *e > epoch) {
            fs::remove_file(self.file(newer)).unwrap();
        }
    }
}

/// How far an epoch is; a kill can come behind each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Started,
    Written,
    Barrier,
    Ready,
    Durable,
    Committing,
    SinkCommitted,
    Committed,
}

impl Step {
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Written,
        Self::Barrier,
        Self::Ready,
        Self::Durable,
        Self::Committing,
        Self::SinkCommitted,
        Self::Committed,
    ];
}

pub struct Region {
    pub source: Driven,
    pub sink: Driven,
    store: Store,
    /// The one that is under way, or was last.
    pub epoch: u64,
    /// Records written in it.
    pub written: usize,
    /// Records read behind its barrier.
    pub behind: usize,
    /// Emitted by the source behind the last barrier.
    held: Vec<(Batch, usize)>,
    /// Where the source stands, as of its last snapshot.
    pub read: i64,
}

impl Region {
    /// Opens both stages and brings them to the true epoch.
    pub fn start(
        name: &str,
        source: &Value,
        sink: &Value,
        store: &Store,
    ) -> Result<Self, StageError> {
        let mut sink = Driven::open("sink", name, sink)?;
        let mut source = Driven::open("source", name, source)?;
        let epochs = store.epochs();
        let said = sink.recover(&epochs)?;
        assert!(!source.recover(&epochs)?.mine);
        let newest = epochs.first().copied().unwrap_or(0);
        let epoch = if said.mine { said.epoch } else { newest };
        store.forget_after(epoch);
        let state = (epoch > 0).then(|| store.read(epoch));
        sink.restore(epoch, state.as_ref().map(|_| &[][..]))?;
        source.restore(epoch, state.as_deref())?;
        if epoch > 0 {
            while !sink.commit(epoch)? {}
            while !source.commit(epoch)? {}
        }
        Ok(Self {
            source,
            sink,
            store: store.clone(),
            epoch,
            written: 0,
            behind: 0,
            held: Vec::new(),
            read: 0,
        })
    }

    /// One epoch of up to so many records; `at` hears of each step and says whether to go on.
    pub fn epoch(
        &mut self,
        records: usize,
        at: &mut dyn FnMut(Step) -> bool,
    ) -> Result<bool, StageError> {
        self.epoch += 1;
        self.behind = 0;
        let epoch = self.epoch;
        self.written = self.held.iter().map(|(b, from)| b.len() - from).sum();
        for (batch, from) in std::mem::take(&mut self.held) {
            self.write(&batch, from)?;
        }
        if self.written < records {
            for (_, batch) in self.source.poll(records - self.written)?.batches {
                self.written += batch.len();
                self.write(&batch, 0)?;
            }
        }
        if !at(Step::Written) {
            return Ok(false);
        }
        let state = self.source.barrier(epoch, &[], false)?;
        let snapshot: Value = serde_json::from_slice(&state).unwrap();
        let next = snapshot["next"].as_object().unwrap();
        self.read = next.values().map(|n| n.as_i64().unwrap()).sum();
        let upstream = [Upstream {
            stage: "source".into(),
            state: state.clone(),
        }];
        self.sink.barrier(epoch, &upstream, false)?;
        if !at(Step::Barrier) {
            return Ok(false);
        }
        while !self.sink.is_ready(epoch)? {
            self.go_on()?;
        }
        if !at(Step::Ready) {
            return Ok(false);
        }
        assert!(self.source.is_ready(epoch)?);
        self.store.write(epoch, &state);
        if !at(Step::Durable) {
            return Ok(false);
        }
        let mut done = self.sink.commit(epoch)?;
        if !at(Step::Committing) {
            return Ok(false);
        }
        while !done {
            self.go_on()?;
            done = self.sink.commit(epoch)?;
        }
        if !at(Step::SinkCommitted) {
            return Ok(false);
        }
        while !self.source.commit(epoch)? {
            self.go_on()?;
        }
        self.store.keep_two();
        Ok(at(Step::Committed))
    }

    fn write(&mut self, batch: &Batch, mut from: usize) -> Result<(), StageError> {
        while from < batch.len() {
            from += self.sink.write(batch, from)?;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// The flow goes on behind the barrier: what the source emits is offered to the sink.
    fn go_on(&mut self) -> Result<(), StageError> {
        // A few will do; the next epochs want some too.
        if self.held.is_empty() && self.behind < 20 {
            let more = self.source.poll(10)?.batches;
            self.behind += more.iter().map(|(_, b)| b.len()).sum::<usize>();
            self.held.extend(more.into_iter().map(|(_, b)| (b, 0)));
        }
        let mut held = std::mem::take(&mut self.held);
        while let Some((batch, from)) = held.first_mut() {
            *from += self.sink.write(batch, *from)?;
            if *from < batch.len() {
                break;
            }
            held.remove(0);
        }
        self.held = held;
        Ok(())
    }
}

/// Options of a source and a sink that go from one topic to another, exactly once.
pub fn exactly_once(brokers: &str, from: &str, to: &str) -> (Value, Value) {
    (
        json!({
            "brokers": brokers, "topic": from, "group": format!("{from}.g"), "start": "earliest",
            "exactly_once": true,
        }),
        json!({"brokers": brokers, "topic": to, "partitions": 2, "exactly_once": true}),
    )
}
