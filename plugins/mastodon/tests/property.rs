//! Whatever breaks, and whenever the process ends, each post comes once, and what does not come
//! is counted.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::http::Answer;
use common::server::{Post, Server};
use common::{Run, counts, edited, id, status, until};
use plugin_api::testing::Outcome;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What happens.
#[derive(Debug, Clone)]
enum Act {
    /// A post is written, so many seconds after the last, in these of the streams.
    Publish(u64, usize),
    /// One that was written up to a minute ago arrives from another server.
    Late(u64, usize),
    /// A post comes again, if it is no older than `rewind`: of older ones a snapshot tells nothing.
    Again(usize),
    /// One is edited.
    Edit(usize),
    Cut,
    Close,
    /// The timelines have trouble.
    Trouble(u16),
    /// The websocket has.
    Refuse(u16),
    Poll(usize),
    Checkpoint,
    /// The run ends as it should, and begins again.
    Restart,
    /// The process dies, and what it emitted behind its last checkpoint with it.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (1..40_u64, 1..8_usize).prop_map(|(s, c)| Act::Publish(s, c)),
        2 => (1..60_u64, 1..8_usize).prop_map(|(s, c)| Act::Late(s, c)),
        1 => (0..100_usize).prop_map(Act::Again),
        1 => (0..100_usize).prop_map(Act::Edit),
        2 => Just(Act::Cut),
        1 => Just(Act::Close),
        1 => prop_oneof![Just(0), Just(429), Just(503)].prop_map(Act::Trouble),
        1 => prop_oneof![Just(429), Just(503)].prop_map(Act::Refuse),
        3 => (1..8_usize).prop_map(Act::Poll),
        2 => Just(Act::Checkpoint),
        1 => Just(Act::Restart),
        1 => Just(Act::Crash),
    ]
}

const CHANNELS: [&str; 3] = ["hashtag:rust", "hashtag:local:kafka", "public:remote"];

/// The default of `rewind`.
const REWIND_S: u64 = 120;

/// The world of a test.
struct Play {
    server: Server,
    with: Value,
    /// None only while one takes the other's place.
    run: Option<Run>,
    /// Emitted, and safe behind a checkpoint.
    safe: Outcome,
    state: Vec<u8>,
    posts: Vec<Post>,
    second: u64,
    /// No two posts have one id.
    number: u64,
    gaps: f64,
}

impl Play {
    fn begin(pages: u32) -> Self {
        let server = Server::start();
        let with = json!({
            "hashtags": ["rust"], "local_hashtags": ["kafka"], "timeline": "remote",
            "catch_up_pages": pages
        });
        let mut run = Run::start(&server, &with);
        run.until_caught_up();
        let state = run.snapshot();
        Self {
            server,
            with,
            run: Some(run),
            safe: Outcome::default(),
            state,
            posts: Vec::new(),
            second: 1_000,
            number: 0,
            gaps: 0.0,
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Publish(seconds, channels) => {
                self.second += seconds;
                self.publish(self.second, channels);
            }
            Act::Late(seconds, channels) => self.publish(self.second - seconds, channels),
            Act::Again(which) => {
                let remembered = id(self.second - REWIND_S);
                if let Some(post) = self.pick(which).filter(|post| post.id > remembered) {
                    self.server.event(&post.channels, "update", &post.json);
                }
            }
            Act::Edit(which) => {
                if let Some(post) = self.pick(which) {
                    self.second += 1;
                    self.server.edit(post.id, &edited(post.id, self.second));
                }
            }
            Act::Cut => self.server.cut(),
            Act::Close => self.server.close(),
            Act::Trouble(status) => self.server.trouble(Some(Answer::new(status, ""))),
            Act::Refuse(status) => self.server.refuse(Answer::new(status, "")),
            Act::Poll(times) => {
                for _ in 0..times {
                    self.run().poll(5);
                }
            }
            Act::Checkpoint => self.checkpoint(),
            Act::Restart => {
                self.checkpoint();
                self.start();
            }
            Act::Crash => self.start(),
        }
    }

    fn publish(&mut self, second: u64, which: usize) {
        self.number += 1;
        let id = id(second) + (self.number << 8);
        let channels = CHANNELS.iter().enumerate();
        let channels = channels.filter(|(bit, _)| which >> bit & 1 == 1);
        let channels: Vec<_> = channels.map(|(_, channel)| *channel).collect();
        let json = status(id, "words").to_string();
        let post = Post { id, json, channels };
        self.posts.push(post.clone());
        self.server.publish(post);
    }

    fn pick(&self, which: usize) -> Option<Post> {
        let at = which.checked_rem(self.posts.len())?;
        self.posts.get(at).cloned()
    }

    fn checkpoint(&mut self) {
        self.state = self.run().snapshot();
        let got = std::mem::take(&mut self.run().got);
        self.safe.merge(got);
    }

    fn start(&mut self) {
        self.gaps += self.run().metric("gaps");
        // What the old one subscribed to would pass for the new one's.
        let old = self.run.take().unwrap();
        old.stage.close().unwrap();
        until("no connection", || self.server.clients() == 0);
        self.run = Some(Run::restore(&self.server, &self.with, Some(&self.state)));
    }

    fn run(&mut self) -> &mut Run {
        self.run.as_mut().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_post_comes_once_or_its_loss_is_counted(
        acts in prop::collection::vec(act(), 1..100),
        pages in prop_oneof![Just(1_u32), Just(100)],
    ) {
        let mut play = Play::begin(pages);
        for act in &acts {
            play.act(act);
            prop_assert_eq!(&play.run().error, &None);
        }
        play.run().until_caught_up();
        // All that came before this has come when it has.
        play.second += 1;
        play.publish(play.second, 7);
        let last = play.posts.last().unwrap().id;
        play.run().until("the last post", |run| run.counts().contains_key(&last));
        play.checkpoint();
        let gaps = play.gaps + play.run().metric("gaps");

        let mut versions: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (_, batch) in &play.safe.batches {
            for record in batch.iter() {
                let header = |name| {
                    String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned()
                };
                *versions.entry((header("id"), header("edit"))).or_default() += 1;
            }
        }
        prop_assert!(versions.values().all(|n| *n == 1), "doubled: {versions:?}");
        let came: BTreeSet<u64> = counts(&play.safe).into_keys().collect();
        let written: BTreeSet<u64> = play.posts.iter().map(|post| post.id).collect();
        prop_assert!(came.is_subset(&written));
        if pages == 100 {
            prop_assert_eq!(gaps, 0.0);
        }
        if gaps == 0.0 {
            prop_assert_eq!(came, written, "{:?}", play.run().log());
        }
        prop_assert!(play.safe.rejected_raw.is_empty());
    }
}
