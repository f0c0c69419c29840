//! Real messages on the whole way `lines → twitter-server → twitter → avro-encode → kafka →
//! avro-file`, held against what Python extracts from the same lines.

use std::path::Path;

use e2e::{
    host::{Folder, quoted},
    kafka,
    kafka::free_ports,
    needed::{self, given},
    oracle::{Expected, assert_same_records, extract},
    python::{Python, python},
    summary::{Counts, Summary},
};
use needs::Need;
use serde_json::Value;

/// Secrets stand in a file by reference only.
const CREDENTIALS: &str = r#"{ consumer_key = "env:E2E_1?a", consumer_secret = "env:E2E_2?b", token = "env:E2E_3?c", token_secret = "env:E2E_4?d" }"#;

/// Messages through a server and our client onto a topic, and from there into a file.
fn hosts(brokers: &str, topic: &str, lines: &Path, records: usize, delimited: &str) -> String {
    let [port] = free_ports();
    let schema = quoted(&e2e::root().join("schemas/tweet_full.avsc"));
    let lines = quoted(lines);
    format!(
        r#"
version = 1

[hosts.server.sources.archive]
plugin = "lines"
with = {{ path = {lines}, format = "json" }}

[hosts.server.sinks.stream]
plugin = "twitter-server"
inputs = ["archive"]
with = {{ listen = "127.0.0.1:{port}", credentials = {CREDENTIALS} }}

[hosts.producer.sources.stream]
plugin = "twitter"
with.url = "http://127.0.0.1:{port}"
with.endpoint = "sample"
with.on_close = "finish"
with.delimited = "{delimited}"
with.credentials = {CREDENTIALS}

[hosts.producer.processors.flatten]
plugin = "avro-encode"
inputs = ["stream"]
with.schema = {schema}

[hosts.producer.sinks.topic]
plugin = "kafka"
inputs = ["flatten"]
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 3 }}

[hosts.archive.sources.topic]
plugin = "kafka"
limit = {records}
with = {{ brokers = "{brokers}", topic = "{topic}", partitions = 3, group = "{topic}", start = "earliest", format = "avro", schema = {schema} }}

[hosts.archive.sinks.file]
plugin = "avro-file"
inputs = ["topic"]
with.path = "out/tweets.avro"
"#
    )
}

/// What one run must have come to, and what it left in its file.
struct Way<'a> {
    python: &'a Python,
    expected: Expected,
    folder: Folder,
    summary: Summary,
}

fn archive() -> Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn original() -> Need {
    needs::data("stream-mining/tweet_full.avsc")
}

fn torn() -> Need {
    needs::data("stream-mining/tweet_full.avro")
}

fn go<'a>(
    python: &'a Python,
    brokers: &str,
    topic: &str,
    lines: &Path,
    delimited: &str,
) -> Way<'a> {
    let original = original().path();
    let expected = extract(python, &original, lines);
    let folder = Folder::new();
    let hosts = hosts(brokers, topic, lines, expected.records.len(), delimited);
    let summary = folder.account(&hosts, &[]);
    Way {
        python,
        expected,
        folder,
        summary,
    }
}

impl Way<'_> {
    /// Every record of the oracle is in the file once, equal in every field.
    fn assert_file(&self) {
        let files = self.folder.files("out");
        assert_eq!(files, [self.folder.path("out/tweets.avro")]);
        let records = self.python.json_lines("read_avro.py", &files);
        assert_same_records(&records, &self.expected.records, "t_id");
    }

    /// Stages behind the source took what the oracle says.
    fn assert_counts(&self) {
        let Expected { records, dead, .. } = &self.expected;
        let records = records.len() as u64;
        let through = |received: u64, emitted: u64, dead_lettered: u64| Counts {
            received,
            emitted,
            consumed: received - dead_lettered,
            dead_lettered,
            ..Counts::default()
        };
        assert_eq!(
            self.summary.stage("producer/flatten"),
            through(records + dead, records, *dead)
        );
        assert_eq!(self.summary.stage("producer/topic"), through(records, 0, 0));
        assert_eq!(
            self.summary.stage("archive/topic"),
            through(records, records, 0)
        );
        assert_eq!(self.summary.stage("archive/file"), through(records, 0, 0));
    }
}

/// The topic, read by another client and decoded by another library.
fn on_topic(python: &Python, brokers: &str, topic: &str) -> Vec<Value> {
    let messages = python.json_lines("broker.py", &[brokers, "read", topic]);
    let datums: Vec<&str> = messages
        .iter()
        .map(|m| m["value"].as_str().expect("a value"))
        .collect();
    let folder = Folder::new();
    let input = folder.write("datums", &datums.join("\n"));
    let schema = e2e::root().join("schemas/tweet_full.avsc");
    python.json_lines("read_datums.py", &[schema.as_path(), &input])
}

fn an_archive_reaches_apache_kafka_and_a_file_whole_and_unchanged() {
    let (python, brokers) = (python(), given(kafka::shared()));
    let lines = archive().path();
    let topic = kafka::fresh("archive");
    let way = go(&python, brokers, &topic, &lines, "off");

    assert_eq!(
        (
            way.expected.records.len(),
            way.expected.dead,
            way.expected.other
        ),
        (2830, 0, 355)
    );
    let source = way.summary.stage("producer/stream");
    assert_eq!(
        (source.received, source.emitted, source.filtered),
        (3185, 2830, 355)
    );
    way.assert_counts();
    way.assert_file();
    let topic = on_topic(&python, brokers, &topic);
    assert_same_records(&topic, &way.expected.records, "t_id");
}

fn an_archive_passes_through_the_embedded_broker_too() {
    let python = python();
    let lines = archive().path();
    let way = go(&python, "embedded", "archive", &lines, "length");
    way.assert_counts();
    way.assert_file();
}

/// Payloads that others collected: messages, tweets that lack a required field, and lines that are
/// no JSON, each counted where it ends.
fn payloads_of_other_projects_end_where_they_should() {
    let (python, brokers) = (python(), given(kafka::shared()));
    for (name, tweets, dead, messages, garbage) in [
        ("tweet-updates", 33, 0, 0, 1),
        ("egg-mode", 12, 0, 0, 0),
        ("traptor", 7, 0, 13, 0),
        ("twitter4j", 3, 3, 8, 0),
        ("twitter-stream-rs", 1, 0, 1, 0),
    ] {
        let payloads = needs::data(name).path();
        let scratch = Folder::new();
        let lines = scratch.path("lines.json");
        let none = python.json_lines("payloads.py", &[payloads.as_path(), &lines]);
        assert!(none.is_empty());
        if tweets == dead {
            only_dead_letters(&scratch, &lines, tweets, messages);
            continue;
        }
        let way = go(&python, brokers, &kafka::fresh(name), &lines, "off");
        let source = way.summary.stage("producer/stream");
        assert_eq!(
            source,
            Counts {
                received: tweets + messages + garbage,
                emitted: tweets,
                consumed: tweets,
                filtered: messages,
                dead_lettered: garbage,
                ..Counts::default()
            },
            "{name}"
        );
        assert_eq!(way.expected.dead, dead, "{name}");
        way.assert_counts();
        way.assert_file();
    }
}

/// Tweets of 2009 have no `is_quote_status`: there is nothing to be written.
fn only_dead_letters(folder: &Folder, lines: &Path, tweets: u64, messages: u64) {
    let hosts = hosts("embedded", "none", lines, 1, "off");
    let (hosts, _) = hosts
        .split_once("[hosts.archive")
        .expect("the archive comes last");
    let summary = folder.account(hosts, &[]);
    let source = summary.stage("producer/stream");
    assert_eq!((source.emitted, source.filtered), (tweets, messages));
    let flatten = summary.stage("producer/flatten");
    assert_eq!(
        (flatten.received, flatten.dead_lettered, flatten.emitted),
        (tweets, tweets, 0)
    );
}

/// The file that the original's writer left without its last sync marker.
fn the_originals_torn_archive_gives_all_its_records() {
    let python = python();
    let torn = torn().path();
    let folder = Folder::new();
    let summary = folder.account(
        &format!(
            r#"
version = 1
[hosts.read.sources.torn]
plugin = "avro-file"
with.path = {}
[hosts.read.sinks.out]
plugin = "avro-file"
inputs = ["torn"]
with = {{ path = "out/whole.avro", codec = "null" }}
"#,
            quoted(&torn)
        ),
        &[],
    );
    assert_eq!(
        (
            summary.stage("read/torn").emitted,
            summary.stage("read/out").consumed
        ),
        (61, 61)
    );

    // fastavro, too, has them all before it misses the marker.
    let torn = torn.as_os_str();
    let expected = python.json_lines("read_avro.py", &["--torn".as_ref(), torn]);
    assert_eq!(expected.len(), 61);
    let ours = python.json_lines("read_avro.py", &folder.files("out"));
    let plain = |records: Vec<Value>| records.into_iter().map(without_dots).collect::<Vec<_>>();
    assert_same_records(&plain(ours), &plain(expected), "t_id");
}

/// The original's names had dots, which Avro's rules forbid.
fn without_dots(record: Value) -> Value {
    let fields = record.as_object().expect("a record").clone();
    fields
        .into_iter()
        .map(|(name, value)| (name.replace('.', "_"), value))
        .collect()
}

needs::tests! {
    an_archive_reaches_apache_kafka_and_a_file_whole_and_unchanged:
        needed::python(), needed::shared_kafka(), archive(), original();
    an_archive_passes_through_the_embedded_broker_too: needed::python(), archive(), original();
    payloads_of_other_projects_end_where_they_should:
        needed::python(), needed::shared_kafka(), original(), needs::data("tweet-updates"),
        needs::data("egg-mode"), needs::data("traptor"), needs::data("twitter4j"),
        needs::data("twitter-stream-rs");
    the_originals_torn_archive_gives_all_its_records: needed::python(), torn();
}
