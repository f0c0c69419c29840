//! The three kinds of stage. All calls of one instance come from one thread at a time; none may
//! block past its deadline, so network plugins run a small runtime of their own behind it.
//!
//! Order of calls: `plan` (pure, also offline), `open`, `restore`, then the work, with
//! checkpoints between batches, at last `close`. A call that answers with transient trouble is
//! repeated by the host; after a panic only the destructor runs.

use serde::de::DeserializeOwned;

use crate::{Batch, ContentType, Context, Out, Planned, StageError, Upstream};

/// A numbered input or output of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// Name, as in `inputs = ["route.matched"]`.
    pub name: &'static str,
}

/// The one port of most stages.
pub const ONE_PORT: &[PortSpec] = &[PortSpec { name: "out" }];
/// The one input of most stages.
pub const ONE_INPUT: &[PortSpec] = &[PortSpec { name: "in" }];

/// Answer of [`Source::poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There may be more at once.
    More,
    /// Nothing came until the deadline.
    Idle,
    /// Nothing will ever come again.
    Finished,
}

/// Answer of [`Source::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Stop polling.
    Stop,
    /// Poll on: the source answers [`Poll::Finished`] when it has read all that there is now.
    ToEnd,
}

/// Answer of [`Processor::process`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The batch is used up.
    Done,
    /// Call [`Processor::resume`] when there is room.
    More,
}

/// Answer of `checkpoint_poll`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// Not yet.
    Pending,
    /// The state, empty for none.
    Ready(Vec<u8>),
}

/// Answer of `commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It is done.
    Done,
    /// Ask again.
    Pending,
}

/// Answer of `recover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// This stage does not know.
    NotMine,
    /// This epoch is true; 0: none is.
    Epoch(u64),
}

/// A batch that comes in.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Number of the input.
    pub port: u32,
    /// Number of the batch, to report fates later.
    pub seq: u64,
    /// The records.
    pub batch: &'a Batch,
}

/// Reads records from outside.
pub trait Source: Sized + Send + 'static {
    /// The name that `plugin = "…"` uses.
    const NAME: &'static str;
    /// Output ports.
    const OUTPUTS: &'static [PortSpec] = ONE_PORT;
    /// Version of what [`checkpoint`](Self::checkpoint) answers; raise it when that changes.
    const STATE_VERSION: u32 = 1;
    /// Whether several instances may share what there is to read, each by
    /// [`Context::worker`] and [`Context::workers`]. Otherwise `workers` is refused.
    const WORKERS: bool = false;
    /// Options, declared with [`options!`](crate::options).
    type Options: DeserializeOwned + schemars::JsonSchema + Clone + Send;

    /// Checks the options and says what will come out. Pure: connects to nothing; may read
    /// schema files.
    ///
    /// # Errors
    /// [`StageError::config`] with the pointer to the option at fault.
    fn plan(options: &Self::Options) -> Result<Planned, StageError>;

    /// Starts. Called again by the host after transient trouble.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn open(options: Self::Options, ctx: &Context) -> Result<Self, StageError>;

    /// Goes to the state of an epoch; 0 and `None`: the beginning. Always called once, before
    /// anything else.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn restore(&mut self, _epoch: u64, _state: Option<&[u8]>) -> Result<(), StageError> {
        Ok(())
    }

    /// Emits at most `budget` records (a hard cap: an offset of a record beyond it must never be
    /// committed) and returns by `deadline_ns` on the monotonic clock.
    ///
    /// # Errors
    /// Trouble of any kind; what was emitted before stays emitted.
    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError>;

    /// The run ends: stop, or read on to the end of what is there. A source whose `limit` is reached
    /// is told so, too, and polled no more whatever it answers.
    fn drain(&mut self) -> Drain {
        Drain::Stop
    }

    /// A barrier starts behind what was emitted so far: the position, at once. `last`: the run ends.
    ///
    /// # Errors
    /// Trouble of any kind: there will be no such epoch.
    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        Ok(Vec::new())
    }

    /// Asked once more just before the epoch is made true.
    ///
    /// # Errors
    /// If what the epoch covers is no longer this source's, such as a lost partition.
    fn checkpoint_poll(&mut self, _epoch: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// The epoch is true: everything before its barrier is safe behind the sinks. Idempotent.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn commit(&mut self, _epoch: u64) -> Result<Commit, StageError> {
        Ok(Commit::Done)
    }

    /// The epoch will not be; its records belong to the next.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn abort(&mut self, _epoch: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// The last call before drop.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn close(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

/// Turns records into records.
pub trait Processor: Sized + Send + 'static {
    /// The name that `plugin = "…"` uses.
    const NAME: &'static str;
    /// Input ports. With one, several stages may feed it.
    const INPUTS: &'static [PortSpec] = ONE_INPUT;
    /// Output ports.
    const OUTPUTS: &'static [PortSpec] = ONE_PORT;
    /// Version of the state; raise it when that changes.
    const STATE_VERSION: u32 = 1;
    /// Whether fates are reported later than the call that took the batch.
    const LATE: bool = false;
    /// Options, declared with [`options!`](crate::options).
    type Options: DeserializeOwned + schemars::JsonSchema + Clone + Send;

    /// Checks options and input types and says what will come out. Pure. By default the first
    /// input's type comes out of each port.
    ///
    /// # Errors
    /// [`StageError::config`]; the pointer `/inputs` stands for the stage's inputs.
    fn plan(_options: &Self::Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        let first = inputs.first().cloned().unwrap_or_else(ContentType::bytes);
        Ok(Planned::outputs(vec![first; Self::OUTPUTS.len()]))
    }

    /// Starts.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn open(options: Self::Options, ctx: &Context) -> Result<Self, StageError>;

    /// See [`Source::restore`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn restore(&mut self, _epoch: u64, _state: Option<&[u8]>) -> Result<(), StageError> {
        Ok(())
    }

    /// Uses a batch. After [`Emit::Full`](crate::Emit::Full) or long work answer `More`.
    ///
    /// # Errors
    /// Trouble; after transient trouble the same batch comes again.
    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError>;

    /// Goes on after `More`.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn resume(&mut self, _out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        Ok(Progress::Done)
    }

    /// That input has ended: last windows.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn end(&mut self, _input: u32, _out: &mut Out<'_, '_>) -> Result<(), StageError> {
        Ok(())
    }

    /// Timers: answers when to be called next, on the monotonic clock; `None`: never.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn tick(&mut self, _now_ns: u64, _out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        Ok(None)
    }

    /// The barrier passes: begin to make the state. The flow goes on before it is ready.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        Ok(())
    }

    /// The state as of the barrier, when it is ready.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint_poll(
        &mut self,
        _epoch: u64,
        _out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(Vec::new()))
    }

    /// See [`Source::commit`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn commit(&mut self, _epoch: u64) -> Result<Commit, StageError> {
        Ok(Commit::Done)
    }

    /// See [`Source::abort`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn abort(&mut self, _epoch: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// The last call before drop.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn close(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

/// Writes records to outside.
pub trait Sink: Sized + Send + 'static {
    /// The name that `plugin = "…"` uses.
    const NAME: &'static str;
    /// Input ports. With one, several stages may feed it.
    const INPUTS: &'static [PortSpec] = ONE_INPUT;
    /// Version of the state; raise it when that changes.
    const STATE_VERSION: u32 = 1;
    /// Whether fates are reported later than the call that took the records.
    const LATE: bool = false;
    /// Options, declared with [`options!`](crate::options).
    type Options: DeserializeOwned + schemars::JsonSchema + Clone + Send;

    /// Checks options and input types. Pure.
    ///
    /// # Errors
    /// [`StageError::config`]; the pointer `/inputs` stands for the stage's inputs.
    fn plan(_options: &Self::Options, _inputs: &[ContentType]) -> Result<Planned, StageError> {
        Ok(Planned::sink())
    }

    /// Starts.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn open(options: Self::Options, ctx: &Context) -> Result<Self, StageError>;

    /// See [`Source::restore`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn restore(&mut self, _epoch: u64, _state: Option<&[u8]>) -> Result<(), StageError> {
        Ok(())
    }

    /// Takes records of the batch from index `from` on; how many were taken. 0: busy, the host
    /// comes again. What was taken counts as consumed unless it is rejected or filtered in the
    /// same call (or later, for a `LATE` sink).
    ///
    /// # Errors
    /// Trouble; after transient trouble the records from `from` on come again.
    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError>;

    /// That input has ended.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn end(&mut self, _input: u32, _out: &mut Out<'_, '_>) -> Result<(), StageError> {
        Ok(())
    }

    /// See [`Processor::tick`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn tick(&mut self, _now_ns: u64, _out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        Ok(None)
    }

    /// The barrier passes: begin to make everything taken so far durable. `last`: the run ends.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<(), StageError> {
        Ok(())
    }

    /// The same, with what the barrier brings: where the sources of these records stood. For sinks
    /// that make the sources' positions durable together with the records; the others implement
    /// [`checkpoint`](Self::checkpoint) and leave this as it is.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint_with(
        &mut self,
        epoch: u64,
        _upstream: &[Upstream],
        last: bool,
    ) -> Result<(), StageError> {
        self.checkpoint(epoch, last)
    }

    /// Ready only when every record taken before the barrier is durable or rejected.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn checkpoint_poll(
        &mut self,
        _epoch: u64,
        _out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        Ok(Checkpoint::Ready(Vec::new()))
    }

    /// The epoch is true: make visible what was prepared. Idempotent.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn commit(&mut self, _epoch: u64) -> Result<Commit, StageError> {
        Ok(Commit::Done)
    }

    /// See [`Source::abort`].
    ///
    /// # Errors
    /// Trouble of any kind.
    fn abort(&mut self, _epoch: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// Which of these epochs is true? For sinks whose store says so, such as a transaction log.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn recover(&mut self, _epochs: &[u64]) -> Result<Recover, StageError> {
        Ok(Recover::NotMine)
    }

    /// The last call before drop.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn close(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}
