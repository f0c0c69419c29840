//! What the tests share: which clusters to run against, and stages driven call by call.
#![allow(dead_code, clippy::unwrap_used)]

pub mod region;

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use plugin_api::{
    Batch, BatchBuilder, ContentType,
    abi::services::Level,
    testing::{Harness, Outcome, TestHost},
};
use plugin_kafka::ThisPlugin;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
pub use serde_json::{Value, json};

pub type Stage = Harness<ThisPlugin>;

/// The clusters that tests run against: the embedded broker, and the one at `KAFKA_BROKERS`.
pub fn clusters() -> Vec<String> {
    let mut clusters = vec!["embedded".to_owned()];
    clusters.extend(real());
    clusters
}

/// The cluster at `KAFKA_BROKERS`; says so when there is none.
pub fn real() -> Option<String> {
    variable("KAFKA_BROKERS").filter(|b| b != "embedded")
}

/// What tells where a broker is; says so when it does not. Where everything is to be there, that
/// is a failure.
pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|v| !v.is_empty());
    if value.is_none() {
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(!ci, "{name} is not set: these tests need a broker in CI");
        println!("skipped: {name} is not set");
    }
    value
}

pub fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap()
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Makes a topic with these settings.
pub fn create(brokers: &str, topic: &str, config: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    for (name, value) in config {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let made = wait(admin(brokers).create_topics([&new], &options)).unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

/// The values of a topic, as a reader finds them who sees only what is committed.
pub fn committed(brokers: &str, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut all = TopicPartitionList::new();
    for p in 0..partitions {
        let p = i32::try_from(p).unwrap();
        all.add_partition_offset(topic, p, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut values, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => {
                values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    values
}

/// What is not there exactly once, with how often it is.
pub fn wrong_counts(values: &[String], expected: u32) -> Vec<(u32, usize)> {
    let mut counts = vec![0; expected as usize];
    for value in values {
        counts[value.parse::<usize>().unwrap()] += 1;
    }
    (0..expected)
        .zip(counts)
        .filter(|(_, count)| *count != 1)
        .collect()
}

/// A topic of its own for each use, also across runs against the same cluster.
pub fn fresh(name: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let started = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    format!(
        "{name}-{started}-{}-{}",
        std::process::id(),
        N.fetch_add(1, Ordering::Relaxed)
    )
}

pub fn with(mut base: Value, more: Value) -> Value {
    base.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    base
}

pub fn sink(brokers: &str, topic: &str, more: Value) -> Stage {
    let options = with(
        json!({"brokers": brokers, "topic": topic, "partitions": 1}),
        more,
    );
    Stage::sink("kafka", &options, &[ContentType::bytes()]).unwrap()
}

/// A source whose group is of this topic alone: on a cluster, members of one group hold each
/// other up while they do not poll, whatever they read.
pub fn source(brokers: &str, topic: &str, group: &str, more: Value) -> Stage {
    let options = with(
        json!({"brokers": brokers, "topic": topic, "group": format!("{topic}.{group}"), "partitions": 1}),
        json!({"start": "earliest"}),
    );
    Stage::source("kafka", &with(options, more)).unwrap()
}

pub fn numbers(range: std::ops::Range<u32>) -> Batch {
    let mut b = BatchBuilder::new();
    for i in range {
        b.push(Some(i.to_string().as_bytes()))
            .key(Some(i.to_string().as_bytes()));
    }
    b.finish()
}

pub fn texts(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}

/// Writes a batch and waits until all of it is reported.
pub fn deliver(sink: &mut Stage, batch: &Batch, epoch: u64) -> Outcome {
    let mut all = sink.write(batch).unwrap();
    all.merge(sink.checkpoint(epoch, false).unwrap().1);
    all
}

/// Makes an epoch of a source and commits it.
pub fn epoch(source: &mut Stage, epoch: u64) -> Vec<u8> {
    let (state, _) = source.checkpoint(epoch, false).unwrap();
    source.commit(epoch).unwrap();
    state
}

pub fn sorted(outcome: &Outcome) -> Vec<String> {
    let mut texts = outcome.texts();
    texts.sort_by_key(|t| t.parse::<u32>().unwrap());
    texts
}

/// Lines of the log from warnings up.
pub fn warnings(host: &TestHost) -> Vec<String> {
    let loud = |l: &Level| matches!(l, Level::Warn | Level::Error);
    host.log_lines()
        .into_iter()
        .filter(|l| loud(&l.level))
        .map(|l| l.message)
        .collect()
}

/// Polls a source that has nothing to read until it knows from where on it reads.
pub fn settle(source: &mut Stage) {
    loop {
        assert_eq!(source.poll(10, 20).unwrap().1.emitted(), 0);
        let state = epoch(source, 1_000_000);
        let state: Value = serde_json::from_slice(&state).unwrap();
        if state["next"]["0"].is_i64() {
            return;
        }
    }
}
