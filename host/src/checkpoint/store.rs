//! Where epochs are kept: a folder for each region, a file for each epoch, the last two of them.
//!
//! An epoch is true when its file has its name and the folder is on the disk. It is written aside,
//! synced, renamed, and the folder synced; an error behind the rename leaves it in doubt, and only
//! a restart through [`Store::newest`] says which it was.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plugin_api::files::FileSystem;

use super::epoch::Epoch;

/// Ending of an epoch's file.
const EPOCH: &str = "epoch";
/// Ending of the mark that a last epoch was committed by all.
const FINAL: &str = "final";
/// Ending of a file that has not got its name yet.
const ASIDE: &str = "aside";

/// An epoch could not be kept.
#[derive(Debug)]
pub enum WriteError {
    /// It is not there, for certain: it may be aborted.
    Undone(io::Error),
    /// It may be there or not: nothing is certain but by a restart.
    InDoubt(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undone(e) | Self::InDoubt(e) => e.fmt(f),
        }
    }
}

/// The epochs of one region.
#[derive(Clone)]
pub struct Store {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
}

impl Store {
    /// The store in a folder, made if need be.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(fs: Arc<dyn FileSystem>, folder: PathBuf) -> io::Result<Self> {
        fs.create_folders(&folder)?;
        let store = Self { fs, folder };
        for path in store.fs.list(&store.folder)? {
            if path.extension().is_some_and(|e| e == ASIDE) {
                store.fs.remove(&path)?;
            }
        }
        Ok(store)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, number: u64, ending: &str) -> PathBuf {
        self.folder.join(format!("{number:012}.{ending}"))
    }

    /// Numbers of the epochs that are there, the newest first.
    ///
    /// # Errors
    /// The file system's.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self
            .fs
            .list(&self.folder)?
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == EPOCH))
            .filter_map(|p| p.file_stem()?.to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// Reads an epoch.
    ///
    /// # Errors
    /// The file system's, or the file is damaged.
    pub fn read(&self, number: u64) -> io::Result<Epoch> {
        let path = self.path(number, EPOCH);
        let bytes = self.fs.read(&path)?;
        Epoch::decode(&bytes).map_err(|why| {
            let message = format!("{} {why}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// The epoch that was said to be true, or the newest; what is newer than it is deleted, and it
    /// is on the disk before it is used. `Some(0)`: none is true.
    ///
    /// # Errors
    /// The file system's, a damaged file, or the epoch is not there.
    pub fn restore(&self, said: Option<u64>) -> io::Result<Option<Epoch>> {
        let numbers = self.numbers()?;
        let number = said.or(numbers.first().copied()).unwrap_or(0);
        let mut changed = false;
        for newer in numbers.iter().filter(|n| **n > number) {
            self.fs.remove(&self.path(*newer, EPOCH))?;
            changed = true;
        }
        if number == 0 {
            if changed {
                self.fs.sync_folder(&self.folder)?;
            }
            return Ok(None);
        }
        let epoch = self.read(number)?;
        // The file was named by a process that may have died before it synced the folder.
        let path = self.path(number, EPOCH);
        let length = self.fs.read(&path)?.len() as u64;
        let file = self.fs.resume(&path, length)?;
        file.syncer()?()?;
        self.fs.sync_folder(&self.folder)?;
        Ok(Some(epoch))
    }

    /// Keeps an epoch; it is true from then on.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(&self, epoch: &Epoch) -> Result<u64, WriteError> {
        let bytes = epoch.encode();
        replace(&*self.fs, &self.path(epoch.number, EPOCH), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// After an epoch is committed by all: only it and the one before stay. A last one is marked,
    /// so that a changed graph may start from it.
    ///
    /// # Errors
    /// The file system's; nothing is lost by them.
    pub fn committed(&self, number: u64, last: bool) -> io::Result<()> {
        if last {
            match self.fs.create_new(&self.path(number, FINAL)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => self.fs.sync_folder(&self.folder)?,
            }
        }
        let keep_from = number.saturating_sub(1);
        for path in self.fs.list(&self.folder)? {
            let old = path
                .file_stem()
                .and_then(|s| s.to_str()?.parse::<u64>().ok())
                .is_some_and(|n| n < keep_from);
            if old {
                self.fs.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Whether this epoch ended a run and all have committed it.
    ///
    /// # Errors
    /// The file system's.
    pub fn is_final(&self, number: u64) -> io::Result<bool> {
        let mark = self.path(number, FINAL);
        Ok(self.fs.list(&self.folder)?.contains(&mark))
    }

    /// Forgets the state of its stages, which others have taken over: of its newest epoch, only
    /// where the dead letters stand is left.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn empty(&self, newest: Epoch) -> Result<(), WriteError> {
        self.write(&Epoch {
            instances: BTreeMap::new(),
            ..newest
        })?;
        for path in self.fs.list(&self.folder).map_err(WriteError::Undone)? {
            let before = path
                .file_stem()
                .and_then(|s| s.to_str()?.parse::<u64>().ok());
            if before.is_some_and(|n| n < newest.number) {
                self.fs.remove(&path).map_err(WriteError::Undone)?;
            }
        }
        Ok(())
    }
}

/// Writes a file durably, in the place of what had its name: as a whole, or not at all.
pub(super) fn replace(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let aside = path.with_extension(ASIDE);
    if let Err(e) = write_aside(fs, &aside, bytes) {
        // It is removed when the store is opened if not now.
        let _ = fs.remove(&aside);
        return Err(WriteError::Undone(e));
    }
    fs.rename(&aside, path)
        .and_then(|()| fs.sync_folder(path.parent().unwrap_or(Path::new(""))))
        .map_err(WriteError::InDoubt)
}

fn write_aside(fs: &dyn FileSystem, aside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = match fs.create_new(aside) {
        // What an aborted attempt left.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs.remove(aside)?;
            fs.create_new(aside)?
        }
        file => file?,
    };
    file.write_all(bytes)?;
    file.syncer()?()
}

#[cfg(test)]
mod tests {
    use plugin_api::files::MemoryFiles;

    use super::*;

    fn store(fs: &MemoryFiles) -> Store {
        Store::open(Arc::new(fs.clone()), "s".into()).unwrap()
    }

    fn epoch(number: u64) -> Epoch {
        Epoch {
            number,
            ..Epoch::default()
        }
    }

    #[test]
    fn the_last_two_are_kept_and_the_newest_is_true() {
        let fs = MemoryFiles::default();
        let s = store(&fs);
        assert_eq!(s.restore(None).unwrap(), None);
        for n in 1..=4 {
            s.write(&epoch(n)).unwrap();
            s.committed(n, n == 4).unwrap();
        }
        assert_eq!(s.numbers().unwrap(), [4, 3]);
        assert!(s.is_final(4).unwrap() && !s.is_final(3).unwrap());
        assert_eq!(store(&fs).restore(None).unwrap(), Some(epoch(4)));
    }

    #[test]
    fn an_older_epoch_that_is_true_deletes_the_newer() {
        let fs = MemoryFiles::default();
        let s = store(&fs);
        s.write(&epoch(1)).unwrap();
        s.write(&epoch(2)).unwrap();
        assert_eq!(s.restore(Some(1)).unwrap(), Some(epoch(1)));
        assert_eq!(s.numbers().unwrap(), [1]);
        assert_eq!(s.restore(Some(0)).unwrap(), None);
        assert!(s.numbers().unwrap().is_empty());
    }

    #[test]
    fn a_full_disk_undoes_and_a_damaged_file_is_named() {
        let fs = MemoryFiles::default();
        let s = store(&fs);
        s.write(&epoch(1)).unwrap();
        fs.set_room(Some(3));
        assert!(matches!(s.write(&epoch(2)), Err(WriteError::Undone(_))));
        fs.set_room(None);
        assert_eq!(s.numbers().unwrap(), [1]);
        FileSystem::resume(&fs, &s.path(1, EPOCH), 20).unwrap();
        let said = s.restore(None).unwrap_err().to_string();
        assert!(said.contains("000000000001.epoch is damaged"), "{said}");
    }
}
