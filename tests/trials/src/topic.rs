//! Tweets onto a topic and off it again, while something happens to the brokers.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use e2e::{host::Folder, kafka::fresh, process::Process, summary::Summary};

use crate::{
    flow::{self, PATIENCE, Tweets},
    ledger,
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
        while !tail.ids().is_superset(ids) {
            if self.host.ends(Duration::from_millis(100)) {
                return Err(format!("the host ended too early; {}", self.host.said()));
            }
            if Instant::now() > deadline {
                let seen = tail.ids().len();
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

/// Ids in files while they are written, each byte read once.
pub struct Tail {
    folders: Vec<PathBuf>,
    /// How far each file was read, by its inode: names change.
    read: HashMap<u64, u64>,
    ids: BTreeSet<String>,
}

impl Tail {
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            read: HashMap::new(),
            ids: BTreeSet::new(),
        }
    }

    /// The ids of all whole lines so far.
    pub fn ids(&mut self) -> &BTreeSet<String> {
        for folder in &self.folders {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // It may just have been renamed: the next look sees it.
                let Ok(mut file) = File::open(entry.path()) else {
                    continue;
                };
                let Ok(inode) = file.metadata().map(|data| data.ino()) else {
                    continue;
                };
                let from = self.read.entry(inode).or_default();
                let mut text = Vec::new();
                if file.seek(SeekFrom::Start(*from)).is_ok() && file.read_to_end(&mut text).is_ok()
                {
                    let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
                    let lines = String::from_utf8_lossy(&text[..whole]);
                    self.ids
                        .extend(ledger::of_lines(&lines).unwrap_or_default());
                    *from += whole as u64;
                }
            }
        }
        &self.ids
    }
}
