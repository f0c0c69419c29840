//! Whether a topic is there, and making it.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll as TaskPoll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use plugin_api::{Context as PluginContext, StageError};
use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::{Client, DefaultClientContext},
    config::ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::events::Events;

/// How long opening waits for a broker before it goes on without.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits for a topic to be created by someone else.
const MISSING_PATIENCE: Duration = Duration::from_secs(2);

/// What a look at a topic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, with so many partitions.
    Partitions(i32),
    /// It is not.
    Missing,
    /// We may not see it.
    Refused(String),
    /// Nobody answered, or no leader is known yet.
    Unknown(String),
}

/// What a topic takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest record.
    pub max_message: Option<u32>,
    /// It is compacted.
    pub wants_keys: bool,
}

/// What is to be there.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub topic: String,
    /// Create it with so many partitions.
    pub partitions: Option<i32>,
    pub replication: Option<i32>,
    pub config: ClientConfig,
    pub whom: String,
}

impl Wanted {
    /// Looks, and creates the topic where that is wanted.
    pub fn ensure<C: ClientContext>(&self, client: &Client<C>, timeout: Duration) -> Found {
        match (look(client, &self.topic, timeout), self.partitions) {
            (Found::Missing, Some(n)) => match self.create(n, timeout) {
                // Brokers learn of it one by one: look again.
                Ok(()) => Found::Unknown(format!("topic `{}` is being created", self.topic)),
                Err(found) => found,
            },
            (found, _) => found,
        }
    }

    /// Looks for the topic for a while, so that a wrong name or password ends the run before it
    /// began. False: nobody answers; that is waited for later. `serve` runs callbacks.
    pub fn find<C: ClientContext>(
        &self,
        client: &Client<C>,
        ctx: &PluginContext,
        events: &Events,
        serve: impl Fn(),
    ) -> Result<bool, StageError> {
        let began = Instant::now();
        loop {
            let found = self.ensure(client, Duration::from_millis(500));
            serve();
            if let Some(why) = events.refusal() {
                return Err(StageError::unavailable(format!(
                    "{} refuses us: {why}",
                    self.whom
                )));
            }
            let waited = began.elapsed();
            match found {
                Found::Partitions(_) => return Ok(true),
                Found::Refused(why) => return Err(StageError::unavailable(why)),
                // Another stage may be about to create it.
                Found::Missing if waited > MISSING_PATIENCE => {
                    return Err(StageError::unavailable(self.missing()));
                }
                Found::Unknown(_) if waited > PATIENCE => break,
                _ if ctx.cancelled() => break,
                Found::Missing | Found::Unknown(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        events.down(None);
        Ok(false)
    }

    /// What to say when it is missing.
    pub fn missing(&self) -> String {
        format!(
            "topic `{}` does not exist on {}; create it, or set `partitions` to have it created",
            self.topic, self.whom
        )
    }

    fn create(&self, partitions: i32, timeout: Duration) -> Result<(), Found> {
        let admin = self.admin().map_err(|e| Found::Unknown(e.to_string()))?;
        let replication = TopicReplication::Fixed(self.replication.unwrap_or(-1));
        let topic = NewTopic::new(&self.topic, partitions, replication);
        let options = AdminOptions::new()
            .operation_timeout(Some(timeout))
            .request_timeout(Some(timeout));
        let answers = block_on(admin.create_topics([&topic], &options), timeout * 2)
            .ok_or_else(|| Found::Unknown("no answer to the creation of the topic".into()))?
            .map_err(|e| Found::Unknown(e.to_string()))?;
        match answers.into_iter().next() {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((name, why))) => match why {
                RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotController
                | RDKafkaErrorCode::BrokerTransportFailure => Err(Found::Unknown(why.to_string())),
                _ => Err(Found::Refused(format!(
                    "topic `{name}` cannot be created on {}: {why}",
                    self.whom
                ))),
            },
        }
    }

    /// What the topic takes, as far as the brokers tell.
    pub fn limits(&self, timeout: Duration) -> Limits {
        self.configured(timeout).unwrap_or_default()
    }

    fn configured(&self, timeout: Duration) -> Option<Limits> {
        let admin = self.admin().ok()?;
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let topic = ResourceSpecifier::Topic(&self.topic);
        let answers = block_on(admin.describe_configs([&topic], &options), timeout * 2)?.ok()?;
        let config = answers.into_iter().next()?.ok()?;
        let value = |name: &str| config.get(name)?.value.as_deref();
        Some(Limits {
            max_message: value("max.message.bytes").and_then(|n| n.parse().ok()),
            wants_keys: value("cleanup.policy").is_some_and(|p| p.contains("compact")),
        })
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
        self.config.create()
    }
}

/// Does not believe at once that a topic is missing: another stage may be about to create it.
#[derive(Default)]
pub(crate) struct Patience(Option<Instant>);

impl Patience {
    /// What was found, once it can be believed.
    pub fn settled(&mut self, found: Found) -> Option<Found> {
        match found {
            Found::Unknown(_) => None,
            Found::Missing
                if self.0.get_or_insert_with(Instant::now).elapsed() < MISSING_PATIENCE =>
            {
                None
            }
            found => {
                self.0 = None;
                Some(found)
            }
        }
    }
}

/// Asks for a topic's metadata, without creating it.
pub(crate) fn look<C: ClientContext>(client: &Client<C>, topic: &str, timeout: Duration) -> Found {
    let refused = || {
        Found::Refused(format!(
            "the brokers do not allow access to topic `{topic}`"
        ))
    };
    match client.fetch_metadata(Some(topic), timeout) {
        Ok(metadata) => match metadata.topics().first() {
            Some(found) => match found.error() {
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Found::Missing,
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => refused(),
                Some(other) => Found::Unknown(RDKafkaErrorCode::from(other).to_string()),
                None => match i32::try_from(found.partitions().len()) {
                    Ok(0) | Err(_) => Found::Missing,
                    Ok(_) if found.partitions().iter().any(|p| p.leader() < 0) => {
                        Found::Unknown(format!("a partition of `{topic}` has no leader"))
                    }
                    Ok(n) => Found::Partitions(n),
                },
            },
            None => Found::Missing,
        },
        Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
        )) => Found::Missing,
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed)) => refused(),
        Err(e) => Found::Unknown(e.to_string()),
    }
}

/// Runs one future on this thread; `None`: not done in time.
fn block_on<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    let end = Instant::now() + timeout;
    loop {
        if let TaskPoll::Ready(value) = future.as_mut().poll(&mut task) {
            return Some(value);
        }
        std::thread::park_timeout(end.checked_duration_since(Instant::now())?);
    }
}
