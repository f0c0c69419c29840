//! Files in memory, for tests of what writes files.

use super::fs::{FileHandle, FileSystem, Syncer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file system in memory that runs out of space or fails an fsync when told to. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>,
    synced_folders: Vec<PathBuf>,
    room: Option<usize>,
    fail_syncs: usize,
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

    /// Names of all files, in order.
    #[must_use]
    pub fn names(&self) -> Vec<PathBuf> {
        lock(&self.state).files.keys().cloned().collect()
    }

    /// Content of a file.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let file = lock(&self.state).files.get(path.as_ref()).cloned()?;
        let content = lock(&file).clone();
        Some(content)
    }

    /// Folders whose names were made durable, in order.
    #[must_use]
    pub fn synced_folders(&self) -> Vec<PathBuf> {
        lock(&self.state).synced_folders.clone()
    }
}

impl FileSystem for MemoryFiles {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut state = lock(&self.state);
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Arc::new(Mutex::new(Vec::new()));
        state.files.insert(path.to_owned(), Arc::clone(&content));
        Ok(Box::new(Handle {
            state: Arc::clone(&self.state),
            content,
        }))
    }

    fn create_folders(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.state).files.remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        lock(&self.state).synced_folders.push(path.to_owned());
        Ok(())
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn FileHandle>> {
        let file = lock(&self.state).files.get(path).cloned();
        let content = file.ok_or(io::ErrorKind::NotFound)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if lock(&content).len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lock(&content).truncate(len);
        Ok(Box::new(Handle {
            state: Arc::clone(&self.state),
            content,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
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
}

struct Handle {
    state: Arc<Mutex<State>>,
    content: Arc<Mutex<Vec<u8>>>,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let count = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(room) = &mut state.room {
            *room -= count;
        }
        lock(&self.content).extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileHandle for Handle {
    fn syncer(&self) -> io::Result<Syncer> {
        let mut state = lock(&self.state);
        let fails = state.fail_syncs > 0;
        state.fail_syncs = state.fail_syncs.saturating_sub(1);
        Ok(Box::new(move || {
            if fails {
                return Err(io::Error::other("the disk failed"));
            }
            Ok(())
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
