//! What a host's folder of state says, whether it runs or not. It only looks.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    dead_letters::DEAD_LETTERS,
    letters::{self, Newest},
};

/// File that a running host holds locked, within its folder of state.
pub const LOCK: &str = "lock";

/// The state of a host.
#[derive(Debug)]
pub struct HostStatus {
    /// Whether a process runs it.
    pub running: bool,
    /// The newest epoch of each region.
    pub regions: Vec<Newest>,
    /// Epochs that cannot be read, in words.
    pub damaged: Vec<String>,
    /// Files of dead letters, and their bytes.
    pub letters: (u64, u64),
}

/// Looks at a host's folder of state; none if it has left nothing.
///
/// # Errors
/// The file system's.
pub fn look(host_folder: &Path) -> io::Result<Option<HostStatus>> {
    let lock = match File::open(host_folder.join(LOCK)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    let (regions, damaged) = letters::newest_epochs(host_folder)?;
    let mut letters = (0, 0);
    match fs::read_dir(host_folder.join(DEAD_LETTERS)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        files => {
            for file in files? {
                letters.0 += 1;
                letters.1 += file?.metadata()?.len();
            }
        }
    }
    Ok(Some(HostStatus {
        running: is_locked(&lock)?,
        regions,
        damaged,
        letters,
    }))
}

/// Whether a running host holds its lock. Holds it together with other onlookers for the moment.
///
/// # Errors
/// The file system's.
pub fn is_locked(lock: &File) -> io::Result<bool> {
    match flock(lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            flock(lock, FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(e.into()),
    }
}
