//! The budget holds on a real connection: what X sends, and bills, never exceeds it, and what is
//! left is known from run to run.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use common::{
    Answer, Api, Pace, ids, log, paced, posts, read, read_all, sleeps, source_on, status, until,
};
use plugin_api::testing::TestHost;
use serde_json::{Value, json};

/// 2026-01-30 23:30.
const NIGHT_US: i64 = 1_769_815_800_000_000;
const DAY_US: i64 = 86_400_000_000;

fn host_at(now_us: i64) -> &'static TestHost {
    let host = TestHost::leaked();
    host.set_now_us(now_us);
    host
}

/// How many posts a host has read since a stream began, which asks for it first.
fn read_of(host: &'static TestHost) -> Pace {
    let before = OnceLock::new();
    Pace(Arc::new(move || {
        let read = host.metric_value("x_posts") as u64;
        read - *before.get_or_init(|| read)
    }))
}

fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("posts.json")
}

fn account(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The account of a source without a connection, which has read so many posts tonight.
fn settled(posts: u64) -> Value {
    json!({"day": "2026-01-30", "day_posts": posts, "month_posts": posts, "reading": false})
}

fn budget(path: &Path, limits: Value, change: Value) -> Value {
    let max = common::merged(limits, json!({"file": path, "in_flight": 5}));
    common::merged(json!({"max_posts": max}), change)
}

#[test]
fn a_day_is_spent_and_the_next_one_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_at(NIGHT_US);
    let api = Api::start([
        paced(1..=1_000, 5, &read_of(host)),
        paced(1_001..=2_000, 5, &read_of(host)),
    ]);
    let with = budget(&file(&folder), json!({"day": 30, "month": 50}), json!({}));
    let mut stage = source_on(host, &api, with, None);
    assert_eq!(ids(&read(&mut stage, 25)), (1..=25).collect::<Vec<_>>());
    until("it waits", || !sleeps(host).is_empty());
    assert!(api.state().sent <= 30, "{}", api.state().sent);
    assert_eq!(sleeps(host)[0], 1_801.0, "to midnight, and a second");
    let left = || {
        let left = |of: &str| host.metric_value(&format!("x_posts_left_{of}"));
        (left("day"), left("month"))
    };
    assert_eq!(left(), (0.0, 20.0));
    let says = "the budget of max_posts is spent (day = 30) until 2026-01-31T00:00:00Z";
    assert!(
        log(host).iter().any(|line| line.starts_with(says)),
        "{:?}",
        log(host)
    );
    // The month leaves 20, five of them for what may be under way.
    host.set_now_us(NIGHT_US + DAY_US / 24);
    assert_eq!(read(&mut stage, 15).emitted(), 15);
    until("it waits again", || left() == (10.0, 0.0));
    assert!(api.state().sent <= 50, "{}", api.state().sent);
    until("it says so", || {
        log(host)
            .iter()
            .any(|l| l.contains("(month = 50) until 2026-02-01"))
    });
    stage.close().unwrap();
}

#[test]
fn a_spent_source_may_finish_and_the_next_run_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"day": 30}), json!({"when_spent": "finish"}));
    let host = host_at(NIGHT_US);
    let api = Api::start([paced(1..=1_000, 5, &read_of(host))]);
    let mut stage = source_on(host, &api, with.clone(), None);
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (25, None));
    stage.close().unwrap();
    assert!(
        log(host).iter().any(
            |line| line == "read and paid for: 30 of 30 posts today (UTC), 30 posts this month"
        ),
        "{:?}",
        log(host)
    );
    assert_eq!(account(&path), settled(30));
    // A run that finished leaves no snapshot behind: the file knows.
    let host = host_at(NIGHT_US + 1_000_000);
    let mut stage = source_on(host, &api, with, None);
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (0, None));
    assert_eq!(
        api.asked().len(),
        4,
        "nothing was asked for: {:?}",
        api.asked()
    );
    assert_eq!(host.metric_value("x_posts_left_day"), 0.0);
    stage.close().unwrap();
}

#[test]
fn a_stop_tells_what_was_read_and_each_connection_costs_what_may_be_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"month": 1_000}), json!({}));
    let host = host_at(NIGHT_US);
    let api = Api::start([
        status("503 Service Unavailable"),
        Answer::Stream(posts(1..=3)),
        paced(4..=6, 5, &read_of(host)),
    ]);
    let mut stage = source_on(host, &api, with, None);
    assert_eq!(read(&mut stage, 6).emitted(), 6);
    stage.close().unwrap();
    // One connection was left; the refused one brought nothing, and all of the other was read.
    assert_eq!(account(&path), settled(6 + 5));
}

/// Each start, and each attempt of a server that flaps, would spend what may be under way.
#[test]
fn an_attempt_that_brings_nothing_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"day": 500}), json!({"when_spent": "finish"}));
    let refused = || status("401 Unauthorized");
    let busy = || status("503 Service Unavailable");
    let limited = || status("429 Too Many Requests");
    let unread = || Answer::Status("200 OK", "", "no rules".into());
    let empty = || Answer::Stream(vec![]);
    // What the rules endpoint answers, and the stream's. The last one is 401, or 404.
    for (rules, streams) in [
        (vec![], vec![refused()]),
        (vec![refused()], vec![]),
        (vec![busy(), unread(), refused()], vec![]),
        (vec![], vec![busy(), limited(), busy()]),
        (vec![], (0..100).map(|_| empty()).collect()),
    ] {
        let case = format!("{rules:?} {streams:?}");
        let host = host_at(NIGHT_US);
        let api = Api::start(streams);
        api.state().rules_faults = rules.into();
        let mut stage = source_on(host, &api, with.clone(), None);
        assert!(read_all(&mut stage).1.is_some(), "{case}");
        stage.close().unwrap();
        assert_eq!(account(&path), settled(0), "{case}");
    }
}

/// A crash or a stop while it waits for the next attempt costs nothing either.
#[test]
fn without_a_connection_the_account_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"day": 500}), json!({}));
    let host = host_at(NIGHT_US);
    host.hold_sleeps(true);
    let api = Api::start([status("503 Service Unavailable")]);
    let stage = source_on(host, &api, with, None);
    until("it waits", || sleeps(host) == [5.0]);
    assert_eq!(account(&path), settled(0));
    host.cancel();
    stage.close().unwrap();
    assert_eq!(account(&path), settled(0));
}

#[test]
fn a_server_that_is_not_reached_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // The rules are in step; behind them nobody is there for the stream.
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        drop(listener);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let rule = r#"{"id":"1","value":"(rust OR #rust OR @rust OR url:rust)","tag":"x:track"}"#;
        let body = format!(r#"{{"data":[{rule}],"meta":{{}}}}"#);
        let length = body.len();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });
    let host = host_at(NIGHT_US);
    host.hold_sleeps(true);
    let with = budget(&path, json!({"day": 500}), json!({"url": address}));
    let stage = source_on(host, &Api::start([]), with, None);
    until("it waits", || sleeps(host).len() == 1);
    server.join().unwrap();
    assert!(
        log(host).iter().any(|line| line.starts_with("rules of"))
            && log(host).iter().any(|line| line.contains("is not reached")),
        "{:?}",
        log(host)
    );
    host.cancel();
    stage.close().unwrap();
    assert_eq!(account(&path), settled(0));
}

/// X may have sent, and billed, what was on its way.
#[test]
fn a_stream_that_breaks_costs_what_may_be_under_way_even_before_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"day": 500}), json!({}));
    let host = host_at(NIGHT_US);
    let broken = Answer::Stream(vec![common::Part::Cut]);
    let api = Api::start([Answer::Nothing, broken, status("401 Unauthorized")]);
    let mut stage = source_on(host, &api, with, None);
    assert!(read_all(&mut stage).1.is_some());
    stage.close().unwrap();
    assert_eq!(account(&path), settled(2 * 5));
}

/// Three posts in one piece of a compressed stream, of which the first is the last that may be
/// read: X has sent them all.
#[test]
fn what_came_with_the_last_post_is_counted_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let max = json!({"day": 2, "in_flight": 1, "file": path});
    let with = json!({"max_posts": max, "when_spent": "finish", "gzip": true});
    let host = host_at(NIGHT_US);
    // Each needs more than is unpacked at a time, as it cannot be compressed much.
    let mut noise = 1_u64;
    let mut line = |id: u64| {
        let words = (0..300).map(|_| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!(" {noise:x}")
        });
        let text = format!("rust{}", words.collect::<String>());
        format!("{}\r\n", common::post(id, &text))
    };
    let piece = [line(1), line(2), line(3)].concat().into_bytes();
    let api = Api::start([Answer::Stream(vec![
        common::Part::Bytes(piece),
        common::Part::Hold,
    ])]);
    let mut stage = source_on(host, &api, with, None);
    let (got, error) = read_all(&mut stage);
    assert_eq!((ids(&got), error), (vec![1, 2, 3], None));
    stage.close().unwrap();
    assert_eq!(account(&path), settled(3));
    assert_eq!(host.metric_value("x_posts"), 3.0);
}

#[test]
fn everything_that_x_sends_counts_wanted_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(
        &path,
        json!({"month": 1_000}),
        json!({"on_close": "finish"}),
    );
    let host = host_at(NIGHT_US);
    let api = Api::start([Answer::Stream(vec![
        common::Part::Post(common::post(1, "rust")),
        common::Part::Post(common::post(1, "rust")),
        common::Part::Post(common::post(2, "no such word")),
        common::Part::KeepAlive,
        common::Part::Bytes(b"{\"data\":{\"id\":\"3\",\"te\r\n".to_vec()),
        common::Part::Bytes(b"{\"weather\":\"fine\"}\r\n".to_vec()),
        common::Part::Bytes(b"{\"data\":{\"id\":\"4\"".to_vec()),
    ])]);
    let mut stage = source_on(host, &api, with, None);
    assert_eq!(read_all(&mut stage).0.emitted(), 1);
    stage.close().unwrap();
    // The server ended it in good order: nothing else was under way.
    assert_eq!(account(&path), settled(5));
    assert_eq!(host.metric_value("x_posts"), 5.0);
}

#[test]
fn more_than_was_allowed_for_is_counted_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let with = budget(&path, json!({"day": 10}), json!({"when_spent": "finish"}));
    let host = host_at(NIGHT_US);
    // A hundred in one piece, where five were to be under way.
    let one = format!("{}\r\n", common::post(1, "rust"));
    let burst = common::Part::Bytes(one.repeat(100).into_bytes());
    let api = Api::start([Answer::Stream(vec![burst])]);
    let mut stage = source_on(host, &api, with, None);
    read_all(&mut stage);
    stage.close().unwrap();
    let counted = account(&path)["day_posts"].as_u64().unwrap();
    assert_eq!(counted as f64, host.metric_value("x_posts"));
    assert!(counted > 10);
    assert!(
        log(host)
            .iter()
            .any(|l| l.contains("more posts were under way than in_flight = 5"))
    );
}

/// A source that waits for hours with its connection open would be sent, and billed, whatever fits
/// into the buffers between.
#[test]
fn the_connection_is_closed_before_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_at(NIGHT_US);
    host.hold_sleeps(true);
    let api = Api::start([paced(1..=1_000, 5, &read_of(host))]);
    let with = budget(&file(&folder), json!({"day": 30}), json!({}));
    let mut stage = source_on(host, &api, with, None);
    read(&mut stage, 25);
    until("it waits", || sleeps(host).len() == 1);
    until("the connection ends", || api.state().ended == 1);
    assert_eq!(sleeps(host).len(), 1, "it waits still");
    host.hold_sleeps(false);
    stage.close().unwrap();
}

/// While the engine is behind, X would send on into the buffers between.
#[test]
fn a_source_that_is_not_read_leaves_before_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_at(NIGHT_US);
    let path = file(&folder);
    let read = read_of(host);
    let large = |id: u64| common::post(id, &format!("rust {}", "x".repeat(50_000)));
    let parts = (1..=1_000).flat_map(|id: u64| {
        let wait = common::Part::WhenRead(read.clone(), id.saturating_sub(5));
        [wait, common::Part::Post(large(id))]
    });
    let api = Api::start([
        Answer::Stream(parts.collect()),
        paced(2_001..=2_010, 5, &read_of(host)),
    ]);
    let with = budget(&path, json!({"month": 10_000}), json!({}));
    let mut stage = source_on(host, &api, with, None);
    until("it leaves, and stays away", || sleeps(host).len() > 1);
    let sent = api.state().sent;
    // Nothing of what was read is lost, and it comes again.
    let mut all = Vec::new();
    while all.last() != Some(&2_010) {
        all.extend(ids(&common::read(&mut stage, 1)));
    }
    let got = all.len() as u64 - 10;
    assert!(
        all.iter().copied().eq((1..=got).chain(2_001..=2_010)),
        "{all:?}"
    );
    assert!(got >= 10 && sent <= got + 5, "{sent} sent, {got} read");
    assert!(sleeps(host).iter().all(|wait| *wait == 20.0));
    let says = "what follows does not keep up";
    assert!(log(host).iter().any(|line| line.starts_with(says)));
    stage.close().unwrap();
    assert_eq!(account(&path)["month_posts"], got + 10 + 2 * 5);
}
