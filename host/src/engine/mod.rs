//! Runs a plan: a thread for each instance of a stage, edges between them, regions that pass epochs
//! and start again together, and a supervisor that opens, watches, drains and reports.

pub mod account;
mod build;
mod builtin;
mod contract;
pub mod edge;
mod hosts;
mod instance;
pub mod outbox;
mod poison;
mod receiver;
pub mod region;
pub mod retained;
mod retry;
pub mod shared;
mod source;
pub mod summary;
pub mod supervisor;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use summary::Report;
pub use supervisor::{Engine, Stop};

pub use crate::checkpoint::replay::Replay;

use crate::diag::EXIT_PLUGIN;
use region::RegionShared;
use shared::StageShared;

/// Lives as a thread of the engine. Should it panic, which is a mistake of this program and of no
/// stage, the process ends: what ends with a process is gone on with by the next one, but a region
/// that misses a thread would wait for ever.
fn live(thread: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(thread)).is_err() {
        std::process::exit(EXIT_PLUGIN.into());
    }
}

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop after this time.
    pub run_for: Option<Duration>,
    /// Longest time that draining may take.
    pub grace: Duration,
    /// Stages whose state may be given up, `STAGE` or `HOST/STAGE`.
    pub drop_state: BTreeSet<String>,
    /// Send dead letters again instead of reading from the sources.
    pub replay: Option<Replay>,
}

/// What can be seen of a run while it goes on.
#[derive(Debug, Clone)]
pub struct View {
    /// Hosts with their stages, in the order of the plan.
    pub hosts: Vec<(String, Vec<Arc<StageShared>>)>,
    /// Regions of all hosts.
    pub regions: Vec<Arc<RegionShared>>,
    /// Whether no host and no region was given up.
    pub healthy: Arc<AtomicBool>,
}

impl View {
    /// Whether everything is as it should be, in a word.
    pub fn health(&self) -> Health {
        let restarting = |r: &Arc<RegionShared>| r.restarting.load(Ordering::Relaxed);
        if !self.healthy.load(Ordering::SeqCst) {
            Health::Failed
        } else if self.regions.iter().any(restarting) {
            Health::Restarting
        } else {
            Health::Ok
        }
    }
}

/// How a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Ok,
    /// A region has crashed and is being started again.
    Restarting,
    /// A host or a region was given up.
    Failed,
}
