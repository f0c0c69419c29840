//! The part that all file sinks share: from the calls of a sink to files of a format.

use super::fs::FileSystem;
use super::rolling::{Roll, Rolling};
use super::template::{Names, Template};
use crate::{Checkpoint, Context, Input, Out, Record, Reject, StageError};
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

    /// A checkpoint: append what is held back, so that the file so far reads whole.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn flush(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        Ok(())
    }

    /// The file ends: its tail.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn end(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        Ok(())
    }
}

/// Files of one format, driven by the calls of a sink: pass `write`, `tick`, `checkpoint`,
/// `checkpoint_poll` and `close` on to the methods of these names.
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
    /// The tail is written, the name not yet given.
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
        self.files.flush_if_full()?;
        if self.state == State::Ended || self.files.due(now_us) {
            self.finish()?;
        }
        let mut max_records = self.files.room().unwrap_or(u64::MAX);
        let max_bytes = self.files.roll().max_bytes.map(|max| max.0);
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
            self.finish()?;
        }
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

    /// Begins to make everything written durable; `last` finishes the file.
    ///
    /// # Errors
    /// If the disk is full (transient) or fails.
    pub fn checkpoint(&mut self, last: bool) -> Result<(), StageError> {
        if last {
            return self.finish();
        }
        if let Some(file) = self.files.current() {
            if self.state == State::Begun {
                self.format.flush(file.buffer())?;
            }
        }
        self.files.begin_sync()?;
        self.waiting_ns = None;
        Ok(())
    }

    /// Whether everything written before the checkpoint is durable.
    ///
    /// # Errors
    /// If the fsync failed.
    pub fn checkpoint_poll(&mut self) -> Result<Checkpoint, StageError> {
        match self.files.poll_sync() {
            None => Ok(Checkpoint::Pending),
            Some(result) => result
                .map(|()| Checkpoint::Ready(Vec::new()))
                .map_err(StageError::from),
        }
    }

    /// Finishes the open file.
    ///
    /// # Errors
    /// If the disk is full (transient) or fails.
    pub fn close(&mut self) -> Result<(), StageError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), StageError> {
        let Some(file) = self.files.current() else {
            return Ok(());
        };
        if self.state == State::Begun {
            self.format.end(file.buffer())?;
            self.state = State::Ended;
        }
        let finished = self.files.finish()?;
        self.state = State::New;
        self.waiting_ns = None;
        if let Some(finished) = finished {
            self.ctx.info(format!(
                "{}: {} records, {} bytes",
                finished.path.display(),
                finished.records,
                finished.bytes
            ));
        }
        Ok(())
    }
}

fn template(path: &Path) -> Result<Template, StageError> {
    let text = path
        .to_str()
        .ok_or_else(|| StageError::config("/path", "the path is not UTF-8"))?;
    Template::parse(text).map_err(|error| StageError::config("/path", error.to_string()))
}
