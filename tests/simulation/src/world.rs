//! What is outside of the process and outlives it: what sources read, brokers, a disk edge; and the
//! clock. Each thread has a world of its own, in which one run at a time takes place.

use std::{cell::RefCell, collections::BTreeMap};

use fastrand::Rng;
use host::checkpoint::dead_letters::DEAD_LETTERS;
use plugin_api::abi::services::{HostApi, Level, MetricKind};

use crate::{
    disk::Disk,
    graph::{Graph, OUT},
    mistake::Mistake,
    oracle::Known,
    wiring::HOST,
};

/// A broker with transactions, as far as a sink needs it.
#[derive(Default)]
pub struct Broker {
    /// The last epoch that was committed.
    pub epoch: u64,
    /// What was committed.
    pub records: Vec<String>,
}

/// A disk edge, by its contract.
#[derive(Default)]
pub struct Edge {
    /// Durable, committed or not.
    pub rows: Vec<String>,
    /// Committed: these may be read.
    pub readable: usize,
    /// The end was committed.
    pub ended: bool,
    /// Rows before this one are gone.
    pub trimmed: usize,
}

impl World {
    /// The next job begins: what the last one delivered is taken away, and its sources are full
    /// again.
    pub fn begin_job(&mut self) {
        for folder in [OUT.to_owned(), format!("{HOST}/{DEAD_LETTERS}")] {
            self.disk.take_away(&folder);
        }
        // A broker still knows its last epoch.
        self.brokers.values_mut().for_each(|b| b.records.clear());
        (self.live, self.late) = Default::default();
        (self.edge, self.known) = Default::default();
    }
}

/// Everything outside.
pub struct World {
    /// The monotonic clock.
    pub now_ns: u64,
    /// Chances of stages.
    pub rng: Rng,
    /// The disk.
    pub disk: Disk,
    /// What runs.
    pub graph: Graph,
    /// What is done wrong.
    pub mistake: Option<Mistake>,
    /// Whether sources may deny epochs and sinks may be busy.
    pub rough: bool,
    /// Next record of each live source: what was read does not come again.
    pub live: BTreeMap<String, u64>,
    /// Transactions, by sink.
    pub brokers: BTreeMap<String, Broker>,
    /// What sinks with late fates have delivered, by instance.
    pub late: BTreeMap<String, Vec<String>>,
    /// The disk edge.
    pub edge: Edge,
    /// Stages asked for an epoch.
    pub wanted: bool,
    /// What the oracle knows.
    pub known: Known,
    /// The first rule that was found broken.
    pub broken: Option<String>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Begins a world.
pub fn begin(world: World) {
    WORLD.with(|w| *w.borrow_mut() = Some(world));
}

/// Something with the world. Never within another such call.
pub fn with<T>(f: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|w| f(w.borrow_mut().as_mut().expect("a run has begun")))
}

/// A rule is broken.
pub fn broken(why: impl FnOnce() -> String) {
    with(|w| {
        w.broken.get_or_insert_with(why);
    });
}

/// Whether this is done wrong.
pub fn mistaken(mistake: Mistake) -> bool {
    with(|w| w.mistake == Some(mistake))
}

/// Services of the simulated host.
pub struct Services;

impl HostApi for Services {
    fn log(&self, _: Level, _: &str) {}
    fn now_us(&self) -> i64 {
        i64::try_from(self.monotonic_ns() / 1_000).unwrap_or(i64::MAX)
    }
    fn monotonic_ns(&self) -> u64 {
        with(|w| w.now_ns)
    }
    fn sleep_until(&self, _: u64) -> bool {
        true
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn request_checkpoint(&self) {
        with(|w| w.wanted = true);
    }
    fn metric(&self, _: &str, _: MetricKind, _: f64) {}
}
