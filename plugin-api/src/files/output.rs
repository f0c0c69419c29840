//! One output file, from `NAME.inprogress` to its final name.

use super::error::FileError;
use super::fs::{FileHandle, FileSystem};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// Bytes gathered before they are handed to the operating system.
const BUFFER: usize = 256 * 1024;

/// How often a taken name is counted up before giving up.
const MAX_NUMBER: u32 = 1_000_000;

/// A file being written. Dropped without [`finish`](Self::finish), it stays `.inprogress`.
pub struct OutputFile {
    fs: Arc<dyn FileSystem>,
    handle: Box<dyn FileHandle>,
    wanted: PathBuf,
    in_progress: PathBuf,
    buffer: Vec<u8>,
    flushed: u64,
    syncing: Option<Receiver<io::Result<()>>>,
    stage: Stage,
}

/// How far `finish` came, so that it can be called again after a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Writing,
    Synced,
    Renamed,
    /// An fsync failed: what the disk holds is unknown, and a second fsync would claim success.
    Broken,
}

impl OutputFile {
    /// Creates `wanted.inprogress` and the folders above it. If that name is taken, by another
    /// writer or by what a killed one left, it is counted up and nothing is overwritten.
    ///
    /// # Errors
    /// If a folder or the file cannot be created.
    pub fn create(fs: Arc<dyn FileSystem>, wanted: &Path) -> Result<Self, FileError> {
        let folder = folder_of(wanted);
        fs.create_folders(folder)
            .map_err(|error| FileError::new("create the folder", folder, error))?;
        for number in 0..MAX_NUMBER {
            let in_progress = in_progress_name(&numbered(wanted, number));
            match fs.create_new(&in_progress) {
                Ok(handle) => {
                    return Ok(Self {
                        fs,
                        handle,
                        wanted: wanted.to_owned(),
                        in_progress,
                        buffer: Vec::new(),
                        flushed: 0,
                        syncing: None,
                        stage: Stage::Writing,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FileError::new("create", &in_progress, error)),
            }
        }
        Err(FileError::new(
            "create",
            wanted,
            io::ErrorKind::AlreadyExists.into(),
        ))
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

    /// Where the bytes are until the file is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.in_progress
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
        result.map_err(|error| FileError::new("write", &self.in_progress, error))
    }

    /// Flushes and begins an fsync on a thread of its own, so that the flow is not held up; see
    /// [`poll_sync`](Self::poll_sync). An fsync still running is waited for first.
    ///
    /// # Errors
    /// If the file cannot be written, or an earlier fsync failed.
    pub fn begin_sync(&mut self) -> Result<(), FileError> {
        self.wait_sync()?;
        self.flush()?;
        self.usable()?;
        let failed = |error| FileError::new("sync", &self.in_progress, error);
        let syncer = self.handle.syncer().map_err(failed)?;
        let (sender, receiver) = sync_channel(1);
        std::thread::Builder::new()
            .name("fsync".to_owned())
            .spawn(move || {
                // Nobody listens any more when the file was dropped meanwhile.
                let _ = sender.send(syncer());
            })
            .map_err(failed)?;
        self.syncing = Some(receiver);
        Ok(())
    }

    /// Whether the fsync begun last is over: `None` while it runs.
    pub fn poll_sync(&mut self) -> Option<Result<(), FileError>> {
        let result = match self.syncing.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(thread_died()),
            Ok(result) => result,
        };
        self.syncing = None;
        Some(self.judge_sync(result))
    }

    /// Whether an fsync begun by [`begin_sync`](Self::begin_sync) has not been seen to end.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// Flushes and fsyncs.
    ///
    /// # Errors
    /// If the file cannot be written or an fsync failed, now or earlier.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.wait_sync()?;
        self.flush()?;
        self.usable()?;
        let result = self.handle.syncer().and_then(|sync| sync());
        self.judge_sync(result)
    }

    /// Fsyncs, gives the file its name and fsyncs the folder. Returns the name, which is the one
    /// wanted or, where that is taken, one with a number. May be called again after an error.
    ///
    /// # Errors
    /// If the file cannot be written, synced or renamed.
    pub fn finish(&mut self) -> Result<PathBuf, FileError> {
        self.finish_from(0).map(|(path, _)| path)
    }

    /// Removes the file instead of finishing it.
    pub(super) fn remove(&mut self) -> Result<(), FileError> {
        self.fs
            .remove(&self.in_progress)
            .map_err(|error| FileError::new("remove", &self.in_progress, error))
    }

    /// As `finish`, trying numbers from `number` on; also returns the number used.
    pub(super) fn finish_from(&mut self, number: u32) -> Result<(PathBuf, u32), FileError> {
        if self.stage == Stage::Writing {
            self.sync()?;
            self.stage = Stage::Synced;
        }
        self.usable()?;
        let mut number = number;
        let mut path = numbered(&self.wanted, number);
        while self.stage == Stage::Synced {
            match self.fs.rename_no_replace(&self.in_progress, &path) {
                Ok(()) => {
                    self.in_progress = path.clone();
                    self.stage = Stage::Renamed;
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_NUMBER =>
                {
                    number += 1;
                    path = numbered(&self.wanted, number);
                }
                Err(error) => return Err(FileError::new("rename to", &path, error)),
            }
        }
        let folder = folder_of(&self.wanted);
        self.fs
            .sync_folder(folder)
            .map_err(|error| FileError::new("sync the folder", folder, error))?;
        Ok((self.in_progress.clone(), number))
    }

    /// Waits for a running fsync: only one of two may see its error.
    fn wait_sync(&mut self) -> Result<(), FileError> {
        let Some(receiver) = self.syncing.take() else {
            return Ok(());
        };
        let result = receiver.recv().unwrap_or_else(|_| Err(thread_died()));
        self.judge_sync(result)
    }

    fn judge_sync(&mut self, result: io::Result<()>) -> Result<(), FileError> {
        result.map_err(|error| {
            self.stage = Stage::Broken;
            FileError::new("sync", &self.in_progress, error)
        })
    }

    fn usable(&self) -> Result<(), FileError> {
        if self.stage != Stage::Broken {
            return Ok(());
        }
        let error = io::Error::other("an earlier fsync failed, so its content is not certain");
        Err(FileError::new("finish", &self.in_progress, error))
    }
}

fn thread_died() -> io::Error {
    io::Error::other("the thread that synced it ended early")
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn in_progress_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".inprogress");
    name.into()
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
