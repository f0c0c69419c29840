//! One disk buffer as its writer and its reader share it: positions, bounds, waiting.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use plugin_api::{Batch, Code, StageError, batch::monotonic_ns, options};

use super::store::{Entry, Extent, Store, cost};

type Result<T> = std::result::Result<T, StageError>;

options! {
    /// What happens when a buffer is full.
    #[derive(Copy, Eq, Default)]
    pub enum WhenFull {
        /// The sender waits.
        #[default]
        Block,
        /// The oldest batch that nobody has read makes room and is counted as dropped.
        DropOldest,
        /// The new batch is dropped and counted.
        DropNewest,
    }
}

/// How much a buffer may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most bytes.
    pub max_bytes: u64,
    /// What happens when they are reached.
    pub when_full: WhenFull,
}

/// What became of a batch that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in; so many records of older ones were dropped for it.
    Taken { dropped: u64 },
    /// It is not in: the buffer is full, ask again.
    Full,
    /// It is not in, and will not be.
    Dropped,
}

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Entries were read.
    Entries,
    /// Nothing until the deadline.
    Nothing,
    /// The stream has ended here.
    End,
}

/// The right to write or to read, from a restore to the next one. A stage that was replaced, such
/// as one that hung, does no harm when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(u64);

/// A disk buffer. All that open one folder share it; with the last of them it is closed.
#[derive(Debug)]
pub struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// Something was published.
    news: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None`: it failed in a way that only opening it again may mend.
    store: Option<Store>,
    extent: Extent,
    /// Leases given so far.
    leases: u64,
    /// The writer that was restored, and whether its stream has ended at the published position.
    writer: Option<(Lease, bool)>,
    /// The reader that was restored, and the entry that it reads next.
    reader: Option<(Lease, u64)>,
    /// The writer waits for room.
    full: bool,
}

/// The open buffers of this process.
static OPEN: Mutex<Option<HashMap<PathBuf, Weak<Shared>>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked was in the middle of a call whose stage is restored before the next, and
    // a restore reads the positions anew.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Spool {
    fn drop(&mut self) {
        let mut open = lock(&OPEN);
        // Closed under the lock, so that nobody opens the file while it is still held.
        if Arc::strong_count(&self.0) == 1 {
            lock(&self.0.state).store = None;
            open.get_or_insert_default().remove(&self.0.folder);
        }
    }
}

impl Spool {
    /// Opens the buffer in a folder, which is made if there is none.
    ///
    /// # Errors
    /// Another process has it; it is damaged; the file system's.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut open = lock(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(shared) = open.get(folder).and_then(Weak::upgrade) {
            return Ok(Self(shared));
        }
        let store = Store::open(folder)?;
        let state = State {
            extent: store.extent()?,
            store: Some(store),
            leases: 0,
            writer: None,
            reader: None,
            full: false,
        };
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            state: Mutex::new(state),
            news: Condvar::new(),
        });
        open.insert(folder.to_owned(), Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// How much it holds.
    pub fn extent(&self) -> Extent {
        self.state().extent
    }

    /// The writer goes on at `head`, with what its epoch says of the end; `None`: behind all that
    /// was published, and the stream goes on. What is behind is deleted.
    ///
    /// # Errors
    /// The buffer and the epoch do not belong together; it holds entries of another content type.
    pub fn restore_writer(&self, at: Option<(u64, bool)>, content: &str) -> Result<Lease> {
        let mut state = self.state();
        state.mend(&self.0.folder)?;
        let before = state.extent;
        let (head, ended) = at.unwrap_or((before.published, false));
        if head < before.published || head > before.next {
            return Err(state.foreign("writer", head));
        }
        let store = state.store()?;
        store.cut(head)?;
        let held = store.content()?;
        if held.as_deref() != Some(content) {
            if let Some(held) = held.filter(|_| before.first < head) {
                let file = store.file().display();
                return Err(StageError::fatal(format!(
                    "the disk buffer {file} still holds {held}, and {content} is to be written: \
                     run the former graph until it is empty, or move the folder away"
                )));
            }
            store.set_content(content)?;
        }
        let extent = store.extent()?;
        state.extent = extent;
        let lease = state.lease();
        state.writer = Some((lease, ended));
        self.0.news.notify_all();
        Ok(lease)
    }

    /// The reader goes on at an entry; `None`: at the oldest. Answers where.
    ///
    /// # Errors
    /// The buffer and the epoch do not belong together; it holds entries of another content type.
    pub fn restore_reader(&self, at: Option<u64>, content: &str) -> Result<(Lease, u64)> {
        let mut state = self.state();
        state.mend(&self.0.folder)?;
        let from = at.unwrap_or(state.extent.first);
        let extent = state.extent;
        if from > extent.published || from < extent.first {
            return Err(state.foreign("reader", from));
        }
        let store = state.store()?;
        if let Some(held) = store.content()?.filter(|held| held != content)
            && from < extent.next
        {
            let file = store.file().display();
            return Err(StageError::fatal(format!(
                "the disk buffer {file} holds {held}, and {content} is to be read: run the former \
                 graph until it is empty, or move the folder away"
            )));
        }
        let lease = state.lease();
        state.reader = Some((lease, from));
        Ok((lease, from))
    }

    /// Appends a batch, within the bounds. `anyway`: the sender shall not wait any more.
    ///
    /// A full buffer makes the sender wait only while there is something to read: what is not yet
    /// published can become so only when the flow goes on to the next barrier.
    ///
    /// # Errors
    /// The disk is full: transient, nothing was appended. Else the file system's.
    pub fn append(
        &self,
        lease: Lease,
        batch: &Batch,
        bounds: Bounds,
        anyway: bool,
    ) -> Result<Appended> {
        let mut state = self.state();
        state.check(lease, state.writer)?;
        let size = cost(batch);
        let mut dropped = 0;
        while state.extent.bytes > 0 && state.extent.bytes + size > bounds.max_bytes {
            match bounds.when_full {
                WhenFull::Block if anyway || state.extent.first >= state.extent.published => break,
                WhenFull::Block => {
                    state.full = true;
                    return Ok(Appended::Full);
                }
                WhenFull::DropOldest => match state.drop_oldest()? {
                    Some(records) => dropped += records,
                    None => return Ok(Appended::Dropped),
                },
                WhenFull::DropNewest => return Ok(Appended::Dropped),
            }
        }
        let seq = state.extent.next;
        state.attempt(|store| store.append(seq, batch))?;
        state.extent.next += 1;
        state.extent.bytes += size;
        Ok(Appended::Taken { dropped })
    }

    /// Makes all entries durable.
    ///
    /// # Errors
    /// The file system's. Unless it is transient the writer must be restored.
    pub fn seal(&self, lease: Lease) -> Result<()> {
        let mut state = self.state();
        state.check(lease, state.writer)?;
        state.attempt(|store| store.seal())
    }

    /// Makes entries before `head` readable, durably; `ended`: the stream has ended there.
    ///
    /// # Errors
    /// The file system's. Unless it is transient the writer must be restored.
    pub fn publish(&self, lease: Lease, head: u64, ended: bool) -> Result<()> {
        let mut state = self.state();
        state.check(lease, state.writer)?;
        if head > state.extent.published {
            state.attempt(|store| store.publish(head))?;
            state.extent.published = head;
        }
        state.writer = Some((lease, ended && head == state.extent.next));
        self.0.news.notify_all();
        Ok(())
    }

    /// Reads up to `count` entries from number `from` on, waiting for the first until
    /// `deadline_ns` on the monotonic clock.
    ///
    /// # Errors
    /// An entry is damaged.
    pub fn read(
        &self,
        lease: Lease,
        from: u64,
        count: usize,
        deadline_ns: u64,
        into: &mut VecDeque<Entry>,
    ) -> Result<Found> {
        let mut state = self.state();
        loop {
            state.check(lease, state.reader)?;
            let to = state.extent.published;
            if from < to {
                state.store()?.read(from, to, count, into)?;
                state.reader = into.back().map(|last| (lease, last.next));
                return Ok(Found::Entries);
            }
            if state.writer.is_some_and(|(_, ended)| ended) && state.extent.next == from {
                return Ok(Found::End);
            }
            let now = monotonic_ns();
            if now >= deadline_ns {
                return Ok(Found::Nothing);
            }
            let wait = Duration::from_nanos(deadline_ns - now);
            let news = self.0.news.wait_timeout(state, wait);
            state = news.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Deletes entries before `before`. Not waited for: the reader's epoch repeats it.
    ///
    /// # Errors
    /// The file system's.
    pub fn trim(&self, lease: Lease, before: u64) -> Result<()> {
        let mut state = self.state();
        state.check(lease, state.reader)?;
        let before = before.min(state.extent.published);
        if before > state.extent.first {
            let freed = state.attempt(|store| store.trim(before))?;
            state.extent.bytes = state.extent.bytes.saturating_sub(freed);
            state.extent.first = before;
        }
        state.full = false;
        Ok(())
    }

    /// Sets a pragma that makes calls fail.
    #[cfg(test)]
    pub fn pragma(&self, pragma: &str) {
        if let Ok(store) = self.state().store() {
            store.pragma(pragma);
        }
    }

    /// Whether the writer waits for the reader to trim.
    pub fn is_full(&self) -> bool {
        self.state().full
    }
}

impl State {
    fn store(&mut self) -> Result<&mut Store> {
        self.store.as_mut().ok_or_else(|| {
            StageError::fatal("the disk buffer has failed before and is to be opened anew")
        })
    }

    /// A call that writes. One that fails for good leaves it open what is on the disk.
    fn attempt<T>(&mut self, call: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        let done = call(self.store()?);
        if done.as_ref().is_err_and(|e| e.code != Code::TRANSIENT) {
            self.store = None;
            // One whose stream has ended is not restored any more: its region is over, and what it
            // published is on the disk.
            self.writer = self.writer.filter(|(_, ended)| *ended);
        }
        done
    }

    /// Opens it again if it has failed.
    fn mend(&mut self, folder: &Path) -> Result<()> {
        if self.store.is_none() {
            let store = Store::open(folder)?;
            self.extent = store.extent()?;
            self.store = Some(store);
            self.full = false;
        }
        Ok(())
    }

    fn lease(&mut self) -> Lease {
        self.leases += 1;
        Lease(self.leases)
    }

    /// Whether this end was restored last, and nothing has failed since.
    fn check<T>(&self, lease: Lease, holder: Option<(Lease, T)>) -> Result<()> {
        match holder {
            Some((holder, _)) if holder == lease => Ok(()),
            Some(_) => Err(StageError::fatal(
                "another stage has this end of the disk buffer by now",
            )),
            None => Err(StageError::fatal(
                "the disk buffer has failed before: its writer is to be restored",
            )),
        }
    }

    /// Drops the oldest entry that is published and was not read; its records.
    fn drop_oldest(&mut self) -> Result<Option<u64>> {
        let Some((_, from)) = self.reader else {
            return Ok(None);
        };
        let to = self.extent.published;
        let Some((records, bytes)) = self.attempt(|store| store.hollow(from, to))? else {
            return Ok(None);
        };
        self.extent.bytes = self.extent.bytes.saturating_sub(bytes);
        Ok(Some(records))
    }

    fn foreign(&self, who: &str, at: u64) -> StageError {
        let file = self.store.as_ref().map(|s| s.file().display().to_string());
        let Extent {
            first,
            next,
            published,
            ..
        } = self.extent;
        StageError::fatal(format!(
            "the disk buffer {} and the epoch do not belong together: its {who} stood at entry \
             {at}, and the buffer holds {first} to {next}, readable up to {published}. Restore \
             both from one backup, or move both the buffer's folder and the host's epochs away",
            file.unwrap_or_default()
        ))
    }
}
