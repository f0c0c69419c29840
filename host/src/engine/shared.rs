//! What is known of a running stage from outside: its accounts, its metrics, whether it is asked
//! to stop. Read by the supervisor, the live lines, the admin server and the summary.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::Sender,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plugin_api::{
    abi::services::{HostApi, Level, MetricKind},
    batch::monotonic_ns,
    manifest::StageKind,
};
use serde::Serialize;

use super::{
    account::{Account, Counters},
    edge::Inbox,
    supervisor::Message,
};

/// A request to stop that wakes sleepers.
#[derive(Debug, Default)]
pub struct Cancel {
    flag: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Cancel {
    /// Asks to stop.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
    }

    /// Whether it was asked.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// Sleeps; false: cancelled before the time was over.
    pub fn sleep_until(&self, until_ns: u64) -> bool {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_cancelled() {
                return false;
            }
            let now = monotonic_ns();
            if now >= until_ns {
                return true;
            }
            let wait = Duration::from_nanos(until_ns - now);
            guard = self
                .changed
                .wait_timeout(guard, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A value that a stage reports of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    pub kind: MetricKind,
    pub value: f64,
}

/// State that a stage is in, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u64)]
pub enum Phase {
    Opening = 0,
    Running = 1,
    Waiting = 2,
    Closed = 3,
    Failed = 4,
}

/// A running stage.
#[derive(Debug)]
pub struct StageShared {
    pub host: String,
    pub name: String,
    pub kind: StageKind,
    pub counters: Counters,
    pub inboxes: Vec<Arc<Inbox>>,
    /// The stage is asked to stop.
    pub cancel: Cancel,
    /// Its host is torn down: what it still has is given up.
    pub torn: Cancel,
    phase: AtomicU64,
    metrics: Mutex<BTreeMap<String, Metric>>,
    /// Sources: records that may still be read.
    limit_left: AtomicU64,
}

impl StageShared {
    pub fn new(host: &str, name: &str, kind: StageKind, workers: u32, limit: Option<u64>) -> Self {
        Self {
            host: host.into(),
            name: name.into(),
            kind,
            counters: Counters::default(),
            inboxes: (0..workers).map(|_| Arc::default()).collect(),
            cancel: Cancel::default(),
            torn: Cancel::default(),
            phase: AtomicU64::new(Phase::Opening as u64),
            metrics: Mutex::default(),
            limit_left: AtomicU64::new(limit.unwrap_or(u64::MAX)),
        }
    }

    /// Its accounts now.
    pub fn account(&self) -> Account {
        self.counters.account()
    }

    /// Records that wait in its edges.
    pub fn queued(&self) -> u64 {
        self.inboxes.iter().map(|i| i.queued()).sum()
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Running,
            2 => Phase::Waiting,
            3 => Phase::Closed,
            _ => Phase::Failed,
        }
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u64, Ordering::Relaxed);
    }

    /// What it reports of itself.
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        self.metrics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gives up everything: its threads end as soon as they can.
    pub fn tear(&self) {
        self.cancel.cancel();
        self.torn.cancel();
        self.inboxes.iter().for_each(|i| i.tear());
    }

    /// Takes up to `want` from what the limit leaves.
    pub fn take_budget(&self, want: u64) -> u64 {
        let taken = self
            .limit_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                u64::MAX => None,
                left => Some(left - want.min(left)),
            });
        taken.map_or(want, |before| want.min(before))
    }

    /// Gives back what was not used.
    pub fn return_budget(&self, unused: u64) {
        let _ =
            self.limit_left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                    u64::MAX => None,
                    left => Some(left + unused),
                });
    }

    /// Whether the limit is reached.
    pub fn limit_reached(&self) -> bool {
        self.limit_left.load(Ordering::SeqCst) == 0
    }
}

/// Services that the host lends to an instance of a stage.
pub struct Services {
    pub stage: Arc<StageShared>,
    pub host_index: usize,
    pub tell: Sender<Message>,
}

impl HostApi for Services {
    fn log(&self, level: Level, message: &str) {
        let (host, stage) = (&*self.stage.host, &*self.stage.name);
        match level {
            Level::Error => tracing::error!(host, stage, "{message}"),
            Level::Warn => tracing::warn!(host, stage, "{message}"),
            Level::Info => tracing::info!(host, stage, "{message}"),
            Level::Debug => tracing::debug!(host, stage, "{message}"),
        }
    }
    fn now_us(&self) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
    }
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }
    fn sleep_until(&self, until_ns: u64) -> bool {
        self.stage.cancel.sleep_until(until_ns)
    }
    fn cancelled(&self) -> bool {
        self.stage.cancel.is_cancelled()
    }
    fn request_checkpoint(&self) {
        // Nobody listens any more: the run is over.
        let _ = self.tell.send(Message::CheckpointWanted(self.host_index));
    }
    fn metric(&self, name: &str, kind: MetricKind, value: f64) {
        let mut metrics = self
            .stage
            .metrics
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (metrics.get_mut(name), kind) {
            (Some(m), MetricKind::Counter) => m.value += value,
            (Some(m), MetricKind::Gauge) => m.value = value,
            (None, _) => {
                metrics.insert(name.to_owned(), Metric { kind, value });
            }
        }
    }
}
