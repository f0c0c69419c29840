//! When one output file ends and the next begins.

use super::error::FileError;
use super::fs::{FileSystem, Os};
use super::output::{OutputFile, folder_of};
use super::owner::Owner;
use super::template::{Names, Template};
use crate::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Files that have ended and are still being synced, beyond which a writer waits for them: each
/// has a thread and a file descriptor.
const MAX_SYNCING: usize = 8;

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

/// A series of output files: at most one of them open, and those that have ended and wait for the
/// commit of their epoch to take their names. Its calls for epochs are those of a stage.
pub struct Rolling {
    pub(super) fs: Arc<dyn FileSystem>,
    template: Template,
    names: Names,
    pub(super) owner: Owner,
    roll: Roll,
    pub(super) open: Option<Open>,
    pub(super) rolled: VecDeque<Rolled>,
    /// Number of the next file.
    pub(super) next: u64,
    /// The epoch that is being made or was restored, until its commit is done.
    pub(super) epoch: Option<super::epoch::Epoch>,
    /// The name given last and its number, so that thousands of one name are not tried in turn.
    pub(super) last: Option<(PathBuf, u32)>,
    /// Folders from which files without records were removed: the next commit makes that durable.
    pub(super) removed: BTreeSet<PathBuf>,
    /// An fsync of a folder failed.
    pub(super) broken: bool,
}

pub(super) struct Open {
    pub(super) file: OutputFile,
    pub(super) number: u64,
    pub(super) wanted: PathBuf,
    pub(super) records: u64,
    pub(super) opened_us: i64,
}

/// A file that has ended.
pub(super) struct Rolled {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) wanted: PathBuf,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) at: At,
}

/// How far a file that has ended has come.
pub(super) enum At {
    /// Bytes may not be durable yet.
    Writing(OutputFile),
    Durable,
    /// Durable by a checkpoint that was restored, so its commit may have come before the crash.
    Restored,
    Renamed(PathBuf),
    /// By a commit before the crash.
    RenamedBefore,
}

impl Rolled {
    /// Whether all of it is durable; if not, its fsync is begun.
    pub(super) fn durable(&mut self) -> Result<bool, FileError> {
        if let At::Writing(file) = &mut self.at {
            if !file.durable_to(self.bytes)? {
                return Ok(false);
            }
            self.at = At::Durable;
        }
        Ok(true)
    }
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
            owner: Owner::new(&template, &names),
            template,
            names,
            roll,
            open: None,
            rolled: VecDeque::new(),
            next: 1,
            epoch: None,
            last: None,
            removed: BTreeSet::new(),
            broken: false,
        }
    }

    /// The open file, created if there is none. `now_us` is wall-clock time in microseconds.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn open(&mut self, now_us: i64) -> Result<&mut OutputFile, FileError> {
        if self.open.is_none() {
            let wanted = self.template.render(&self.names, now_us);
            let (file, number) = loop {
                let number = self.next;
                let path = self.owner.in_progress(&wanted, number);
                match OutputFile::create(Arc::clone(&self.fs), &path) {
                    Ok(file) => break (file, number),
                    // Left by a writer of this name that had another template.
                    Err(error) if error.io().kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
                self.next += 1;
            };
            self.next += 1;
            self.open = Some(Open {
                file,
                number,
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

    /// Whether the open file should end before the next record.
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
    pub fn limits(&self) -> &Roll {
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

    /// Ends the open file, if there is one; it takes its name when its epoch is committed. Without
    /// a record it is removed.
    ///
    /// # Errors
    /// If an empty file cannot be removed; it then stays open.
    pub fn roll(&mut self) -> Result<(), FileError> {
        if let Some(open) = self.open.as_ref().filter(|open| open.records == 0) {
            // No epoch lists a file without records.
            match self.fs.remove(open.file.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::new("remove", open.file.path(), error));
                }
                _ => {
                    self.removed.insert(folder_of(open.file.path()).to_owned());
                    self.open = None;
                }
            }
        }
        let ended = self.open.take();
        self.rolled.extend(ended.map(|open| Rolled {
            path: open.file.path().to_owned(),
            number: open.number,
            wanted: open.wanted,
            bytes: open.file.len(),
            records: open.records,
            at: At::Writing(open.file),
        }));
        Ok(())
    }

    /// Makes files that have ended durable, beside the flow. Call it between batches.
    ///
    /// # Errors
    /// As [`OutputFile::durable_to`].
    pub fn settle(&mut self) -> Result<(), FileError> {
        for rolled in &mut self.rolled {
            rolled.durable()?;
        }
        Ok(())
    }

    /// Whether so many files wait to be durable that no other should be begun.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let writing = |rolled: &&Rolled| matches!(rolled.at, At::Writing(_));
        self.rolled.iter().filter(writing).count() >= MAX_SYNCING
    }
}
