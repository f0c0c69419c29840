//! Standard output without the standard library's line buffer: one system call a batch.

use plugin_api::StageError;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// Standard output with a buffer of its own. When its reader goes (`host … | head`), that is no
/// error: the host drains, and what would be printed meanwhile is passed over.
pub struct Stdout {
    file: File,
    buffer: Vec<u8>,
    closed: bool,
}

impl Stdout {
    /// Opens it.
    ///
    /// # Errors
    /// If the process has none.
    pub fn open() -> Result<Self, StageError> {
        let file = io::stdout().as_fd().try_clone_to_owned();
        let file = file.map_err(|error| failed(&error))?;
        Ok(Self::over(File::from(file)))
    }

    pub(crate) fn over(file: File) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            closed: false,
        }
    }

    /// Whether its reader has gone: what is printed reaches nobody, and should count as filtered.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the next flush writes. Append to it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Writes everything gathered; what could not be written stays.
    ///
    /// # Errors
    /// If its disk is full (transient), or for another reason (fatal).
    pub fn flush(&mut self) -> Result<(), StageError> {
        let mut written = 0;
        let result = loop {
            if self.closed {
                written = self.buffer.len();
            }
            if written == self.buffer.len() {
                break Ok(());
            }
            match self.file.write(&self.buffer[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
                Err(error) => break Err(failed(&error)),
            }
        };
        self.buffer.drain(..written);
        result
    }
}

fn failed(error: &io::Error) -> StageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::WouldBlock => {
            StageError::transient(format!("cannot write to standard output: {error}"))
        }
        _ => StageError::fatal(format!("cannot write to standard output: {error}")),
    }
}
