//! Options.

use plugin_api::prelude::*;

options! {
    /// Makes synthetic tweets, valid JSON of Twitter's v1.1 API as its streams sent it: retweets,
    /// quotes, replies, extended texts, emoji, a dozen languages in eight scripts, bursts of talk
    /// about a topic, and delete messages. The same options make the same stream; only its times
    /// start now unless `start_time` is set. Records carry their time and the header `id`, the
    /// tweet's id. Several `workers` share `count` and `rate`.
    pub struct Options {
        /// `tweets`, or `users`: objects of `id`, `name` and `address`, as
        /// `schemas/user.avsc` has them. Default: `tweets`.
        #[serde(default)]
        pub kind: Kind,
        /// Records a second. Default: as many as are taken; their times are then those of
        /// 50 a second.
        #[serde(default)]
        pub rate: Option<f64>,
        /// Stops after so many records, delete messages included. Default: never.
        #[serde(default)]
        pub count: Option<u64>,
        /// Makes another stream. Default: 1.
        #[serde(default = "one")]
        pub seed: u64,
        /// Time of the first record, such as `2026-11-24T09:00:00Z`. Default: now.
        #[serde(default)]
        pub start_time: Option<String>,
        /// Share of delete messages, 0 to 1. Default: 0.02.
        #[serde(default = "two_percent")]
        pub deletes: f64,
        /// Languages by their codes, out of en, es, pt, fr, de, tr, ja, ko, ar, hi, ru and el.
        /// Default: all, more than half of it English.
        #[serde(default)]
        pub languages: Option<Vec<String>>,
    }
}

options! {
    /// What is made.
    #[derive(Copy, Default)]
    pub enum Kind {
        /// Tweets.
        #[default]
        Tweets,
        /// Users.
        Users,
    }
}

fn one() -> u64 {
    1
}

fn two_percent() -> f64 {
    0.02
}
