//! What librdkafka says between the records: logs, errors, rebalances, statistics.
//!
//! Its callbacks run inside `poll` on the stage's own thread, but librdkafka wants them shareable,
//! hence the locks, which nobody contends for.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use plugin_api::prelude::*;
use rdkafka::{
    Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

/// A change of the assignment, made by the group's coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// These partitions are to be read.
    Assign(Vec<i32>),
    /// These are to be given up; `lost`: someone else may be reading them already.
    Revoke { partitions: Vec<i32>, lost: bool },
}

/// Reachability of the brokers, and the mail of the callbacks.
pub(crate) struct Events {
    ctx: Context,
    /// Whom we talk to, for messages.
    whom: String,
    down: AtomicBool,
    closing: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    reason: String,
    refusal: Option<String>,
    changes: VecDeque<Change>,
    ends: HashMap<i32, i64>,
}

impl Events {
    pub fn new(ctx: &Context, whom: &str) -> Arc<Self> {
        Arc::new(Self {
            ctx: ctx.clone(),
            whom: whom.to_owned(),
            down: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            inner: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom we talk to.
    pub fn whom(&self) -> &str {
        &self.whom
    }

    /// From here on nothing is said any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Brokers cannot be reached. Said once, until [`alive`](Self::alive).
    pub fn down(&self, why: Option<&str>) {
        if self.closing.load(Ordering::Relaxed) || self.down.swap(true, Ordering::Relaxed) {
            return;
        }
        let known = self.lock().reason.clone();
        let why = why.map_or(known, str::to_owned);
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        self.ctx
            .warn(format!("cannot reach {}{why}; waiting", self.whom));
        self.ctx.gauge("kafka_broker_up", 0.0);
    }

    /// A broker answered.
    pub fn alive(&self) {
        if self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed) {
            self.ctx.info(format!("{} answers again", self.whom));
            self.ctx.gauge("kafka_broker_up", 1.0);
            self.lock().refusal = None;
        }
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A broker was reached and refused us: credentials or certificates.
    pub fn refusal(&self) -> Option<String> {
        self.lock().refusal.clone()
    }

    pub fn next_change(&self) -> Option<Change> {
        self.lock().changes.pop_front()
    }

    /// The end of a partition, as of the last statistics.
    pub fn end_of(&self, partition: i32) -> Option<i64> {
        self.lock().ends.get(&partition).copied()
    }

    fn trouble(&self, error: &KafkaError, reason: &str) {
        let text = reason.split(" (after ").next().unwrap_or(reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.down(None),
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL,
            ) => {
                {
                    let mut inner = self.lock();
                    inner.reason = text.to_owned();
                    inner.refusal = Some(text.to_owned());
                }
                self.down(Some(text));
            }
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => self.lock().reason = text.to_owned(),
            _ => self.ctx.debug(format!("librdkafka: {error}: {text}")),
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // What fails is reported by `trouble` as well, once; here it repeats at each attempt.
            _ if matches!(facility, "FAIL" | "ERROR") => {}
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                self.ctx.debug(format!("librdkafka: {facility}: {message}"));
            }
            _ => self.ctx.warn(format!("librdkafka: {facility}: {message}")),
        }
    }

    fn stats(&self, statistics: &Statistics) {
        let mut inner = self.lock();
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values() {
                if partition.partition >= 0 && partition.hi_offset >= 0 {
                    inner.ends.insert(partition.partition, partition.hi_offset);
                }
            }
        }
    }
}

/// What the context of a client passes on.
impl Events {
    pub fn client_log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log(level, facility, message);
    }
    pub fn client_error(&self, error: &KafkaError, reason: &str) {
        self.trouble(error, reason);
    }
    pub fn client_stats(&self, statistics: &Statistics) {
        self.stats(statistics);
    }
    pub fn client_change(&self, change: Change) {
        self.lock().changes.push_back(change);
    }
}
