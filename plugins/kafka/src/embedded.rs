//! The embedded broker: librdkafka's mock cluster, one for all stages of the process.
//!
//! It lives as long as the process. Consumer groups among the stages of the process are kept by
//! [`groups`](crate::groups), because the mock's own take seconds to form; what flows between them
//! is kept within the mock's retention by [`flow`](crate::flow).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use plugin_api::prelude::*;
use rdkafka::{
    config::ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, Producer},
};

use crate::{flow::Flow, readers::unheard_of, topic};

/// The largest record that the embedded broker takes: with a few of them its retention is full.
pub(crate) const MAX_MESSAGE: u32 = 2 << 20;

/// The broker of this process.
pub struct Broker {
    /// Owns the cluster: it ends with this client.
    owner: BaseProducer,
    /// Tells it from those of other processes: offsets mean nothing elsewhere.
    incarnation: String,
    address: String,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
}

/// A topic of it.
pub(crate) struct Topic {
    pub partitions: i32,
    pub flow: Flow,
}

static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();

/// The broker of this process, started by whoever asks first.
///
/// # Errors
/// If it could not be started.
pub fn broker(ctx: &Context) -> Result<&'static Broker, StageError> {
    let started = BROKER.get_or_init(|| {
        let broker = Broker::start().map_err(|e| e.to_string())?;
        ctx.info(format!("embedded broker on {}", broker.address));
        Ok(broker)
    });
    started
        .as_ref()
        .map_err(|e| StageError::fatal(format!("cannot start the embedded broker: {e}")))
}

/// The broker of this process, if a stage uses it already.
#[must_use]
pub fn running() -> Option<&'static Broker> {
    BROKER.get()?.as_ref().ok()
}

impl Broker {
    fn start() -> Result<Self, KafkaError> {
        let owner: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .create()?;
        let address = match owner.client().mock_cluster() {
            Some(cluster) => cluster.bootstrap_servers(),
            None => return Err(KafkaError::MockCluster(RDKafkaErrorCode::Fail)),
        };
        Ok(Self {
            owner,
            incarnation: unheard_of(),
            address,
            topics: Mutex::default(),
        })
    }

    /// Where any Kafka client reaches it, as `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What offsets of it are to be kept with.
    pub(crate) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// Cuts all connections and refuses new ones, or takes them again. For tests of what happens
    /// when a broker goes away.
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn set_up(&self, up: bool) -> Result<(), KafkaError> {
        match self.owner.client().mock_cluster() {
            Some(cluster) if up => cluster.broker_up(-1),
            Some(cluster) => cluster.broker_down(-1),
            None => Ok(()),
        }
    }

    /// The topic, made with so many partitions if it is not there.
    pub(crate) fn topic(
        &self,
        ctx: &Context,
        name: &str,
        partitions: Option<i32>,
    ) -> Result<Arc<Topic>, StageError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = match topics.get(name) {
            Some(topic) => topic.clone(),
            None => {
                let partitions = self.create(name, partitions.unwrap_or(1))?;
                let topic = Arc::new(Topic {
                    partitions,
                    flow: Flow::new(partitions),
                });
                topics.insert(name.to_owned(), topic.clone());
                topic
            }
        };
        if let Some(wanted) = partitions.filter(|n| *n != topic.partitions) {
            ctx.warn(format!(
                "topic `{name}` has {} partitions already, not {wanted}",
                topic.partitions
            ));
        }
        Ok(topic)
    }

    fn create(&self, name: &str, partitions: i32) -> Result<i32, StageError> {
        let failed = |why: String| {
            StageError::fatal(format!("topic `{name}` on the embedded broker: {why}"))
        };
        let cluster = self
            .owner
            .client()
            .mock_cluster()
            .ok_or_else(|| failed("the broker is gone".into()))?;
        match cluster.create_topic(name, partitions, 1) {
            Ok(()) => Ok(partitions),
            // Some other client of the broker was first.
            Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => {
                match topic::look(self.owner.client(), name, Duration::from_secs(2)) {
                    topic::Found::Partitions(n) => Ok(n),
                    other => Err(failed(format!("{other:?}"))),
                }
            }
            Err(e) => Err(failed(e.to_string())),
        }
    }
}
