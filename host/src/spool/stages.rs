//! The two ends of a disk buffer as stages like any plugin's: to the region that writes it a
//! sink, to the one that reads it a source.

use std::collections::VecDeque;

use plugin_api::{
    Batch, ByteSize, Checkpoint, Commit, ContentType, Context, Drain, Emit, FilePath, Input, Out,
    Planned, Poll, Sink, Source, StageError, abi::root::Plugin, export, manifest::StageEntry,
    options,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Appended, Bounds, Entry, Found, Lease, Spool, WhenFull};

/// Entries that the reader has in memory besides the one that it sends.
const READ_AHEAD: usize = 4;

/// The stages that the host brings itself.
pub struct BuiltIn;

impl Plugin for BuiltIn {
    const NAME: &'static str = "disk-buffer";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const LICENSE: &'static str = "MIT OR Apache-2.0";
    const DESCRIPTION: &'static str = "Batches that wait on disk between two regions";
    fn stages() -> Vec<StageEntry> {
        vec![
            export::sink::<DiskBufferIn>(),
            export::source::<DiskBufferOut>(),
        ]
    }
}

options! {
    /// Puts records into a disk buffer.
    pub struct InOptions {
        /// Folder of the buffer.
        pub path: FilePath,
        /// Most bytes that wait in it; those of one epoch may exceed it. The file keeps the size
        /// that it once had.
        pub max_bytes: ByteSize,
        /// What happens when they are reached.
        #[serde(default)]
        pub when_full: WhenFull,
    }
}

options! {
    /// Takes records out of a disk buffer, in the order in which they were put in.
    pub struct OutOptions {
        /// Folder of the buffer.
        pub path: FilePath,
        /// Content type of what was put in: `format` and, for Avro, `schema`.
        #[schemars(with = "serde_json::Value")]
        pub content: ContentType,
    }
}

/// States by epoch, from `checkpoint` to `commit`.
#[derive(Debug)]
struct Epochs<S> {
    open: VecDeque<(u64, S)>,
    committed: u64,
}

impl<S> Epochs<S> {
    fn new() -> Self {
        Self {
            open: VecDeque::new(),
            committed: 0,
        }
    }

    /// The state of an epoch; `None`: it was committed before.
    fn state(&self, epoch: u64) -> Result<Option<&S>, StageError> {
        match self.open.iter().find(|(e, _)| *e == epoch) {
            Some((_, state)) => Ok(Some(state)),
            None if epoch <= self.committed => Ok(None),
            None => Err(StageError::fatal(format!(
                "epoch {epoch} of a disk buffer was never prepared"
            ))),
        }
    }

    fn committed(&mut self, epoch: u64) {
        self.open.retain(|(e, _)| *e > epoch);
        self.committed = self.committed.max(epoch);
    }

    fn abort(&mut self, epoch: u64) {
        self.open.retain(|(e, _)| *e != epoch);
    }
}

fn to_bytes<S: Serialize>(state: &S) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec(state).map_err(|e| StageError::fatal(e.to_string()))
}

fn from_bytes<S: DeserializeOwned>(state: &[u8]) -> Result<S, StageError> {
    serde_json::from_slice(state)
        .map_err(|e| StageError::fatal(format!("the epoch's state of a disk buffer: {e}")))
}

fn held(lease: Option<Lease>) -> Result<Lease, StageError> {
    lease.ok_or_else(|| StageError::fatal("a disk buffer is restored before it is used"))
}

fn content_text(content: &ContentType) -> String {
    match &content.schema {
        None => content.format.to_string(),
        Some(schema) => format!("{} of schema {schema}", content.format),
    }
}

/// State of the writing end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Head {
    /// The next entry.
    head: u64,
    /// Whether the stream has ended there.
    ended: bool,
}

/// Sink `disk-buffer-in`.
pub struct DiskBufferIn {
    spool: Spool,
    lease: Option<Lease>,
    bounds: Bounds,
    content: String,
    ended: bool,
    epochs: Epochs<Head>,
    /// Bytes appended since the last barrier, and whether an epoch was asked for because of them.
    since: u64,
    asked: bool,
    ctx: Context,
}

impl Sink for DiskBufferIn {
    const NAME: &'static str = "disk-buffer-in";
    type Options = InOptions;

    fn open(options: InOptions, ctx: &Context) -> Result<Self, StageError> {
        if ctx.workers() > 1 {
            return Err(StageError::fatal("a disk buffer has one writer"));
        }
        let bytes = ContentType::bytes();
        Ok(Self {
            spool: Spool::open(&options.path)?,
            lease: None,
            bounds: Bounds {
                max_bytes: options.max_bytes.0,
                when_full: options.when_full,
            },
            content: content_text(ctx.inputs().first().unwrap_or(&bytes)),
            ended: false,
            epochs: Epochs::new(),
            since: 0,
            asked: false,
            ctx: ctx.clone(),
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let head: Option<Head> = state.map(from_bytes).transpose()?;
        let at = head.map(|h| (h.head, h.ended));
        self.lease = Some(self.spool.restore_writer(at, &self.content)?);
        self.epochs = Epochs::new();
        if let Some(head) = head {
            self.ended = head.ended;
            self.epochs.open.push_back((epoch, head));
        }
        Ok(())
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let rest = input.batch.len() - from;
        let selected;
        let batch = if from == 0 {
            input.batch
        } else {
            let indices: Vec<u32> = (from as u32..input.batch.len() as u32).collect();
            selected = input.batch.select(&indices);
            &selected
        };
        // When the run ends its reader may be gone already: what is under way still goes in.
        let anyway = self.ctx.cancelled();
        match self
            .spool
            .append(held(self.lease)?, batch, self.bounds, anyway)?
        {
            Appended::Taken { dropped } => {
                if dropped > 0 {
                    self.ctx.counter("dropped_oldest", dropped);
                }
                // An epoch makes readable what else fills the buffer and cannot leave it.
                self.since += batch.pinned_bytes() as u64;
                if !self.asked && self.since > self.bounds.max_bytes / 2 {
                    self.asked = true;
                    self.ctx.request_checkpoint();
                }
                Ok(rest)
            }
            Appended::Full => Ok(0),
            Appended::Dropped => {
                self.ctx.counter("dropped_newest", rest as u64);
                out.filtered(rest as u64);
                Ok(rest)
            }
        }
    }

    fn end(&mut self, _input: u32, _out: &mut Out<'_, '_>) -> Result<(), StageError> {
        self.ended = true;
        Ok(())
    }

    fn checkpoint(&mut self, epoch: u64, _last: bool) -> Result<(), StageError> {
        let head = Head {
            head: self.spool.extent().next,
            ended: self.ended,
        };
        self.epochs.open.push_back((epoch, head));
        (self.since, self.asked) = (0, false);
        Ok(())
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        let Some(head) = self.epochs.state(epoch)?.copied() else {
            return Err(StageError::fatal(format!("epoch {epoch} is over")));
        };
        self.spool.seal(held(self.lease)?)?;
        Ok(Checkpoint::Ready(to_bytes(&head)?))
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some(head) = self.epochs.state(epoch)? {
            self.spool
                .publish(held(self.lease)?, head.head, head.ended)?;
            self.epochs.committed(epoch);
        }
        Ok(Commit::Done)
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.epochs.abort(epoch);
        Ok(())
    }
}

/// State of the reading end: what is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The entry.
    entry: u64,
    /// The record in it.
    record: usize,
}

/// Source `disk-buffer-out`.
pub struct DiskBufferOut {
    spool: Spool,
    lease: Option<Lease>,
    content: String,
    at: Position,
    /// What was read and is not sent; the first entry is that of `at`.
    ahead: VecDeque<Entry>,
    epochs: Epochs<Position>,
    /// An epoch was asked for since the last trim, since the writer waits.
    asked: bool,
    ctx: Context,
}

impl DiskBufferOut {
    /// The next records, at most `budget`, and where the ones behind them are.
    fn take(&mut self, budget: usize) -> Option<(Option<Batch>, Position)> {
        let entry = self.ahead.front()?;
        let next = Position {
            entry: entry.next,
            record: 0,
        };
        let Some(batch) = &entry.batch else {
            self.ahead.pop_front();
            return Some((None, next));
        };
        let left = batch.len().saturating_sub(self.at.record);
        if self.at.record == 0 && left <= budget {
            let batch = batch.clone();
            self.ahead.pop_front();
            return Some((Some(batch), next));
        }
        let to = self.at.record + left.min(budget);
        let indices: Vec<u32> = (self.at.record as u32..to as u32).collect();
        let part = batch.select(&indices);
        if left <= budget {
            self.ahead.pop_front();
            return Some((Some(part), next));
        }
        let entry = self.at.entry;
        Some((Some(part), Position { entry, record: to }))
    }
}

impl Source for DiskBufferOut {
    const NAME: &'static str = "disk-buffer-out";
    type Options = OutOptions;

    fn plan(options: &OutOptions) -> Result<Planned, StageError> {
        Ok(Planned::outputs(vec![options.content.clone()]))
    }

    fn open(options: OutOptions, ctx: &Context) -> Result<Self, StageError> {
        if ctx.workers() > 1 {
            return Err(StageError::fatal("a disk buffer has one reader"));
        }
        Ok(Self {
            spool: Spool::open(&options.path)?,
            lease: None,
            content: content_text(&options.content),
            at: Position {
                entry: 0,
                record: 0,
            },
            ahead: VecDeque::with_capacity(READ_AHEAD),
            epochs: Epochs::new(),
            asked: false,
            ctx: ctx.clone(),
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let at: Option<Position> = state.map(from_bytes).transpose()?;
        let (lease, entry) = self
            .spool
            .restore_reader(at.map(|at| at.entry), &self.content)?;
        self.lease = Some(lease);
        self.at = at.unwrap_or(Position { entry, record: 0 });
        self.ahead.clear();
        self.epochs = Epochs::new();
        if let Some(at) = at {
            self.epochs.open.push_back((epoch, at));
        }
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut left = budget;
        // Waits only while it has nothing: what was sent shall not wait for what may come.
        let mut deadline = deadline_ns;
        while left > 0 {
            if self.ahead.is_empty() {
                if !self.asked && self.spool.is_full() {
                    self.asked = true;
                    self.ctx.request_checkpoint();
                }
                let from = self.at.entry;
                match self.spool.read(
                    held(self.lease)?,
                    from,
                    READ_AHEAD,
                    deadline,
                    &mut self.ahead,
                )? {
                    Found::Entries => {}
                    Found::Nothing if left < budget => return Ok(Poll::More),
                    Found::Nothing => return Ok(Poll::Idle),
                    Found::End => return Ok(Poll::Finished),
                }
            }
            let Some((batch, next)) = self.take(left) else {
                continue;
            };
            self.at = next;
            if let Some(batch) = batch {
                left -= batch.len();
                deadline = 0;
                if out.emit(0, batch) == Emit::Full {
                    break;
                }
            }
        }
        Ok(Poll::More)
    }

    fn drain(&mut self) -> Drain {
        Drain::Stop
    }

    fn checkpoint(&mut self, epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        self.epochs.open.push_back((epoch, self.at));
        to_bytes(&self.at)
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some(at) = self.epochs.state(epoch)? {
            self.spool.trim(held(self.lease)?, at.entry)?;
            self.epochs.committed(epoch);
            self.asked = false;
        }
        Ok(Commit::Done)
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.epochs.abort(epoch);
        Ok(())
    }
}
