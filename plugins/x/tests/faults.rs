//! The source meets each fault of the API, waits as X's rules say (on a clock that writes the
//! waits down and does not wait), and goes on; nothing comes twice, and what is lost is counted.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use common::{
    Answer, Api, Part, TOKEN, ids, log, post, posts, read, read_all, sleeps, source, source_on,
    status, until,
};
use plugin_api::StageError;
use plugin_api::testing::{Outcome, TestHost};
use serde_json::{Value, json};

struct Met {
    api: Api,
    host: &'static TestHost,
    got: Outcome,
    error: Option<StageError>,
}

/// What the source makes of these connections, behind which there is only a 404.
fn meet(streams: impl IntoIterator<Item = Answer>, change: Value) -> Met {
    let api = Api::start(streams);
    let mut stage = source(&api, change);
    let (got, error) = read_all(&mut stage);
    let host = stage.host();
    stage.close().unwrap();
    Met {
        api,
        host,
        got,
        error,
    }
}

impl Met {
    fn waits(&self) -> Vec<f64> {
        sleeps(self.host)
    }

    fn metric(&self, name: &str) -> f64 {
        self.host.metric_value(name)
    }

    fn says(&self, words: &str) -> bool {
        log(self.host).iter().any(|line| line.contains(words))
    }
}

fn stream(parts: impl IntoIterator<Item = Part>) -> Answer {
    Answer::Stream(parts.into_iter().collect())
}

fn one(id: u64, then: Part) -> Answer {
    stream([Part::Post(post(id, "rust")), then])
}

fn bytes(value: &Value) -> Part {
    Part::Bytes(format!("{value}\r\n").into_bytes())
}

#[test]
fn overload_doubles_from_five_seconds_up_to_320() {
    let met = meet((0..8).map(|_| status("503 Service Unavailable")), json!({}));
    assert_eq!(
        met.waits(),
        [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0]
    );
    assert_eq!(met.error.unwrap().pointer, "/url");
}

#[test]
fn rate_limits_double_from_a_minute_unless_the_server_knows_better() {
    let now_s = 1_800_000_000_i64;
    let host = TestHost::leaked();
    host.set_now_us(now_s * 1_000_000);
    let limited = |headers| Answer::Status("429 Too Many Requests", headers, String::new());
    let api = Api::start([
        limited(""),
        limited(""),
        limited("x-rate-limit-reset: 1800000800\r\n"),
        limited("x-rate-limit-reset: 1800000001\r\n"),
        limited("Retry-After: 1000\r\n"),
    ]);
    let mut stage = source_on(host, &api, json!({}), None);
    assert!(read_all(&mut stage).1.is_some());
    assert_eq!(sleeps(host), [60.0, 120.0, 800.0, 480.0, 1000.0]);
}

#[test]
fn too_many_connections_are_waited_for_and_said() {
    let problem = json!({
        "title": "ConnectionException",
        "detail": "This stream is currently at the maximum allowed connection limit.",
        "connection_issue": "TooManyConnections",
        "type": "https://api.twitter.com/2/problems/streaming-connection",
    });
    let met = meet(
        [
            Answer::Status("429 Too Many Requests", "", problem.to_string()),
            // The same within a stream, behind a post too: it does not make all well again.
            stream([Part::Post(post(1, "rust")), bytes(&problem)]),
            stream([bytes(&problem)]),
        ],
        json!({}),
    );
    assert_eq!(met.waits(), [60.0, 120.0, 240.0]);
    assert!(met.says("answered 429 (This stream is currently at the maximum allowed"));
    assert!(met.says("the server says: This stream is currently"));
    assert_eq!(met.metric("x_error"), 2.0);
    assert_eq!(met.got.filtered_count(), 2);
}

#[test]
fn trouble_is_over_when_posts_come() {
    let problem = |issue: &str| {
        bytes(&json!({"title": "ConnectionException", "detail": "no", "connection_issue": issue}))
    };
    let troubled = |id: u64| {
        [
            problem("TooManyConnections"),
            problem("Other"),
            Part::Post(post(id, "rust")),
        ]
    };
    let met = meet(
        [
            stream(troubled(1)),
            stream(troubled(2).into_iter().chain([Part::Cut])),
            stream(troubled(3).into_iter().chain([problem("Other")])),
        ],
        json!({}),
    );
    assert_eq!(ids(&met.got), [1, 2, 3]);
    // Short streams in a row are not hurried; more only where the last word was no post.
    assert_eq!(met.waits(), [0.25, 5.0]);
}

#[test]
fn what_the_server_says_with_each_message_is_logged_once_a_minute() {
    let says = |id: u64| {
        let error = bytes(&json!({"title": "Oops", "detail": "once more"}));
        let leaves = bytes(&json!({"title": "operational-disconnect", "detail": "once more"}));
        (0..50)
            .flat_map(move |_| [error.clone(), leaves.clone()])
            .chain([Part::Post(post(id, "rust"))])
    };
    let host = TestHost::leaked();
    let minutes = Arc::new(AtomicU64::new(0));
    let of_server = minutes.clone();
    let minute = common::Pace(Arc::new(move || of_server.load(SeqCst)));
    let later = [Part::WhenRead(minute, 1)].into_iter().chain(says(2));
    let api = Api::start([stream(says(1).chain(later).chain([Part::Hold]))]);
    let mut stage = source_on(host, &api, json!({"stall_timeout": "1h"}), None);
    let lines = || {
        log(host)
            .iter()
            .filter(|line| line.contains("once more"))
            .count()
    };
    read(&mut stage, 1);
    assert_eq!((lines(), host.metric_value("x_error")), (2, 50.0));
    host.advance(60_000_000_000);
    minutes.store(1, SeqCst);
    read(&mut stage, 1);
    assert_eq!((lines(), host.metric_value("x_disconnect")), (4, 100.0));
    stage.close().unwrap();
}

#[test]
fn an_operational_disconnect_is_taken_up_at_once_if_the_stream_had_run() {
    let problem = json!({"errors": [{
        "title": "operational-disconnect",
        "disconnect_type": "UpstreamOperationalDisconnect",
        "detail": "This stream has been disconnected upstream for operational reasons.",
        "type": "https://api.x.com/2/problems/operational-disconnect",
    }]});
    let met = meet(
        [
            one(1, bytes(&problem)),
            one(2, bytes(&problem)),
            stream([bytes(&problem)]),
            stream([bytes(&problem)]),
        ],
        json!({}),
    );
    assert_eq!(ids(&met.got), [1, 2]);
    // The second time in a row that it ends after a moment it is not hurried.
    assert_eq!(met.waits(), [0.25, 0.5, 0.75]);
    assert_eq!(met.metric("x_disconnect"), 4.0);
    assert!(
        met.says("the server disconnects (UpstreamOperationalDisconnect): This stream has been")
    );
}

#[test]
fn an_account_without_credits_waits_for_a_recharge() {
    let body = json!({"title": "CreditsDepleted", "detail": "Your account has no credits"});
    let met = meet(
        [Answer::Status("402 Payment Required", "", body.to_string())],
        json!({}),
    );
    assert_eq!(met.waits(), [60.0]);
    assert!(met.says("answered 402 (Your account has no credits)"));
}

#[test]
fn what_will_not_pass_ends_the_run_and_names_the_option() {
    let invalid = r#"{"errors":[{"parameters":{"backfill_minutes":["2"]},"message":"no"}],"title":"Invalid Request"}"#;
    for (line, body, pointer) in [
        ("400 Bad Request", invalid, "/backfill_minutes"),
        ("401 Unauthorized", "", "/bearer_token"),
        ("403 Forbidden", "", "/bearer_token"),
        ("404 Not Found", "", "/url"),
    ] {
        let met = meet([Answer::Status(line, "", body.into())], json!({}));
        assert_eq!(met.error.as_ref().unwrap().pointer, pointer, "{line}");
        assert!(met.waits().is_empty());
    }
    let api = Api::start([]);
    let error = read_all(&mut source(&api, json!({"bearer_token": "other"}))).1;
    assert_eq!(error.unwrap().pointer, "/bearer_token");
}

#[test]
fn a_cut_within_a_message_is_a_dead_letter_and_the_stream_is_taken_up_at_once() {
    let half = || Part::Bytes(b"{\"data\":{\"id\":\"9\",\"te".to_vec());
    let met = meet(
        [
            stream([Part::Post(post(1, "rust")), half(), Part::Cut]),
            stream([Part::Post(post(2, "rust")), half()]),
            one(3, Part::Cut),
        ],
        json!({}),
    );
    assert_eq!(
        ids(&met.got),
        [1, 2, 3],
        "{:#?} {:?}",
        log(met.host),
        met.error
    );
    // The second time in a row that it breaks after a moment it is not hurried.
    assert_eq!(met.waits(), [0.25, 0.25]);
    assert_eq!(met.metric("x_reconnects"), 3.0);
    assert_eq!(met.got.rejected_raw.len(), 2);
    for (bytes, why) in &met.got.rejected_raw {
        assert!(bytes.ends_with(b"\"te"));
        assert_eq!(
            why,
            "the connection ended within this message, after 21 bytes"
        );
    }
}

#[test]
fn a_connection_that_breaks_before_anything_came_is_tried_a_little_later_each_time() {
    let met = meet((0..3).map(|_| stream([Part::Cut])), json!({}));
    assert_eq!(met.waits(), [0.25, 0.5, 0.75]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut stage = source(&met.api, json!({"url": address}));
    until("70 waits", || {
        stage.poll(1, 10).unwrap();
        sleeps(stage.host()).len() >= 70
    });
    let waits = sleeps(stage.host());
    assert_eq!(waits[..3], [0.25, 0.5, 0.75]);
    assert_eq!(waits[62..66], [15.75, 16.0, 16.0, 16.0]);
    stage.close().unwrap();
}

#[test]
fn a_silent_stream_is_left_after_a_minute_and_keep_alives_count() {
    let api = Api::start([stream([Part::KeepAlive, Part::Hold]), stream(posts([1]))]);
    let mut stage = source(&api, json!({}));
    let host = stage.host();
    until("a connection", || {
        stage.poll(usize::MAX, 10).unwrap();
        host.metric_value("x_connected") == 1.0
    });
    host.advance(59_000_000_000);
    stage.poll(usize::MAX, 300).unwrap();
    assert_eq!(host.metric_value("x_stalls"), 0.0);
    host.advance(2_000_000_000);
    let got = read(&mut stage, 1);
    assert_eq!(ids(&got), [1]);
    assert_eq!(host.metric_value("x_stalls"), 1.0);
    assert!(sleeps(host).is_empty());
    // All that while nothing was asked for again.
    assert!(host.metric_value("x_missed_seconds") >= 60.0);
    assert!(
        log(host)
            .iter()
            .any(|l| l.contains("were missed between two connections"))
    );
    stage.close().unwrap();
}

#[test]
fn oversized_messages_and_garbage_are_bounded_dead_letters() {
    let long = format!("{}\r\n", "x".repeat(200_000));
    let met = meet(
        [stream([
            Part::Bytes(long.into_bytes()),
            Part::Bytes(b"<html>\r\n".to_vec()),
            Part::Bytes(b"\xff\xfe\r\n".to_vec()),
            Part::Post(post(1, "rust")),
        ])],
        json!({"max_message_bytes": "100 kB", "on_close": "finish"}),
    );
    assert_eq!((ids(&met.got), met.error), (vec![1], None));
    let dead: Vec<_> = met
        .got
        .rejected_raw
        .iter()
        .map(|(b, why)| (b.len(), &**why))
        .collect();
    assert_eq!(dead.len(), 3);
    assert_eq!(dead[0].0, 65_536);
    assert!(
        dead[0]
            .1
            .starts_with("200000 bytes, more than max_message_bytes = 100000")
    );
    assert!(dead[1].1.starts_with("not JSON"), "{dead:?}");
    assert_eq!(dead[2], (2, "not UTF-8 at byte 0"));
}

#[test]
fn a_compressed_stream_is_read_as_it_comes() {
    let api = Api::start([stream(posts(1..=50).into_iter().chain([Part::Hold]))]);
    let mut stage = source(&api, json!({"gzip": true}));
    assert_eq!(ids(&read(&mut stage, 50)), (1..=50).collect::<Vec<_>>());
    assert!(
        api.state()
            .requests
            .iter()
            .any(|r| r.head.contains("accept-encoding: gzip"))
    );
    stage.close().unwrap();
}

#[test]
fn backfill_is_asked_for_by_the_length_of_the_gap_and_brings_nothing_twice() {
    let refuse = || status("503 Service Unavailable");
    let met = meet(
        [
            one(1, Part::Cut),
            // At once: one minute covers it.
            stream([
                Part::Post(post(1, "rust")),
                Part::Post(post(2, "rust")),
                Part::Cut,
            ]),
            // 5 + 10 + 20 + 40 s: two minutes.
            refuse(),
            refuse(),
            refuse(),
            refuse(),
            stream(posts([2, 1, 3]).into_iter().chain([Part::Cut])),
            // 5 + … + 160 s, and 5 for the first: more than five minutes.
            refuse(),
            refuse(),
            refuse(),
            refuse(),
            refuse(),
            refuse(),
            refuse(),
            stream(posts([4, 3])),
        ],
        json!({"backfill_minutes": 5}),
    );
    assert_eq!(ids(&met.got), [1, 2, 3, 4]);
    assert_eq!(met.metric("x_duplicates"), 4.0);
    assert_eq!(met.got.filtered_count(), 4);
    let queries = met.api.stream_queries();
    let minutes: Vec<_> = queries
        .iter()
        .map(|q| q.split_once("&backfill_minutes=").map_or("0", |(_, n)| n))
        .collect();
    assert_eq!(minutes[0], "0", "there is nothing to ask for at first");
    assert_eq!(minutes[1], "1");
    assert_eq!(minutes[6], "2");
    assert_eq!(minutes[14], "5");
    // 635 s without a stream, of which 300 were asked for.
    let missed = met.metric("x_missed_seconds");
    assert!((335.0..=337.0).contains(&missed), "{missed}");
}

#[test]
fn a_snapshot_knows_what_went_on_and_when() {
    let now_us = 1_800_000_000_000_000;
    let host = TestHost::leaked();
    host.set_now_us(now_us);
    let api = Api::start([
        stream(posts([1, 2]).into_iter().chain([Part::Hold])),
        stream(posts([2, 3]).into_iter().chain([Part::Hold])),
        stream(posts([3, 4]).into_iter().chain([Part::Hold])),
    ]);
    let backfill = json!({"backfill_minutes": 3});
    let mut stage = source_on(host, &api, backfill.clone(), None);
    assert_eq!(ids(&read(&mut stage, 2)), [1, 2]);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    stage.close().unwrap();
    // 100 s later, after a crash.
    let host = TestHost::leaked();
    host.set_now_us(now_us + 100_000_000);
    let mut stage = source_on(host, &api, backfill, Some(&state));
    assert_eq!(ids(&read(&mut stage, 1)), [3]);
    assert_eq!(host.metric_value("x_missed_seconds"), 0.0);
    let (state, _) = stage.checkpoint(2, false).unwrap();
    stage.close().unwrap();
    // The same without backfill.
    let host = TestHost::leaked();
    host.set_now_us(now_us + 200_000_000);
    let mut stage = source_on(host, &api, json!({}), Some(&state));
    assert_eq!(ids(&read(&mut stage, 1)), [4]);
    assert_eq!(host.metric_value("x_missed_seconds"), 100.0);
    stage.close().unwrap();
    let queries = api.stream_queries();
    assert!(!queries[0].contains("backfill") && !queries[2].contains("backfill"));
    assert!(
        queries[1].ends_with("&backfill_minutes=2"),
        "{}",
        queries[1]
    );
}

#[test]
fn a_damaged_snapshot_is_an_error() {
    let api = Api::start([]);
    let options = common::options(&api, json!({}));
    let host = TestHost::leaked();
    let opened = plugin_api::testing::Harness::<plugin_x::ThisPlugin>::open_at(
        host,
        "source",
        "x",
        &options,
        &[],
        (1, Some(b"short")),
    );
    assert!(opened.err().unwrap().message.contains("damaged"));
}

#[test]
fn the_token_is_shown_nowhere() {
    let echo = json!({"title": "Forbidden", "detail": "no"}).to_string();
    let met = meet(
        [
            one(1, Part::Cut),
            status("503 Service Unavailable"),
            Answer::Status(
                "302 Found",
                "Location: http://127.0.0.1:1/elsewhere\r\n",
                String::new(),
            ),
            Answer::Status("403 Forbidden", "", echo),
        ],
        json!({}),
    );
    assert!(met.error.is_some());
    let mut shown = log(met.host);
    shown.push(format!("{:?}", met.error));
    shown.push(String::from_utf8(met.got.values().concat()).unwrap());
    assert!(shown.len() > 5);
    for line in &shown {
        assert!(!line.contains("CANARY") && !line.contains(TOKEN), "{line}");
    }
    let state = met.api.state();
    assert!(state.requests.iter().all(|r| !r.target.contains("CANARY")));
}
