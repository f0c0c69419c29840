//! Entries in an SQLite file.
//!
//! Why SQLite: of the stores that were compared it is the one that answers a damaged file with an
//! error and not with a panic or with silence, see ARCHITECTURE.md. What it does not notice, a
//! changed byte of a value, the checksum of the entry does.
//!
//! Each append is a transaction of its own that is handed to the operating system and not waited
//! for, so that one which fails (the disk is full) leaves the others as they are. `seal` and
//! `publish` wait for the disk; the log is one file, so all earlier appends are then on it.
//!
//! Invariant: one connection, which holds the file's lock for as long as it lives. A second
//! process gets an error, and no memory is shared with one.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
};

use plugin_api::{Batch, StageError, batch::monotonic_ns};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, types::Type};
use rustix::fs::statvfs;

use crate::wire;

/// Name of the file in the folder of a buffer.
const FILE: &str = "buffer.sqlite";
/// Marks the file as ours, in its header.
const APPLICATION_ID: i64 = 0x5350_4f4c;
/// Version of the tables.
const VERSION: i64 = 1;
/// What an entry costs besides its bytes, about.
const ENTRY_COST: u64 = 64;
/// Bytes of a page of the file.
const PAGE: u64 = 16 << 10;
/// What an append leaves free on the disk, so that a buffer which filled it can still be made
/// durable, read and trimmed: about twice the log.
const RESERVE: u64 = 16 << 20;
/// About how much is read at once.
const READ_BYTES: usize = 4 << 20;
/// Where the birth of a batch stands in its head.
const BORN: std::ops::Range<usize> = 16..24;

// Small columns first: they are read without the large ones.
const TABLES: &str = "
    CREATE TABLE entry (
        seq INTEGER PRIMARY KEY, span INTEGER NOT NULL, records INTEGER NOT NULL,
        bytes INTEGER NOT NULL, sum INTEGER NOT NULL, head BLOB, data BLOB
    ) STRICT;
    CREATE TABLE mark (
        id INTEGER PRIMARY KEY CHECK (id = 0), published INTEGER NOT NULL,
        seals INTEGER NOT NULL, content TEXT
    ) STRICT;
    INSERT INTO mark VALUES (0, 0, 0, NULL);";

type Result<T> = std::result::Result<T, StageError>;

/// A batch and its number.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// Number of the one behind it.
    pub next: u64,
    /// `None`: it was dropped to make room, with those up to `next`.
    pub batch: Option<Batch>,
}

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of the oldest entry that is kept.
    pub first: u64,
    /// Number of the next entry.
    pub next: u64,
    /// Entries before this one may be read.
    pub published: u64,
    /// What the entries cost, in bytes.
    pub bytes: u64,
}

/// The entries of one buffer.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    file: PathBuf,
    /// The head of the batch at hand.
    head: Vec<u8>,
}

/// What an entry of this batch costs, in bytes.
pub fn cost(batch: &Batch) -> u64 {
    batch.pinned_bytes() as u64 + ENTRY_COST
}

impl Store {
    /// Opens the buffer in a folder, which is made if there is none.
    ///
    /// # Errors
    /// Another process has it; it is damaged; the file system's.
    pub fn open(folder: &Path) -> Result<Self> {
        make(folder)?;
        let file = folder.join(FILE);
        let conn = Connection::open(&file).map_err(|e| error(&file, "opened", &e))?;
        let store = Self {
            conn,
            file,
            head: Vec::new(),
        };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&self) -> Result<()> {
        let run = |sql: &str| self.ok("opened", self.conn.execute_batch(sql));
        let number = |pragma: &str| {
            let sql = format!("PRAGMA {pragma}");
            self.ok(
                "opened",
                self.conn.query_row(&sql, [], |r| r.get::<_, i64>(0)),
            )
        };
        self.ok("opened", self.conn.busy_timeout(std::time::Duration::ZERO))?;
        run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 16384;
             PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2048")?;
        let mode: String = self.ok(
            "opened",
            self.conn
                .query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)),
        )?;
        if mode != "wal" {
            return Err(self.says("opened", &format!("its journal is `{mode}`, not `wal`")));
        }
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (0, 0) => run(&format!(
                "PRAGMA synchronous = FULL; BEGIN EXCLUSIVE; {TABLES}
                 PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT"
            ))?,
            (APPLICATION_ID, newer) => {
                let why = format!("it is of version {newer}; this host reads {VERSION}");
                return Err(self.says("opened", &why));
            }
            _ => return Err(self.says("opened", "it is no disk buffer")),
        }
        // Also writes anew what an interrupted run left in the log, which its failed fsync may
        // have kept from the disk.
        run(
            "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 512;
             PRAGMA wal_checkpoint(TRUNCATE)",
        )
    }

    /// What it holds. Reads the small columns of all entries.
    ///
    /// # Errors
    /// It is damaged.
    pub fn extent(&self) -> Result<Extent> {
        let published = self.row("SELECT published FROM mark", [], |r| natural(r, 0))?;
        let sql = "SELECT coalesce(min(seq), ?1), coalesce(max(seq + span), ?1),
                   coalesce(sum(bytes), 0) FROM entry";
        self.row(sql, (whole(published),), |r| {
            Ok(Extent {
                first: natural(r, 0)?,
                next: natural(r, 1)?.max(published),
                published,
                bytes: natural(r, 2)?,
            })
        })
    }

    /// Content type of the entries, as the writer said.
    ///
    /// # Errors
    /// It is damaged.
    pub fn content(&self) -> Result<Option<String>> {
        self.row("SELECT content FROM mark", [], |r| r.get(0))
    }

    /// Says the content type of the entries.
    ///
    /// # Errors
    /// The file system's.
    pub fn set_content(&self, content: &str) -> Result<()> {
        self.change("UPDATE mark SET content = ?1", (content,))
            .map(drop)
    }

    /// Appends a batch. It is durable with the next `seal` or `publish`.
    ///
    /// # Errors
    /// The disk is full: transient, and nothing was appended. Else the file system's.
    pub fn append(&mut self, seq: u64, batch: &Batch) -> Result<()> {
        self.has_room(cost(batch))?;
        self.head.clear();
        wire::head(batch, &mut self.head);
        let data = wire::payload(batch);
        let row = (
            whole(seq),
            whole(batch.len() as u64),
            whole(cost(batch)),
            i64::from(checksum(seq, &self.head, data)),
            &self.head[..],
            data,
        );
        self.change("INSERT INTO entry VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)", row)
            .map(drop)
    }

    fn has_room(&self, size: u64) -> Result<()> {
        let Some(disk) = self.file.parent().and_then(|folder| statvfs(folder).ok()) else {
            return Ok(());
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= size + RESERVE {
            return Ok(());
        }
        // What was trimmed is used again, and asks nothing of the disk.
        let pages = self.row("PRAGMA freelist_count", [], |r| natural(r, 0))?;
        if pages * PAGE > size + PAGE {
            return Ok(());
        }
        let file = self.file.display();
        Err(StageError::transient(format!(
            "the disk buffer {file} takes no more: the disk is full but for {} MiB, which it needs \
             to get rid of what it holds; free space or lower `max_bytes`",
            RESERVE >> 20
        )))
    }

    /// Reads up to `count` entries, or some MiB of them, from number `from` on and before `to`.
    ///
    /// # Errors
    /// An entry is damaged or missing.
    pub fn read(&self, from: u64, to: u64, count: usize, into: &mut VecDeque<Entry>) -> Result<()> {
        let sql = "SELECT seq, span, sum, head, data FROM entry WHERE seq >= ?1 AND seq < ?2
                   ORDER BY seq LIMIT ?3";
        let failed = |e: &rusqlite::Error| self.error("read", e);
        let mut query = self.conn.prepare_cached(sql).map_err(|e| failed(&e))?;
        let mut rows = query
            .query((whole(from), whole(to), whole(count as u64)))
            .map_err(|e| failed(&e))?;
        let (mut seq, mut left, mut bytes) = (from, count, 0);
        while let Some(row) = rows.next().map_err(|e| failed(&e))? {
            let (found, span, sum) = natural(row, 0)
                .and_then(|seq| Ok((seq, natural(row, 1)?, row.get::<_, i64>(2)?)))
                .map_err(|e| failed(&e))?;
            if found != seq {
                return Err(self.damaged(seq, "it is missing"));
            }
            let blob = |column| {
                let value = row.get_ref(column)?;
                value.as_blob_or_null().map_err(|e| {
                    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e))
                })
            };
            let batch = match (blob(3), blob(4)) {
                (Err(e), _) | (_, Err(e)) => return Err(failed(&e)),
                (Ok(Some(head)), Ok(Some(data))) if sum == i64::from(checksum(seq, head, data)) => {
                    Some(batch(head, data).map_err(|e| self.damaged(seq, &e))?)
                }
                (Ok(None), Ok(None)) => None,
                _ => return Err(self.damaged(seq, "its checksum is another")),
            };
            let next = seq + span.max(1);
            bytes += batch.as_ref().map_or(0, Batch::pinned_bytes);
            into.push_back(Entry { seq, next, batch });
            (seq, left) = (next, left - 1);
            if bytes >= READ_BYTES {
                return Ok(());
            }
        }
        if left > 0 && seq < to {
            return Err(self.damaged(seq, "it is missing"));
        }
        Ok(())
    }

    /// Makes all entries durable.
    ///
    /// # Errors
    /// The file system's.
    pub fn seal(&self) -> Result<()> {
        self.durably("UPDATE mark SET seals = seals + 1", [])
    }

    /// Makes entries before `to` readable, durably.
    ///
    /// # Errors
    /// The file system's.
    pub fn publish(&self, to: u64) -> Result<()> {
        self.durably(
            "UPDATE mark SET published = ?1, seals = seals + 1",
            (whole(to),),
        )
    }

    /// Deletes entries from number `from` on, durably.
    ///
    /// # Errors
    /// The file system's.
    pub fn cut(&self, from: u64) -> Result<()> {
        self.change("DELETE FROM entry WHERE seq >= ?1", (whole(from),))?;
        self.seal()
    }

    /// Deletes entries before `before`; the bytes that became free.
    ///
    /// # Errors
    /// The file system's.
    pub fn trim(&self, before: u64) -> Result<u64> {
        let sql = "SELECT coalesce(sum(bytes), 0) FROM entry WHERE seq < ?1";
        let freed = self.row(sql, (whole(before),), |r| natural(r, 0))?;
        self.change("DELETE FROM entry WHERE seq < ?1", (whole(before),))?;
        Ok(freed)
    }

    /// Drops the records of the oldest entry that still has them, of those from number `from` on
    /// and before `to`. Its number stays, joined to those dropped before it, so that a long run of
    /// them is one row. The records, and the bytes that became free.
    ///
    /// # Errors
    /// The file system's.
    pub fn hollow(&self, from: u64, to: u64) -> Result<Option<(u64, u64)>> {
        let sql = "SELECT seq, records, bytes FROM entry
                   WHERE seq >= ?1 AND seq < ?2 AND head NOT NULL ORDER BY seq LIMIT 1";
        let found = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut query| {
                query
                    .query_row((whole(from), whole(to)), |r| {
                        Ok((natural(r, 0)?, natural(r, 1)?, natural(r, 2)?))
                    })
                    .optional()
            })
            .map_err(|e| self.error("read", &e))?;
        let Some((seq, records, bytes)) = found else {
            return Ok(None);
        };
        let join = "UPDATE entry SET span = span + 1
                    WHERE seq >= ?1 AND seq < ?2 AND head IS NULL AND seq + span = ?2";
        let alone = "UPDATE entry SET records = 0, bytes = 0, head = NULL, data = NULL
                     WHERE seq = ?1";
        let both = self.ok("written", self.conn.unchecked_transaction())?;
        if self.change(join, (whole(from), whole(seq)))? == 0 {
            self.change(alone, (whole(seq),))?;
        } else {
            self.change("DELETE FROM entry WHERE seq = ?1", (whole(seq),))?;
        }
        self.ok("written", both.commit())?;
        Ok(Some((records, bytes)))
    }

    /// The file, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Sets a pragma that makes calls fail.
    #[cfg(test)]
    pub fn pragma(&self, pragma: &str) {
        self.conn
            .execute_batch(&format!("PRAGMA {pragma}"))
            .unwrap();
    }

    fn durably(&self, sql: &str, params: impl Params) -> Result<()> {
        let level = |level: &str| {
            let sql = format!("PRAGMA synchronous = {level}");
            self.ok("written", self.conn.execute_batch(&sql))
        };
        level("FULL")?;
        let done = self.change(sql, params);
        level("NORMAL")?;
        done.map(drop)
    }

    fn change(&self, sql: &str, params: impl Params) -> Result<usize> {
        let done = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params));
        self.ok("written", done)
    }

    fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let done = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row(params, read));
        self.ok("read", done)
    }

    fn ok<T>(&self, what: &str, done: rusqlite::Result<T>) -> Result<T> {
        done.map_err(|e| self.error(what, &e))
    }

    fn error(&self, what: &str, e: &rusqlite::Error) -> StageError {
        error(&self.file, what, e)
    }

    fn damaged(&self, seq: u64, why: &str) -> StageError {
        self.says("read", &format!("entry {seq} is damaged: {why}; {MOVE}"))
    }

    fn says(&self, what: &str, why: &str) -> StageError {
        let file = self.file.display();
        StageError::fatal(format!("the disk buffer {file} cannot be {what}: {why}"))
    }
}

/// What to do about a damaged file.
const MOVE: &str = "what it holds cannot be trusted any more: move the folder away to begin with \
                    an empty buffer";

fn error(file: &Path, what: &str, e: &rusqlite::Error) -> StageError {
    let message = |why: &str| format!("the disk buffer {} cannot be {what}: {why}", file.display());
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StageError::transient(message("the disk is full")),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StageError::fatal(message(
            "another process has it open; a buffer is one host's",
        )),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StageError::fatal(message(&format!("it is damaged ({e}); {MOVE}")))
        }
        _ => StageError::fatal(message(&e.to_string())),
    }
}

/// Makes the folder, durably.
fn make(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        let folder = folder.display();
        StageError::fatal(format!(
            "the folder {folder} of a disk buffer cannot be made: {e}"
        ))
    };
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(failed)?;
    for made in folder.ancestors().skip(1).take(2) {
        if made.is_dir() {
            File::open(made)
                .and_then(|f| f.sync_all())
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn batch(head: &[u8], data: &[u8]) -> std::result::Result<Batch, String> {
    let (fixed, tables) = head
        .split_first_chunk::<{ wire::FIXED }>()
        .ok_or("its head is too short")?;
    let mut fixed = *fixed;
    let now = monotonic_ns().to_le_bytes();
    // The clock starts anew with the machine: a batch is never younger than now.
    if u64::from_le_bytes(fixed[BORN].try_into().unwrap_or(now)) > u64::from_le_bytes(now) {
        fixed[BORN].copy_from_slice(&now);
    }
    wire::batch(&wire::sizes(&fixed)?, tables, data.to_vec())
}

fn checksum(seq: u64, head: &[u8], data: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&seq.to_le_bytes());
    sum.update(head);
    sum.update(data);
    sum.finalize()
}

/// SQLite's integers are signed; ours count entries and bytes, which do not reach the sign.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let n: i64 = row.get(column)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}
