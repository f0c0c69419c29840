//! The deterministic simulation: processes, stages, store and files on a disk that loses what was
//! not synced. A run here is a crash; `cargo run --release -p simulation -- mistakes` shows what
//! it notices.

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "simulation",
    about: "crashes of simulated processes on the real coordinator, store, letters and files",
    ci: 200_000,
    long: Some(10_000_000),
    begin: || Some(Box::new(Simulated)),
};

/// Simulated lives of one call of [`Job::run`]; each has several crashes.
const LIVES: u64 = 500;

struct Simulated;

impl Job for Simulated {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        // The frame counts crashes up from the first seed, so none is met twice.
        let outcome = simulation::run(LIVES, run.seed);
        match outcome.violations.first() {
            None => Ok((outcome.crashes + outcome.restarts).max(1)),
            Some(first) => Err(first.clone()),
        }
    }
}
