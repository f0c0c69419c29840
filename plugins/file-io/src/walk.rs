//! A source's way through its files, one after the other, and its place in a checkpoint.

use crate::find::{Origin, find};
use crate::fingerprint::fingerprint;
use plugin_api::{Context, StageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

/// The files of one worker of a source, in the order of their names.
///
/// A checkpoint names the last file begun. A source that goes on from there passes over the files
/// before it in that order, also those that came to be since, and takes the list as it then is.
pub struct Walk {
    waiting: VecDeque<Origin>,
    /// The file begun last.
    last: Option<Origin>,
}

/// What a checkpoint keeps: the file begun last and, unless it is done, the place in it.
#[derive(Serialize, Deserialize)]
struct State<T> {
    file: Option<String>,
    at: Option<T>,
}

impl Walk {
    /// The files that `path` means and that are this worker's. Each file is one worker's, by its
    /// name, so that others may come and go between two runs.
    ///
    /// # Errors
    /// [`StageError::config`] for the option `path`, if there is no file or it cannot be read.
    pub fn new(path: &Path, ctx: &Context) -> Result<Self, StageError> {
        let files = find(path).map_err(|error| {
            StageError::config("/path", format!("cannot read {}: {error}", path.display()))
        })?;
        let (worker, workers) = (u64::from(ctx.worker()), u64::from(ctx.workers().max(1)));
        let mine = |origin: &Origin| fingerprint(origin.name().as_bytes()) % workers == worker;
        Ok(Self {
            waiting: files.into_iter().filter(mine).collect(),
            last: None,
        })
    }

    /// Begins the next file.
    pub fn begin_next(&mut self) -> Option<&Origin> {
        let next = self.waiting.pop_front()?;
        Some(self.last.insert(next))
    }

    /// The file begun last.
    #[must_use]
    pub fn last(&self) -> Option<&Origin> {
        self.last.as_ref()
    }

    /// The state for a checkpoint; `at`: the place in the file begun last, unless it is done.
    ///
    /// # Errors
    /// If the place cannot be written as JSON.
    pub fn save<T: Serialize>(&self, at: Option<T>) -> Result<Vec<u8>, StageError> {
        let file = self.last.as_ref().map(|origin| origin.name().to_owned());
        serde_json::to_vec(&State { file, at })
            .map_err(|error| StageError::fatal(error.to_string()))
    }

    /// Goes to the place of a checkpoint. If that is within a file, then that file is begun and
    /// the answer is the place in it.
    ///
    /// # Errors
    /// If that file is gone.
    pub fn restore<T: DeserializeOwned>(
        &mut self,
        state: Option<&[u8]>,
    ) -> Result<Option<T>, StageError> {
        let Some(state) = state.filter(|state| !state.is_empty()) else {
            return Ok(None);
        };
        let state: State<T> = serde_json::from_slice(state)
            .map_err(|error| StageError::fatal(format!("its checkpoint: {error}")))?;
        let Some(file) = state.file else {
            return Ok(None);
        };
        while self
            .waiting
            .front()
            .is_some_and(|next| next.name() < file.as_str())
        {
            self.waiting.pop_front();
        }
        if self.waiting.front().is_some_and(|next| next.name() == file) {
            self.last = self.waiting.pop_front();
            return Ok(state.at);
        }
        if state.at.is_some() {
            return Err(StageError::fatal(format!(
                "{file} is gone, and the last checkpoint is in the middle of it: put it back, or \
                 begin anew without the checkpoint"
            )));
        }
        Ok(None)
    }
}
