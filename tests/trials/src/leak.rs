//! Live heap of the host and of each plugin early and late in a run: what was asked for long enough
//! ago to be in flight no longer must not have grown.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::{
    artifacts,
    host::Folder,
    parts,
    process::Process,
    summary::Summary,
    thirdparty::{self, Compiler},
};

use crate::{
    frame::{Job, Run, Trial},
    preload::Preload,
};

pub const TRIAL: Trial = Trial {
    name: "leak",
    about: "live heap of host and plugins after a fifth and after all; a run is a million records",
    ci: 5,
    long: Some(100),
    begin: || {
        let built = thirdparty::build(Compiler::Ours, false);
        Some(Box::new(Leak {
            counter: counter()?,
            built,
        }))
    },
};

const MILLION: u64 = 1_000_000;
/// What may have been added.
const MOST: i64 = 64 << 10;
/// For a million records on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(300);

/// What reads the topic of the embedded broker.
const READER: &str = r#"
[hosts.b.sources.topic]
plugin = "kafka"
with = { brokers = "embedded", topic = "t", group = "g", start = "earliest", format = "avro", schema = "t.avsc" }
[hosts.b.processors.decode]
plugin = "avro-decode"
inputs = ["topic"]
[hosts.b.sinks.out]
plugin = "flow-discard"
inputs = ["decode"]
"#;

/// What follows on the source and the stage that marks: one source for all, since making the
/// records is most of the work.
fn graph() -> String {
    [
        (
            "processors.filter",
            "filter",
            "marks",
            r#"field = "user.lang", equals = "ja""#,
        ),
        (
            "sinks.lines",
            "lines",
            "filter",
            r#"path = "out/t.jsonl", roll = { max_records = 5000 }"#,
        ),
        (
            "processors.encode",
            "avro-encode",
            "marks",
            r#"schema = "t.avsc""#,
        ),
        (
            "sinks.avro",
            "avro-file",
            "encode",
            r#"path = "out/t.avro", roll = { max_records = 50000 }"#,
        ),
        (
            "sinks.topic",
            "kafka",
            "encode",
            r#"brokers = "embedded", topic = "t""#,
        ),
    ]
    .map(|(name, plugin, input, with)| stage(name, plugin, input, with))
    .concat()
        + READER
}

/// A stage of `a`, before which little may wait.
fn stage(name: &str, plugin: &str, input: &str, with: &str) -> String {
    format!(
        r#"
[hosts.a.{name}]
plugin = "{plugin}"
inputs = ["{input}"]
buffer = {{ max_bytes = "1 MiB" }}
with = {{ {with} }}
"#
    )
}

struct Leak {
    counter: Preload,
    built: PathBuf,
}

impl Job for Leak {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let names = names()?;
        let mut wrong = Vec::new();
        for (library, (early, late)) in self.grown(&run.folder, run.most)? {
            let stem = Path::new(&library)
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            let name = names.get(&*stem).map_or(&*library, |name| name);
            let more = late - early;
            if more > MOST {
                wrong.push(format!("{name} has {more} bytes more, {early} before"));
            } else if early > 1 << 10 {
                println!("  {name} {} KiB, {more:+} bytes", early >> 10);
            }
        }
        if wrong.is_empty() {
            Ok(run.most)
        } else {
            Err(wrong.join("; "))
        }
    }
}

/// A library's old bytes early and late.
type Grown = BTreeMap<String, (i64, i64)>;

impl Leak {
    fn grown(&self, folder: &Folder, millions: u64) -> Result<Grown, String> {
        let (count, out) = (millions * MILLION, folder.path("live"));
        let plugins = folder.path("plugins.d");
        fs::create_dir(&plugins).map_err(|e| e.to_string())?;
        fs::copy(self.built.join("libflow.so"), plugins.join("libflow.so"))
            .map_err(|e| e.to_string())?;
        let schema = r#"{"type": "record", "name": "T", "fields": [
            {"name": "id_str", "type": "string"}, {"name": "text", "type": "string"},
            {"name": "created_at", "type": "string"}, {"name": "lang", "type": ["null", "string"]}]}"#;
        folder.write("t.avsc", schema);
        let early = count / 5;
        // What is in flight, and what the embedded broker keeps, is younger than that.
        let marks = [early / 2, early, count - early / 2, count];
        let hosts = format!(
            r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.a.sources.tweets]
plugin = "generate"
with = {{ count = {count}, deletes = 0 }}
[hosts.a.processors.marks]
plugin = "flow-marks"
inputs = ["tweets"]
with.at = {marks:?}
{}"#,
            graph()
        );
        folder.write("hosts.toml", &hosts);
        let mut host = folder.host(&["--config", "hosts.toml", "--summary", "json"]);
        self.counter.load(&mut host).env("LEAK_OUT", &out);
        let patience = PATIENCE * u32::try_from(millions).unwrap_or(u32::MAX);
        let ran = Process::start(&mut host).finish(patience);
        if ran.code != Some(0) {
            return Err(format!("exit code {:?}: {}", ran.code, ran.stderr));
        }
        let summary = Summary::read(&ran.stdout);
        summary.assert_balanced();
        if summary.stage("a/marks").consumed != count {
            return Err(format!("{:?} of {count}", summary.stage("a/marks")));
        }
        grown(&out)
    }
}

/// Bytes that were there before the first mark, at the second; and before the third, at the fourth.
fn grown(out: &Path) -> Result<Grown, String> {
    let text = fs::read_to_string(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let mut grown = Grown::new();
    let mut seen = [false; 4];
    for line in text.lines() {
        let wrong = || format!("a line that is none: {line}");
        let mut words = line.splitn(4, ' ');
        let mut number = || words.next()?.parse::<i64>().ok();
        let (Some(mark), Some(age), Some(bytes)) = (number(), number(), number()) else {
            return Err(wrong());
        };
        let library = words.next().ok_or_else(wrong)?.to_owned();
        if let Some(mark) = seen.get_mut(usize::try_from(mark).unwrap_or(usize::MAX)) {
            *mark = true;
        }
        let (early, late) = grown.entry(library).or_default();
        if mark == 1 && age == 0 {
            *early += bytes;
        }
        if mark == 3 && age <= 2 {
            *late += bytes;
        }
    }
    if seen != [true; 4] {
        return Err(format!("marks: {seen:?}"));
    }
    Ok(grown)
}

/// Names of plugins by the hash under which the host keeps its copies.
fn names() -> Result<BTreeMap<String, String>, String> {
    let mut sums = Command::new("sha256sum");
    for entry in fs::read_dir(artifacts::folder())
        .map_err(|e| e.to_string())?
        .flatten()
    {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "so")
        {
            sums.arg(entry.path());
        }
    }
    let out = sums.output().map_err(|e| format!("sha256sum: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once("  "));
    let named = pairs.map(|(sum, path)| {
        let name = Path::new(path).file_stem().unwrap_or_default();
        (sum.to_owned(), name.to_string_lossy().into_owned())
    });
    Ok(named.collect())
}

/// The preloaded library that counts; `None` after saying what is missing.
fn counter() -> Option<Preload> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        parts::skip("the heap is counted with glibc on Linux only");
        return None;
    }
    Preload::build(include_str!("leak.c"), &["-fno-builtin-malloc"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_stays_has_grown() {
        let folder = Folder::new();
        let marks = "0 0 5 host\n1 0 7 host\n1 1 900 host\n2 2 1 host\n\
            3 0 7 host\n3 1 40 host\n3 2 3 host\n3 3 900 host\n";
        let out = folder.write("live", marks);
        assert_eq!(grown(&out).unwrap()["host"], (7, 50));
        let out = folder.write("live", "0 0 5 host\n");
        assert!(grown(&out).is_err(), "marks are missing");
    }
}
