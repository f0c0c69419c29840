//! The source meets each fault of a server, waits by the rules (on a clock that writes the waits
//! down and does not wait), and goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;

use common::http::Answer;
use common::server::{Server, TOKEN};
use common::{Run, id, options, post, status};
use plugin_api::Code;
use plugin_api::testing::Harness;
use plugin_mastodon::ThisPlugin;
use serde_json::{Value, json};

const TAG: &[&str] = &["hashtag:rust"];

fn with(change: Value) -> Value {
    common::merged(json!({"hashtags": ["rust"]}), &change)
}

/// A source that meets these answers in place of a websocket, and then has one.
fn refused(answers: &[Answer]) -> Run {
    let server = Server::start();
    for answer in answers {
        server.refuse(answer.clone());
    }
    let run = Run::start(&server, &with(json!({})));
    run.stage.host().set_now_us(1_661_900_746_000_000);
    run
}

fn waits(answers: &[Answer]) -> Vec<f64> {
    let mut run = refused(answers);
    run.until_caught_up();
    assert_eq!(run.error, None);
    run.sleeps()
}

#[test]
fn overload_doubles_from_five_seconds() {
    let overloaded = Answer::new(503, "Sorry");
    assert_eq!(
        waits(&vec![overloaded.clone(); 8]),
        [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0]
    );
    assert_eq!(waits(&[overloaded.with("Retry-After", "77")]), [77.0]);
}

#[test]
fn rate_limits_double_from_a_minute_or_take_as_long_as_the_server_says() {
    let full = Answer::new(429, r#"{"error":"Too many requests"}"#);
    assert_eq!(waits(&vec![full.clone(); 3]), [60.0, 120.0, 240.0]);
    assert_eq!(waits(&[full.clone().with("Retry-After", "300")]), [300.0]);
    let reset = full.with("X-RateLimit-Reset", "2022-08-30T23:10:00.000000Z");
    assert_eq!(waits(&[reset]), [254.0]);
}

#[test]
fn kinds_of_trouble_are_counted_apart() {
    let (overloaded, full) = (Answer::new(503, ""), Answer::new(429, ""));
    let answers = [overloaded.clone(), full.clone(), overloaded, full];
    assert_eq!(waits(&answers), [5.0, 60.0, 10.0, 120.0]);
}

#[test]
fn fatal_answers_say_what_to_do() {
    for (status, pointer, hint) in [
        (200, "/url", "passes websockets on"),
        (400, "/url", "passes websockets on"),
        (401, "/access_token", "read:statuses"),
        (403, "/access_token", "read:statuses"),
        (404, "/url", "check `url`"),
        (410, "/url", "check `url`"),
        (422, "/url", "does not understand"),
    ] {
        let mut run = refused(&[Answer::new(status, r#"{"error":"No"}"#)]);
        let error = run.until_error();
        assert_eq!((error.code, &*error.pointer), (Code::CONFIG, pointer));
        assert!(error.message.contains("(No)"), "{error}");
        assert!(error.message.contains(hint), "{error}");
        assert!(run.sleeps().is_empty());
    }
    let moved = Answer::new(301, "").with("Location", "https://elsewhere.example/");
    let error = refused(&[moved]).until_error();
    assert_eq!(error.pointer, "/url");
    assert!(
        error.message.contains("https://elsewhere.example/"),
        "{error}"
    );
}

#[test]
fn a_wrong_token_is_named_and_never_shown() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({"access_token": "CANARY"})));
    let error = run.until_error();
    assert_eq!(error.pointer, "/access_token");
    assert!(error.message.contains("(Invalid access token)"), "{error}");
    // Nor one that is right, whatever is logged.
    let mut right = Run::start(&server, &with(json!({})));
    server.trouble(Some(Answer::new(500, "")));
    right.until_caught_up();
    server.cut();
    right.until("another connection", |_| server.connections() == 2);
    let state = String::from_utf8(right.snapshot()).unwrap();
    let mut texts = [run.log(), right.log(), vec![error.message, state]].concat();
    texts.push(format!("{:?}", right.got));
    assert!(texts.len() > 4);
    for text in texts {
        assert!(!text.contains("CANARY") && !text.contains(TOKEN), "{text}");
    }
}

#[test]
fn no_connection_is_tried_a_little_later_each_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut run = Run::start(&Server::start(), &with(json!({"url": url})));
    run.until("70 waits", |run| run.sleeps().len() >= 70);
    let waits = run.sleeps();
    assert_eq!(waits[..4], [0.25, 0.5, 0.75, 1.0]);
    assert_eq!(waits[62..66], [15.75, 16.0, 16.0, 16.0]);
    run.stage.close().unwrap();
}

#[test]
fn a_server_that_takes_the_request_and_does_not_answer_is_left() {
    let server = Server::start();
    server.mute(true);
    let mut run = Run::start(&server, &with(json!({"stall_timeout": "90s"})));
    run.until("a wait", |run| {
        run.stage.host().advance(10_000_000_000);
        !run.sleeps().is_empty()
    });
    assert_eq!(run.sleeps()[0], 0.25);
    server.mute(false);
    run.until_caught_up();
}

#[test]
fn a_silent_stream_is_left_and_taken_up_at_once() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({"stall_timeout": "90s"})));
    run.until_caught_up();
    let before = run.metric("stalls");
    run.stage.host().advance(60_000_000_000);
    server.ping();
    run.until("a pong", |_| server.pongs() == 1);
    // That was a sign of life, and so is a post; the silence after it is not.
    run.stage.host().advance(60_000_000_000);
    server.publish(post(1, TAG));
    run.until_received(1);
    assert_eq!(run.metric("stalls"), before);
    run.stage.host().advance(90_000_000_000);
    run.until("a stall", |run| run.metric("stalls") > before);
    server.write(post(2, TAG));
    run.until("what was missed", |run| run.got.emitted() == 2);
    assert!(run.sleeps().is_empty());
}

#[test]
fn a_cut_in_mid_frame_and_a_goodbye_lose_nothing() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({})));
    run.until_caught_up();
    for (round, end) in [Server::cut, Server::close, Server::cut].iter().enumerate() {
        let second = 10 * (round as u64 + 1);
        server.publish(post(second, TAG));
        run.until("a post", |run| run.counts().contains_key(&id(second)));
        end(&server);
        server.write(post(second + 1, TAG));
        run.until("it", |run| run.counts().contains_key(&id(second + 1)));
        run.until_caught_up();
    }
    assert!(run.counts().values().all(|n| *n == 1));
    assert!(run.sleeps().is_empty());
    assert_eq!((run.metric("reconnects"), run.metric("gaps")), (3.0, 0.0));
}

#[test]
fn what_a_server_says_when_it_ends_the_stream_is_told() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({})));
    run.until_caught_up();
    server.publish(post(1, TAG));
    run.until_received(1);
    server.close_with(1012, "back in a minute");
    run.until_caught_up();
    let log = run.log().concat();
    assert!(log.contains("with 1012 (back in a minute)"), "{log}");
}

#[test]
fn a_connection_that_brings_nothing_is_not_taken_up_at_once() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({})));
    for n in 1..=3 {
        run.until_caught_up();
        server.close();
        run.until("a wait", |run| run.sleeps().len() == n);
    }
    assert_eq!(run.sleeps(), [0.25, 0.5, 0.75]);
}

#[test]
fn each_message_has_one_fate() {
    let server = Server::start();
    let mut run = Run::start(
        &server,
        &with(json!({"track": ["words"], "languages": ["en"]})),
    );
    run.until_caught_up();
    let mut other = status(id(5), "nothing of it");
    server.event(TAG, "update", &other.to_string());
    other["id"] = json!(id(6).to_string());
    other["content"] = json!("<p>words</p>");
    other["language"] = json!("de");
    server.event(TAG, "update", &other.to_string());
    // Out of order, and twice.
    for second in [9, 8, 9, 7] {
        server.publish(post(second, TAG));
    }
    for event in [
        "delete",
        "notification",
        "filters_changed",
        "conversation",
        "announcement",
        "announcement.reaction",
        "announcement.delete",
        "encrypted_message",
        "notifications_merged",
        "a.new.one",
    ] {
        server.event(TAG, event, "1");
    }
    server.say(r#"{"stream":["hashtag","rust"],"event":"delete"}"#);
    server.say("{}");
    let garbage = [
        "nonsense".into(),
        r#"{"event":"update"}"#.into(),
        json!({"event": "update", "payload": "{\"id\":"}).to_string(),
        json!({"event": "update", "payload": "{\"content\":\"no id\"}"}).to_string(),
        json!({"event": "update", "payload": "[1]"}).to_string(),
    ];
    garbage.iter().for_each(|text: &String| server.say(text));
    server.say_bytes(b"\xff\xfe{}");
    run.until_received(2 + 4 + 10 + 2 + 6);
    assert_eq!(run.ids(), [id(9), id(8), id(7)]);
    assert_eq!(run.got.rejected_raw.len(), 6);
    let reasons: Vec<&str> = run.got.rejected_raw.iter().map(|r| &*r.1).collect();
    assert_eq!(
        reasons,
        [
            "not JSON at byte 0",
            "an event without the post that it is about",
            "not JSON at byte 6",
            "no status: it has no id",
            "no status: it has no id",
            "not UTF-8",
        ]
    );
    for (name, count) in [
        ("delete", 2.0),
        ("notification", 1.0),
        ("filters_changed", 1.0),
        ("conversation", 1.0),
        ("announcement", 1.0),
        ("announcement_reaction", 1.0),
        ("announcement_delete", 1.0),
        ("encrypted_message", 1.0),
        ("notifications_merged", 1.0),
        ("unknown", 2.0),
        ("duplicates", 1.0),
    ] {
        assert_eq!(run.metric(name), count, "{name}");
    }
    assert_eq!(run.metric("reconnects"), 0.0);
}

#[test]
fn an_oversized_message_is_a_dead_letter_and_the_stream_goes_on() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({"max_message_bytes": "100 kB"})));
    run.until_caught_up();
    server.publish(post(1, TAG));
    run.until_received(1);
    let mut long = post(2, TAG);
    long.json = status(id(2), &"x".repeat(150_000)).to_string();
    server.publish(long);
    run.until("the end of the connection", |run| {
        run.metric("reconnects") == 1.0
    });
    server.publish(post(3, TAG));
    run.until("the next", |run| run.counts().contains_key(&id(3)));
    run.until_caught_up();
    let dead = &run.got.rejected_raw;
    // One, with its beginning, which the timeline has.
    assert_eq!(dead.len(), 1, "{:?}", dead.last());
    assert!(dead[0].1.contains("max_message_bytes = 100000"));
    assert_eq!(dead[0].0.len(), 65_536);
    assert!(dead[0].0.starts_with(b"{\"account\""), "{}", dead[0].1);
    assert_eq!(run.ids(), [id(1), id(3)]);
    // Seen again after another break, it is no news.
    server.cut();
    run.until("another connection", |_| server.connections() == 3);
    run.until_caught_up();
    assert_eq!(run.got.rejected_raw.len(), 1);
    // Nor after a restart.
    let state = run.snapshot();
    drop(run);
    let change = with(json!({"max_message_bytes": "100 kB"}));
    let mut run = Run::restore(&server, &change, Some(&state));
    run.until_caught_up();
    assert_eq!(run.got.rejected_raw.len(), 0);
    // What no timeline shows is a dead letter without bytes.
    let long = status(id(9), &"x".repeat(150_000)).to_string();
    server.event(TAG, "status.update", &long);
    run.until("the end of the connection", |run| {
        run.metric("reconnects") == 1.0
    });
    run.until_caught_up();
    let dead = &run.got.rejected_raw;
    assert_eq!(dead.len(), 1, "{:?}", dead.last());
    assert!(dead[0].0.is_empty() && dead[0].1.contains("max_message_bytes = 100000"));
}

#[test]
fn a_refused_subscription_ends_the_run_or_is_tried_again() {
    for (error, pointer) in [
        (
            json!({"error": "Not authorized to stream this list", "status": 401}),
            "/lists",
        ),
        (
            json!({"error": "Access token does not have the required scopes"}),
            "/access_token",
        ),
        (
            json!({"error": "Unknown stream type", "status": 400}),
            "/timeline",
        ),
        (
            json!({
                "event": "pleroma:respond",
                "payload": r#"{"type":"subscribe","result":"error","error":"unauthorized"}"#
            }),
            "/access_token",
        ),
    ] {
        let server = Server::start();
        server.error(error);
        let change = json!({"lists": ["7"], "catch_up": false});
        let error = Run::start(&server, &with(change)).until_error();
        assert_eq!(error.pointer, pointer, "{error}");
    }
    let server = Server::start();
    server.error(json!({"error": "An unexpected error occurred", "status": 500}));
    let mut run = Run::start(&server, &with(json!({})));
    run.until("three waits", |run| run.sleeps().len() >= 3);
    assert_eq!(run.sleeps()[..3], [5.0, 10.0, 20.0]);
}

#[test]
fn a_stage_closes_at_once_whatever_it_does() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({})));
    run.until_caught_up();
    run.stage.close().unwrap();
    let closed = Harness::<ThisPlugin>::source("mastodon", &options(&server, &with(json!({}))));
    closed.unwrap().close().unwrap();
}
