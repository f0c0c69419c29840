//! What is known of a running stage from outside: its accounts, its metrics, whether it is asked
//! to stop. Read by the supervisor, the live lines, the admin server and the summary.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
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
    poison::Poison,
    retained::Retained,
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

    /// Takes it back: the stage starts again.
    pub fn reset(&self) {
        self.flag.store(false, Ordering::SeqCst);
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
    Restarting = 5,
}

/// Calls of a stage, for whoever watches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CallName {
    Open,
    Recover,
    Restore,
    Poll,
    Drain,
    Process,
    Write,
    End,
    Tick,
    Checkpoint,
    CheckpointPoll,
    Commit,
    Abort,
    Close,
}

impl CallName {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Open, "open"),
        (Self::Recover, "recover"),
        (Self::Restore, "restore"),
        (Self::Poll, "poll"),
        (Self::Drain, "drain"),
        (Self::Process, "process"),
        (Self::Write, "write"),
        (Self::End, "end"),
        (Self::Tick, "tick"),
        (Self::Checkpoint, "checkpoint"),
        (Self::CheckpointPoll, "checkpoint_poll"),
        (Self::Commit, "commit"),
        (Self::Abort, "abort"),
        (Self::Close, "close"),
    ];
}

/// The call that an instance is in. One thread writes, another reads once in a while and measures
/// how long a call has been the same, so that calls need not read the clock.
#[derive(Debug, Default)]
pub struct Call {
    /// Odd while a call goes on; no two calls have the same.
    turn: AtomicU64,
    name: AtomicU8,
    /// The call that was seen last, by its turn, and when it was seen first.
    seen: Mutex<(u64, u64)>,
}

impl Call {
    /// Runs a call under watch.
    pub fn watched<T>(&self, name: CallName, f: impl FnOnce() -> T) -> T {
        let turn = (self.turn.load(Ordering::Relaxed) + 1) | 1;
        self.name.store(name as u8, Ordering::Relaxed);
        self.turn.store(turn, Ordering::Release);
        let answer = f();
        self.turn.store(turn + 1, Ordering::Release);
        answer
    }

    /// The call that is going on, if one is, and when this was first asked during it.
    pub fn now(&self) -> Option<(&'static str, u64)> {
        let turn = self.turn.load(Ordering::Acquire);
        let name = self.name.load(Ordering::Relaxed);
        if turn.is_multiple_of(2) {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != turn {
            *seen = (turn, monotonic_ns());
        }
        let name = CallName::ALL[usize::from(name) % CallName::ALL.len()].1;
        Some((name, seen.1))
    }
}

/// A running stage.
#[derive(Debug)]
pub struct StageShared {
    pub host: String,
    pub name: String,
    pub kind: StageKind,
    /// What it reads cannot be read again: it survives a restart of its region.
    pub live: bool,
    /// One for each instance, as the next two.
    pub counters: Vec<Counters>,
    pub inboxes: Vec<Arc<Inbox>>,
    pub calls: Vec<Call>,
    /// Batches of a live source that are in no epoch yet, one for each instance.
    pub retained: Vec<Mutex<Retained>>,
    /// Records over which it crashes.
    pub poison: Poison,
    /// The stage is asked to stop.
    pub cancel: Cancel,
    /// Its host is torn down: what it still has is given up.
    pub torn: Cancel,
    phase: AtomicU64,
    metrics: Mutex<BTreeMap<String, Metric>>,
    /// Sources: records that may still be read.
    limit_left: AtomicU64,
    limit: Option<u64>,
}

impl StageShared {
    pub fn new(
        host: &str,
        name: &str,
        kind: StageKind,
        workers: u32,
        limit: Option<u64>,
        live: bool,
    ) -> Self {
        Self {
            host: host.into(),
            name: name.into(),
            kind,
            live,
            counters: (0..workers).map(|_| Counters::default()).collect(),
            inboxes: (0..workers).map(|_| Arc::default()).collect(),
            calls: (0..workers).map(|_| Call::default()).collect(),
            retained: (0..workers).map(|_| Mutex::default()).collect(),
            poison: Poison::default(),
            cancel: Cancel::default(),
            torn: Cancel::default(),
            phase: AtomicU64::new(Phase::Opening as u64),
            metrics: Mutex::default(),
            limit_left: AtomicU64::new(limit.unwrap_or(u64::MAX)),
            limit,
        }
    }

    /// It starts again.
    pub fn reset(&self) {
        self.cancel.reset();
        self.torn.reset();
        self.inboxes.iter().for_each(|i| i.reset());
        self.set_phase(Phase::Opening);
    }

    /// So many records count against its limit already.
    pub fn count_against_limit(&self, emitted: u64) {
        if let Some(limit) = self.limit {
            let left = limit.saturating_sub(emitted);
            self.limit_left.store(left, Ordering::SeqCst);
        }
    }

    /// Its accounts now.
    pub fn account(&self) -> Account {
        self.counters.iter().map(Counters::account).sum()
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
            5 => Phase::Restarting,
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
    /// Number of its region.
    pub region: usize,
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
        let _ = self.tell.send(Message::CheckpointWanted(self.region));
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
