//! What librdkafka says between the records: logs, errors, rebalances, statistics.
//!
//! Its callbacks run inside `poll` on the stage's own thread, but librdkafka wants them shareable,
//! hence the locks, which nobody contends for.

use std::{
    collections::{HashMap, VecDeque},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use plugin_api::prelude::*;
use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::{ClientConfig, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
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
    /// librdkafka waits for the answer to a change.
    owed: AtomicBool,
    /// A client that closes is not waited for.
    moot: AtomicBool,
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
            owed: AtomicBool::new(false),
            moot: AtomicBool::new(false),
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

    /// From here on nothing is said any more, and no change is asked for.
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

    /// Whether librdkafka waits for the answer to a change: it takes any change of the assignment
    /// for that.
    pub fn owes(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// A change was answered by another assignment.
    pub fn answered(&self) {
        self.owed.store(false, Ordering::Relaxed);
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

/// The context of a source's client.
pub(crate) struct ConsumerEvents(Arc<Events>);

impl ClientContext for ConsumerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.trouble(&error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        self.0.stats(&statistics);
    }
}

impl ConsumerContext for ConsumerEvents {
    /// Only takes note: librdkafka waits until the source has answered with (un)assign.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let events = &self.0;
        let assigns = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let closing = events.closing.load(Ordering::Relaxed);
        // Closing itself only ever revokes.
        if closing && assigns && events.moot.load(Ordering::Relaxed) {
            return;
        }
        let waited = events.owed.swap(true, Ordering::Relaxed);
        if closing {
            if !waited {
                events.give_up(consumer);
            }
            return;
        }
        let partitions = list.elements().iter().map(|e| e.partition()).collect();
        let change = if assigns {
            Change::Assign(partitions)
        } else {
            let lost = consumer.assignment_lost();
            Change::Revoke { partitions, lost }
        };
        events.lock().changes.push_back(change);
    }
}

impl Events {
    /// The answer of a client that closes. There is one: what would ask for another is obsolete by
    /// it, and once the group is left librdkafka waits for ever where it is told something (its
    /// issue 4884). It takes any answer of a closing client for this one.
    fn give_up(&self, consumer: &BaseConsumer<ConsumerEvents>) {
        if let Err(e) = consumer.unassign() {
            self.ctx.debug(format!("leaving the group: {e}"));
        }
    }
}

/// A source's client: leaves its group when it is dropped.
pub(crate) struct Joined(BaseConsumer<ConsumerEvents>);

impl Joined {
    pub fn new(config: &ClientConfig, events: &Arc<Events>) -> KafkaResult<Self> {
        config
            .create_with_context(ConsumerEvents(events.clone()))
            .map(Self)
    }
}

impl Deref for Joined {
    type Target = BaseConsumer<ConsumerEvents>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Joined {
    /// Begins to close it, which `BaseConsumer` ends, and gives the answer that was never given:
    /// nothing asks for that again.
    fn drop(&mut self) {
        let events = &self.0.context().0;
        events.close();
        // An eager member that closes gives all up by itself, unless it was lost before.
        let eager = matches!(self.0.rebalance_protocol(), RebalanceProtocol::Eager);
        let moot = eager && !self.0.assignment_lost();
        events.moot.store(moot, Ordering::Relaxed);
        if moot {
            events.answered();
        }
        // After a fatal error it is destroyed without being closed, which waits for an answer, too.
        let fatal = self.0.close_queue().is_err();
        if fatal || events.owes() {
            events.give_up(&self.0);
        }
    }
}

/// The part of a client's context that source and sink share, for a sink's.
impl Events {
    pub fn client_log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log(level, facility, message);
    }
    pub fn client_error(&self, error: &KafkaError, reason: &str) {
        self.trouble(error, reason);
    }
}
