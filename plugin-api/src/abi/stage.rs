//! The calls of a stage, as they cross the boundary.

use abi_stable::{
    StableAbi, sabi_trait,
    std_types::{RBox, ROption, RResult, RSlice, RString, RVec},
};

use super::{
    batch::RawBatch,
    services::{HostServices, OutHandle},
};

/// Trouble of a stage, as it crosses the boundary. `code` is one of [`crate::Code`].
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
pub struct RawError {
    /// What kind of trouble: see [`crate::Code`].
    pub code: u32,
    /// For transient trouble: when to try again, 0 for the host's own back-off.
    pub retry_after_ms: u64,
    /// JSON pointer to the option at fault, empty if none.
    pub pointer: RString,
    /// One sentence for a person.
    pub message: RString,
}

/// Answers of `poll`, `process` and `resume`.
pub mod answer {
    /// There may be more at once.
    pub const MORE: u32 = 0;
    /// Nothing for now (source), or done with the batch (processor).
    pub const IDLE: u32 = 1;
    /// Nothing ever again.
    pub const FINISHED: u32 = 2;
    /// `drain`: stop polling.
    pub const DRAIN_STOP: u32 = 0;
    /// `drain`: poll on until finished.
    pub const DRAIN_TO_END: u32 = 1;
    /// `tick`: no timer.
    pub const NEVER: u64 = u64::MAX;
}

/// Which epoch a stage says is true; `mine` false: it does not know.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Whether the stage is the one to say.
    pub mine: bool,
    /// The epoch; 0: none.
    pub epoch: u64,
}

/// Result of a call.
pub type Raw<T> = RResult<T, RawError>;

/// From plain Rust to a call's result.
pub(super) trait IntoRaw<T> {
    fn into_raw(self) -> Raw<T>;
}

impl<T> IntoRaw<T> for Result<T, crate::StageError> {
    fn into_raw(self) -> Raw<T> {
        match self {
            Ok(v) => RResult::ROk(v),
            Err(e) => RResult::RErr(e.into()),
        }
    }
}

/// A stage of a plugin.
pub type StageBox = Stage_TO<'static, RBox<()>>;

/// One running stage. Calls come from one thread at a time. See the traits
/// [`Source`](crate::Source), [`Processor`](crate::Processor) and [`Sink`](crate::Sink) for what
/// each call means; this is their union.
#[sabi_trait]
pub trait Stage: Send {
    /// Options (JSON) and input types (JSON) to a plan (JSON); pure. Remembered for `open`.
    fn plan(&mut self, options: RSlice<'_, u8>, inputs: RSlice<'_, u8>) -> Raw<RVec<u8>>;
    /// Starts the stage that was planned. `start` is JSON: see [`crate::context::Start`].
    fn open(&mut self, host: HostServices, start: RSlice<'_, u8>) -> Raw<()>;
    /// Which of these epochs is true?
    fn recover(&mut self, epochs: RSlice<'_, u64>) -> Raw<Recovered>;
    /// The state at `epoch` (0 and none: from the beginning).
    fn restore(&mut self, epoch: u64, version: u32, state: ROption<RSlice<'_, u8>>) -> Raw<()>;
    /// Source: at most `budget` records, back by `deadline_ns`.
    fn poll(&mut self, budget: usize, deadline_ns: u64, out: &mut OutHandle<'_>) -> Raw<u32>;
    /// Source: what to do when the run ends.
    fn drain(&mut self) -> Raw<u32>;
    /// Processor: use a batch.
    fn process(
        &mut self,
        input: u32,
        seq: u64,
        batch: &RawBatch,
        out: &mut OutHandle<'_>,
    ) -> Raw<u32>;
    /// Processor: go on after `More`.
    fn resume(&mut self, out: &mut OutHandle<'_>) -> Raw<u32>;
    /// Sink: take records from index `from`; how many were taken.
    fn write(
        &mut self,
        input: u32,
        seq: u64,
        batch: &RawBatch,
        from: usize,
        out: &mut OutHandle<'_>,
    ) -> Raw<usize>;
    /// This input has ended.
    fn end(&mut self, input: u32, out: &mut OutHandle<'_>) -> Raw<()>;
    /// Timers; answers when next, on the monotonic clock.
    fn tick(&mut self, now_ns: u64, out: &mut OutHandle<'_>) -> Raw<u64>;
    /// The barrier passes: begin; a source answers with its state. `upstream` is JSON, a list of
    /// [`Upstream`](crate::Upstream), or empty: the snapshots of the sources, for sinks.
    fn checkpoint(
        &mut self,
        epoch: u64,
        upstream: RSlice<'_, u8>,
        last: bool,
    ) -> Raw<ROption<RVec<u8>>>;
    /// None: pending; else the state.
    fn checkpoint_poll(&mut self, epoch: u64, out: &mut OutHandle<'_>) -> Raw<ROption<RVec<u8>>>;
    /// The epoch is true. False: ask again.
    fn commit(&mut self, epoch: u64) -> Raw<bool>;
    /// The epoch will not be.
    fn abort(&mut self, epoch: u64) -> Raw<()>;
    /// The last call before drop.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Raw<()>;
}
