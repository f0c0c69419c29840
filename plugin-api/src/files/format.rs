//! The part that all file sinks share: from the calls of a sink to files of a format.

use super::fs::FileSystem;
use super::rolling::{Roll, Rolling};
use super::template::{Names, Template};
use crate::{Checkpoint, Commit, Context, Input, Out, Record, Reject, StageError};
use std::path::Path;
use std::sync::Arc;

/// Longest time that a record waits in the buffer before it is handed to the operating system.
const SHOW_WITHIN_NS: u64 = 1_000_000_000;

/// How records become the bytes of a file.
///
/// All methods append to `out`, which holds nothing but this file's bytes and is emptied between
/// calls.
pub trait FileFormat: Send {
    /// A file begins: its head.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        Ok(())
    }

    /// One record. What a rejected one appended is taken back.
    ///
    /// # Errors
    /// A reason to reject the record.
    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject>;

    /// A checkpoint: append what is held back, so that the file so far reads whole. A crash may
    /// cut the file back to here; a compressed stream therefore ends here, and the next record
    /// begins another.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn flush(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        Ok(())
    }

    /// What [`resume`](Self::resume) needs to go on with the file as of the last `flush`, such as
    /// the marker and schema in its head. Default: nothing.
    fn save(&self) -> String {
        String::new()
    }

    /// After a crash: the file is gone on with where `flush` left it when `save` said `saved`.
    /// False if this format now writes other files than that, with another schema or codec: then
    /// the file ends as it is, without `end`, and another is begun. Default: true.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn resume(&mut self, _saved: &str) -> Result<bool, StageError> {
        Ok(true)
    }

    /// The file ends: its tail.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn end(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        Ok(())
    }
}

/// Files of one format, each record in them exactly once, also after a crash at any instant. Driven
/// by the calls of a sink: pass `restore`, `write`, `tick`, `checkpoint`, `checkpoint_poll`,
/// `commit` and `abort` on to the methods of these names, or let a [`FileSink`](super::FileSink) do
/// so. `close` needs nothing: what no epoch covers keeps no name.
pub struct FileWriter<F> {
    format: F,
    files: Rolling,
    ctx: Context,
    state: State,
    /// Since when, on the monotonic clock, the buffer has held something.
    waiting_ns: Option<u64>,
}

/// Where the open file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No file, or one without its head.
    New,
    /// Records go in.
    Begun,
    /// The tail is written.
    Ended,
}

impl<F: FileFormat> FileWriter<F> {
    /// Checks a path with placeholders at plan time.
    ///
    /// # Errors
    /// [`StageError::config`] for the option `path`.
    pub fn plan(path: &Path) -> Result<(), StageError> {
        template(path).map(drop)
    }

    /// Files at `path`, which may hold placeholders (see [`Template`]).
    ///
    /// # Errors
    /// [`StageError::config`] for the option `path`.
    pub fn open(path: &Path, roll: Roll, format: F, ctx: &Context) -> Result<Self, StageError> {
        Self::open_on(Arc::new(super::fs::Os), path, roll, format, ctx)
    }

    /// As [`open`](Self::open), on a file system of your choice.
    ///
    /// # Errors
    /// [`StageError::config`] for the option `path`.
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        roll: Roll,
        format: F,
        ctx: &Context,
    ) -> Result<Self, StageError> {
        let names = Names {
            host: ctx.host().to_owned(),
            stage: ctx.stage().to_owned(),
            worker: ctx.worker(),
        };
        Ok(Self {
            format,
            files: Rolling::on(fs, template(path)?, names, roll),
            ctx: ctx.clone(),
            state: State::New,
            waiting_ns: None,
        })
    }

    /// Goes back to an epoch, or to the beginning: see [`Rolling::restore`].
    ///
    /// # Errors
    /// If a file of the epoch is gone or shorter than it was.
    pub fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        (self.state, self.waiting_ns) = (State::New, None);
        if let Some(saved) = self.files.restore(epoch, state)? {
            if self.format.resume(&saved)? {
                self.state = State::Begun;
            } else {
                self.files.roll()?;
            }
        }
        Ok(())
    }

    /// Takes records from index `from` on, up to the end of the batch or of the file.
    ///
    /// # Errors
    /// If the disk is full (transient) or fails. Then nothing was taken.
    pub fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let now_us = self.ctx.now_us();
        self.files.settle()?;
        self.files.flush_if_full()?;
        if self.state == State::Ended || self.files.due(now_us) {
            self.end_file()?;
            self.files.settle()?;
        }
        if self.files.is_busy() {
            return Ok(0);
        }
        let mut max_records = self.files.room().unwrap_or(u64::MAX);
        let max_bytes = self.files.limits().max_bytes.map(|max| max.0);
        let file = self.files.open(now_us)?;
        if self.state == State::New {
            self.format.begin(file.buffer())?;
            self.state = State::Begun;
        }
        let mut taken = 0;
        let mut written = 0;
        let flushed = file.flushed();
        let buffer = file.buffer();
        while from + taken < input.batch.len() && max_records > 0 {
            let index = from + taken;
            let before = buffer.len();
            taken += 1;
            match self.format.record(&input.batch.record(index), buffer) {
                Ok(()) => {
                    written += 1;
                    max_records -= 1;
                }
                Err(reject) => {
                    buffer.truncate(before);
                    out.reject(index as u32, &reject);
                }
            }
            if max_bytes.is_some_and(|max| flushed + buffer.len() as u64 >= max) {
                break;
            }
        }
        self.files.add_records(written);
        if written > 0 && self.waiting_ns.is_none() {
            self.waiting_ns = Some(self.ctx.monotonic_ns());
        }
        Ok(taken)
    }

    /// Rolls files by time and lets nothing wait in the buffer for longer than a second.
    ///
    /// # Errors
    /// If the disk is full (transient) or fails.
    pub fn tick(&mut self, now_ns: u64) -> Result<Option<u64>, StageError> {
        let now_us = self.ctx.now_us();
        if self.files.due(now_us) {
            self.end_file()?;
        }
        self.files.settle()?;
        let show_at = self.waiting_ns.map(|since| since + SHOW_WITHIN_NS);
        if show_at.is_some_and(|at| at <= now_ns) {
            self.files.flush()?;
            self.waiting_ns = None;
        }
        let roll_at = self.files.due_at().map(|due_us| {
            let wait_us = due_us.saturating_sub(now_us).max(0).unsigned_abs();
            now_ns.saturating_add(wait_us.saturating_mul(1_000))
        });
        let show_at = self.waiting_ns.and(show_at);
        // With nothing to wait for, a batch may come at any time and then wait for a second.
        let idle_at = now_ns + SHOW_WITHIN_NS;
        Ok(roll_at.into_iter().chain(show_at).chain([idle_at]).min())
    }

    /// The barrier passes; `last` ends the open file. Repeated for the same epoch it does nothing.
    ///
    /// # Errors
    /// Those of the format; if an empty file cannot be removed.
    pub fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        if self.files.has_begun(epoch) {
            return Ok(());
        }
        if last || self.state == State::Ended {
            self.end_file()?;
        } else if let Some(file) = self.files.current() {
            if self.state == State::Begun {
                self.format.flush(file.buffer())?;
            }
        }
        self.files.checkpoint(epoch, self.format.save());
        self.waiting_ns = None;
        Ok(())
    }

    /// The state, once everything written before the barrier is durable.
    ///
    /// # Errors
    /// If the disk is full (transient), or an fsync failed.
    pub fn checkpoint_poll(&mut self, epoch: u64) -> Result<Checkpoint, StageError> {
        let state = self.files.checkpoint_poll(epoch)?;
        Ok(state.map_or(Checkpoint::Pending, Checkpoint::Ready))
    }

    /// The epoch is true: files that had ended at its barrier take their names.
    ///
    /// # Errors
    /// If the disk is full (transient) or fails.
    pub fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        for finished in self.files.commit(epoch)? {
            self.ctx.info(format!(
                "{}: {} records, {} bytes",
                finished.path.display(),
                finished.records,
                finished.bytes
            ));
        }
        Ok(Commit::Done)
    }

    /// The epoch will not be; its records belong to the next.
    pub fn abort(&mut self, epoch: u64) {
        self.files.abort(epoch);
    }

    fn end_file(&mut self) -> Result<(), StageError> {
        let Some(file) = self.files.current() else {
            return Ok(());
        };
        if self.state == State::Begun {
            self.format.end(file.buffer())?;
            self.state = State::Ended;
        }
        self.files.roll()?;
        self.state = State::New;
        self.waiting_ns = None;
        Ok(())
    }
}

fn template(path: &Path) -> Result<Template, StageError> {
    let text = path
        .to_str()
        .ok_or_else(|| StageError::config("/path", "the path is not UTF-8"))?;
    Template::parse(text).map_err(|error| StageError::config("/path", error.to_string()))
}
