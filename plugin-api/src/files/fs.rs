//! The little of a file system that output files need.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An fsync that may run on another thread while the file is written on.
pub type Syncer = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// An open file.
pub trait FileHandle: Write + Send {
    /// An fsync of what was written so far, to be run anywhere.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn syncer(&self) -> io::Result<Syncer>;
}

/// Where files live: the disk ([`Os`]) or memory ([`MemoryFiles`](super::MemoryFiles)).
pub trait FileSystem: Send + Sync {
    /// Creates a file for writing; `AlreadyExists` if the name is taken.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;

    /// Creates a folder and its parents, each durable when this returns, also those that a killed
    /// process created and had no time to make durable.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn create_folders(&self, path: &Path) -> io::Result<()>;

    /// Renames, and says `AlreadyExists` rather than replace anything.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file to be written on from `len`, where it is cut, durably.
    ///
    /// # Errors
    /// `UnexpectedEof` if it is shorter than `len`; else whatever the operating system says.
    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn FileHandle>>;

    /// Renames, replacing what had the name.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Content of a file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Paths of the files in a folder, in order; none if there is no such folder.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Paths of the folders in a folder, in order; none if there is no such folder.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn folders(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Runs an fsync beside the flow: on a thread of its own, unless a file system in memory, which
    /// has nothing to wait for and must be deterministic, runs it at once.
    ///
    /// # Errors
    /// If it cannot be started. Then it was not run.
    fn run_sync(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("fsync".to_owned());
        thread.spawn(job).map(drop)
    }
}

/// The operating system's file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Os;

impl FileHandle for File {
    fn syncer(&self) -> io::Result<Syncer> {
        let file = self.try_clone()?;
        Ok(Box::new(move || file.sync_data()))
    }
}

impl FileSystem for Os {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        if path.is_dir() {
            // Folders are made from the top down, each durable before the next, so only this one
            // can still be in doubt. In a parent that cannot be read it was made by somebody else.
            return match self.sync_folder(parent) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                other => other,
            };
        }
        self.create_folders(parent)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_folder(parent),
        }
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // File systems without that flag (NFS, some FUSE ones) know links.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        match fs::hard_link(from, to) {
            // A process that was killed between the two calls left both names for one file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same(from, to)? => {}
            other => other?,
        }
        fs::remove_file(from)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        File::open(path)?.sync_all()
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn FileHandle>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        file.sync_all()?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        entries(folder, false)
    }

    fn folders(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        entries(folder, true)
    }
}

/// Paths of the folders in a folder, or of all that is none.
fn entries(folder: &Path, folders: bool) -> io::Result<Vec<PathBuf>> {
    let here = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let entries = match fs::read_dir(here) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            // A link that leads nowhere is no folder.
            kind = fs::metadata(entry.path()).map_or(kind, |target| target.file_type());
        }
        if kind.is_dir() == folders {
            paths.push(folder.join(entry.file_name()));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether two names stand for one file.
#[cfg(unix)]
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(not(unix))]
fn same(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}
