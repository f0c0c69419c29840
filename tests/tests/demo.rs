//! The shipped hosts.toml as it is: every record accounted for, and the same tweets in all the
//! places where they end.

use std::{collections::BTreeSet, path::PathBuf, process::Command, time::Duration};

use e2e::{
    host::{Folder, PATIENCE},
    kafka::{Kafka, free_ports},
    needed::{self, given},
    process::{From, Process},
    python::{Python, python},
    summary::Summary,
};
use serde_json::Value;

/// The demo on ports of its own.
fn demo(folder: &Folder, args: &[&str]) -> Command {
    let [stream, page] = free_ports();
    let mut all = vec!["demo", "--summary", "json"];
    all.extend_from_slice(args);
    let mut demo = folder.host(&all);
    demo.env("TWITTER_LISTEN", format!("127.0.0.1:{stream}"))
        .env("TWITTER_URL", format!("http://127.0.0.1:{stream}"))
        .env("PAGE_LISTEN", format!("127.0.0.1:{page}"));
    demo
}

fn the_demo_accounts_for_every_record_and_all_its_ends_agree() {
    let python = python();
    let folder = Folder::new();
    let mut demo = Process::start(&mut demo(&folder, &["--for", "30s"]));
    demo.wait_for("page's address", PATIENCE, |_, line| {
        line.contains("http://127.0.0.1:").then_some(())
    });
    let broker = demo.wait_for("broker's address", PATIENCE, |_, line| {
        let (_, rest) = line.split_once("embedded broker on ")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let mut reader = Process::start(
        python
            .script("broker.py")
            .args([&broker, "follow", "tweets", "5"]),
    );
    reader.wait_for("record on the topic", PATIENCE, |_, line| {
        line.starts_with('{').then_some(())
    });
    let summary = demo.finish(PATIENCE + Duration::from_secs(30)).account();
    let tweets = summary.stage("producer/tweets").consumed;
    for end in ["archive/file", "table/file", "wordcloud/cloud"] {
        assert_eq!(summary.stage(end).consumed, tweets, "{end}");
    }
    let clouds = summary.stage("wordcloud/clouds").consumed;
    assert_eq!(summary.stage("page/clouds").received, clouds);

    let avro = in_avro(&python, &folder);
    assert_eq!(avro.len() as u64, tweets);
    assert_eq!(in_csv(&python, &folder), avro);
    // The broker goes with the host: a reader beside it may miss the last moment, and nothing else.
    let read = reader.finish(PATIENCE);
    let topic = in_datums(&python, &folder, &read.stdout);
    assert_eq!(topic, avro[..topic.len()]);
    assert!(
        topic.len() as u64 * 10 >= tweets * 9,
        "{} of {tweets}",
        topic.len()
    );
}

/// Where the broker outlives the host, the topic is read to its end afterwards, and what the files
/// lack is read by the next run, which goes on where the first left off.
fn the_demo_on_a_cluster_goes_on_where_it_left_off() {
    let (python, kafka) = (python(), given(Kafka::start()));
    let folder = Folder::new();
    let run = |args: &[&str]| {
        let mut host = demo(&folder, args);
        Process::start(host.env("KAFKA_BROKERS", kafka.brokers()))
            .finish(PATIENCE)
            .account()
    };
    let first = run(&["--for", "8s"]);
    let messages = python.json_lines("broker.py", &[kafka.brokers(), "read", "tweets"]);
    let messages: Vec<_> = messages.iter().map(Value::to_string).collect();
    let topic = in_datums(&python, &folder, &messages);
    assert_eq!(topic.len() as u64, first.stage("producer/tweets").consumed);
    for host in ["archive", "table"] {
        let done = first.stage(&format!("{host}/file")).consumed;
        let left = topic.len() as u64 - done;
        if left > 0 {
            let rest = run(&["-n", host, "--limit", &left.to_string()]);
            assert_eq!(rest.stage(&format!("{host}/file")).consumed, left);
        }
    }
    assert_eq!(in_avro(&python, &folder), topic);
    assert_eq!(in_csv(&python, &folder), topic);
}

/// Finished files of the demo, the older first: `NAME`, then `NAME-1`.
fn files(folder: &Folder, ending: &str) -> Vec<PathBuf> {
    let mut files = folder.files("out");
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort_by_key(|file| file.as_os_str().len());
    files
}

fn in_avro(python: &Python, folder: &Folder) -> Vec<String> {
    ids(&python.json_lines("read_avro.py", &files(folder, "avro")))
}

fn in_csv(python: &Python, folder: &Folder) -> Vec<String> {
    ids(&python.json_lines("read_csv.py", &files(folder, "csv")))
}

/// Messages as `broker.py` prints them, decoded by fastavro.
fn in_datums(python: &Python, folder: &Folder, messages: &[String]) -> Vec<String> {
    let datums: Vec<_> = messages
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a message"))
        .map(|message| message["value"].as_str().expect("a datum").to_owned())
        .collect();
    let datums = folder.write("datums", &datums.join("\n"));
    let schema = folder.path("schemas/tweet_full.avsc");
    ids(&python.json_lines("read_datums.py", &[schema, datums]))
}

/// The ids of records in their order, each of which is there once. CSV has only text.
fn ids(records: &[Value]) -> Vec<String> {
    let id = |record: &Value| match &record["t_id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    };
    let ids: Vec<_> = records.iter().map(id).collect();
    let different: BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "some are there twice");
    ids
}

fn the_demo_prints_what_it_runs() {
    let folder = Folder::new();
    let printed = Process::start(&mut folder.host(&["demo", "--print"])).finish(PATIENCE);
    assert_eq!(printed.code, Some(0));
    let shipped = std::fs::read_to_string(e2e::root().join("hosts.toml")).expect("it is shipped");
    assert_eq!(printed.stdout.join("\n") + "\n", shipped);
    assert!(folder.files(".").is_empty(), "something was written");
}

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

needs::tests! {
    the_demo_accounts_for_every_record_and_all_its_ends_agree: needed::python();
    the_demo_on_a_cluster_goes_on_where_it_left_off: needed::python(), needed::kafka();
    the_demo_prints_what_it_runs;
    a_signal_drains_and_is_told_by_the_exit_code;
}
