//! The deterministic simulation: processes, stages, store and files on a disk that loses what was
//! not synced. A run here is a crash; `cargo run --release -p simulation -- mistakes` shows what
//! it notices.

use std::thread;

use simulation::Outcome;

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "simulation",
    about: "crashes of simulated processes on the real coordinator, store, letters and files",
    ci: 200_000,
    long: Some(10_000_000),
    begin: || Some(Box::new(Simulated)),
};

/// Simulated lives of one thread in one call of [`Job::run`]; each has several crashes.
const LIVES: u64 = 250;
/// Threads. A number of its own, so that a seed means the same on every machine.
const LANES: u64 = 4;

struct Simulated;

impl Job for Simulated {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        // The frame counts crashes up from the first seed, so none is met twice.
        let seed = run.seed;
        let lane = |lane| move || simulation::run_from(lane * LIVES, LIVES, seed, None);
        let outcome = thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|n| scope.spawn(lane(n))).collect();
            let mut all = Outcome::default();
            for lane in lanes {
                all.join(
                    lane.join()
                        .map_err(|_| format!("it panicked; seed {seed}"))?,
                );
            }
            Ok::<_, String>(all)
        })?;
        match outcome.violations.first() {
            None => Ok(outcome.crashes.max(1)),
            Some(first) => Err(first.clone()),
        }
    }
}
