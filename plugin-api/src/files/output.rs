//! One file in progress: its buffer, and how much of it is durable.

use super::error::FileError;
use super::fs::{FileHandle, FileSystem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// Bytes gathered before they are handed to the operating system.
const BUFFER: usize = 256 * 1024;

/// A file being written.
pub struct OutputFile {
    fs: Arc<dyn FileSystem>,
    handle: Box<dyn FileHandle>,
    path: PathBuf,
    buffer: Vec<u8>,
    flushed: u64,
    /// How many bytes are durable, and whether the file's name is.
    synced: u64,
    named: bool,
    syncing: Option<Syncing>,
    /// An fsync failed: what the disk holds is unknown, and a second fsync would claim success.
    broken: bool,
}

/// An fsync under way, and up to where it makes the file durable.
struct Syncing {
    to: u64,
    end: Receiver<io::Result<()>>,
}

impl OutputFile {
    /// Creates a file and the folders above it.
    ///
    /// # Errors
    /// If a folder or the file cannot be created, or the name is taken.
    pub fn create(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self, FileError> {
        let folder = folder_of(path);
        fs.create_folders(folder)
            .map_err(|error| FileError::new("create the folder", folder, error))?;
        let handle = fs.create_new(path);
        let handle = handle.map_err(|error| FileError::new("create", path, error))?;
        Ok(Self {
            fs,
            handle,
            path: path.to_owned(),
            buffer: Vec::new(),
            flushed: 0,
            synced: 0,
            named: false,
            syncing: None,
            broken: false,
        })
    }

    /// Goes on with a file that is durable up to `len`; what it holds behind that is cut off.
    ///
    /// # Errors
    /// If the file is gone or shorter, or cannot be cut.
    pub fn resume(fs: Arc<dyn FileSystem>, path: &Path, len: u64) -> Result<Self, FileError> {
        let handle = fs.resume(path, len).map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::other(format!(
                    "it is shorter than the {len} bytes that the checkpoint counts on"
                )),
                _ => error,
            };
            FileError::new("go on with", path, error)
        })?;
        Ok(Self {
            fs,
            handle,
            path: path.to_owned(),
            buffer: Vec::new(),
            flushed: len,
            synced: len,
            named: true,
            syncing: None,
            broken: false,
        })
    }

    /// Adds bytes. Never fails: they go to the buffer.
    pub fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer, for encoders that write into a `Vec`. Only ever append to it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes appended so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Bytes that the operating system has already.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Whether nothing has been appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the bytes are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands the buffer to the operating system if it is full. Call it between batches.
    ///
    /// # Errors
    /// If the file cannot be written. What could not be written stays in the buffer, in order.
    pub fn flush_if_full(&mut self) -> Result<(), FileError> {
        if self.buffer.len() < BUFFER {
            return Ok(());
        }
        self.flush()
    }

    /// Hands the buffer to the operating system.
    ///
    /// # Errors
    /// If the file cannot be written. What could not be written stays in the buffer, in order.
    pub fn flush(&mut self) -> Result<(), FileError> {
        let mut written = 0;
        let result = loop {
            if written == self.buffer.len() {
                break Ok(());
            }
            match self.handle.write(&self.buffer[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.flushed += written as u64;
        self.buffer.drain(..written);
        if self.buffer.is_empty() && self.buffer.capacity() > 8 * BUFFER {
            self.buffer = Vec::with_capacity(BUFFER);
        }
        result.map_err(|error| FileError::new("write", &self.path, error))
    }

    /// Whether the first `len` bytes and the file's name are durable. If not, an fsync is begun
    /// where none runs, beside the flow, and the call is to be made again. With nothing new since
    /// the last fsync there is none.
    ///
    /// # Errors
    /// If the file cannot be written, or an fsync failed, now or earlier: never tried again.
    pub fn durable_to(&mut self, len: u64) -> Result<bool, FileError> {
        loop {
            if self.broken {
                let error = io::Error::other("an earlier fsync failed, so its content is unknown");
                return Err(FileError::sync("go on with", &self.path, error));
            }
            if let Some(Syncing { to, end }) = &self.syncing {
                let (to, result) = match end.try_recv() {
                    Err(TryRecvError::Empty) => return Ok(false),
                    Err(TryRecvError::Disconnected) => (
                        *to,
                        Err(io::Error::other("the thread that synced it ended early")),
                    ),
                    Ok(result) => (*to, result),
                };
                self.syncing = None;
                self.broken = result.is_err();
                result.map_err(|error| FileError::sync("sync", &self.path, error))?;
                (self.synced, self.named) = (to, true);
            }
            if self.named && self.synced >= len {
                return Ok(true);
            }
            self.begin_sync()?;
        }
    }

    /// Flushes and begins an fsync, of a new file's folder, too.
    fn begin_sync(&mut self) -> Result<(), FileError> {
        self.flush()?;
        let failed = |error| FileError::new("sync", &self.path, error);
        let syncer = self.handle.syncer().map_err(failed)?;
        let folder = (!self.named).then(|| folder_of(&self.path).to_owned());
        let fs = Arc::clone(&self.fs);
        let (sender, end) = sync_channel(1);
        let job = Box::new(move || {
            let synced = syncer().and_then(|()| match folder {
                Some(folder) => fs.sync_folder(&folder),
                None => Ok(()),
            });
            // Nobody listens any more when the file was dropped meanwhile.
            let _ = sender.send(synced);
        });
        self.fs.run_sync(job).map_err(failed)?;
        self.syncing = Some(Syncing {
            to: self.flushed,
            end,
        });
        Ok(())
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
