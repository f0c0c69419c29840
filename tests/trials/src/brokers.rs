//! Brokers that go away and come back, and two hosts that share a topic's partitions.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{cluster::Cluster, host::PATIENCE, kafka::fresh, process::Process};

use crate::{
    flow::{self, Tweets},
    frame::{Job, Run, Trial},
    ledger::Ledger,
    tail::Tail,
    topic::Topic,
};

pub const TRIAL: Trial = Trial {
    name: "brokers",
    about: "a leader lost, all brokers restarted, a second member that comes and goes: every id",
    ci: 5,
    long: Some(50),
    begin: || {
        Some(Box::new(Brokers {
            cluster: Cluster::start([None; 3])?,
            tweets: Tweets::known(9_000, Some(1_500)),
        }))
    },
};

struct Brokers {
    cluster: Cluster,
    tweets: Tweets,
}

impl Job for Brokers {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        match run.seed % 3 {
            0 => self
                .lost(run)
                .map_err(|why| format!("a broker lost, {why}"))?,
            1 => self
                .restarted(run)
                .map_err(|why| format!("all brokers restarted, {why}"))?,
            _ => self
                .shared(run)
                .map_err(|why| format!("a group of two, {why}"))?,
        }
        Ok(1)
    }
}

fn pause(run: &mut Run, millis: std::ops::Range<u64>) {
    thread::sleep(Duration::from_millis(run.rng.u64(millis)));
}

impl Brokers {
    /// Of six partitions on three brokers each broker leads some.
    fn lost(&mut self, run: &mut Run) -> Result<(), String> {
        let topic = Topic::begin(&run.folder, self.cluster.brokers(), &self.tweets);
        pause(run, 1_000..3_000);
        let node = run.rng.usize(0..self.cluster.size());
        self.cluster.stop(node);
        pause(run, 500..5_000);
        self.cluster.resume(node);
        topic.complete(self.tweets.ids())
    }

    fn restarted(&mut self, run: &mut Run) -> Result<(), String> {
        let topic = Topic::begin(&run.folder, self.cluster.brokers(), &self.tweets);
        pause(run, 1_000..3_000);
        self.cluster.stop_all();
        pause(run, 0..1_000);
        self.cluster.resume_all();
        topic.complete(self.tweets.ids())
    }

    /// Both members' files together hold every id exactly once, whoever had which partition when.
    fn shared(&self, run: &mut Run) -> Result<(), String> {
        let ids = self.tweets.ids();
        let topic = fresh("shared");
        let brokers = self.cluster.brokers();
        run.folder
            .write("feed.toml", &feed(brokers, &topic, &self.tweets));
        for member in ["a", "b"] {
            let hosts = archive(brokers, &topic, member);
            run.folder.write(&format!("{member}.toml"), &hosts);
        }
        let feed = flow::start(&run.folder, "feed.toml");
        let mut stays = flow::start(&run.folder, "a.toml");
        // It comes and goes, twice; the second time it comes it stays.
        let mut comes = flow::start(&run.folder, "b.toml");
        pause(run, 1_500..4_000);
        stop(comes).map_err(|why| format!("the second member: {why}"))?;
        pause(run, 0..1_500);
        comes = flow::start(&run.folder, "b.toml");
        flow::ended_well(&feed.finish(PATIENCE))?;

        let folders = ["out/a", "out/b"].map(|name| run.folder.path(name));
        let deadline = Instant::now() + PATIENCE;
        let mut tail = Tail::of(folders.to_vec());
        let mut members = [&mut stays, &mut comes];
        loop {
            if tail.has(ids) {
                break;
            }
            for member in &mut members {
                if member.ends(Duration::from_millis(50)) {
                    return Err(format!("a member ended too early; {}", member.said()));
                }
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{} of {} records came; {}",
                    tail.count(),
                    ids.len(),
                    members.map(|member| member.said()).join("\n")
                ));
            }
        }
        stop(stays).map_err(|why| format!("the first member: {why}"))?;
        stop(comes).map_err(|why| format!("the second member: {why}"))?;
        Ledger::of(folders.to_vec()).close(ids)
    }
}

fn stop(mut host: Process) -> Result<(), String> {
    host.signal("INT");
    flow::stopped_well(&host.finish(PATIENCE))
}

fn feed(brokers: &str, topic: &str, tweets: &Tweets) -> String {
    let source = tweets.source("feed", "tweets");
    format!(
        r#"
version = 1
state_dir = "feed-state"
{source}
[hosts.feed.sinks.topic]
plugin = "kafka"
inputs = ["tweets"]
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 6 }}
"#
    )
}

fn archive(brokers: &str, topic: &str, member: &str) -> String {
    format!(
        r#"
version = 1
state_dir = "state-{member}"
[hosts.archive]
checkpoint_interval = "200ms"
[hosts.archive.sources.topic]
plugin = "kafka"
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 6, group = "{topic}", start = "earliest", format = "json" }}
[hosts.archive.sinks.lines]
plugin = "lines"
inputs = ["topic"]
with = {{ path = "out/{member}/t.jsonl", roll = {{ max_records = 1000 }} }}
"#
    )
}
