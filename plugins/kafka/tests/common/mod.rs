//! What the tests share: which clusters to run against, and stages driven call by call.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use plugin_api::{
    Batch, BatchBuilder, ContentType,
    abi::services::Level,
    testing::{Harness, Outcome, TestHost},
};
use plugin_kafka::ThisPlugin;
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
    let brokers = std::env::var("KAFKA_BROKERS")
        .ok()
        .filter(|b| !b.is_empty() && b != "embedded");
    if brokers.is_none() {
        println!("skipped: KAFKA_BROKERS names no cluster");
    }
    brokers
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
