//! `kill -9` around Apache Kafka → Avro, CSV and lines, with files that roll by size, count and time.

use std::time::Duration;

use e2e::kafka;

use crate::{
    flow::{self, Outputs, PATIENCE, Tweets},
    frame::{Job, Run, Trial},
    kill,
};

pub const TRIAL: Trial = Trial {
    name: "kill-files",
    about: "kill -9 at random instants, Apache Kafka to Avro, CSV and lines: every id exactly once",
    ci: 50,
    long: Some(1000),
    begin: || {
        Some(Box::new(KillFiles {
            brokers: kafka::shared()?,
            start_up: flow::start_up(),
            tweets: [
                Tweets::known(20_000, None),
                Tweets::known(5_000, Some(2_000)),
                Tweets::known(9_000, Some(5_000)),
            ],
        }))
    },
};

/// Kills of one job.
const KILLS: u64 = 5;

struct KillFiles {
    brokers: &'static str,
    start_up: Duration,
    tweets: [Tweets; 3],
}

impl Job for KillFiles {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let tweets = &self.tweets[run.rng.usize(0..self.tweets.len())];
        let interval = run.rng.choice([20, 50, 150]).unwrap_or(50);
        let topic = kafka::fresh("kill");
        run.folder.write("feed.toml", &self.feed(&topic, tweets));
        let hosts = self.archive(&topic, tweets.count(), interval);
        run.folder.write("hosts.toml", &hosts);
        let mut outputs = Outputs::of(&run.folder);

        let feed = flow::start(&run.folder, "feed.toml");
        let watched = ["state/archive", "out/avro", "out/csv", "out/lines"];
        let kills = kill::again_and_again(run, KILLS, self.start_up, &watched, &mut outputs)?;
        flow::ended_well(&feed.finish(PATIENCE))?;
        let stages = [
            "archive/topic",
            "archive/avro",
            "archive/csv",
            "archive/lines",
        ];
        flow::complete(&run.folder, &stages, tweets.count())?;
        outputs
            .close(tweets.ids())
            .map_err(|why| format!("after {kills} kills and a whole run: {why}"))?;
        Ok(kills)
    }
}

impl KillFiles {
    /// Puts tweets onto the topic while the archive is killed.
    fn feed(&self, topic: &str, tweets: &Tweets) -> String {
        let brokers = self.brokers;
        let source = tweets.source("feed", "tweets");
        format!(
            r#"
version = 1
state_dir = "feed-state"
{source}
[hosts.feed.sinks.topic]
plugin = "kafka"
inputs = ["tweets"]
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 3 }}
"#
        )
    }

    fn archive(&self, topic: &str, count: u64, interval: u64) -> String {
        let brokers = self.brokers;
        let sinks = flow::sinks("archive", "topic");
        // A member with a name of its own takes its place again at once; one without waits until
        // the broker has given up the one that was killed.
        format!(
            r#"
version = 1
[hosts.archive]
checkpoint_interval = "{interval}ms"
[hosts.archive.sources.topic]
plugin = "kafka"
limit = {count}
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 3, group = "{topic}", start = "earliest", format = "json", properties = {{ "group.instance.id" = "one" }} }}
{sinks}
"#
        )
    }
}
