//! A stage in a process of its own: what would end the host there (a segmentation fault, an abort,
//! a stack overflow, memory that runs out) is an error of that stage here.
//!
//! The host side ([`Isolated`], a [`Planner`]) makes stages that forward each call over a socket to
//! a process of the host's own executable, which loads the plugin as usual and serves the calls
//! ([`serve`]). Calls and their answers alternate on one socket; what may come at any time (log,
//! metrics, a wish for a checkpoint; the other way: cancellation) has a second one. Options go over
//! the socket, never by arguments or environment. The process ends when its sockets close, however
//! the host ended.
//!
//! Invariant: the host takes nothing from that process unchecked. Lengths are bounded, batches are
//! checked, a frame that does not belong there ends the process and is an error of the stage.

mod child;
mod frame;
mod process;
mod services;
mod stage;

use std::{path::PathBuf, sync::Arc};

use plugin_api::{
    ContentType, Planned, StageError,
    abi::{shim, stage::StageBox},
    manifest::StageKind,
};
use serde::{Deserialize, Serialize};

pub use child::serve;

use crate::plan::{Isolate, Planner, PluginEntry};

/// Name of the hidden command that a stage's process runs.
pub const COMMAND: &str = "isolated";

/// This process's own executable, even if another file bears its name by now.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Bytes and batches that a call may emit before it is told that it is enough, as the engine's: to
/// ask there would cost a way back and forth.
const EMIT_BYTES: usize = 4 << 20;
const EMIT_BATCHES: usize = 16;

/// What a stage's process is told first.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hello {
    file: PathBuf,
    sha256: String,
    kind: StageKind,
    name: String,
    memory: Option<u64>,
}

/// Makes stages that run in processes of their own.
pub struct Isolated {
    program: PathBuf,
    entry: Arc<PluginEntry>,
    how: Isolate,
}

/// Makes isolated stages of a plugin.
pub fn planner(entry: &Arc<PluginEntry>, how: Isolate) -> Arc<dyn Planner> {
    Arc::new(Isolated::new(OWN_PROGRAM.into(), entry.clone(), how))
}

impl Isolated {
    /// Isolated stages of a plugin; `program` is a host's executable.
    pub fn new(program: PathBuf, entry: Arc<PluginEntry>, how: Isolate) -> Self {
        Self {
            program,
            entry,
            how,
        }
    }
}

impl Planner for Isolated {
    fn plan(
        &self,
        kind: StageKind,
        stage: &str,
        options: &[u8],
        inputs: &[ContentType],
    ) -> Result<Planned, StageError> {
        self.entry.planner.plan(kind, stage, options, inputs)
    }

    fn create(&self, kind: StageKind, stage: &str) -> Result<StageBox, StageError> {
        let hello = Hello {
            file: self.entry.file.clone(),
            sha256: self.entry.sha256.clone(),
            kind,
            name: stage.to_owned(),
            memory: self.how.memory,
        };
        let stage = stage::Remote::start(&self.program, &hello)?;
        Ok(shim::boxed(Box::new(stage)))
    }
}
