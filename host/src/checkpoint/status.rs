//! What a host's folder of state says, whether it runs or not. It only looks.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use plugin_api::files::Os;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    complete::Complete,
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
    /// Which regions the host's last run brought to its end.
    pub complete: Complete,
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
    let (mut regions, damaged) = letters::newest_epochs(host_folder)?;
    // What a changed graph left has no stages any more.
    regions.retain(|r| !r.epoch.is_empty());
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
        complete: Complete::read(&Os, host_folder)?,
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
