//! The source behind the real boundary.
#![allow(clippy::unwrap_used, dead_code)]

mod server;

use plugin_api::testing::{Harness, Outcome, TestHost};
use plugin_api::{Poll, StageError};
use plugin_x::ThisPlugin;
use serde_json::{Value, json};

pub use server::*;

pub fn merged(mut base: Value, change: Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

pub fn options(api: &Api, change: Value) -> Value {
    let base = json!({"url": api.address, "bearer_token": TOKEN, "track": ["rust"]});
    merged(base, change)
}

pub fn source(api: &Api, change: Value) -> Harness<ThisPlugin> {
    source_on(TestHost::leaked(), api, change, None)
}

/// The same on this host, from a snapshot if there is one.
pub fn source_on(
    host: &'static TestHost,
    api: &Api,
    change: Value,
    state: Option<&[u8]>,
) -> Harness<ThisPlugin> {
    let epoch = u64::from(state.is_some());
    let options = options(api, change);
    Harness::open_at(host, "source", "x", &options, &[], (epoch, state)).unwrap()
}

/// Polls to the end; unlike the harness's own, it keeps what came before an error.
pub fn read_all(stage: &mut Harness<ThisPlugin>) -> (Outcome, Option<StageError>) {
    let mut all = Outcome::default();
    loop {
        match stage.poll(usize::MAX, 100) {
            Ok((poll, outcome)) => {
                all.merge(outcome);
                if poll == Poll::Finished {
                    return (all, None);
                }
            }
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Polls until so many records have come.
pub fn read(stage: &mut Harness<ThisPlugin>, records: usize) -> Outcome {
    stage.poll_records(records).unwrap()
}

/// Waits for what the source's thread does, within bounds.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(
            start.elapsed().as_secs() < 30,
            "it never came to this: {what}"
        );
        std::thread::yield_now();
    }
}

/// The ids of the records.
pub fn ids(outcome: &Outcome) -> Vec<u64> {
    let id = |value: &Vec<u8>| {
        let document: Value = serde_json::from_slice(value).unwrap();
        document["id"].as_str().unwrap().parse().unwrap()
    };
    outcome.values().iter().map(id).collect()
}

/// The seconds of each sleep.
pub fn sleeps(host: &TestHost) -> Vec<f64> {
    let nanos = host.sleeps_ns();
    nanos
        .iter()
        .map(|ns| (*ns as f64 / 1e7).round() / 100.0)
        .collect()
}

pub fn log(host: &TestHost) -> Vec<String> {
    host.log_lines().into_iter().map(|l| l.message).collect()
}
