//! `kill -9` around a disk buffer: both of its regions start again where they stood.

use std::time::Duration;

use crate::{
    flow::{self, Outputs, Tweets},
    frame::{Job, Run, Trial},
    kill,
};

pub const TRIAL: Trial = Trial {
    name: "kill-buffer",
    about: "kill -9 at random instants around a disk buffer: every id exactly once behind it",
    ci: 200,
    long: Some(5000),
    begin: || {
        Some(Box::new(KillBuffer {
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
const KILLS: u64 = 8;

struct KillBuffer {
    start_up: Duration,
    tweets: [Tweets; 3],
}

impl Job for KillBuffer {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let tweets = &self.tweets[run.rng.usize(0..self.tweets.len())];
        // Small enough to be full now and then, so that its sender waits.
        let size = run
            .rng
            .choice(["256 KiB", "4 MiB", "1 GiB"])
            .unwrap_or("1 GiB");
        let interval = run.rng.choice([20, 50, 150]).unwrap_or(50);
        run.folder
            .write("hosts.toml", &hosts(tweets, size, interval));
        let mut outputs = Outputs::in_folders(&run.folder, &["out/before", "out/behind"]);
        let watched = ["state/flow", "out/before", "out/behind"];
        let kills = kill::again_and_again(run, KILLS, self.start_up, &watched, &mut outputs)?;
        let stages = ["flow/tweets", "flow/before", "flow/behind"];
        flow::complete(&run.folder, &stages, tweets.count())?;
        outputs
            .close(tweets.ids())
            .map_err(|why| format!("after {kills} kills and a whole run: {why}"))?;
        Ok(kills)
    }
}

/// One sink before the buffer, in the source's region, and one behind it.
fn hosts(tweets: &Tweets, size: &str, interval: u64) -> String {
    let source = tweets.source("flow", "tweets");
    format!(
        r#"
version = 1
[hosts.flow]
checkpoint_interval = "{interval}ms"
{source}
[hosts.flow.sinks.before]
plugin = "lines"
inputs = ["tweets"]
with = {{ path = "out/before/t.jsonl", roll = {{ max_records = 900 }} }}
[hosts.flow.sinks.behind]
plugin = "lines"
inputs = ["tweets"]
buffer = {{ type = "disk", max_bytes = "{size}" }}
with = {{ path = "out/behind/t.jsonl", roll = {{ interval = "100ms" }} }}
"#
    )
}
