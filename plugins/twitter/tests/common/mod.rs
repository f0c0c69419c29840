//! Both stages, each behind the real boundary, and the shared data.
#![allow(clippy::unwrap_used, dead_code)]

use std::thread::JoinHandle;

use plugin_api::testing::{Harness, Outcome, TestHost, batch_of};
use plugin_api::{ContentType, Poll, StageError};
use plugin_twitter::ThisPlugin;
use serde_json::{Value, json};

pub fn credentials() -> Value {
    json!({"consumer_key": "key", "consumer_secret": "secret", "token": "token", "token_secret": "token secret"})
}

pub fn merged(mut base: Value, change: Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

pub fn tweet(id: u64, text: &str) -> String {
    json!({"id": id, "id_str": id.to_string(), "text": text, "user": {"id": 7}}).to_string()
}

/// A `twitter-server` that a thread feeds and drains as the engine does.
pub struct Server {
    pub address: String,
    pub host: &'static TestHost,
    stage: JoinHandle<Outcome>,
}

impl Server {
    /// Serves these messages, then ends its input; what became of them is the answer of `join`.
    pub fn start(change: Value, messages: Vec<Vec<u8>>) -> Self {
        let options = merged(json!({"credentials": credentials()}), change);
        let mut stage =
            Harness::<ThisPlugin>::sink("twitter-server", &options, &[ContentType::json()])
                .unwrap();
        let host = stage.host();
        let address = address(host);
        let stage = std::thread::spawn(move || {
            let mut all = Outcome::default();
            for some in messages.chunks(100) {
                all.merge(stage.write(&batch_of(some)).unwrap());
            }
            all.merge(stage.end(0).unwrap());
            all.merge(stage.checkpoint(1, true).unwrap().1);
            stage.close().unwrap();
            all
        });
        Self {
            address,
            host,
            stage,
        }
    }

    pub fn join(self) -> Outcome {
        self.stage.join().unwrap()
    }
}

/// The address that a server announced.
pub fn address(host: &TestHost) -> String {
    let lines = host.log_lines();
    let line = lines
        .iter()
        .find(|l| l.message.contains("listens on"))
        .unwrap();
    line.message.rsplit(' ').next().unwrap().to_owned()
}

/// A `twitter` source that is finished when the server is.
pub fn source(address: &str, change: Value) -> Harness<ThisPlugin> {
    let base = json!({
        "url": address,
        "credentials": credentials(),
        "on_close": "finish",
    });
    let options = merged(base, change);
    let filters = ["track", "follow", "locations", "endpoint"];
    let options = if filters.iter().any(|name| options.get(name).is_some()) {
        options
    } else {
        merged(options, json!({"endpoint": "sample"}))
    };
    Harness::<ThisPlugin>::source("twitter", &options).unwrap()
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

/// The seconds of each sleep.
pub fn sleeps(host: &TestHost) -> Vec<f64> {
    let nanos = host.sleeps_ns();
    nanos
        .iter()
        .map(|ns| (*ns as f64 / 1e7).round() / 100.0)
        .collect()
}
