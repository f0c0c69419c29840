//! Tweets onto a topic and off it again, while something happens to the brokers.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use e2e::{host::Folder, kafka::fresh, process::Process, summary::Summary};

use crate::{
    flow::{self, PATIENCE, Tweets},
    ledger,
    tail::Tail,
};

/// A writer and a reader, running.
pub struct Topic {
    host: Process,
    out: PathBuf,
}

impl Topic {
    /// Starts both, in one process; the reader runs until it is told to stop.
    pub fn begin(folder: &Folder, brokers: &str, tweets: &Tweets) -> Self {
        let name = fresh("topic");
        let source = tweets.source("in", "tweets");
        // What a client would find out in minutes by itself it finds out in seconds here.
        let quick = r#""socket.timeout.ms" = 3000, "reconnect.backoff.max.ms" = 500, "topic.metadata.refresh.interval.ms" = 1000"#;
        folder.write(
            "hosts.toml",
            &format!(
                r#"
version = 1
[hosts.in]
checkpoint_interval = "200ms"
{source}
[hosts.in.sinks.topic]
plugin = "kafka"
inputs = ["tweets"]
with = {{ brokers = "{brokers}", topic = "{name}", partitions = 6, properties = {{ {quick} }} }}
[hosts.out]
checkpoint_interval = "200ms"
[hosts.out.sources.topic]
plugin = "kafka"
with = {{ brokers = "{brokers}", topic = "{name}", partitions = 6, group = "{name}", start = "earliest", format = "json", properties = {{ {quick}, "session.timeout.ms" = 6000 }} }}
[hosts.out.sinks.lines]
plugin = "lines"
inputs = ["topic"]
with.path = "out/lines/t.jsonl"
"#
            ),
        );
        Self {
            host: flow::start(folder, "hosts.toml"),
            out: folder.path("out/lines"),
        }
    }

    /// Waits until every record has come, stops the reader, and looks at the accounts and at what
    /// is there: every id, and none that nobody sent. Onto a topic records come at least once.
    pub fn complete(mut self, ids: &BTreeSet<String>) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut tail = Tail::of(vec![self.out.clone()]);
        while !tail.has(ids) {
            if self.host.ends(Duration::from_millis(100)) {
                return Err(format!("the host ended too early; {}", self.host.said()));
            }
            if Instant::now() > deadline {
                let seen = tail.count();
                self.host.signal("INT");
                let _ = self.host.ends(PATIENCE);
                return Err(format!(
                    "{seen} of {} records came; {}",
                    ids.len(),
                    self.host.said()
                ));
            }
        }
        self.host.signal("INT");
        let finished = self.host.finish(PATIENCE);
        flow::stopped_well(&finished)?;
        balanced(&finished.stdout)?;
        let path = self.out.join("t.jsonl");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let lines = ledger::of_lines(&text)?;
        let came: BTreeSet<_> = lines.iter().cloned().collect();
        if &came != ids {
            return Err(format!("{} ids came of {}", came.len(), ids.len()));
        }
        if lines.len() > ids.len() {
            println!("  {} records came twice", lines.len() - ids.len());
        }
        Ok(())
    }
}

/// The accounts of a run, if every stage balances.
pub fn balanced(stdout: &[String]) -> Result<Summary, String> {
    // What it finds wrong it says as a panic, which is a violation all the same.
    let summary = Summary::read(stdout);
    summary.assert_balanced();
    Ok(summary)
}
