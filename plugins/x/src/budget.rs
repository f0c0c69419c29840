//! The account of posts read, which cost money: what may be read is settled before it is read.
//!
//! A post is paid for when X sends it, so it is not enough to count what arrives. The file holds
//! how much *may* have been read, never less than what was: it is raised, safely on disk, before
//! more is read, in steps of a hundredth of the limit, and brought down to what was counted when
//! the connection is closed. After a crash with a connection all of the last step counts as read.
//! What is on its way when a connection breaks or is left was sent but never counted: `in_flight`
//! posts are kept back for it, and counted each time. So the rule that holds is: if no more than
//! `in_flight` posts are under way when a connection ends, and this machine's clock is right, the
//! limits are never exceeded.
//!
//! The snapshots of a run would not do: they are not kept when a run comes to its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use plugin_api::StageError;
use serde::{Deserialize, Serialize};

/// Posts by which the file is raised at most.
const MAX_STEP: u64 = 100;

/// What may be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub day: Option<u64>,
    pub month: Option<u64>,
    pub in_flight: u64,
}

/// Posts of one UTC day, and of its month so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    day: Date,
    day_posts: u64,
    month_posts: u64,
}

impl Account {
    fn of(day: Date) -> Self {
        Self {
            day,
            day_posts: 0,
            month_posts: 0,
        }
    }

    /// Begins a new day, and maybe month. A clock that goes back begins none.
    fn roll(&mut self, today: Date) -> bool {
        if today <= self.day {
            return false;
        }
        if (self.day.year(), self.day.month()) != (today.year(), today.month()) {
            self.month_posts = 0;
        }
        (self.day, self.day_posts) = (today, 0);
        true
    }
}

/// As it stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    account: Account,
    /// Whether a connection may be open, which may bring posts in days to come.
    reading: bool,
}

/// Which limit is reached, and from when on there is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent {
    pub limit: String,
    pub until: Timestamp,
}

pub(crate) struct Budget {
    limits: Limits,
    path: PathBuf,
    /// What was read, as far as is known.
    counted: Account,
    written: Record,
    /// Held as long as this lives.
    _lock: File,
}

impl Budget {
    /// Takes up the account; what it says may have been read counts as read.
    ///
    /// # Errors
    /// If the file is no account, cannot be read, or is in use.
    pub fn open(path: &Path, limits: Limits, now_us: i64) -> Result<Self, StageError> {
        let wrong = |why: String| {
            StageError::config("/max_posts/file", format!("{}: {why}", path.display()))
        };
        let lock = lock(path).map_err(|e| match e {
            TryLockError::WouldBlock => StageError::transient(format!(
                "{} is in use by another source; two that share an account of X need a file each",
                path.display()
            )),
            TryLockError::Error(e) => wrong(e.to_string()),
        })?;
        let today = date(now_us);
        let mut written = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                wrong(format!(
                    "it is no account of posts: {e}; remove it to begin a new one"
                ))
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Record {
                account: Account::of(today),
                reading: false,
            },
            Err(e) => return Err(wrong(e.to_string())),
        };
        let mut counted = written.account;
        if counted.roll(today) && written.reading {
            // The connection that was open then may have gone on.
            counted.day_posts = limits.in_flight;
            counted.month_posts += limits.in_flight;
        }
        written.reading = false;
        let mut budget = Self {
            limits,
            path: path.to_owned(),
            counted,
            written,
            _lock: lock,
        };
        budget.write(budget.counted, false).map_err(wrong)?;
        Ok(budget)
    }

    /// Makes sure that a connection may be opened: that there is something to read, and that the
    /// file says so.
    ///
    /// # Errors
    /// Which limit is reached; or that the file cannot be written.
    pub fn connect(&mut self, now_us: i64) -> Result<Option<Spent>, StageError> {
        self.counted.roll(date(now_us));
        if let Some(spent) = self.spent() {
            return Ok(Some(spent));
        }
        self.raise()?;
        Ok(None)
    }

    /// Another post was read. Answers which limit is reached, if one is: the connection must be
    /// left now.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn count(&mut self, now_us: i64) -> Result<Option<Spent>, StageError> {
        let rolled = self.counted.roll(date(now_us));
        self.counted.day_posts += 1;
        self.counted.month_posts += 1;
        let spent = self.spent();
        let room = |written: u64, counted: u64| written > counted + self.limits.in_flight;
        let written = self.written.account;
        let covered = written.day == self.counted.day
            && room(written.day_posts, self.counted.day_posts)
            && room(written.month_posts, self.counted.month_posts);
        // More than `in_flight` were under way: what is known is not to be forgotten.
        let exceeded = written.day_posts < self.counted.day_posts
            || written.month_posts < self.counted.month_posts;
        if rolled || exceeded || spent.is_none() && !covered {
            self.raise()?;
        }
        Ok(spent)
    }

    /// A day may have begun while nothing came.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn tick(&mut self, now_us: i64) -> Result<(), StageError> {
        if self.counted.roll(date(now_us)) {
            self.raise()?;
        }
        Ok(())
    }

    /// A connection has ended in the middle of what X may have sent: some posts were under way.
    pub fn disconnected(&mut self, now_us: i64) {
        self.counted.roll(date(now_us));
        let charge = |counted: u64, limit: Option<u64>| {
            let charged = counted + self.limits.in_flight;
            counted.max(charged.min(limit.unwrap_or(u64::MAX)))
        };
        self.counted.day_posts = charge(self.counted.day_posts, self.limits.day);
        self.counted.month_posts = charge(self.counted.month_posts, self.limits.month);
    }

    /// There is no connection: the file says what was counted.
    ///
    /// # Errors
    /// If the file cannot be written; it then says more than was read.
    pub fn settle(&mut self) -> Result<(), StageError> {
        let settled = Record {
            account: self.counted,
            reading: false,
        };
        if self.written == settled {
            return Ok(());
        }
        self.write(self.counted, false).map_err(trouble)
    }

    /// What is left of the day and of the month, where they are limited.
    pub fn left(&self) -> (Option<u64>, Option<u64>) {
        let left = |limit: Option<u64>, counted| Some(limit?.saturating_sub(counted));
        (
            left(self.limits.day, self.counted.day_posts),
            left(self.limits.month, self.counted.month_posts),
        )
    }

    /// Whether more was read than may be: more was under way than was allowed for.
    pub fn is_exceeded(&self) -> bool {
        let beyond = |limit: Option<u64>, counted| limit.is_some_and(|limit| counted > limit);
        beyond(self.limits.day, self.counted.day_posts)
            || beyond(self.limits.month, self.counted.month_posts)
    }

    pub fn in_flight(&self) -> u64 {
        self.limits.in_flight
    }

    /// For people.
    pub fn report(&self) -> String {
        let part = |counted: u64, limit: Option<u64>, of: &str| match limit {
            Some(limit) => format!("{counted} of {limit} posts {of}"),
            None => format!("{counted} posts {of}"),
        };
        format!(
            "{}, {}",
            part(self.counted.day_posts, self.limits.day, "today (UTC)"),
            part(self.counted.month_posts, self.limits.month, "this month")
        )
    }

    fn spent(&self) -> Option<Spent> {
        let is_spent = |limit: Option<u64>, counted: u64| {
            limit.is_some_and(|limit| counted + self.limits.in_flight >= limit)
        };
        let day = self.counted.day;
        let (limit, until) = if is_spent(self.limits.month, self.counted.month_posts) {
            let next = day.first_of_month().checked_add(Span::new().months(1));
            (format!("month = {}", self.limits.month?), next)
        } else if is_spent(self.limits.day, self.counted.day_posts) {
            (format!("day = {}", self.limits.day?), day.tomorrow())
        } else {
            return None;
        };
        let until = until.and_then(|date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)));
        Some(Spent {
            limit,
            until: until.unwrap_or(Timestamp::MAX),
        })
    }

    /// Writes what may be read next, and what is on its way besides.
    fn raise(&mut self) -> Result<(), StageError> {
        let limits = [self.limits.day, self.limits.month];
        let least = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        let step = (least / 100).clamp(1, MAX_STEP) + self.limits.in_flight + 1;
        let mut ceiling = self.counted;
        ceiling.day_posts += step;
        ceiling.month_posts += step;
        self.write(ceiling, true).map_err(trouble)
    }

    fn write(&mut self, account: Account, reading: bool) -> Result<(), String> {
        let record = Record { account, reading };
        let of_file = |e: io::Error| format!("{}: {e}", self.path.display());
        let mut text = serde_json::to_vec(&record).map_err(|e| e.to_string())?;
        text.push(b'\n');
        replace(&self.path, &text).map_err(of_file)?;
        self.written = record;
        Ok(())
    }
}

fn trouble(why: String) -> StageError {
    StageError::fatal(format!(
        "the account of posts read cannot be written, so nothing more is read: {why}"
    ))
}

fn date(now_us: i64) -> Date {
    let now = Timestamp::from_microsecond(now_us).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(now).date()
}

fn lock(path: &Path) -> Result<File, TryLockError> {
    fs::create_dir_all(folder(path)).map_err(TryLockError::Error)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(path, ".lock"))
        .map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// Replaces a file so that a crash at any moment leaves the old or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let aside = beside(path, ".new");
    let mut file = File::create(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|f| !f.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
