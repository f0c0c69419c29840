//! Runs a plan: a thread for each instance of a stage, edges between them, and a supervisor that
//! opens, asks for epochs, drains and reports.

pub mod account;
mod build;
pub mod edge;
mod epoch;
mod instance;
mod outbox;
mod receiver;
pub mod shared;
mod source;
pub mod summary;
pub mod supervisor;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

pub use summary::Report;
pub use supervisor::{Engine, Stop};

use shared::StageShared;

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop after this time.
    pub run_for: Option<Duration>,
    /// Longest time that draining may take.
    pub grace: Duration,
}

/// What can be seen of a run while it goes on.
#[derive(Debug, Clone)]
pub struct View {
    /// Hosts with their stages, in the order of the plan.
    pub hosts: Vec<(String, Vec<Arc<StageShared>>)>,
    /// Whether every host is as it should be.
    pub healthy: Arc<AtomicBool>,
}
