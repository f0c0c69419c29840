//! Runs a stage without a host: through the real boundary, on a clock that does not wait.
//!
//! ```ignore
//! let mut stage = Harness::<ThisPlugin>::processor("shout", json!({"suffix": "!"}), &[ContentType::text()])?;
//! let out = stage.process(0, &batch_of(["hello"]))?;
//! assert_eq!(values(&out.batches), ["HELLO!"]);
//! ```

pub mod cases;
pub mod conformance;
mod host;
mod outcome;

use std::marker::PhantomData;

use abi_stable::std_types::RSlice;

pub use host::{Level, LogLine, TestHost};
pub use outcome::{Outcome, Seen};

use crate::{
    Batch, BatchBuilder, BatchLimits, ContentType, Planned, StageError,
    abi::{
        root::{Plugin, bytes, create_here, plain},
        services::{HostServices, OutHandle},
        stage::{StageBox, answer},
    },
    context::Start,
    stage::{Drain, Poll, Progress},
};

/// A batch of these payloads.
pub fn batch_of<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Batch {
    let mut b = BatchBuilder::new();
    for v in values {
        b.push(Some(v.as_ref()));
    }
    b.finish()
}

/// One stage of plugin `P`, driven call by call.
pub struct Harness<P> {
    stage: StageBox,
    host: &'static TestHost,
    planned: Planned,
    seq: u64,
    room: usize,
    _plugin: PhantomData<P>,
}

impl<P: Plugin> Harness<P> {
    /// Plans a stage, without opening it.
    ///
    /// # Errors
    /// What the stage says of its options and inputs.
    pub fn plan(
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
    ) -> Result<(StageBox, Planned), StageError> {
        let mut stage = plain(create_here::<P>(kind, name))?;
        let options = options.to_string();
        let inputs = serde_json::to_vec(inputs).map_err(|e| StageError::fatal(e.to_string()))?;
        let planned = plain(stage.plan(bytes(options.as_bytes()), bytes(&inputs)))?;
        let planned = serde_json::from_slice(&planned)
            .map_err(|e| StageError::fatal(format!("its plan: {e}")))?;
        Ok((stage, planned))
    }

    /// Plans and opens a stage on a host of its own.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn open(
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
    ) -> Result<Self, StageError> {
        Self::open_on(TestHost::leaked(), kind, name, options, inputs)
    }

    /// Plans and opens a stage on this host.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn open_on(
        host: &'static TestHost,
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
    ) -> Result<Self, StageError> {
        Self::open_at(host, kind, name, options, inputs, (0, None))
    }

    /// Plans and opens a stage on this host and restores it to an epoch, as after a crash.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn open_at(
        host: &'static TestHost,
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
        (epoch, state): (u64, Option<&[u8]>),
    ) -> Result<Self, StageError> {
        Self::open_as(host, kind, name, options, inputs, (epoch, state), (0, 1))
    }

    /// As [`open_at`](Self::open_at), as one of several workers.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn open_as(
        host: &'static TestHost,
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
        (epoch, state): (u64, Option<&[u8]>),
        workers: (u32, u32),
    ) -> Result<Self, StageError> {
        let mut stage = Self::open_blank(host, kind, name, options, inputs, workers)?;
        stage.restore(epoch, 1, state)?;
        Ok(stage)
    }

    /// Plans and opens a stage; the next call must be `restore`.
    pub(crate) fn open_blank(
        host: &'static TestHost,
        kind: &str,
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
        (worker, workers): (u32, u32),
    ) -> Result<Self, StageError> {
        let (mut stage, planned) = Self::plan(kind, name, options, inputs)?;
        let start = Start {
            host: "test".into(),
            stage: name.into(),
            worker,
            workers,
            batch: BatchLimits::default(),
        };
        let start = serde_json::to_vec(&start).map_err(|e| StageError::fatal(e.to_string()))?;
        plain(stage.open(HostServices::new(host), bytes(&start)))?;
        Ok(Self {
            stage,
            host,
            planned,
            seq: 0,
            room: usize::MAX,
            _plugin: PhantomData,
        })
    }

    /// Opens a source.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn source(name: &str, options: &serde_json::Value) -> Result<Self, StageError> {
        Self::open("source", name, options, &[])
    }
    /// Opens a processor.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn processor(
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
    ) -> Result<Self, StageError> {
        Self::open("processor", name, options, inputs)
    }
    /// Opens a sink.
    ///
    /// # Errors
    /// Trouble of `plan`, `open` or `restore`.
    pub fn sink(
        name: &str,
        options: &serde_json::Value,
        inputs: &[ContentType],
    ) -> Result<Self, StageError> {
        Self::open("sink", name, options, inputs)
    }

    /// The host that the stage sees: log, clock, metrics.
    #[must_use]
    pub fn host(&self) -> &'static TestHost {
        self.host
    }
    /// What it was planned to put out.
    #[must_use]
    pub fn planned(&self) -> &Planned {
        &self.planned
    }
    /// After how many batches `emit` says `Full` in each call. Default: never.
    pub fn room(&mut self, batches: usize) {
        self.room = batches;
    }

    fn call<R>(
        &mut self,
        f: impl FnOnce(&mut StageBox, &mut OutHandle<'_>) -> Result<R, StageError>,
    ) -> Result<(R, Outcome), StageError> {
        let mut outcome = Outcome::with_room(self.room);
        let stage = &mut self.stage;
        let answer = OutHandle::with(&mut outcome, |out| f(stage, out))?;
        Ok((answer, outcome))
    }

    /// One `poll` with up to `wait_ms` of real time.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn poll(&mut self, budget: usize, wait_ms: u64) -> Result<(Poll, Outcome), StageError> {
        let deadline = crate::batch::monotonic_ns() + wait_ms * 1_000_000;
        let (answer, outcome) = self.call(|s, o| plain(s.poll(budget, deadline, o)))?;
        let poll = match answer {
            answer::MORE => Poll::More,
            answer::IDLE => Poll::Idle,
            _ => Poll::Finished,
        };
        Ok((poll, outcome))
    }

    /// Polls until the source is finished.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn poll_to_end(&mut self) -> Result<Outcome, StageError> {
        let mut all = Outcome::default();
        loop {
            let (poll, outcome) = self.poll(usize::MAX, 1_000)?;
            all.merge(outcome);
            if poll == Poll::Finished {
                return Ok(all);
            }
        }
    }

    /// Polls until `n` records were emitted or the source is finished.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn poll_records(&mut self, n: usize) -> Result<Outcome, StageError> {
        let mut all = Outcome::default();
        while all.emitted() < n {
            let (poll, outcome) = self.poll(n - all.emitted(), 1_000)?;
            all.merge(outcome);
            if poll == Poll::Finished {
                break;
            }
        }
        Ok(all)
    }

    /// The run ends.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn drain(&mut self) -> Result<Drain, StageError> {
        Ok(if plain(self.stage.drain())? == answer::DRAIN_TO_END {
            Drain::ToEnd
        } else {
            Drain::Stop
        })
    }

    /// Gives a batch to a processor and resumes it until it is done.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn process(&mut self, input: u32, batch: &Batch) -> Result<Outcome, StageError> {
        self.seq += 1;
        let seq = self.seq;
        let (answer, mut all) = self.call(|s, o| plain(s.process(input, seq, batch.raw(), o)))?;
        let mut progress = if answer == answer::MORE {
            Progress::More
        } else {
            Progress::Done
        };
        while progress == Progress::More {
            let (answer, outcome) = self.call(|s, o| plain(s.resume(o)))?;
            all.merge(outcome);
            progress = if answer == answer::MORE {
                Progress::More
            } else {
                Progress::Done
            };
        }
        Ok(all)
    }

    /// Gives a batch to a sink from record `from`; how many it took.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn write_from(
        &mut self,
        input: u32,
        batch: &Batch,
        from: usize,
    ) -> Result<(usize, Outcome), StageError> {
        if from == 0 {
            self.seq += 1;
        }
        let seq = self.seq;
        self.call(|s, o| plain(s.write(input, seq, batch.raw(), from, o)))
    }

    /// Gives a whole batch to a sink, coming again while it is busy.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn write(&mut self, batch: &Batch) -> Result<Outcome, StageError> {
        let (mut from, mut all) = (0, Outcome::default());
        while from < batch.len() {
            let (taken, outcome) = self.write_from(0, batch, from)?;
            from += taken;
            all.merge(outcome);
            if taken == 0 {
                std::thread::yield_now();
                all.merge(self.tick()?.1);
            }
        }
        Ok(all)
    }

    /// That input has ended.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn end(&mut self, input: u32) -> Result<Outcome, StageError> {
        Ok(self.call(|s, o| plain(s.end(input, o)))?.1)
    }

    /// Timers, at the host's monotonic time.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn tick(&mut self) -> Result<(Option<u64>, Outcome), StageError> {
        use crate::abi::services::HostApi;
        let now = self.host.monotonic_ns();
        let (next, outcome) = self.call(|s, o| plain(s.tick(now, o)))?;
        Ok(((next != answer::NEVER).then_some(next), outcome))
    }

    /// A whole checkpoint: begin, then poll until it is ready; the state and what was reported.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(Vec<u8>, Outcome), StageError> {
        let at_once = self.begin_checkpoint(epoch, last)?;
        let (state, outcome) = self.end_checkpoint(epoch)?;
        Ok((at_once.unwrap_or(state), outcome))
    }

    /// Polls a checkpoint that was begun until it is ready.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn end_checkpoint(&mut self, epoch: u64) -> Result<(Vec<u8>, Outcome), StageError> {
        let mut all = Outcome::default();
        loop {
            let (state, outcome) = self.poll_checkpoint(epoch)?;
            all.merge(outcome);
            if let Some(state) = state {
                return Ok((state, all));
            }
            std::thread::yield_now();
        }
    }

    /// The barrier passes; the state, if the stage is a source.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn begin_checkpoint(
        &mut self,
        epoch: u64,
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError> {
        let state = plain(self.stage.checkpoint(epoch, RSlice::from_slice(&[]), last))?;
        Ok(state.into_option().map(Into::into))
    }

    /// The state, once it is ready.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn poll_checkpoint(
        &mut self,
        epoch: u64,
    ) -> Result<(Option<Vec<u8>>, Outcome), StageError> {
        let (state, outcome) = self.call(|s, o| plain(s.checkpoint_poll(epoch, o)))?;
        Ok((state.into_option().map(Into::into), outcome))
    }

    /// The epoch will not be.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        plain(self.stage.abort(epoch))
    }

    /// The run ends as it should: a last epoch, its commit, `close`.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn finish(mut self) -> Result<(), StageError> {
        self.checkpoint(u64::MAX, true)?;
        self.commit(u64::MAX)?;
        self.close()
    }

    /// Asks which of these epochs is true; `None`: the stage does not know.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn recover(&mut self, epochs: &[u64]) -> Result<Option<u64>, StageError> {
        let answer = plain(self.stage.recover(RSlice::from_slice(epochs)))?;
        Ok(answer.mine.then_some(answer.epoch))
    }

    /// Commits an epoch, asking until it is done.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn commit(&mut self, epoch: u64) -> Result<(), StageError> {
        while !plain(self.stage.commit(epoch))? {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Restores a state.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn restore(
        &mut self,
        epoch: u64,
        version: u32,
        state: Option<&[u8]>,
    ) -> Result<(), StageError> {
        plain(
            self.stage
                .restore(epoch, version, state.map(RSlice::from_slice).into()),
        )
    }

    /// Closes the stage.
    ///
    /// # Errors
    /// Trouble of the stage.
    pub fn close(mut self) -> Result<(), StageError> {
        plain(self.stage.close())
    }
}
