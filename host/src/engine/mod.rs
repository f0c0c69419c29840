//! Runs a plan: a thread for each instance of a stage, edges between them, regions that pass epochs
//! and start again together, and a supervisor that opens, watches, drains and reports.

pub mod account;
mod build;
mod builtin;
mod contract;
pub mod edge;
mod hosts;
mod instance;
mod outbox;
mod poison;
mod receiver;
pub mod region;
mod retained;
mod retry;
pub mod shared;
mod source;
pub mod summary;
pub mod supervisor;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

pub use summary::Report;
pub use supervisor::{Engine, Stop};

use region::RegionShared;
use shared::StageShared;

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop after this time.
    pub run_for: Option<Duration>,
    /// Longest time that draining may take.
    pub grace: Duration,
    /// Stages whose state may be given up, `STAGE` or `HOST/STAGE`.
    pub drop_state: BTreeSet<String>,
}

/// What can be seen of a run while it goes on.
#[derive(Debug, Clone)]
pub struct View {
    /// Hosts with their stages, in the order of the plan.
    pub hosts: Vec<(String, Vec<Arc<StageShared>>)>,
    /// Regions of all hosts.
    pub regions: Vec<Arc<RegionShared>>,
    /// Whether every host is as it should be.
    pub healthy: Arc<AtomicBool>,
}
