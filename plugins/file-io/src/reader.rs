//! A reader that never blocks for long: files are read in place, pipes by a thread of their own.

use crate::decompress::{Compression, decoder};
use crate::find::Origin;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Bytes that the thread of a pipe reads at once.
const BLOCK: usize = 64 * 1024;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet.
    Pending,
    /// The end.
    End,
}

/// An open, decompressed stream.
pub struct Reader {
    from: From,
    compression: Compression,
}

enum From {
    Here(Box<dyn Read + Send>),
    Thread {
        blocks: Receiver<Block>,
        current: Vec<u8>,
        at: usize,
    },
    Ended,
}

enum Block {
    Opened(Compression),
    Bytes(Vec<u8>),
    Failed(io::Error),
}

impl Reader {
    /// Opens a stream. Anything but a regular file gets a thread, which ends with its stream.
    ///
    /// # Errors
    /// If it cannot be opened or read.
    pub fn open(origin: &Origin) -> io::Result<Self> {
        let Origin::File { path, .. } = origin else {
            return Self::threaded(io::stdin);
        };
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            let path = path.clone();
            // Opening a named pipe blocks until it has a writer, so the thread does that, too.
            return Self::threaded(move || LazyFile { path, file: None });
        }
        let (stream, compression) = decoder(File::open(path)?)?;
        Ok(Self {
            from: From::Here(stream),
            compression,
        })
    }

    /// Opens a stream and passes over what comes before `position` of its decompressed content.
    /// A pipe cannot be read twice: it goes on where it is.
    ///
    /// # Errors
    /// As [`open`](Self::open); `UnexpectedEof` if it ends before that.
    pub fn open_at(origin: &Origin, position: u64) -> io::Result<Self> {
        let mut reader = Self::open(origin)?;
        let (From::Here(stream), Origin::File { path, .. }) = (&mut reader.from, origin) else {
            return Ok(reader);
        };
        let there = if reader.compression == Compression::None {
            let mut file = File::open(path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(position))?;
            reader.from = From::Here(Box::new(file));
            len
        } else {
            io::copy(&mut stream.take(position), &mut io::sink())?
        };
        if there < position {
            let message = format!(
                "it has only {there} bytes, and the last checkpoint is at {position}: was it cut \
                 or replaced?"
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(reader)
    }

    /// Whether it is a pipe, which cannot be read twice.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        matches!(self.from, From::Thread { .. })
    }

    /// Reads a blocking stream by a thread of its own; at most four blocks of 64 KiB wait.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn threaded<R: Read + Send + 'static>(
        open: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(4);
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                if let Err(error) = pump(open(), &sender) {
                    // The receiver is gone when the stage was closed: then nobody wants to know.
                    let _ = sender.send(Block::Failed(error));
                }
            })?;
        Ok(Self {
            from: From::Thread {
                blocks,
                current: Vec::new(),
                at: 0,
            },
            compression: Compression::None,
        })
    }

    /// How the stream is compressed, as far as that is known: a pipe shows it with its first bytes.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads up to `buffer.len()` bytes, waiting at most `wait` for a pipe.
    ///
    /// # Errors
    /// If the stream cannot be read or is not what its first bytes promised.
    pub fn read(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<Got> {
        match &mut self.from {
            From::Ended => Ok(Got::End),
            From::Here(stream) => {
                let count = loop {
                    match stream.read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        other => break other?,
                    }
                };
                if count == 0 && !buffer.is_empty() {
                    self.from = From::Ended;
                    return Ok(Got::End);
                }
                Ok(Got::Bytes(count))
            }
            From::Thread {
                blocks,
                current,
                at,
            } => {
                while *at == current.len() {
                    match blocks.recv_timeout(wait) {
                        Ok(Block::Opened(compression)) => self.compression = compression,
                        Ok(Block::Bytes(bytes)) => (*current, *at) = (bytes, 0),
                        Ok(Block::Failed(error)) => return Err(error),
                        Err(RecvTimeoutError::Timeout) => return Ok(Got::Pending),
                        Err(RecvTimeoutError::Disconnected) => {
                            self.from = From::Ended;
                            return Ok(Got::End);
                        }
                    }
                }
                let count = buffer.len().min(current.len() - *at);
                buffer[..count].copy_from_slice(&current[*at..*at + count]);
                *at += count;
                Ok(Got::Bytes(count))
            }
        }
    }
}

/// Reads to the end or until nobody listens.
fn pump(stream: impl Read + Send + 'static, to: &SyncSender<Block>) -> io::Result<()> {
    let (mut stream, compression) = decoder(stream)?;
    if to.send(Block::Opened(compression)).is_err() {
        return Ok(());
    }
    loop {
        let mut bytes = vec![0; BLOCK];
        let count = loop {
            match stream.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(count);
        if count == 0 || to.send(Block::Bytes(bytes)).is_err() {
            return Ok(());
        }
    }
}

/// A file that is opened by its first read.
struct LazyFile {
    path: std::path::PathBuf,
    file: Option<File>,
}

impl Read for LazyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(buffer),
            None => self.file.insert(File::open(&self.path)?).read(buffer),
        }
    }
}
