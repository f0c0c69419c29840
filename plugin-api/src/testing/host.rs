//! A host for one stage under test: keeps the log and the metrics, and owns the clock.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use crate::abi::services::Level;
use crate::{
    abi::services::{HostApi, MetricKind},
    batch::monotonic_ns,
};

/// A line that a stage logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub message: String,
}

/// A host whose clock does not wait: `sleep_until` moves the clock there and is written down.
#[derive(Debug, Default)]
pub struct TestHost {
    log: Mutex<Vec<LogLine>>,
    metrics: Mutex<BTreeMap<String, f64>>,
    sleeps_ns: Mutex<Vec<u64>>,
    skew_ns: AtomicU64,
    now_us: AtomicI64,
    cancelled: AtomicBool,
    held: AtomicBool,
    checkpoints: AtomicU64,
}

impl TestHost {
    /// A host that lives as long as the process, as stages expect.
    #[must_use]
    pub fn leaked() -> &'static Self {
        Box::leak(Box::new(Self::default()))
    }
    /// Everything logged so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<LogLine> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// The value of a metric, 0 if it was never set.
    #[must_use]
    pub fn metric_value(&self, name: &str) -> f64 {
        self.metrics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
            .unwrap_or(0.0)
    }
    /// How long each sleep asked for, in nanoseconds, in order.
    #[must_use]
    pub fn sleeps_ns(&self) -> Vec<u64> {
        self.sleeps_ns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// Moves the monotonic clock forward.
    pub fn advance(&self, ns: u64) {
        self.skew_ns.fetch_add(ns, Ordering::SeqCst);
    }
    /// Sets the wall clock, microseconds since 1970; 0: the real one.
    pub fn set_now_us(&self, us: i64) {
        self.now_us.store(us, Ordering::SeqCst);
    }
    /// Whether a stage that sleeps stays asleep, until this is taken back or the stage is
    /// cancelled: what happens meanwhile can be looked at.
    pub fn hold_sleeps(&self, hold: bool) {
        self.held.store(hold, Ordering::SeqCst);
    }
    /// Asks the stage to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }
    /// How often a checkpoint was asked for.
    #[must_use]
    pub fn checkpoints_requested(&self) -> u64 {
        self.checkpoints.load(Ordering::SeqCst)
    }
}

impl HostApi for TestHost {
    fn log(&self, level: Level, message: &str) {
        let line = LogLine {
            level,
            message: message.to_owned(),
        };
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
    fn now_us(&self) -> i64 {
        match self.now_us.load(Ordering::SeqCst) {
            0 => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
            set => set,
        }
    }
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns() + self.skew_ns.load(Ordering::SeqCst)
    }
    fn sleep_until(&self, until: u64) -> bool {
        if self.cancelled() {
            return false;
        }
        let ns = until.saturating_sub(self.monotonic_ns());
        self.sleeps_ns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ns);
        while self.held.load(Ordering::SeqCst) && !self.cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.advance(ns);
        !self.cancelled()
    }
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
    fn request_checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
    }
    fn metric(&self, name: &str, kind: MetricKind, value: f64) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = metrics.entry(name.to_owned()).or_default();
        match kind {
            MetricKind::Counter => *slot += value,
            MetricKind::Gauge => *slot = value,
        }
    }
}
