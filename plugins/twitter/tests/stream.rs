//! The source reads what the server serves: both through the real boundary, over a real socket.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;

use common::{Server, credentials, merged, read_all, sleeps, source, tweet};
use plugin_api::Poll;
use plugin_api::testing::{Harness, Outcome, batch_of};
use plugin_api::{ContentType, Drain};
use plugin_twitter::ThisPlugin;
use serde_json::{Value, json};

fn archive() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn tweets(n: u64) -> Vec<Vec<u8>> {
    (1..=n)
        .map(|id| tweet(id, if id % 2 == 0 { "even rust" } else { "odd" }).into_bytes())
        .collect()
}

/// One run of `messages` from server to source.
fn run(server: Value, client: Value, messages: Vec<Vec<u8>>) -> (Outcome, Outcome) {
    let server = Server::start(server, messages);
    let mut stage = source(&server.address, client);
    let (got, error) = read_all(&mut stage);
    assert_eq!(error, None);
    stage.close().unwrap();
    (server.join(), got)
}

fn every_way_of_framing_brings_every_tweet() {
    let all = tweets(1_000);
    for (client, expected) in [
        (json!({}), 1_000),
        (json!({"gzip": true}), 1_000),
        (json!({"delimited": "length", "gzip": true}), 1_000),
        (json!({"delimited": "length", "track": ["rust"]}), 500),
        (json!({"track": ["RUST even", "python"]}), 500),
        (json!({"follow": [7]}), 1_000),
        (json!({"follow": [8]}), 0),
    ] {
        let (served, got) = run(json!({}), client.clone(), all.clone());
        assert_eq!(got.emitted(), expected, "{client}");
        assert_eq!(served.consumed_count(), expected as u64, "{client}");
        assert_eq!(served.filtered_count(), 1_000 - expected as u64, "{client}");
        let wanted = all.iter().enumerate();
        let wanted = wanted.filter(|(at, _)| expected == 1_000 || at % 2 == 1);
        if expected > 0 {
            assert!(
                got.values().iter().eq(wanted.map(|(_, bytes)| bytes)),
                "{client}"
            );
        }
        assert!(got.rejected_raw.is_empty() && got.filtered_count() == 0);
    }
}

fn the_archive_goes_through_whole() {
    let packed = archive().read();
    let mut text = Vec::new();
    bzip2::read::MultiBzDecoder::new(&packed[..])
        .read_to_end(&mut text)
        .unwrap();
    let lines: Vec<Vec<u8>> = text
        .split(|b| *b == b'\n')
        .map(|line| line.trim_ascii().to_vec())
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines.len(), 3_185);
    let tweets: Vec<&Vec<u8>> = lines
        .iter()
        .filter(|l| !l.starts_with(b"{\"delete\""))
        .collect();
    for client in [json!({"gzip": true}), json!({"delimited": "length"})] {
        let (served, got) = run(json!({}), client, lines.clone());
        assert_eq!(served.consumed_count(), 3_185);
        assert_eq!(got.emitted(), 2_830);
        assert!(
            got.values().iter().eq(tweets.iter().copied()),
            "byte for byte"
        );
        assert_eq!(got.filtered_count(), 355);
        assert!(got.rejected_raw.is_empty());
        let (_, batch) = &got.batches[0];
        let first = batch.record(0);
        assert_eq!(first.header("id"), Some(&b"1345059463120621570"[..]));
        assert_eq!(first.ts_us(), Some(1_609_522_140_661_000));
    }
    // A filter lets through what matches, and messages without a tweet.
    let (served, got) = run(json!({}), json!({"track": ["bts"]}), lines.clone());
    assert!(got.emitted() > 0 && got.emitted() < 2_830);
    assert_eq!(got.filtered_count(), 355);
    assert_eq!(served.consumed_count(), got.emitted() as u64 + 355);
    assert_eq!(served.filtered_count(), 2_830 - got.emitted() as u64);
}

fn messages_about_the_stream_are_counted_and_said() {
    let mut messages = Vec::new();
    for path in [
        "traptor/data/delete_message.json",
        "traptor/data/disconnect_message.json",
        "traptor/data/limit_message.json",
        "traptor/data/other_tweet_messages.json",
        "traptor/data/scrub_geo_message.json",
        "traptor/data/status_withheld_message.json",
        "traptor/data/user_withheld_message.json",
        "traptor/data/warning_message.json",
        "twitter-stream-rs/falling_behind_1.json",
    ] {
        messages.push(needs::data(path).read());
    }
    for path in [
        "twitter4j/streamingapi-testcase.jsonl",
        "twitter4j/streamingapi-event-testcase.jsonl",
    ] {
        let lines = needs::data(path).read();
        messages.extend(
            lines
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .map(<[u8]>::to_vec),
        );
    }
    messages.push(b"{\"friends\":[1,2]}".to_vec());
    messages.push(needs::data("twitter-stream-rs/tweet_1.json").read());
    let total = messages.len() as u64;

    let server = Server::start(json!({}), messages);
    let mut stage = source(
        &server.address,
        json!({"track": ["zzz"], "delimited": "length"}),
    );
    let (got, error) = read_all(&mut stage);
    assert_eq!(error, None);
    // The filter matches none of the four tweets.
    assert_eq!((got.emitted(), got.filtered_count()), (0, total - 4));
    assert!(got.rejected_raw.is_empty());
    let host = stage.host();
    for (name, count) in [
        ("delete", 4.0),
        ("limit", 3.0),
        ("scrub_geo", 3.0),
        ("status_withheld", 2.0),
        ("user_withheld", 2.0),
        ("warning", 3.0),
        ("disconnect", 2.0),
        ("event", 4.0),
        ("unknown", 1.0),
    ] {
        assert_eq!(
            host.metric_value(&format!("twitter_{name}")),
            count,
            "{name}"
        );
    }
    assert_eq!(host.metric_value("twitter_limit_missed"), 121_564.0);
    let said = |text: &str| {
        let lines = host.log_lines();
        lines
            .iter()
            .filter(|line| line.message.contains(text))
            .count()
    };
    assert_eq!(said("this client was too slow (code 4)"), 2);
    assert_eq!(
        said("(queue 60 % full): Your connection is falling behind"),
        3
    );
    assert_eq!(
        said("left out 1234 matching tweets"),
        1,
        "limits are said once a minute"
    );
    assert_eq!(server.join().filtered_count(), 4);
}

fn several_clients_get_what_each_asked_for() {
    let server = Server::start(json!({"min_clients": 3}), tweets(2_000));
    let clients = [
        json!({}),
        json!({"track": ["rust"]}),
        json!({"track": ["odd"]}),
    ];
    let readers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let mut stage = source(&server.address, client);
            std::thread::spawn(move || read_all(&mut stage).0.emitted())
        })
        .collect();
    let counts: Vec<usize> = readers.into_iter().map(|r| r.join().unwrap()).collect();
    assert_eq!(counts, [2_000, 1_000, 1_000]);
    let served = server.join();
    assert_eq!(
        (served.consumed_count(), served.filtered_count()),
        (2_000, 0)
    );
}

fn a_slow_client_holds_the_server_back_and_loses_nothing() {
    let server = Server::start(
        json!({"client_buffer": "4 KiB"}),
        (0..3_000)
            .map(|id| tweet(id, &"long ".repeat(1_000)).into_bytes())
            .collect(),
    );
    let mut stage = source(&server.address, json!({}));
    // Small budgets: far fewer records than the batches hold.
    let mut got = 0;
    loop {
        let (poll, outcome) = stage.poll(7, 100).unwrap();
        assert!(outcome.emitted() <= 7);
        for (_, batch) in &outcome.batches {
            for record in batch.iter() {
                let id = std::str::from_utf8(record.header("id").unwrap()).unwrap();
                assert_eq!(id, got.to_string(), "in order, none lost");
                got += 1;
            }
        }
        if poll == Poll::Finished {
            break;
        }
    }
    assert_eq!(got, 3_000);
    assert_eq!(server.join().consumed_count(), 3_000);
}

fn a_slow_client_may_be_passed_over_and_is_told() {
    let options = merged(
        json!({"credentials": credentials()}),
        json!({"client_buffer": "4 KiB", "when_slow": "drop"}),
    );
    let mut server =
        Harness::<ThisPlugin>::sink("twitter-server", &options, &[ContentType::json()]).unwrap();
    let mut stage = source(&common::address(server.host()), json!({}));
    let batch = batch_of((0..200).map(|id| tweet(id, &"long ".repeat(1_000))));
    // Nobody polls the source, so at some time everything on the way is full.
    let (mut served, mut given) = (Outcome::default(), 0);
    while server.host().metric_value("twitter_server_left_out") == 0.0 {
        served.merge(server.write(&batch).unwrap());
        given += 200;
    }
    let reader = std::thread::spawn(move || {
        let (got, _) = read_all(&mut stage);
        (got, stage)
    });
    // One that fits, sent when there is room again, brings the last notice.
    let mut is_sent = false;
    while !is_sent {
        let last = server.write(&batch_of([tweet(1_000, "x")])).unwrap();
        is_sent = last.filtered_count() == 0;
        served.merge(last);
        given += 1;
    }
    server.end(0).unwrap();
    served.merge(server.checkpoint(1, true).unwrap().1);
    let left_out = server.host().metric_value("twitter_server_left_out");
    server.close().unwrap();
    let (got, stage) = reader.join().unwrap();
    assert_eq!(served.filtered_count() as f64, left_out);
    assert_eq!(served.consumed_count() + served.filtered_count(), given);
    assert_eq!(got.emitted() as u64, served.consumed_count());
    assert_eq!(
        stage.host().metric_value("twitter_limit_missed"),
        left_out,
        "told exactly"
    );
}

fn a_tweet_whose_client_left_is_a_dead_letter() {
    let options = json!({"credentials": credentials()});
    let mut server =
        Harness::<ThisPlugin>::sink("twitter-server", &options, &[ContentType::json()]).unwrap();
    let stage = source(&common::address(server.host()), json!({}));
    let batch = batch_of((0..100).map(|id| tweet(id, &"long ".repeat(10_000))));
    let mut all = Outcome::default();
    let mut taken = 0;
    // Nobody polls, so the socket fills up.
    while server.host().metric_value("twitter_server_clients") == 0.0 {
        std::thread::yield_now();
    }
    let mut batches = 0;
    'full: loop {
        let mut from = 0;
        batches += 1;
        let mut idle = 0;
        while from < batch.len() {
            let (n, outcome) = server.write_from(0, &batch, from).unwrap();
            all.merge(outcome);
            from += n;
            taken += n as u64;
            idle = if n == 0 { idle + 1 } else { 0 };
            if idle == 50 {
                break 'full;
            }
        }
    }
    assert!(batches > 0);
    stage.close().unwrap();
    all.merge(server.checkpoint(1, true).unwrap().1);
    let lost = all.rejected.len() as u64;
    assert!(lost > 0);
    assert_eq!(all.consumed_count() + lost, taken, "each has one fate");
    assert_eq!(
        server.host().metric_value("twitter_server_undelivered"),
        lost as f64
    );
    server.close().unwrap();
}

fn a_run_that_ends_reads_what_was_sent() {
    let options = json!({"credentials": credentials(), "at_end": "idle"});
    let mut server =
        Harness::<ThisPlugin>::sink("twitter-server", &options, &[ContentType::json()]).unwrap();
    let mut stage = source(
        &common::address(server.host()),
        json!({"on_close": "reconnect"}),
    );
    server.write(&batch_of(tweets(500))).unwrap();
    server.end(0).unwrap();
    server.checkpoint(1, true).unwrap();
    assert_eq!(stage.drain().unwrap(), Drain::ToEnd);
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (500, None));
    assert!(sleeps(stage.host()).is_empty());
    stage.close().unwrap();
    server.close().unwrap();
}

fn https_with_a_certificate_made_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let server = Server::start(json!({"tls": {"ca_out": ca}}), tweets(300));
    assert!(server.address.starts_with("https://127.0.0.1:"));
    // Who does not know the authority does not connect, and says why.
    let mut stranger = source(&server.address, json!({}));
    let (_, outcome) = stranger.poll(usize::MAX, 300).unwrap();
    assert_eq!(outcome.emitted(), 0);
    let lines = stranger.host().log_lines();
    assert!(lines[0].message.contains("certificate"), "{lines:?}");
    assert_eq!(sleeps(stranger.host())[..3], [0.25, 0.5, 0.75]);
    stranger.close().unwrap();

    let mut stage = source(&server.address, json!({"ca_file": ca}));
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (300, None));
    assert_eq!(server.join().consumed_count(), 300);
}

fn secrets_are_neither_logged_nor_in_errors() {
    let server = Server::start(json!({}), tweets(1));
    let mut wrong = credentials();
    wrong["token_secret"] = "CANARY".into();
    let mut stage = source(&server.address, json!({"credentials": wrong}));
    let (_, error) = read_all(&mut stage);
    let error = error.unwrap();
    assert!(
        error
            .message
            .contains("check consumer_key, consumer_secret"),
        "{error}"
    );
    let mut right = source(&server.address, json!({}));
    read_all(&mut right);
    for text in stage
        .host()
        .log_lines()
        .iter()
        .map(|l| &l.message)
        .chain([&error.message])
    {
        assert!(
            !text.contains("CANARY") && !text.contains("secret\""),
            "{text}"
        );
    }
    server.join();
}

needs::tests! {
    every_way_of_framing_brings_every_tweet;
    the_archive_goes_through_whole:
        archive();
    messages_about_the_stream_are_counted_and_said:
        needs::data("traptor"), needs::data("twitter4j"), needs::data("twitter-stream-rs");
    several_clients_get_what_each_asked_for;
    a_slow_client_holds_the_server_back_and_loses_nothing;
    a_slow_client_may_be_passed_over_and_is_told;
    a_tweet_whose_client_left_is_a_dead_letter;
    a_run_that_ends_reads_what_was_sent;
    https_with_a_certificate_made_at_start;
    secrets_are_neither_logged_nor_in_errors;
}
