//! The scripts of the original that the demo does not start by itself, as hosts of the shipped
//! hosts.toml, beside Apache Kafka. (The others are what the demo's own tests see.)

use std::process::Command;

use e2e::{
    host::{Folder, PATIENCE},
    kafka::{Kafka, free_ports},
    needed::{self, given},
    process::{Finished, Process},
    python::python,
};
use serde_json::Value;

/// Hosts of the shipped file, on ports of their own.
fn hosts(folder: &Folder, kafka: &Kafka, names: &[&str], args: &[&str]) -> Command {
    let mut all = vec!["demo", "--summary", "json"];
    all.extend(names.iter().flat_map(|name| ["-n", *name]));
    all.extend_from_slice(args);
    let [stream] = free_ports();
    let mut host = folder.host(&all);
    host.env("KAFKA_BROKERS", kafka.brokers())
        .env("TWITTER_LISTEN", format!("127.0.0.1:{stream}"))
        .env("TWITTER_URL", format!("http://127.0.0.1:{stream}"));
    host
}

fn run(command: &mut Command) -> Finished {
    Process::start(command).finish(PATIENCE)
}

/// The names of a record's fields, sorted.
fn names(record: &Value) -> Vec<&str> {
    let mut names: Vec<_> = record
        .as_object()
        .expect("a record")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// simple_kafka_producer.py and simple_kafka_consumer.py.
fn users_are_produced_and_printed_from_the_beginning_or_from_now() {
    let (python, kafka) = (python(), given(Kafka::start()));
    let folder = Folder::new();
    let made = run(&mut hosts(
        &folder,
        &kafka,
        &["user-producer"],
        &["--limit", "3"],
    ))
    .account();
    assert_eq!(made.stage("user-producer/topic").consumed, 3);

    let messages = python.json_lines("broker.py", &[kafka.brokers(), "read", "user"]);
    let datums: Vec<_> = messages
        .iter()
        .map(|message| message["value"].as_str().expect("a datum"))
        .collect();
    let datums = folder.write("datums", &datums.join("\n"));
    let schema = folder.path("schemas/user.avsc");
    let users = python.json_lines("read_datums.py", &[schema, datums]);
    assert_eq!(users.len(), 3);

    let consumer = |start: &str, args: &[&str]| {
        let mut host = hosts(&folder, &kafka, &["user-consumer"], args);
        run(host.env("START", start))
    };
    let printed = consumer("earliest", &["--limit", "3"]);
    assert_eq!(
        printed.account().stage("user-consumer/terminal").consumed,
        3
    );
    let text = printed.stdout.join("\n");
    for user in &users {
        let fields = user.as_object().expect("a user");
        assert_eq!(names(user), ["address", "id", "name"]);
        for (name, value) in fields {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let line = printed
                .stdout
                .iter()
                .any(|l| l.contains(name) && l.contains(&value));
            assert!(line, "{name} {value} is not in {text}");
        }
    }
    // What the group has read already wins over the beginning.
    let again = consumer("earliest", &["--for", "4s"]).account();
    assert_eq!(again.stage("user-consumer/users").received, 0);
}

/// get_tweets_with_listener.py: author and text, in which each run of white space is one space.
fn the_listener_writes_author_and_cleaned_text() {
    let (python, kafka) = (python(), given(Kafka::start()));
    let folder = Folder::new();
    let ran = run(&mut hosts(
        &folder,
        &kafka,
        &["simulator", "listener"],
        &["--limit", "1000"],
    ));
    let written = ran.account().stage("listener/file").consumed;
    let files = folder.files("out");
    assert_eq!(files.len(), 1, "{files:?}");
    let rows = python.json_lines("read_csv.py", &files);
    assert_eq!(rows.len() as u64, written);
    assert!(written > 0, "nothing mentioned the words");
    for row in &rows {
        assert_eq!(names(row), ["name", "text"]);
        let text = row["text"].as_str().expect("text");
        assert_eq!(text, text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

/// kafka_twitter_producer.py and kafka_twitter_consumer.py: every field by its name.
fn the_consumer_prints_every_field_of_each_tweet() {
    let kafka = given(Kafka::start());
    let folder = Folder::new();
    let made = run(&mut hosts(
        &folder,
        &kafka,
        &["simulator", "producer"],
        &["--limit", "100"],
    ));
    let tweets = made.account().stage("producer/tweets").consumed;
    let mut host = hosts(
        &folder,
        &kafka,
        &["consumer"],
        &["--limit", &tweets.to_string()],
    );
    let printed = run(host.env("START", "earliest"));
    assert_eq!(
        printed.account().stage("consumer/terminal").consumed,
        tweets
    );
    let schema = std::fs::read_to_string(folder.path("schemas/tweet_full.avsc")).expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    for field in schema["fields"].as_array().expect("fields") {
        let name = field["name"].as_str().expect("a name");
        let lines = printed.stdout.iter().filter(|line| {
            line.trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with('_'))
        });
        assert_eq!(lines.count() as u64, tweets, "{name}");
    }
}

needs::tests! {
    users_are_produced_and_printed_from_the_beginning_or_from_now: needed::python(), needed::kafka();
    the_listener_writes_author_and_cleaned_text: needed::python(), needed::kafka();
    the_consumer_prints_every_field_of_each_tweet: needed::kafka();
}
