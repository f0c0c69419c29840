//! One shape for the three kinds of stage, and the bookkeeping that authors are spared: options
//! are parsed, fates that were not reported are counted as consumed.

use serde::de::DeserializeOwned;

use crate::{
    ContentType, Context, Out, Planned, Processor, Sink, Source, StageError, Upstream,
    abi::services::{HostServices, OutHandle},
    context::Start,
    stage::{Checkpoint, Commit, Drain, Input, Poll, Progress, Recover},
};

/// The calls of a stage in plain Rust: the union of [`Source`], [`Processor`] and [`Sink`], which
/// say what each means. For hosts that put something between themselves and a stage; an author
/// implements one of the three.
pub trait Verbs: Send {
    /// Options and input types, as JSON, to a plan as JSON. Pure; remembered for `open`.
    ///
    /// # Errors
    /// What is wrong with the options or the inputs.
    fn plan(&mut self, options: &[u8], inputs: &[u8]) -> Result<Vec<u8>, StageError>;
    /// Starts what was planned; `start` is a [`Start`] as JSON.
    ///
    /// # Errors
    /// Trouble of any kind, as for every call below.
    fn open(&mut self, host: HostServices, start: &[u8]) -> Result<(), StageError>;
    /// Goes to the state of an epoch; 0 and `None`: the beginning.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn restore(&mut self, epoch: u64, version: u32, state: Option<&[u8]>)
    -> Result<(), StageError>;
    /// The barrier passes; a source answers with its state at once. `upstream`: what the sources
    /// behind it answered, as the host carries it.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint(
        &mut self,
        epoch: u64,
        upstream: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError>;
    /// The state as of the barrier, when it is ready.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut OutHandle<'_>,
    ) -> Result<Checkpoint, StageError>;
    /// The epoch is true. Idempotent.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError>;
    /// The epoch will not be.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn abort(&mut self, epoch: u64) -> Result<(), StageError>;
    /// The last call before drop.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn close(&mut self) -> Result<(), StageError>;

    /// Sinks: which of these epochs is true.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn recover(&mut self, _: &[u64]) -> Result<Recover, StageError> {
        Ok(Recover::NotMine)
    }
    /// Sources: at most so many records, back by the deadline on the monotonic clock.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn poll(&mut self, _: usize, _: u64, _: &mut OutHandle<'_>) -> Result<Poll, StageError> {
        Err(no_such_call("poll"))
    }
    /// Sources: what to do when the run ends.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn drain(&mut self) -> Result<Drain, StageError> {
        Err(no_such_call("drain"))
    }
    /// Processors: use a batch.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn process(&mut self, _: Input<'_>, _: &mut OutHandle<'_>) -> Result<Progress, StageError> {
        Err(no_such_call("process"))
    }
    /// Processors: go on after `More`.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn resume(&mut self, _: &mut OutHandle<'_>) -> Result<Progress, StageError> {
        Err(no_such_call("resume"))
    }
    /// Sinks: take records from an index on; how many were taken.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn write(
        &mut self,
        _: Input<'_>,
        _: usize,
        _: &mut OutHandle<'_>,
    ) -> Result<usize, StageError> {
        Err(no_such_call("write"))
    }
    /// An input has ended.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn end(&mut self, _: u32, _: &mut OutHandle<'_>) -> Result<(), StageError> {
        Ok(())
    }
    /// Timers, by the monotonic clock; when next.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn tick(&mut self, _: u64, _: &mut OutHandle<'_>) -> Result<Option<u64>, StageError> {
        Ok(None)
    }
}

fn no_such_call(call: &str) -> StageError {
    StageError::fatal(format!("this kind of stage has no `{call}`"))
}

/// Plan and life of a stage of any kind.
struct Slot<T, O> {
    planned: Option<(O, Vec<ContentType>)>,
    stage: Option<T>,
}

impl<T, O> Default for Slot<T, O> {
    fn default() -> Self {
        Self {
            planned: None,
            stage: None,
        }
    }
}

impl<T, O: DeserializeOwned + Clone> Slot<T, O> {
    fn plan(
        &mut self,
        options: &[u8],
        inputs: &[u8],
        plan: impl FnOnce(&O, &[ContentType]) -> Result<Planned, StageError>,
    ) -> Result<Vec<u8>, StageError> {
        let mut de = serde_json::Deserializer::from_slice(options);
        let options: O = serde_path_to_error::deserialize(&mut de)
            .map_err(|e| StageError::config(&pointer(e.path()), e.inner().to_string()))?;
        let inputs: Vec<ContentType> = serde_json::from_slice(inputs).map_err(|e| {
            StageError::fatal(format!("the host sent input types that do not read: {e}"))
        })?;
        let planned = plan(&options, &inputs)?;
        self.planned = Some((options, inputs));
        serde_json::to_vec(&planned).map_err(|e| StageError::fatal(e.to_string()))
    }

    fn open(
        &mut self,
        host: HostServices,
        start: &[u8],
        open: impl FnOnce(O, &Context) -> Result<T, StageError>,
    ) -> Result<(), StageError> {
        let (options, inputs) = self
            .planned
            .clone()
            .ok_or_else(|| StageError::fatal("`open` was called before `plan`"))?;
        let start: Start = serde_json::from_slice(start).map_err(|e| {
            StageError::fatal(format!("the host sent a start that does not read: {e}"))
        })?;
        self.stage = Some(open(options, &Context::new(host, start, inputs))?);
        Ok(())
    }

    fn get(&mut self) -> Result<&mut T, StageError> {
        self.stage
            .as_mut()
            .ok_or_else(|| StageError::fatal("the stage is not open"))
    }
}

fn newer(any: bool, version: u32, known: u32) -> Result<(), StageError> {
    if any && version > known {
        return Err(StageError::fatal(format!(
            "its state is of version {version}, written by a newer plugin; this one reads up to {known}"
        )));
    }
    Ok(())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|s| match s {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Calls that are the same for each kind.
macro_rules! common {
    () => {
        fn open(&mut self, host: HostServices, start: &[u8]) -> Result<(), StageError> {
            self.slot.open(host, start, T::open)
        }
        fn restore(
            &mut self,
            epoch: u64,
            version: u32,
            state: Option<&[u8]>,
        ) -> Result<(), StageError> {
            newer(state.is_some(), version, T::STATE_VERSION)?;
            self.slot.get()?.restore(epoch, state)
        }
        fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
            self.slot.get()?.commit(epoch)
        }
        fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
            self.slot.get()?.abort(epoch)
        }
        fn close(&mut self) -> Result<(), StageError> {
            self.slot.stage.take().map_or(Ok(()), |mut s| s.close())
        }
    };
}

pub struct SourceVerbs<T: Source> {
    slot: Slot<T, T::Options>,
}

impl<T: Source> Default for SourceVerbs<T> {
    fn default() -> Self {
        Self {
            slot: Slot::default(),
        }
    }
}

impl<T: Source> Verbs for SourceVerbs<T> {
    common!();
    fn plan(&mut self, options: &[u8], inputs: &[u8]) -> Result<Vec<u8>, StageError> {
        self.slot.plan(options, inputs, |o, _| T::plan(o))
    }
    fn poll(
        &mut self,
        budget: usize,
        deadline: u64,
        out: &mut OutHandle<'_>,
    ) -> Result<Poll, StageError> {
        self.slot
            .get()?
            .poll(budget, deadline, &mut Out::new(out, 0))
    }
    fn drain(&mut self) -> Result<Drain, StageError> {
        Ok(self.slot.get()?.drain())
    }
    fn checkpoint(
        &mut self,
        epoch: u64,
        _: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError> {
        self.slot.get()?.checkpoint(epoch, last).map(Some)
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut OutHandle<'_>,
    ) -> Result<Checkpoint, StageError> {
        self.slot.get()?.checkpoint_poll(epoch)?;
        Ok(Checkpoint::Ready(Vec::new()))
    }
}

pub struct ProcessorVerbs<T: Processor> {
    slot: Slot<T, T::Options>,
    /// Batch that `process` answered `More` to: its number, length and fates so far.
    open: Option<(u64, u64, u64)>,
}

impl<T: Processor> Default for ProcessorVerbs<T> {
    fn default() -> Self {
        Self {
            slot: Slot::default(),
            open: None,
        }
    }
}

impl<T: Processor> ProcessorVerbs<T> {
    fn settle(
        &mut self,
        (seq, len, fated): (u64, u64, u64),
        progress: Progress,
        out: &mut OutHandle<'_>,
    ) -> Progress {
        self.open = match progress {
            Progress::More => Some((seq, len, fated)),
            Progress::Done => {
                if !T::LATE {
                    Out::new(out, seq).consumed_at(seq, len.saturating_sub(fated));
                }
                None
            }
        };
        progress
    }
}

impl<T: Processor> Verbs for ProcessorVerbs<T> {
    common!();
    fn plan(&mut self, options: &[u8], inputs: &[u8]) -> Result<Vec<u8>, StageError> {
        self.slot.plan(options, inputs, T::plan)
    }
    fn process(
        &mut self,
        input: Input<'_>,
        handle: &mut OutHandle<'_>,
    ) -> Result<Progress, StageError> {
        let mut out = Out::new(handle, input.seq);
        let progress = self.slot.get()?.process(input, &mut out)?;
        let fated = out.fated;
        Ok(self.settle(
            (input.seq, input.batch.len() as u64, fated),
            progress,
            handle,
        ))
    }
    fn resume(&mut self, handle: &mut OutHandle<'_>) -> Result<Progress, StageError> {
        let (seq, len, before) = self
            .open
            .ok_or_else(|| StageError::fatal("`resume` was called without a batch"))?;
        let mut out = Out::new(handle, seq);
        let progress = self.slot.get()?.resume(&mut out)?;
        let fated = before + out.fated;
        Ok(self.settle((seq, len, fated), progress, handle))
    }
    fn end(&mut self, input: u32, out: &mut OutHandle<'_>) -> Result<(), StageError> {
        self.slot.get()?.end(input, &mut Out::new(out, 0))
    }
    fn tick(&mut self, now_ns: u64, out: &mut OutHandle<'_>) -> Result<Option<u64>, StageError> {
        self.slot.get()?.tick(now_ns, &mut Out::new(out, 0))
    }
    fn checkpoint(
        &mut self,
        epoch: u64,
        _: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError> {
        self.slot.get()?.checkpoint(epoch, last).map(|()| None)
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut OutHandle<'_>,
    ) -> Result<Checkpoint, StageError> {
        self.slot
            .get()?
            .checkpoint_poll(epoch, &mut Out::new(out, 0))
    }
}

pub struct SinkVerbs<T: Sink> {
    slot: Slot<T, T::Options>,
}

impl<T: Sink> Default for SinkVerbs<T> {
    fn default() -> Self {
        Self {
            slot: Slot::default(),
        }
    }
}

impl<T: Sink> Verbs for SinkVerbs<T> {
    common!();
    fn plan(&mut self, options: &[u8], inputs: &[u8]) -> Result<Vec<u8>, StageError> {
        self.slot.plan(options, inputs, T::plan)
    }
    fn recover(&mut self, epochs: &[u64]) -> Result<Recover, StageError> {
        self.slot.get()?.recover(epochs)
    }
    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        handle: &mut OutHandle<'_>,
    ) -> Result<usize, StageError> {
        let mut out = Out::new(handle, input.seq);
        let taken = self.slot.get()?.write(input, from, &mut out)?;
        if !T::LATE {
            let rest = (taken as u64).saturating_sub(out.fated);
            out.consumed_at(input.seq, rest);
        }
        Ok(taken)
    }
    fn end(&mut self, input: u32, out: &mut OutHandle<'_>) -> Result<(), StageError> {
        self.slot.get()?.end(input, &mut Out::new(out, 0))
    }
    fn tick(&mut self, now_ns: u64, out: &mut OutHandle<'_>) -> Result<Option<u64>, StageError> {
        self.slot.get()?.tick(now_ns, &mut Out::new(out, 0))
    }
    fn checkpoint(
        &mut self,
        epoch: u64,
        upstream: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, StageError> {
        let upstream = Upstream::list(upstream).map_err(|e| {
            StageError::fatal(format!("the host sent snapshots that do not read: {e}"))
        })?;
        self.slot
            .get()?
            .checkpoint_with(epoch, &upstream, last)
            .map(|()| None)
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut OutHandle<'_>,
    ) -> Result<Checkpoint, StageError> {
        self.slot
            .get()?
            .checkpoint_poll(epoch, &mut Out::new(out, 0))
    }
}
