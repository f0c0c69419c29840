//! A source's client: what it passes on, and how it leaves its group.
//!
//! librdkafka asks for each change of the assignment, takes any (un)assign for the answer, and waits
//! for it. One that closes is to answer once, and only where it is waited for: once the group is
//! left, librdkafka waits for ever where it is told something (its issue 4884).

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::{ClientConfig, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};

use crate::events::{Change, Events};

/// Leaves its group when it is dropped.
pub(crate) struct Client(BaseConsumer<Context>);

pub(crate) struct Context {
    events: Arc<Events>,
    /// An answer is waited for.
    owed: AtomicBool,
    closing: AtomicBool,
    /// Where it closes, what was asked before needs no answer.
    moot: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.client_log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.events.client_error(&error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        self.events.client_stats(&statistics);
    }
}

impl ConsumerContext for Context {
    /// Only takes note: the source answers.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigns = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let closing = self.closing.load(Ordering::Relaxed);
        // Closing itself only ever revokes.
        if closing && assigns && self.moot.load(Ordering::Relaxed) {
            return;
        }
        let waited = self.owed.swap(true, Ordering::Relaxed);
        if closing {
            if !waited {
                self.give_up(consumer);
            }
            return;
        }
        let partitions = list.elements().iter().map(|e| e.partition()).collect();
        self.events.client_change(if assigns {
            Change::Assign(partitions)
        } else {
            let lost = consumer.assignment_lost();
            Change::Revoke { partitions, lost }
        });
    }
}

impl Context {
    /// The answer of a client that closes: librdkafka takes any for this one. What would ask for
    /// another is obsolete by it.
    fn give_up(&self, consumer: &BaseConsumer<Self>) {
        // Fails where everything is given up already, and nobody is there to be told.
        let _ = consumer.unassign();
    }
}

impl Client {
    pub fn new(config: &ClientConfig, events: &Arc<Events>) -> KafkaResult<Self> {
        let context = Context {
            events: events.clone(),
            owed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            moot: AtomicBool::new(false),
        };
        config.create_with_context(context).map(Self)
    }

    /// Whether the answer to a change is waited for.
    pub fn owes(&self) -> bool {
        self.0.context().owed.load(Ordering::Relaxed)
    }

    /// The assignment was changed.
    pub fn answered(&self) {
        self.0.context().owed.store(false, Ordering::Relaxed);
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Context>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Client {
    /// Begins to close it, which `BaseConsumer` ends, and gives the answer that was never given:
    /// nothing asks for that again.
    fn drop(&mut self) {
        let context = self.0.context();
        context.events.close();
        context.closing.store(true, Ordering::Relaxed);
        // An eager member that closes gives all up by itself, unless it was lost before.
        let eager = matches!(self.0.rebalance_protocol(), RebalanceProtocol::Eager);
        let moot = eager && !self.0.assignment_lost();
        context.moot.store(moot, Ordering::Relaxed);
        if moot {
            self.answered();
        }
        // After a fatal error it is destroyed without being closed, which waits for an answer, too.
        let fatal = self.0.close_queue().is_err();
        if fatal || self.owes() {
            context.give_up(&self.0);
        }
    }
}
