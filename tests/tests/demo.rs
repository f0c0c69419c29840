//! The shipped hosts.toml as it is, for half a minute: every record accounted for, and the same
//! tweets in all three places where they end.

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    host::{Folder, PATIENCE},
    kafka::free_ports,
    process::{From, Process},
    python::python,
    summary::Summary,
};
use serde_json::Value;

/// So many messages are made; the rest of the half minute nothing comes any more, so that a
/// reader beside the host can be at the end before the embedded broker goes.
const MESSAGES: &str = "3000";

#[test]
fn the_demo_accounts_for_every_record_and_all_its_ends_agree() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let [stream, page] = free_ports();
    let args = [
        "demo",
        "--for",
        "30s",
        "--limit",
        MESSAGES,
        "--summary",
        "json",
        "--log-format",
        "text",
    ];
    let mut demo = Process::start(
        folder
            .host(&args)
            .env("TWITTER_LISTEN", format!("127.0.0.1:{stream}"))
            .env("TWITTER_URL", format!("http://127.0.0.1:{stream}"))
            .env("PAGE_LISTEN", format!("127.0.0.1:{page}")),
    );
    let said = |mark: &'static str| {
        move |_, line: &str| line.split_once(mark).map(|(_, rest)| rest.to_owned())
    };
    demo.wait_for("page's address", PATIENCE, said("http://127.0.0.1:"));
    let broker = demo.wait_for("broker's address", PATIENCE, |_, line| {
        let (_, rest) = line.split_once("embedded broker")?;
        let at = rest.find("127.0.0.1:")?;
        let end = rest[at..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        Some(
            rest[at..]
                .split_at(end.unwrap_or(rest.len() - at))
                .0
                .to_owned(),
        )
    });

    let mut reader = Process::start(
        python
            .script("broker.py")
            .args([&broker, "follow", "tweets", "8"]),
    );
    reader.wait_for("record on the topic", PATIENCE, |_, line| {
        line.starts_with('{').then_some(())
    });
    let read = reader.finish(PATIENCE);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let summary = demo.finish(PATIENCE + Duration::from_secs(30)).account();

    let tweets = summary.stage("producer/tweets").consumed;
    let generated = summary.stage("simulator/tweets");
    assert_eq!(generated.emitted, 3000);
    assert!(tweets > 2000, "most messages are tweets, but {tweets} were");

    let datums: Vec<String> = read
        .stdout
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record")["value"].clone())
        .map(|value| value.as_str().expect("a datum").to_owned())
        .collect();
    let datums = folder.write("datums", &datums.join("\n"));
    let schema = folder.path("schemas/tweet_full.avsc");
    let topic = ids(&python.json_lines("read_datums.py", &[schema, datums]));

    let out = folder.files("out");
    let ending = |ending: &str| {
        let files = out
            .iter()
            .filter(|file| file.to_string_lossy().ends_with(ending));
        files.cloned().collect::<Vec<_>>()
    };
    let avro = ids(&python.json_lines("read_avro.py", &ending(".avro")));
    let csv: Vec<Value> = ending(".csv")
        .iter()
        .flat_map(|file| python.json_lines("read_csv.py", &[file]))
        .collect();
    let csv = ids(&csv);
    assert_eq!(
        out.len(),
        ending(".avro").len() + ending(".csv").len(),
        "unfinished: {out:?}"
    );
    assert_eq!(topic.len() as u64, tweets);
    assert_eq!(avro, topic);
    assert_eq!(csv, topic);
}

/// The ids of records, each of which is there once. CSV has only text.
fn ids(records: &[Value]) -> BTreeSet<String> {
    let ids: BTreeSet<_> = records
        .iter()
        .map(|record| match &record["t_id"] {
            Value::String(id) => id.clone(),
            id => id.to_string(),
        })
        .collect();
    assert_eq!(ids.len(), records.len(), "some are there twice");
    ids
}

#[test]
fn the_demo_prints_what_it_runs() {
    let folder = Folder::new();
    let printed = Process::start(&mut folder.host(&["demo", "--print"])).finish(PATIENCE);
    assert_eq!(printed.code, Some(0));
    let shipped = std::fs::read_to_string(e2e::root().join("hosts.toml")).expect("it is shipped");
    assert_eq!(printed.stdout.join("\n") + "\n", shipped);
    assert_eq!(
        folder.files("."),
        [folder.path("."); 0],
        "nothing was written"
    );
}

#[test]
fn a_signal_drains_and_is_told_by_the_exit_code() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = Folder::new();
        let hosts = "version = 1\n\
                     [hosts.h.sources.s]\nplugin = \"generate\"\nwith = { rate = 500 }\n\
                     [hosts.h.sinks.k]\nplugin = \"lines\"\ninputs = [\"s\"]\nwith.path = \"-\"\n";
        folder.write("hosts.toml", hosts);
        let args = ["--config", "hosts.toml", "--summary", "json"];
        let mut host = Process::start(&mut folder.host(&args));
        host.wait_for("record", PATIENCE, |from, _| {
            (from == From::Out).then_some(())
        });
        host.signal(signal);
        let finished = host.finish(PATIENCE);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        let summary = Summary::read(&finished.stdout);
        summary.assert_balanced();
        assert_eq!(
            summary.stage("h/k").consumed,
            finished.stdout.len() as u64 - 1
        );
        assert_eq!(summary.stage("h/k").consumed, summary.stage("h/s").emitted);
    }
}
