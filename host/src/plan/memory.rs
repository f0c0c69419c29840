//! How much memory a host may take, by its plan: what waits on its edges, what its stages hold.
//!
//! It bounds what grows with the input. What a process takes to be there (code, threads, plugins'
//! libraries) comes on top.

use plugin_api::Memory;

use super::{HostPlan, StagePlan, regions::regions};

/// Bytes that a call of a stage may emit before it is told that it is enough; they wait in the host
/// while an edge is full.
pub const IN_HAND: usize = 4 << 20;
/// Most bytes that are kept of what a live source sent and no epoch holds.
pub const RETAINED: usize = 64 << 20;
/// Most bytes of a region's dead letters that wait for a disk that takes none.
pub const WAITING_LETTERS: usize = 64 << 20;

/// Most bytes of a region's dead letters that are held back behind a barrier; what is more goes to
/// a file of its own.
pub const HELD_LETTERS: usize = 1 << 20;

/// A part of a host's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The stage; none: the host itself.
    pub stage: Option<String>,
    /// What for.
    pub what: String,
    /// How often.
    pub times: u64,
    /// At most so many bytes each time.
    pub bytes: u64,
}

impl Part {
    /// At most so many bytes in all.
    pub fn total(&self) -> u64 {
        self.times.saturating_mul(self.bytes)
    }
}

/// All parts of a host's memory.
pub fn parts(host: &HostPlan) -> Vec<Part> {
    let mut parts = Vec::new();
    for stage in &host.stages {
        let workers = u64::from(stage.workers);
        let mut add = |what: &str, times, bytes| {
            parts.push(Part {
                stage: Some(stage.name.clone()),
                what: what.to_owned(),
                times,
                bytes,
            });
        };
        let lanes = lanes(host, stage);
        if lanes > 0 {
            add("edges into it", lanes, stage.buffer.max_bytes);
        }
        if !stage.ports.is_empty() {
            add("batches in hand", workers, IN_HAND as u64);
        }
        if stage.live {
            add("kept until an epoch holds it", workers, RETAINED as u64);
        }
        if let Some(bytes) = stage.isolate.and_then(|i| i.memory) {
            add("processes of its own", workers, bytes);
        }
        for Memory { what, bytes } in &stage.memory {
            add(what, workers, *bytes);
        }
    }
    parts.push(Part {
        stage: None,
        what: "dead letters while the disk is full".to_owned(),
        times: regions(host)
            .into_iter()
            .max()
            .map_or(0, |last| last as u64 + 1),
        // Those of an epoch, and those behind its barrier.
        bytes: (2 * WAITING_LETTERS + HELD_LETTERS) as u64,
    });
    parts
}

/// The sum of all parts.
pub fn sum(parts: &[Part]) -> u64 {
    parts.iter().map(Part::total).fold(0, u64::saturating_add)
}

/// Each instance of a sender has an edge of its own into each instance of a stage.
fn lanes(host: &HostPlan, stage: &StagePlan) -> u64 {
    let senders = stage.inputs.iter().map(|e| &host.stages[e.from]);
    let senders: u64 = senders.map(|s| u64::from(s.workers)).sum();
    senders * u64::from(stage.workers)
}
