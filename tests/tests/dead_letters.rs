//! Records that could not be used: listed, shown, and sent again once what was wrong is mended.

use std::{fmt::Write as _, fs, time::Instant};

use e2e::{
    host::{Folder, PATIENCE},
    process::{Finished, Process},
    summary::Summary,
};
use serde_json::Value;

const HOSTS: &str = r#"
version = 1
state_dir = "state"

[hosts.mend]
checkpoint_interval = "20ms"

[hosts.mend.sources.tweets]
plugin = "lines"
with = { path = "in.jsonl", format = "json" }

[hosts.mend.processors.columns]
plugin = "avro-encode"
inputs = ["tweets"]
with.schema = "schema.avsc"

[hosts.mend.sinks.table]
plugin = "csv-file"
inputs = ["columns"]
with.path = "out/table.csv"
"#;

/// A folder with `good` records that the schema fits, and `bad` ones that it does not.
fn folder(good: usize, bad: usize) -> Folder {
    let folder = Folder::new();
    let mut lines = String::new();
    for n in 1..=good + bad {
        let name = if n <= good { "id" } else { "number" };
        writeln!(lines, "{{\"{name}\":{n}}}").expect("a String takes it");
    }
    folder.write("in.jsonl", &lines);
    schema(&folder, r#""id""#);
    folder
}

/// Where the one column comes from.
fn schema(folder: &Folder, from: &str) {
    let column = format!(r#"{{"name": "id", "type": "long", "from": {from}}}"#);
    let schema = format!(r#"{{"type": "record", "name": "Row", "fields": [{column}]}}"#);
    folder.write("schema.avsc", &schema);
}

fn mend(folder: &Folder) {
    schema(folder, r#"["id", "number"]"#);
}

const REPLAY: [&str; 8] = [
    "dlq",
    "replay",
    "-c",
    "hosts.toml",
    "-n",
    "mend",
    "--summary",
    "json",
];

fn replay(folder: &Folder) -> Finished {
    Process::start(&mut folder.host(&REPLAY)).finish(PATIENCE)
}

/// What the host prints for these arguments.
fn output(folder: &Folder, args: &[&str]) -> (Option<i32>, String) {
    let output = folder.host(args).output().expect("the host starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), stdout + &stderr)
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["-c", "hosts.toml", "--format", "json"]);
    let (code, text) = output(folder, &all);
    assert_eq!(code, Some(0), "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The rows of all finished tables, sorted.
fn rows(folder: &Folder) -> Vec<usize> {
    let mut rows = Vec::new();
    for file in folder.files("out") {
        let name = file.display().to_string();
        assert!(
            name.ends_with(".csv"),
            "a file that is not finished: {name}"
        );
        let text = fs::read_to_string(&file).expect("a table");
        let lines = text.lines().skip(1);
        rows.extend(lines.map(|line| line.parse::<usize>().expect("a number")));
    }
    rows.sort_unstable();
    rows
}

#[test]
fn three_rejected_records_reach_the_table_once_over_three_replays() {
    let folder = folder(2, 3);
    let summary = folder.account(HOSTS, &[]);
    assert_eq!(summary.stage("mend/columns").dead_lettered, 3);
    assert_eq!(rows(&folder), [1, 2]);

    let listed = json(&folder, &["dlq", "list"]);
    let group = &listed["hosts"][0]["groups"][0];
    assert_eq!(
        (&group["letters"], &group["sent_again"]),
        (&3.into(), &0.into())
    );
    assert_eq!(group["stage"], "columns");
    let (code, shown) = output(&folder, &["dlq", "show", "--limit", "1"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains(r#"payload   {"number":3}"#), "{shown}");

    // Not mended yet: rejected again, as new letters.
    let summary = replay(&folder).account();
    assert_eq!(summary.stage("mend/columns").dead_lettered, 3);
    mend(&folder);
    let summary = replay(&folder).account();
    assert_eq!(summary.stage("mend/dead-letters:columns").emitted, 3);
    assert_eq!(summary.stage("mend/tweets").received, 0);
    let third = replay(&folder);
    assert_eq!(third.code, Some(0));
    assert!(third.stderr.contains("no dead letter"), "{}", third.stderr);
    assert_eq!(rows(&folder), [1, 2, 3, 4, 5]);

    let listed = json(&folder, &["dlq", "list"]);
    let group = &listed["hosts"][0]["groups"][0];
    assert_eq!(
        (&group["letters"], &group["sent_again"]),
        (&6.into(), &6.into())
    );
    let status = json(&folder, &["status"]);
    let region = &status["hosts"][0]["regions"][0];
    assert_eq!(region["ended"], "complete");
    assert!(region["took_seconds"].as_f64() > Some(0.0));
}

#[test]
fn a_replay_killed_in_the_middle_goes_on_and_doubles_nothing() {
    const BAD: usize = 40_000;
    let folder = folder(2, BAD);
    let summary = folder.account(HOSTS, &[]);
    assert_eq!(summary.stage("mend/columns").dead_lettered, BAD as u64);
    mend(&folder);

    let mut running = Process::start(&mut folder.host(&REPLAY));
    let began = Instant::now();
    // Until an epoch holds some of it.
    loop {
        let status = json(&folder, &["status"]);
        let host = &status["hosts"][0];
        let stages = host["regions"][0]["stages"].as_array().expect("stages");
        let columns = stages.iter().find(|s| s["stage"] == "columns");
        let consumed = columns.and_then(|s| s["account"]["consumed"].as_u64());
        if host["regions"][0]["ended"] == "running" && consumed > Some(2) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{status:#}");
    }
    running.signal("STOP");
    // It stands, and is still the one that runs the host.
    let (code, said) = output(&folder, &REPLAY);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("stop it, so that its dead letters"), "{said}");
    running.signal("KILL");
    assert_eq!(running.finish(PATIENCE).code, None);
    let status = json(&folder, &["status"]);
    assert_eq!(status["hosts"][0]["regions"][0]["ended"], "broken off");

    let second = replay(&folder);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let summary = Summary::read(&second.stdout);
    let sent = summary.stage("mend/dead-letters:columns").emitted;
    assert!(sent > 0 && sent < BAD as u64, "{sent}");
    let third = replay(&folder);
    assert!(third.stderr.contains("no dead letter"), "{}", third.stderr);
    assert!(rows(&folder).into_iter().eq(1..=BAD + 2));
}

#[test]
fn a_torn_file_gives_what_reads_and_one_clear_error() {
    let folder = folder(0, 3);
    let _ = folder.account(HOSTS, &[]);
    let file = folder.files("state/mend/dead-letters").remove(0);
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() - 1]).expect("it can be written");
    let (code, text) = output(&folder, &["dlq", "list", "-c", "hosts.toml"]);
    assert_eq!(code, Some(69));
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
    assert!(text.contains(".avro is damaged"), "{text}");
}
