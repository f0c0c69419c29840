//! The conformance suite: it passes stages that keep the contract, and names what others break.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use plugin_api::{
    prelude::*,
    testing::{batch_of, conformance},
};
use serde_json::{Value, json};

options! {
    /// What to break.
    #[derive(Copy, Default)]
    pub enum Fault {
        /// Nothing.
        #[default]
        None,
        /// The budget of a poll.
        Budget,
        /// The state of a checkpoint is empty.
        Forgets,
        /// A state that it cannot read.
        TornState,
        /// One fate a record.
        TwoFates,
        /// Bytes that are no UTF-8.
        Utf8,
        /// A commit does it again.
        CommitTwice,
        /// The plan makes a file.
        ImpurePlan,
        /// What was written behind a barrier is in its epoch.
        LateState,
    }
}

options! {
    /// Counts.
    pub struct CountOptions {
        /// How far.
        pub to: u64,
        /// What to break.
        #[serde(default)]
        pub fault: Fault,
    }
}

struct Count {
    options: CountOptions,
    next: u64,
}

fn number(state: Option<&[u8]>, fault: Fault) -> Result<u64, StageError> {
    let Some(state) = state.filter(|s| !s.is_empty()) else {
        return Ok(0);
    };
    let state = <[u8; 8]>::try_from(state);
    if fault == Fault::TornState {
        return Ok(u64::from_le_bytes(state.unwrap()));
    }
    let state = state.map_err(|_| StageError::fatal("its state is torn"))?;
    Ok(u64::from_le_bytes(state))
}

impl Source for Count {
    const NAME: &'static str = "count";
    type Options = CountOptions;
    fn plan(_: &CountOptions) -> Result<Planned, StageError> {
        Ok(Planned::new(ContentType::text()))
    }
    fn open(options: CountOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self { options, next: 0 })
    }
    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.next = number(state, self.options.fault)?;
        Ok(())
    }
    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        let more = u64::from(self.options.fault == Fault::Budget);
        let budget = u64::try_from(budget).unwrap().saturating_add(more);
        let until = self.next.saturating_add(budget).min(self.options.to);
        out.emit(0, batch_of((self.next..until).map(|n| n.to_string())));
        self.next = until;
        Ok(if until == self.options.to {
            Poll::Finished
        } else {
            Poll::More
        })
    }
    fn checkpoint(&mut self, _: u64, _: bool) -> Result<Vec<u8>, StageError> {
        Ok(match self.options.fault {
            Fault::Forgets => Vec::new(),
            _ => self.next.to_le_bytes().to_vec(),
        })
    }
}

options! {
    /// Adds up lengths.
    pub struct SumOptions {
        /// What to break.
        #[serde(default)]
        pub fault: Fault,
    }
}

struct Sum {
    fault: Fault,
    sum: u64,
}

impl Processor for Sum {
    const NAME: &'static str = "sum";
    type Options = SumOptions;
    fn open(options: SumOptions, _: &Context) -> Result<Self, StageError> {
        let fault = options.fault;
        Ok(Self { fault, sum: 0 })
    }
    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.sum = number(state, self.fault)?;
        Ok(())
    }
    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        for record in input.batch {
            match record.text() {
                Ok(text) => self.sum += text.len() as u64,
                Err(_) if self.fault == Fault::Utf8 => panic!("no UTF-8"),
                Err(reject) => out.reject(record.index(), &reject),
            }
        }
        if self.fault == Fault::TwoFates && !input.batch.is_empty() {
            out.filtered(1);
            out.consumed_at(input.seq, 1);
        }
        Ok(Progress::Done)
    }
    fn end(&mut self, _: u32, out: &mut Out<'_, '_>) -> Result<(), StageError> {
        out.emit(0, batch_of([self.sum.to_string()]));
        Ok(())
    }
    fn checkpoint_poll(&mut self, _: u64, _: &mut Out<'_, '_>) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(match self.fault {
            Fault::Forgets => Vec::new(),
            _ => self.sum.to_le_bytes().to_vec(),
        }))
    }
}

options! {
    /// Keeps all in one file.
    pub struct KeepOptions {
        /// The file.
        pub path: FilePath,
        /// What to break.
        #[serde(default)]
        pub fault: Fault,
    }
}

/// Its state is all that it was given; a commit writes the file anew.
struct Keep {
    options: KeepOptions,
    all: Vec<u8>,
    prepared: BTreeMap<u64, Vec<u8>>,
}

impl Sink for Keep {
    const NAME: &'static str = "keep";
    type Options = KeepOptions;
    fn plan(options: &KeepOptions, _: &[ContentType]) -> Result<Planned, StageError> {
        if options.fault == Fault::ImpurePlan {
            std::fs::write(&options.path, "").unwrap();
        }
        Ok(Planned::sink())
    }
    fn open(options: KeepOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self {
            options,
            all: Vec::new(),
            prepared: BTreeMap::new(),
        })
    }
    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.all = state.unwrap_or_default().to_vec();
        self.prepared.insert(epoch, self.all.clone());
        Ok(())
    }
    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        _: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        // One at a time, as a busy sink may.
        self.all.extend(input.batch.record(from).bytes());
        Ok(1)
    }
    fn checkpoint(&mut self, epoch: u64, _: bool) -> Result<(), StageError> {
        self.prepared.insert(epoch, self.all.clone());
        Ok(())
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(match self.options.fault {
            Fault::Forgets => Vec::new(),
            Fault::LateState => self.all.clone(),
            _ => self.prepared[&epoch].clone(),
        }))
    }
    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        let mut text = self.prepared[&epoch].clone();
        if self.options.fault == Fault::CommitTwice {
            let before = std::fs::read(&self.options.path).unwrap_or_default();
            text = [before, text].concat();
        }
        std::fs::write(&self.options.path, text).unwrap();
        Ok(Commit::Done)
    }
}

export_plugin! { sources: [Count], processors: [Sum], sinks: [Keep] }

fn source(fault: &str) {
    let options = json!({"to": 9, "fault": fault});
    conformance::source::<ThisPlugin>("count", &options, 20);
}

fn processor(fault: &str) {
    let sample = [batch_of(["a", "bb"]), batch_of(["ccc"])];
    let options = json!({"fault": fault});
    conformance::processor::<ThisPlugin>("sum", &options, &ContentType::text(), &sample);
}

fn sink(fault: &str) {
    let folder = tempfile::tempdir().unwrap();
    conformance::sink::<ThisPlugin, _>(
        "keep",
        &ContentType::text(),
        &[batch_of(["a", "bb"]), batch_of(["c"]), batch_of(["d"])],
        folder.path(),
        |dir: &Path| json!({"path": dir.join("all.txt"), "fault": fault}),
        conformance::files,
    );
}

#[test]
fn stages_that_keep_the_contract_pass() {
    source("none");
    processor("none");
    sink("none");
}

#[test]
fn what_is_broken_is_named() {
    type Run = fn(&str);
    let cases: [(Run, &str, &str); 11] = [
        (source, "budget", "at a budget of"),
        (source, "forgets", "after a crash behind 1 records, item 1"),
        (source, "torn-state", "restore of a torn state: it panicked"),
        (processor, "forgets", "after a crash behind 1 batches"),
        (processor, "torn-state", "restore of a torn state"),
        (processor, "two-fates", "fates of 3 records"),
        (processor, "utf8", "bytes that are no UTF-8"),
        (sink, "forgets", "epoch 1 Committed: other output"),
        (sink, "commit-twice", "other output"),
        (sink, "impure-plan", "`plan` is pure"),
        (sink, "late-state", "epoch 0 Committed: other output"),
    ];
    for (run, fault, words) in cases {
        let caught = catch_unwind(AssertUnwindSafe(|| run(fault)));
        let payload = caught.expect_err(fault);
        let said = payload.downcast_ref::<String>().cloned();
        let said = said.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let said = said.expect("a message");
        assert!(said.contains(words), "{fault}: {said}");
    }
}

#[test]
fn options_without_words_are_named() {
    let wrong = |options: Value| {
        catch_unwind(AssertUnwindSafe(|| {
            conformance::plan::<ThisPlugin>("source", "count", &options, &[]);
        }))
        .is_err()
    };
    assert!(!wrong(json!({"to": 1})));
    assert!(wrong(json!({"to": "far"})));
}
