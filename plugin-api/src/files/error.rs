//! What can go wrong with an output file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file failed.
#[derive(Debug)]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
    /// Whether it was an fsync: a second one would claim success for what the first lost.
    sync: bool,
}

impl FileError {
    pub(super) fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            doing,
            path: path.to_owned(),
            source,
            sync: false,
        }
    }

    /// An fsync failed.
    pub(super) fn sync(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            sync: true,
            ..Self::new(doing, path, source)
        }
    }

    /// The file at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error of the operating system.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether the same call may succeed later without anybody touching the file: the disk or the
    /// quota is full, or the process has too many files open. Never after a failed fsync.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        if self.sync {
            return false;
        }
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted
        ) || self.source.raw_os_error() == Some(24 /* EMFILE */)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.doing,
            self.path.display(),
            self.source
        )
    }
}

/// Transient where the disk may get room again, else fatal: a stage repeats or gives up.
impl From<FileError> for crate::StageError {
    fn from(error: FileError) -> Self {
        if error.is_transient() {
            Self::transient(error.to_string())
        } else {
            Self::fatal(error.to_string())
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
