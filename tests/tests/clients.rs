//! Clients that know nothing of us on the server that plays Twitter.

use e2e::{
    host::{Folder, PATIENCE, quoted},
    kafka::free_ports,
    needed,
    process::Process,
    python::python,
};

fn archive() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

/// tweepy 3.10.0 speaks to it over HTTPS as it did to Twitter, and gets what our source gets.
fn tweepy_gets_the_tweets_that_our_source_gets() {
    let python = python();
    let archive = archive().path();
    let folder = Folder::new();
    let [port] = free_ports();
    let lines = quoted(&archive);
    let credentials = r#"{ consumer_key = "env:E2E_1?key", consumer_secret = "env:E2E_2?secret", token = "env:E2E_3?token", token_secret = "env:E2E_4?token-secret" }"#;
    // It waits for both, so both get all of it.
    folder.write(
        "server.toml",
        &format!(
            r#"
version = 1
[hosts.server.sources.archive]
plugin = "lines"
with = {{ path = {lines}, format = "json" }}
[hosts.server.sinks.stream]
plugin = "twitter-server"
inputs = ["archive"]
with.listen = "127.0.0.1:{port}"
with.min_clients = 2
with.tls = {{ ca_out = "ca.pem" }}
with.credentials = {credentials}
"#
        ),
    );
    folder.write(
        "client.toml",
        &format!(
            r#"
version = 1
[hosts.client.sources.stream]
plugin = "twitter"
with.url = "https://127.0.0.1:{port}"
with.track = ["love"]
with.ca_file = "ca.pem"
with.on_close = "finish"
with.credentials = {credentials}
[hosts.client.sinks.out]
plugin = "lines"
inputs = ["stream"]
with.path = "ours.json"
"#
        ),
    );
    let run = |file: &str| folder.host(&["--config", file, "--summary", "json"]);
    let mut server = Process::start(&mut run("server.toml"));
    server.wait_for("listening server", PATIENCE, |_, line| {
        line.contains(&port.to_string()).then_some(())
    });
    let mut tweepy = python.script("stream_tweepy.py");
    tweepy
        .arg(format!("127.0.0.1:{port}"))
        .arg(folder.path("ca.pem"));
    let tweepy = Process::start(tweepy.args(["key", "secret", "token", "token-secret", "love"]));
    let ours = Process::start(&mut run("client.toml")).finish(PATIENCE);
    let tweepy = tweepy.finish(PATIENCE);
    let summary = ours.account();
    let served = server.finish(PATIENCE).account();
    assert_eq!(tweepy.code, Some(0), "{}", tweepy.stderr);

    let by_id = |message: serde_json::Value| message["id"].as_u64().map(|id| (id, message));
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let mut theirs: Vec<_> = tweepy
        .stdout
        .iter()
        .map(|line| read(read(line).as_str().expect("a message as a string")))
        .filter_map(by_id)
        .collect();
    let lines = std::fs::read_to_string(folder.path("ours.json")).expect("our output");
    let mut ours: Vec<_> = lines.lines().map(read).filter_map(by_id).collect();
    theirs.sort_by_key(|(id, _)| *id);
    ours.sort_by_key(|(id, _)| *id);
    assert_eq!(ours.len() as u64, summary.stage("client/out").consumed);
    assert_eq!(ours, theirs);
    // Which these are is not the server's word alone.
    let mut expected: Vec<_> = python
        .json_lines("matching.py", &["love".as_ref(), archive.as_os_str()])
        .iter()
        .map(|id| id.as_u64().expect("an id"))
        .collect();
    expected.sort_unstable();
    assert_eq!(expected.len(), 38);
    assert_eq!(ours.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected);
    assert_eq!(served.stage("server/archive").emitted, 3185);
}

needs::tests! {
    tweepy_gets_the_tweets_that_our_source_gets: needed::python(), archive();
}
