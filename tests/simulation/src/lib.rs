//! The delivery protocol under a deterministic scheduler, on the real code: coordinator, store, dead
//! letters, inheritance, inboxes, outboxes with their ledgers and accounts, and files. What is
//! simulated is around them: threads (one step of one actor at a time, drawn by chance), time, the
//! disk, what lies outside, and crashes of all kinds.
//!
//! A run is a graph and a chain of processes that are killed, until the last one comes to its end
//! undisturbed. Then each record has to be where it belongs, once. A run is repeated exactly by its
//! seed and number.
//!
//! The loops of an instance and of a region, which wait on threads in the host, are written once
//! more here: [`instance`] and [`region`] follow `host::engine` call by call.

mod crash;
mod disk;
mod graph;
mod instance;
pub mod mistake;
mod oracle;
mod process;
mod records;
mod region;
mod run;
mod stages;
mod wiring;
mod world;

use mistake::Mistake;

/// Says what happens, if the environment asks for it: for whoever looks into one run.
fn trace(what: impl FnOnce() -> String) {
    static WANTED: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("SIMULATION_TRACE").is_some());
    if *WANTED {
        eprintln!("{}", what());
    }
}

/// What runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Runs.
    pub runs: u64,
    /// Processes that were killed.
    pub crashes: u64,
    /// Of those, with a loss of power.
    pub power: u64,
    /// Regions that started again within their process.
    pub restarts: u64,
    /// Regions that were given up.
    pub given_up: u64,
    /// Graphs that were changed between two processes.
    pub changed: u64,
    /// Jobs that were begun anew behind a complete one.
    pub jobs: u64,
    /// Steps.
    pub steps: u64,
    /// Rules found broken, with what repeats each.
    pub violations: Vec<String>,
}

impl Outcome {
    /// Adds another.
    pub fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.power += other.power;
        self.restarts += other.restarts;
        self.given_up += other.given_up;
        self.changed += other.changed;
        self.jobs += other.jobs;
        self.steps += other.steps;
        self.violations.extend(other.violations);
    }
}

/// Runs `runs` times from run number `from` on, with the chances of `seed`.
pub fn run_from(from: u64, runs: u64, seed: u64, mistake: Option<Mistake>) -> Outcome {
    let mut all = Outcome::default();
    for number in from..from + runs {
        all.join(run::one(seed, number, mistake));
    }
    all
}

/// Runs so many times with the chances of `seed`.
pub fn run(runs: u64, seed: u64) -> Outcome {
    run_from(0, runs, seed, None)
}

/// How many runs it takes until a mistake is noticed; `None`: more than `most`.
pub fn notices(mistake: Mistake, most: u64, seed: u64) -> Option<(u64, String)> {
    (0..most).find_map(|number| {
        let outcome = run::one(seed, number, Some(mistake));
        Some((number + 1, outcome.violations.into_iter().next()?))
    })
}
