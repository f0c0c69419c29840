//! A source against the server, polled until something is so.
#![allow(clippy::unwrap_used, dead_code)]

pub mod http;
pub mod server;
pub mod tls;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plugin_api::testing::{Harness, Outcome, TestHost};
use plugin_api::time::Civil;
use plugin_api::{Poll, StageError};
use plugin_mastodon::ThisPlugin;
use serde_json::{Value, json};

use server::{Post, Server, TOKEN};

/// Longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time of the first post, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// The id of a post that was written at this second of the test.
pub fn id(second: u64) -> u64 {
    (BEGIN_MS + second * 1_000) << 16 | second & 0xffff
}

pub fn uri(id: u64) -> String {
    format!("https://example.social/users/ann/statuses/{id}")
}

/// A post as servers write it.
pub fn status(id: u64, text: &str) -> Value {
    let at = Civil::from_us(i64::try_from((id >> 16) * 1_000).unwrap()).to_string();
    json!({
        "id": id.to_string(), "created_at": at, "in_reply_to_id": null, "sensitive": false,
        "spoiler_text": "", "visibility": "public", "language": "en", "uri": uri(id),
        "url": format!("https://example.social/@ann/{id}"), "replies_count": 0,
        "edited_at": null, "content": format!("<p>{text}</p>"), "reblog": null,
        "account": {"id": "1", "username": "ann", "acct": "ann", "display_name": "Ann \"A\""},
        "media_attachments": [], "mentions": [], "tags": [], "emojis": [], "card": null,
        "poll": null
    })
}

pub fn post(second: u64, channels: &[&'static str]) -> Post {
    let id = id(second);
    Post {
        id,
        json: status(id, "some words").to_string(),
        channels: channels.to_vec(),
    }
}

/// The same post, edited at this second of the test.
pub fn edited(id: u64, second: u64) -> String {
    let at = i64::try_from((BEGIN_MS + second * 1_000) * 1_000).unwrap();
    let mut status = status(id, "other words");
    status["edited_at"] = json!(Civil::from_us(at).to_string());
    status.to_string()
}

pub fn merged(mut base: Value, change: &Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

pub fn options(server: &Server, change: &Value) -> Value {
    // The clock of a test goes on in leaps, between which a busy machine may bring no sign of life.
    let base = json!({"url": server.url, "access_token": TOKEN, "stall_timeout": "1d"});
    merged(base, change)
}

/// A source, and what has come of it.
pub struct Run {
    pub stage: Harness<ThisPlugin>,
    pub server: Server,
    pub got: Outcome,
    pub error: Option<StageError>,
    streams: usize,
    /// By how many nanoseconds the clock was moved on for what is to be fetched.
    moved_ns: u64,
}

impl Run {
    pub fn start(server: &Server, change: &Value) -> Self {
        Self::restore(server, change, None)
    }

    pub fn restore(server: &Server, change: &Value, state: Option<&[u8]>) -> Self {
        Self::try_restore(server, change, state).unwrap()
    }

    pub fn try_restore(
        server: &Server,
        change: &Value,
        state: Option<&[u8]>,
    ) -> Result<Self, StageError> {
        let options = options(server, change);
        let epoch = u64::from(state.is_some());
        let host = TestHost::leaked();
        let stage = Harness::open_at(host, "source", "mastodon", &options, &[], (epoch, state))?;
        let count = |name: &str| options[name].as_array().map_or(0, Vec::len);
        let lists = count("hashtags") + count("local_hashtags") + count("lists");
        Ok(Self {
            stage,
            server: server.clone(),
            got: Outcome::default(),
            error: None,
            moved_ns: 0,
            streams: lists + usize::from(options.get("timeline").is_some()),
        })
    }

    /// Polls until it is so, the source fails, or time is over. While something is to be fetched,
    /// the clock goes on.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) && self.error.is_none() {
            self.poll(5);
            if self.is_catching_up() && self.server.subscriptions() == self.streams {
                self.moved_ns += 2_000_000_000;
                self.stage.host().advance(2_000_000_000);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what} never came; {} emitted, {:#?}",
                self.got.emitted(),
                self.log()
            );
        }
    }

    /// Polls until the source is connected and nothing is to be fetched.
    pub fn until_caught_up(&mut self) {
        // In this order: the connection that has the subscriptions is a new one, that it is known
        // of is said behind what there is to be fetched, and only then an end of that is its end.
        self.until("the end of catching up", |run| {
            run.server.subscriptions() == run.streams
                && run.metric("connected") == 1.0
                && !run.is_catching_up()
        });
        // It was handed on before; to here it is a poll or a few.
        while self.poll(0) {}
    }

    /// Polls until so many things have come, of any fate.
    pub fn until_received(&mut self, n: u64) {
        self.until(&format!("message {n}"), |run| run.received() >= n);
        assert_eq!(self.received(), n, "{:?}", self.log());
    }

    pub fn until_error(&mut self) -> StageError {
        self.until("an error", |_| false);
        self.error.take().unwrap()
    }

    /// Polls once; whether there may be more at once.
    pub fn poll(&mut self, wait_ms: u64) -> bool {
        match self.stage.poll(usize::MAX, wait_ms) {
            Ok((poll, outcome)) => {
                self.got.merge(outcome);
                assert_ne!(poll, Poll::Finished, "{:?}", self.log());
                poll == Poll::More
            }
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    pub fn received(&self) -> u64 {
        self.got.emitted() as u64 + self.got.filtered_count() + self.got.rejected_raw.len() as u64
    }

    fn is_catching_up(&self) -> bool {
        self.metric("catching_up") > 0.0
    }

    pub fn metric(&self, name: &str) -> f64 {
        self.stage.host().metric_value(&format!("mastodon_{name}"))
    }

    pub fn log(&self) -> Vec<String> {
        let lines = self.stage.host().log_lines();
        lines.into_iter().map(|line| line.message).collect()
    }

    /// How often each post was emitted, by its id.
    pub fn counts(&self) -> BTreeMap<u64, usize> {
        counts(&self.got)
    }

    /// The ids of the posts in the order in which they came.
    pub fn ids(&self) -> Vec<u64> {
        ids(&self.got)
    }

    pub fn snapshot(&mut self) -> Vec<u8> {
        self.stage.checkpoint(1, false).unwrap().0
    }

    pub fn moved_s(&self) -> u64 {
        self.moved_ns / 1_000_000_000
    }

    /// The seconds of each sleep.
    pub fn sleeps(&self) -> Vec<f64> {
        let nanos = self.stage.host().sleeps_ns();
        nanos
            .iter()
            .map(|ns| (*ns as f64 / 1e7).round() / 100.0)
            .collect()
    }
}

/// Waits for what happens without the source.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn ids(got: &Outcome) -> Vec<u64> {
    let values = got.values();
    let id = |json: &Vec<u8>| {
        let json: Value = serde_json::from_slice(json).unwrap();
        json["id"].as_str().unwrap().parse().unwrap()
    };
    values.iter().map(id).collect()
}

pub fn counts(got: &Outcome) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for id in ids(got) {
        *counts.entry(id).or_default() += 1;
    }
    counts
}
