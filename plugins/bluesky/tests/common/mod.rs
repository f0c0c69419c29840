//! The source behind the real boundary, and events.
#![allow(clippy::unwrap_used, dead_code)]

pub mod server;
mod wire;

use std::time::{Duration, Instant};

use plugin_api::testing::{Harness, Outcome, TestHost};
use plugin_api::{Poll, StageError};
use plugin_bluesky::ThisPlugin;
use serde_json::{Value, json};

pub use server::Server;

/// The time of event 0; each is a millisecond later.
pub const T0: i64 = 1_779_719_009_000_000;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// When event `n` was seen.
pub fn time_us(n: usize) -> i64 {
    T0 + 1_000 * n as i64
}

/// Commit `n` as a server writes it.
pub fn commit(n: usize, operation: &str, record: &Value) -> String {
    let (did, time_us) = (format!("did:plc:author{}", n % 7), time_us(n));
    let written = match operation {
        "delete" => String::new(),
        _ => format!(r#","record":{record},"cid":"bafyreib27lkrw7ezyf6tnjpxnpzihmtvlzwyqnm66""#),
    };
    format!(
        r#"{{"did":"{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"3mrev{n:08}","operation":"{operation}","collection":"app.bsky.feed.post","rkey":"3mkey{n:08}"{written}}}}}"#
    )
}

/// News about an account.
pub fn account(n: usize, kind: &str) -> String {
    let (did, time_us) = (format!("did:plc:author{}", n % 7), time_us(n));
    let (s, ms) = (n / 1_000, n % 1_000);
    format!(
        r#"{{"did":"{did}","time_us":{time_us},"kind":"{kind}","{kind}":{{"did":"{did}","seq":{n},"time":"2026-05-25T14:23:{s:02}.{ms:03}Z"}}}}"#
    )
}

pub fn written(text: &str) -> Value {
    json!({
        "$type": "app.bsky.feed.post",
        "createdAt": "2026-05-25T14:23:28.757Z",
        "langs": ["en"],
        "text": text,
    })
}

pub fn post(n: usize) -> String {
    commit(n, "create", &written(&format!("post number {n}")))
}

pub fn posts(n: usize) -> Vec<String> {
    (0..n).map(post).collect()
}

pub fn merged(mut base: Value, change: Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// Options for these servers, from their first event on.
pub fn options(servers: &[&Server], change: Value) -> Value {
    let endpoints: Vec<_> = servers.iter().map(|server| server.address()).collect();
    merged(json!({"endpoints": endpoints, "start": "1"}), change)
}

/// A source that begins with the server's first event.
pub fn source(server: &Server, change: Value) -> Harness<ThisPlugin> {
    Harness::<ThisPlugin>::source("bluesky", &options(&[server], change)).unwrap()
}

/// Polls until `enough` of what came, and answers all of it; or the error that ended it.
pub fn poll_until(
    stage: &mut Harness<ThisPlugin>,
    mut enough: impl FnMut(&Outcome, &TestHost) -> bool,
) -> (Outcome, Option<StageError>) {
    let began = Instant::now();
    let mut all = Outcome::default();
    let host = stage.host();
    while !enough(&all, host) {
        assert!(
            began.elapsed() < PATIENCE,
            "not enough came: {all:?}, {:#?}",
            host.log_lines()
        );
        match stage.poll(usize::MAX, 20) {
            Ok((poll, outcome)) => {
                all.merge(outcome);
                if poll == Poll::Finished {
                    break;
                }
            }
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

/// Polls until so many records came.
pub fn read(stage: &mut Harness<ThisPlugin>, records: usize) -> Outcome {
    let (outcome, error) = poll_until(stage, |all, _| all.emitted() >= records);
    assert_eq!(error, None);
    outcome
}

/// The milliseconds of each sleep.
pub fn sleeps(host: &TestHost) -> Vec<u64> {
    let nanos = host.sleeps_ns();
    nanos.iter().map(|ns| (ns + 500_000) / 1_000_000).collect()
}

pub fn log(host: &TestHost) -> Vec<String> {
    host.log_lines().into_iter().map(|l| l.message).collect()
}
