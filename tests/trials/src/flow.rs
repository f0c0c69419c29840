//! Flows that the trials break: a source of known records, and file sinks that roll in every way.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use e2e::{
    host::Folder,
    process::{Finished, Process},
    summary::{Counts, Summary},
};

use crate::ledger::{self, Ledger};

/// Longest time for a run of these flows, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Each file's schema names what `columns` of the CSV file names.
pub const SCHEMA: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "id_str", "type": "string"}, {"name": "text", "type": "string"}]}"#;

/// Where the sinks of [`sinks`] write, one folder each.
const OUTPUTS: [&str; 3] = ["out/avro", "out/csv", "out/lines"];

/// File sinks behind stage `input` of `host`, rolling by size, by count and by time.
pub fn sinks(host: &str, input: &str) -> String {
    let [avro, csv, lines] = OUTPUTS;
    format!(
        r#"
[hosts.{host}.processors.columns]
plugin = "avro-encode"
inputs = ["{input}"]
with.schema = "t.avsc"
[hosts.{host}.sinks.avro]
plugin = "avro-file"
inputs = ["columns"]
with = {{ path = "{avro}/t.avro", block_size = "4 KiB", roll = {{ max_bytes = "40 KiB" }} }}
[hosts.{host}.sinks.csv]
plugin = "csv-file"
inputs = ["{input}"]
with = {{ path = "{csv}/t.csv", columns = ["id_str", "text"], roll = {{ max_records = 701 }} }}
[hosts.{host}.sinks.lines]
plugin = "lines"
inputs = ["{input}"]
with = {{ path = "{lines}/t.jsonl", roll = {{ interval = "120ms" }} }}
"#
    )
}

/// Tweets of which it is known which they are.
pub struct Tweets {
    count: u64,
    rate: Option<u64>,
    lines: String,
    ids: BTreeSet<String>,
}

impl Tweets {
    /// Makes them once, at the rate at which they will come: their ids hold their times.
    ///
    /// # Panics
    /// If the host does not do so little.
    pub fn known(count: u64, rate: Option<u64>) -> Self {
        let mut tweets = Self {
            count,
            rate,
            lines: String::new(),
            ids: BTreeSet::new(),
        };
        let folder = Folder::new();
        folder.write("hosts.toml", &tweets.to_a_file());
        let made = start(&folder, "hosts.toml").finish(PATIENCE);
        ended_well(&made).expect("a run that nothing disturbs");
        tweets.lines = fs::read_to_string(folder.path("all.jsonl")).expect("its file");
        let ids = ledger::of_lines(&tweets.lines).expect("ids");
        tweets.ids = ids.into_iter().collect();
        assert_eq!(tweets.ids.len() as u64, count, "ids are not unique");
        tweets
    }

    fn to_a_file(&self) -> String {
        let source = self.source("all", "in");
        format!(
            r#"
version = 1
{source}
[hosts.all.sinks.out]
plugin = "lines"
inputs = ["in"]
with.path = "all.jsonl"
"#
        )
    }

    /// The source that makes them, as a stage of `host`.
    pub fn source(&self, host: &str, name: &str) -> String {
        let rate = self
            .rate
            .map_or_else(String::new, |rate| format!("rate = {rate}, "));
        format!(
            r#"
[hosts.{host}.sources.{name}]
plugin = "generate"
with = {{ count = {}, {rate}deletes = 0, start_time = "2026-11-24T09:00:00Z" }}
"#,
            self.count
        )
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their ids, in the order of their texts; they come in this order, too.
    pub fn ids(&self) -> &BTreeSet<String> {
        &self.ids
    }

    /// Themselves, one a line.
    pub fn lines(&self) -> &str {
        &self.lines
    }
}

/// Starts a hosts.toml of the folder.
pub fn start(folder: &Folder, config: &str) -> Process {
    Process::start(&mut folder.host(&["--config", config, "--summary", "json"]))
}

/// An error that shows what the host said, unless it ended with exit code 0.
pub fn ended_well(finished: &Finished) -> Result<(), String> {
    ended_with(finished, 0)
}

/// The same for one that was told to stop by SIGINT.
pub fn stopped_well(finished: &Finished) -> Result<(), String> {
    ended_with(finished, 130)
}

fn ended_with(finished: &Finished, code: i32) -> Result<(), String> {
    if finished.code == Some(code) {
        return Ok(());
    }
    let lines: Vec<_> = finished.stderr.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n    ");
    Err(format!(
        "the host ended with {:?}:\n    {last}",
        finished.code
    ))
}

/// Runs hosts.toml to its end, unless it had come there: a run that is complete would begin anew.
/// Accounts go on over all restarts, so each of these stages must have had all `count` records.
pub fn complete(folder: &Folder, stages: &[&str], count: u64) -> Result<(), String> {
    if is_complete(&folder.path("state"))? {
        return Ok(());
    }
    let ended = start(folder, "hosts.toml").finish(PATIENCE);
    ended_well(&ended)?;
    let summary = Summary::read(&ended.stdout);
    summary.assert_balanced();
    for stage in stages {
        let counts = summary.stage(stage);
        // One that was killed behind its last epoch and before the mark that this is final has
        // nothing left to do but to commit: its accounts begin anew.
        if counts.received != count && counts != Counts::default() {
            return Err(format!(
                "the accounts say that {stage} received {} of {count}; {counts:?}",
                counts.received
            ));
        }
    }
    Ok(())
}

/// Whether the hosts in this folder of state have come to their ends: each names the newest epoch
/// of each of its regions in its mark. (Nothing here stops a host by a signal in which an epoch is
/// the last one, too.)
pub fn is_complete(state: &Path) -> Result<bool, String> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>, String> {
        match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
                .map_err(|e| format!("{}: {e}", folder.display())),
        }
    };
    let hosts = list(state)?;
    for host in &hosts {
        let Ok(mark) = fs::read(host.join("complete.json")) else {
            return Ok(false);
        };
        let mark: HashMap<String, u64> =
            serde_json::from_slice(&mark).map_err(|e| format!("{}: {e}", host.display()))?;
        for region in list(&host.join("epochs"))? {
            let epochs = list(&region)?.into_iter().filter_map(|path| {
                let epoch = path.extension()? == "epoch";
                let name = path.file_stem()?.to_str()?;
                epoch.then(|| name.parse::<u64>().ok()).flatten()
            });
            let name = region.file_name().unwrap_or_default().to_string_lossy();
            if mark.get(&*name).copied() != epochs.max() {
                return Ok(false);
            }
        }
    }
    Ok(!hosts.is_empty())
}

/// How long a host that nothing disturbs takes from start to end with one record.
pub fn start_up() -> Duration {
    Tweets::known(1, None);
    // The first start of all copies plugins to where later ones find them.
    let started = Instant::now();
    Tweets::known(1, None);
    started.elapsed()
}

/// What the sinks of [`sinks`] have finished.
pub struct Outputs(Vec<Ledger>);

impl Outputs {
    /// None so far; the schema is written.
    pub fn of(folder: &Folder) -> Self {
        folder.write("t.avsc", SCHEMA);
        Self::in_folders(folder, &OUTPUTS)
    }

    /// Those of other folders.
    pub fn in_folders(folder: &Folder, names: &[&str]) -> Self {
        let of = |name: &&str| Ledger::of(vec![folder.path(name)]);
        Self(names.iter().map(of).collect())
    }

    /// See [`Ledger::look`].
    pub fn look(&mut self) -> Result<(), String> {
        self.0.iter_mut().try_for_each(Ledger::look)
    }

    /// See [`Ledger::close`].
    pub fn close(&mut self, expected: &BTreeSet<String>) -> Result<(), String> {
        self.0.iter_mut().try_for_each(|one| one.close(expected))
    }
}
