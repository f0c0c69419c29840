//! Files and epochs: which files an epoch lists, how they take their names when it is true, and
//! how everything goes back to it after a crash.
//!
//! An epoch lists the open file with its length and the files that have ended and have no name yet.
//! All of that is durable before the epoch is. Its commit renames those that had ended; a restore
//! cuts the open one to its length and deletes what is not listed. So no byte of an epoch that did
//! not come true is ever in a file with its final name, and each byte of one that did is in one.

use super::error::FileError;
use super::output::{OutputFile, folder_of};
use super::rolling::{At, Open, Rolled, Rolling};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of [`State`].
const VERSION: u32 = 1;

/// How often a taken name is counted up before giving up.
const MAX_NUMBER: u32 = 1_000_000;

/// A file that took its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its final name.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many records it holds.
    pub records: u64,
}

/// An epoch between its checkpoint or restore and the end of its commit.
pub(super) struct Epoch {
    number: u64,
    /// How many of the files that have ended it lists: the oldest.
    rolled: usize,
    /// The open file as of the barrier; it may have ended since.
    open: Option<Listed>,
    state: Vec<u8>,
}

/// What an epoch keeps.
#[derive(Default, Serialize, Deserialize)]
struct State {
    version: u32,
    /// Number of the next file, so that none is used twice.
    next: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<OpenState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rolled: Vec<Listed>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    path: PathBuf,
    wanted: PathBuf,
    number: u64,
    bytes: u64,
    records: u64,
}

#[derive(Serialize, Deserialize)]
struct OpenState {
    #[serde(flatten)]
    file: Listed,
    opened_us: i64,
    /// What the format wants to know again.
    format: String,
}

impl Rolling {
    /// The barrier of an epoch: what was appended so far belongs to it. `format` comes back from
    /// [`restore`](Self::restore) if the open file is gone on with. Touches no disk. Repeated for
    /// the same epoch it does nothing.
    pub fn checkpoint(&mut self, epoch: u64, format: String) {
        if self.has_begun(epoch) {
            return;
        }
        let rolled = self.rolled.iter().map(|rolled| Listed {
            path: rolled.path.clone(),
            wanted: rolled.wanted.clone(),
            number: rolled.number,
            bytes: rolled.bytes,
            records: rolled.records,
        });
        // A file without records may still be removed, so no epoch may count on it.
        let open = self.open.as_ref().filter(|open| open.records > 0);
        let open = open.map(|open| OpenState {
            file: Listed {
                path: open.file.path().to_owned(),
                wanted: open.wanted.clone(),
                number: open.number,
                bytes: open.file.len(),
                records: open.records,
            },
            opened_us: open.opened_us,
            format,
        });
        let state = State {
            version: VERSION,
            next: self.next,
            open,
            rolled: rolled.collect(),
        };
        self.epoch = Some(Epoch {
            number: epoch,
            rolled: state.rolled.len(),
            open: state.open.as_ref().map(|open| open.file.clone()),
            state: serde_json::to_vec(&state).expect("a template is UTF-8, so paths are"),
        });
    }

    /// Whether the barrier of this epoch has come.
    #[must_use]
    pub fn has_begun(&self, epoch: u64) -> bool {
        self.epoch.as_ref().is_some_and(|e| e.number == epoch)
    }

    /// The state of an epoch, once all that it lists is durable; `None`: ask again.
    ///
    /// # Errors
    /// If a file cannot be written (transient on a full disk) or an fsync failed.
    pub fn checkpoint_poll(&mut self, epoch: u64) -> Result<Option<Vec<u8>>, FileError> {
        let Some(begun) = self.epoch.as_ref().filter(|begun| begun.number == epoch) else {
            let error = io::Error::other(format!("epoch {epoch} has not begun"));
            return Err(FileError::new("checkpoint", Path::new("files"), error));
        };
        let mut durable = true;
        for rolled in self.rolled.iter_mut().take(begun.rolled) {
            durable &= rolled.durable()?;
        }
        if let Some(listed) = &begun.open {
            let open = self.open.as_mut().filter(|o| o.number == listed.number);
            let ended = self.rolled.iter_mut().find(|r| r.number == listed.number);
            durable &= match (open, ended) {
                (Some(open), _) => open.file.durable_to(listed.bytes)?,
                (None, Some(ended)) => ended.durable()?,
                (None, None) => true,
            };
        }
        Ok(durable.then(|| begun.state.clone()))
    }

    /// The epoch is true: files that had ended at its barrier take their names. May be repeated,
    /// also after [`restore`](Self::restore).
    ///
    /// # Errors
    /// If a file cannot be renamed; after a failed fsync of a folder for good.
    pub fn commit(&mut self, epoch: u64) -> Result<Vec<Finished>, FileError> {
        let Some(begun) = self.epoch.as_ref().filter(|begun| begun.number == epoch) else {
            return Ok(Vec::new());
        };
        let count = begun.rolled;
        for index in 0..count {
            self.rename(index)?;
        }
        let committed = self.rolled.iter().take(count);
        let folders = committed.map(|rolled| folder_of(&rolled.wanted).to_owned());
        let folders = folders.chain(self.removed.iter().cloned());
        self.sync_folders(folders.collect())?;
        self.removed.clear();
        self.epoch = None;
        let committed = self.rolled.drain(..count);
        let finished = committed.filter_map(|rolled| match rolled.at {
            At::Renamed(path) => Some(Finished {
                path,
                bytes: rolled.bytes,
                records: rolled.records,
            }),
            _ => None,
        });
        Ok(finished.collect())
    }

    /// The epoch will not be; its files belong to the next.
    pub fn abort(&mut self, epoch: u64) {
        if self.has_begun(epoch) {
            self.epoch = None;
        }
    }

    /// Goes back to an epoch; without a state to the beginning. Cuts the open file, deletes all
    /// files in progress of this owner that are not listed, and makes that durable. The answer is
    /// what [`checkpoint`](Self::checkpoint) was told of the format, if a file is gone on with.
    ///
    /// # Errors
    /// If a listed file is gone, shorter or cannot be cut, or the state cannot be read.
    pub fn restore(
        &mut self,
        epoch: u64,
        state: Option<&[u8]>,
    ) -> Result<Option<String>, FileError> {
        let state = read(state.unwrap_or_default())
            .map_err(|error| FileError::new("restore", Path::new("files"), error))?;
        let folder = |error| FileError::new("look for", Path::new("files in progress"), error);
        let (found, own_folders) = self.owner.find(&*self.fs).map_err(folder)?;
        let newest = found.iter().map(|(_, number)| number + 1).max();
        self.next = state.next.max(newest.unwrap_or(1)).max(1);
        let mut found: BTreeMap<u64, PathBuf> = found.into_iter().map(|(p, n)| (n, p)).collect();
        // Numbers are unique, so that a file is known again where folders were moved.
        let mut locate = |mut listed: Listed| {
            if let Some(path) = found.remove(&listed.number) {
                let name = listed.wanted.file_name().unwrap_or_default();
                listed.wanted = path.with_file_name(name);
                listed.path = path;
            }
            listed
        };
        let rolled = state
            .rolled
            .into_iter()
            .map(&mut locate)
            .collect::<Vec<_>>();
        let open = state.open.map(|mut open| {
            open.file = locate(open.file);
            open
        });

        let listed = rolled.iter().chain(open.as_ref().map(|open| &open.file));
        let mut folders: BTreeSet<_> = listed.map(|l| folder_of(&l.path).to_owned()).collect();
        // Also where nothing is found: an earlier process may have removed something and died.
        folders.extend(own_folders);
        let mut format = None;
        self.open = None;
        if let Some(OpenState {
            file,
            opened_us,
            format: saved,
        }) = open
        {
            self.open = Some(Open {
                file: OutputFile::resume(Arc::clone(&self.fs), &file.path, file.bytes)?,
                number: file.number,
                wanted: file.wanted,
                records: file.records,
                opened_us,
            });
            format = Some(saved);
        }
        // Only now that what is listed is known to be there.
        for path in found.into_values() {
            self.fs
                .remove(&path)
                .map_err(|error| FileError::new("remove", &path, error))?;
            folders.insert(folder_of(&path).to_owned());
        }
        self.sync_folders(folders)?;
        self.rolled = rolled.into_iter().map(restored).collect();
        self.epoch = Some(Epoch {
            number: epoch,
            rolled: self.rolled.len(),
            open: None,
            state: Vec::new(),
        });
        Ok(format)
    }

    fn rename(&mut self, index: usize) -> Result<(), FileError> {
        let rolled = &mut self.rolled[index];
        let mut number = match &self.last {
            Some((path, number)) if *path == rolled.wanted => number + 1,
            _ => 0,
        };
        loop {
            let before = match rolled.at {
                At::Durable => false,
                At::Restored => true,
                At::Renamed(_) | At::RenamedBefore => return Ok(()),
                At::Writing(_) => {
                    let error = io::Error::other("it was committed before it was durable");
                    return Err(FileError::new("rename", &rolled.path, error));
                }
            };
            let path = numbered(&rolled.wanted, number);
            match self.fs.rename_no_replace(&rolled.path, &path) {
                Ok(()) => {
                    self.last = Some((rolled.wanted.clone(), number));
                    rolled.at = At::Renamed(path);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && before => {
                    rolled.at = At::RenamedBefore;
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_NUMBER =>
                {
                    number += 1;
                }
                Err(error) => return Err(FileError::new("rename to", &path, error)),
            }
        }
    }

    fn sync_folders(&mut self, folders: BTreeSet<PathBuf>) -> Result<(), FileError> {
        for folder in folders {
            if self.broken {
                let error = io::Error::other("an earlier fsync of a folder failed");
                return Err(FileError::sync("sync the folder", &folder, error));
            }
            if let Err(error) = self.fs.sync_folder(&folder) {
                if error.kind() == io::ErrorKind::NotFound {
                    continue; // With the folder its files are gone, too: somebody moved them.
                }
                self.broken = true;
                return Err(FileError::sync("sync the folder", &folder, error));
            }
        }
        Ok(())
    }
}

fn restored(listed: Listed) -> Rolled {
    Rolled {
        path: listed.path,
        number: listed.number,
        wanted: listed.wanted,
        bytes: listed.bytes,
        records: listed.records,
        at: At::Restored,
    }
}

fn read(state: &[u8]) -> io::Result<State> {
    if state.is_empty() {
        return Ok(State::default());
    }
    let state: State = serde_json::from_slice(state)?;
    if state.version > VERSION {
        let message = format!(
            "their checkpoint has version {}, this program reads up to {VERSION}",
            state.version
        );
        return Err(io::Error::other(message));
    }
    Ok(state)
}

/// `a/b.avro` → `a/b-2.avro`, `b.jsonl.gz` → `b-2.jsonl.gz`; number 0 is the name itself.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut stem = name.rfind('.').filter(|&at| at > 0).unwrap_or(name.len());
    if matches!(&name[stem..], ".gz" | ".zst" | ".bz2") {
        stem = name[..stem].rfind('.').filter(|&at| at > 0).unwrap_or(stem);
    }
    path.with_file_name(format!("{}-{number}{}", &name[..stem], &name[stem..]))
}
