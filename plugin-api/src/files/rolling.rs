//! When one output file ends and the next begins.

use super::error::FileError;
use super::fs::{FileSystem, Os};
use super::output::OutputFile;
use super::template::{Names, Template};
use crate::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// When a file is finished and the next one begun. All absent: one file, unless its name holds a
/// date. A file holds at least one record, so none is left by a run without any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roll {
    /// Once it holds so many bytes, such as `"256 MiB"`. Default: no limit.
    pub max_bytes: Option<ByteSize>,
    /// Once it holds so many records. Default: no limit.
    pub max_records: Option<u64>,
    /// Once it has been open for so long, such as `"1h"`. Default: no limit.
    pub interval: Option<Span>,
}

/// A file that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its final name.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many records it holds.
    pub records: u64,
}

/// A series of output files, at most one of them open.
pub struct Rolling {
    fs: Arc<dyn FileSystem>,
    template: Template,
    names: Names,
    roll: Roll,
    open: Option<Open>,
    /// The name finished last and its number, so that thousands of one name are not tried in turn.
    last: Option<(PathBuf, u32)>,
}

struct Open {
    file: OutputFile,
    wanted: PathBuf,
    records: u64,
    opened_us: i64,
}

impl Rolling {
    /// Files on the disk; the first is created by [`open`](Self::open).
    #[must_use]
    pub fn new(template: Template, names: Names, roll: Roll) -> Self {
        Self::on(Arc::new(Os), template, names, roll)
    }

    /// Files on a file system of your choice.
    #[must_use]
    pub fn on(fs: Arc<dyn FileSystem>, template: Template, names: Names, roll: Roll) -> Self {
        Self {
            fs,
            template,
            names,
            roll,
            open: None,
            last: None,
        }
    }

    /// The open file, created if there is none. `now_us` is wall-clock time in microseconds.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn open(&mut self, now_us: i64) -> Result<&mut OutputFile, FileError> {
        if self.open.is_none() {
            let wanted = self.template.render(&self.names, now_us);
            let file = OutputFile::create(Arc::clone(&self.fs), &wanted)?;
            self.open = Some(Open {
                file,
                wanted,
                records: 0,
                opened_us: now_us,
            });
        }
        Ok(&mut self.open.as_mut().expect("opened just above").file)
    }

    /// The open file, if there is one.
    pub fn current(&mut self) -> Option<&mut OutputFile> {
        self.open.as_mut().map(|open| &mut open.file)
    }

    /// Counts records into the open file.
    pub fn add_records(&mut self, count: u64) {
        if let Some(open) = &mut self.open {
            open.records += count;
        }
    }

    /// Whether the open file should be finished before the next record.
    #[must_use]
    pub fn due(&self, now_us: i64) -> bool {
        let Some(open) = &self.open else { return false };
        open.records > 0 && (self.full() || self.due_at().is_some_and(|due_us| now_us >= due_us))
    }

    /// Whether the open file has reached `max_bytes` or `max_records`.
    #[must_use]
    pub fn full(&self) -> bool {
        let Some(open) = &self.open else { return false };
        self.roll
            .max_bytes
            .is_some_and(|max| open.file.len() >= max.0)
            || self.room() == Some(0)
    }

    /// How many more records the open file takes; `None`: as many as come.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let max = self.roll.max_records?.max(1);
        let records = self.open.as_ref().map_or(0, |open| open.records);
        Some(max.saturating_sub(records))
    }

    /// The limits.
    #[must_use]
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The time, in microseconds, at which the open file's interval, date or hour is over.
    #[must_use]
    pub fn due_at(&self) -> Option<i64> {
        let open = self.open.as_ref()?;
        let by_interval = self.roll.interval.map(|interval| {
            let interval = i64::try_from(interval.duration().as_micros()).unwrap_or(i64::MAX);
            open.opened_us.saturating_add(interval)
        });
        let by_name = self
            .template
            .period_us()
            .map(|period| (open.opened_us.div_euclid(period) + 1) * period);
        by_interval.into_iter().chain(by_name).min()
    }

    /// Hands gathered bytes to the operating system if they are many. Call it between batches.
    ///
    /// # Errors
    /// As [`OutputFile::flush_if_full`].
    pub fn flush_if_full(&mut self) -> Result<(), FileError> {
        self.current().map_or(Ok(()), OutputFile::flush_if_full)
    }

    /// Hands gathered bytes to the operating system.
    ///
    /// # Errors
    /// As [`OutputFile::flush`].
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.current().map_or(Ok(()), OutputFile::flush)
    }

    /// Begins an fsync of the open file on a thread of its own.
    ///
    /// # Errors
    /// As [`OutputFile::begin_sync`].
    pub fn begin_sync(&mut self) -> Result<(), FileError> {
        self.current().map_or(Ok(()), OutputFile::begin_sync)
    }

    /// Whether all that was written before [`begin_sync`](Self::begin_sync) is durable: `None`
    /// while its fsync runs. A file that was finished since is durable, too.
    pub fn poll_sync(&mut self) -> Option<Result<(), FileError>> {
        match self.current() {
            Some(file) if file.is_syncing() => file.poll_sync(),
            _ => Some(Ok(())),
        }
    }

    /// Finishes the open file, if there is one; without a record it is removed. After an error the
    /// file stays open, and the call may be made again.
    ///
    /// # Errors
    /// As [`OutputFile::finish`].
    pub fn finish(&mut self) -> Result<Option<Finished>, FileError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        if open.records == 0 {
            open.file.remove()?;
            self.open = None;
            return Ok(None);
        }
        let from = match &self.last {
            Some((path, number)) if *path == open.wanted => number + 1,
            _ => 0,
        };
        let (path, number) = open.file.finish_from(from)?;
        let finished = Finished {
            path,
            bytes: open.file.len(),
            records: open.records,
        };
        self.last = self.open.take().map(|open| (open.wanted, number));
        Ok(Some(finished))
    }
}
