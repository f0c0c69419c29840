//! Files in memory, for tests of what writes files: also on a full disk, a broken one, and through
//! crashes.

use super::fs::{FileHandle, FileSystem, Syncer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file system in memory that runs out of space, fails an fsync, stops or loses power when told
/// to. It knows what is durable: the bytes of a file as of its last fsync, and the names in a
/// folder as of that folder's. Clones share it. Folders need not be made.
#[derive(Clone, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Names,
    /// Names that outlive a loss of power, and what happened to names since, in order.
    durable: Names,
    pending: Vec<Rename>,
    synced_folders: Vec<PathBuf>,
    room: Option<usize>,
    fail_syncs: usize,
    steps: Option<usize>,
}

type Names = BTreeMap<PathBuf, Content>;
type Content = Arc<Mutex<Bytes>>;

#[derive(Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of names: a file without the one before was created, without the other removed.
struct Rename {
    from: Option<PathBuf>,
    to: Option<PathBuf>,
    content: Content,
}

impl Rename {
    fn folder(&self) -> Option<&Path> {
        self.to.as_deref().or(self.from.as_deref())?.parent()
    }

    fn apply(self, names: &mut Names) {
        let there = match &self.from {
            None => Some(self.content),
            // What was created and never made durable cannot be renamed either.
            Some(from) => names.remove(from),
        };
        if let (Some(to), Some(content)) = (self.to, there) {
            names.insert(to, content);
        }
    }
}

impl MemoryFiles {
    /// Accepts so many more bytes, then says that the disk is full; `None`: without end.
    pub fn set_room(&self, bytes: Option<usize>) {
        lock(&self.state).room = bytes;
    }

    /// Lets the next `count` fsyncs fail.
    pub fn fail_syncs(&self, count: usize) {
        lock(&self.state).fail_syncs = count;
    }

    /// Lets so many more changes and fsyncs happen, then none: as if the process were dead from
    /// there on. `None`: without end.
    pub fn stop_after(&self, steps: Option<usize>) {
        lock(&self.state).steps = steps;
    }

    /// Whether [`stop_after`](Self::stop_after) has come true.
    #[must_use]
    pub fn stopped(&self) -> bool {
        lock(&self.state).steps == Some(0)
    }

    /// The power fails: of what was not made durable, changes of names and bytes behind a file's
    /// last fsync, `kept` says one by one whether it is there afterwards. Of bytes, half may be.
    pub fn lose_power(&self, mut kept: impl FnMut() -> bool) {
        let state = &mut *lock(&self.state);
        let mut names = state.durable.clone();
        for change in std::mem::take(&mut state.pending) {
            if kept() {
                change.apply(&mut names);
            }
        }
        for content in names.values() {
            let mut content = lock(content);
            let (all, whole) = (content.now.len(), kept());
            let extra = all.saturating_sub(content.synced.len());
            if !whole {
                let synced = content.synced.clone();
                let torn = if kept() { extra / 2 } else { 0 };
                let from = synced.len();
                let extra = content.now.split_off(all.min(from))[..torn].to_vec();
                content.now = synced;
                content.now.extend(extra);
            }
            content.synced = content.now.clone();
        }
        state.durable = names.clone();
        state.files = names;
    }

    /// Names of all files, in order.
    #[must_use]
    pub fn names(&self) -> Vec<PathBuf> {
        lock(&self.state).files.keys().cloned().collect()
    }

    /// Content of a file.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let file = lock(&self.state).files.get(path.as_ref()).cloned()?;
        let content = lock(&file).now.clone();
        Some(content)
    }

    /// Folders whose names were made durable, in order.
    #[must_use]
    pub fn synced_folders(&self) -> Vec<PathBuf> {
        lock(&self.state).synced_folders.clone()
    }

    fn handle(&self, content: Content) -> Box<dyn FileHandle> {
        Box::new(Handle {
            state: Arc::clone(&self.state),
            content,
        })
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()?;
        if self.fail_syncs > 0 {
            self.fail_syncs -= 1;
            return Err(io::Error::other("the disk failed"));
        }
        Ok(())
    }

    fn content(&self, path: &Path) -> io::Result<Content> {
        let content = self.files.get(path).cloned();
        content.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, from: Option<&Path>, to: Option<&Path>, content: Content) {
        if let Some(from) = from {
            self.files.remove(from);
        }
        if let Some(to) = to {
            self.files.insert(to.to_owned(), Arc::clone(&content));
        }
        self.pending.push(Rename {
            from: from.map(Path::to_owned),
            to: to.map(Path::to_owned),
            content,
        });
    }
}

impl FileSystem for MemoryFiles {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut state = lock(&self.state);
        state.step()?;
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Content::default();
        state.change(None, Some(path), Arc::clone(&content));
        Ok(self.handle(content))
    }

    fn create_folders(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.step()?;
        let content = state.content(from)?;
        if state.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change(Some(from), Some(to), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.step()?;
        let content = state.content(path)?;
        state.change(Some(path), None, content);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let state = &mut *lock(&self.state);
        state.sync()?;
        state.synced_folders.push(path.to_owned());
        let pending = std::mem::take(&mut state.pending).into_iter();
        let (here, elsewhere): (Vec<_>, _) = pending.partition(|c| c.folder() == Some(path));
        state.pending = elsewhere;
        here.into_iter()
            .for_each(|change| change.apply(&mut state.durable));
        Ok(())
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn FileHandle>> {
        let mut state = lock(&self.state);
        state.sync()?;
        let content = state.content(path)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut bytes = lock(&content);
        if bytes.now.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.now.truncate(len);
        bytes.synced = bytes.now.clone();
        drop(bytes);
        Ok(self.handle(content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.step()?;
        let content = state.content(from)?;
        state.change(Some(from), Some(to), content);
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Self::read(self, path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = lock(&self.state);
        let inside = state.files.keys().filter(|p| p.parent() == Some(folder));
        Ok(inside.cloned().collect())
    }

    fn folders(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = lock(&self.state);
        let above = state.files.keys().flat_map(|path| path.ancestors().skip(1));
        let inside = above.filter(|path| path.parent() == Some(folder));
        let mut folders: Vec<_> = inside.map(Path::to_owned).collect();
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    fn run_sync(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        job();
        Ok(())
    }
}

struct Handle {
    state: Arc<Mutex<State>>,
    content: Content,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.step()?;
        let count = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(room) = &mut state.room {
            *room -= count;
        }
        lock(&self.content).now.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileHandle for Handle {
    fn syncer(&self) -> io::Result<Syncer> {
        let (state, content) = (Arc::clone(&self.state), Arc::clone(&self.content));
        Ok(Box::new(move || {
            lock(&state).sync()?;
            let mut content = lock(&content);
            content.synced = content.now.clone();
            Ok(())
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
