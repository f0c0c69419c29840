//! What was missed is fetched, within bounds and limits, whatever the timelines answer; and what
//! is not fetched is counted.
#![allow(clippy::unwrap_used)]

mod common;

use common::http::Answer;
use common::server::Server;
use common::{Run, edited, id, post, status, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TAG: &[&str] = &["hashtag:rust"];

fn with(change: Value) -> Value {
    let base = json!({"hashtags": ["rust"]});
    common::merged(base, &change)
}

/// A source that has read a post, and has missed so many.
fn missed(n: u64, change: Value) -> (Server, Run) {
    let server = Server::start();
    let mut run = Run::start(&server, &with(change));
    run.until_caught_up();
    server.publish(post(1_000, TAG));
    run.until_received(1);
    server.cut();
    for second in 1_001..=1_000 + n {
        server.write(post(second, TAG));
    }
    (server, run)
}

#[test]
fn trouble_of_the_timelines_is_waited_for_while_the_stream_goes_on() {
    let full = Answer::new(429, r#"{"error":"Too many requests"}"#);
    let reset = full
        .clone()
        .with("X-RateLimit-Reset", "2022-08-30T23:10:00.000000Z");
    for (trouble, wait) in [
        (full, "asking again in 60s"),
        (reset, "asking again in 254s"),
        (Answer::new(503, "Sorry"), "asking again in 5s"),
        (Answer::new(200, "<html>"), "asking again in 5s"),
        (Answer::new(200, "{}"), "asking again in 5s"),
    ] {
        let (server, mut run) = missed(3, json!({}));
        run.stage.host().set_now_us(1_661_900_746_000_000);
        server.trouble(Some(trouble));
        run.until("the trouble", |run| run.log().concat().contains(wait));
        // It comes by the stream alone.
        server.event(TAG, "update", &post(2_000, TAG).json);
        run.until("a post", |run| run.counts().contains_key(&id(2_000)));
        run.until_caught_up();
        assert_eq!(run.counts().len(), 5, "{wait}");
        assert!(run.counts().values().all(|n| *n == 1));
        assert_eq!((run.metric("gaps"), run.metric("reconnects")), (0.0, 1.0));
    }
}

#[test]
fn a_used_up_limit_is_respected_before_it_is_exceeded() {
    let (server, mut run) = missed(100, json!({}));
    run.stage.host().set_now_us(1_661_900_746_000_000);
    server.headers(&[
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", "2022-08-30T23:06:46.000000Z"),
    ]);
    run.until("all", |run| run.counts().len() == 101);
    run.until_caught_up();
    // One question for the newest and three pages: a minute after each but the last.
    assert!(run.moved_s() >= 180, "{}", run.moved_s());
}

#[test]
fn fatal_answers_end_the_run() {
    for (status, change, pointer) in [
        (401, json!({}), "/access_token"),
        (403, json!({}), "/access_token"),
        (422, json!({}), "/hashtags/0"),
        (
            404,
            json!({"hashtags": [], "timeline": "public"}),
            "/timeline",
        ),
        (404, json!({"hashtags": [], "lists": ["404"]}), "/lists/0"),
    ] {
        let server = Server::start();
        server.trouble(Some(Answer::new(status, r#"{"error":"No"}"#)));
        let error = Run::start(&server, &with(change)).until_error();
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.message.contains("(No)"), "{error}");
    }
}

#[test]
fn a_hashtag_that_nobody_used_is_no_trouble() {
    let server = Server::start();
    server.trouble(Some(Answer::new(404, r#"{"error":"Record not found"}"#)));
    let mut run = Run::start(&server, &with(json!({})));
    run.until_caught_up();
    server.publish(post(1, TAG));
    run.until_received(1);
}

#[test]
fn a_break_before_it_is_known_where_a_timeline_stood_is_a_gap_that_is_counted() {
    for is_restart in [false, true] {
        let server = Server::start();
        server.trouble(Some(Answer::new(429, "")));
        let with = with(json!({"local_hashtags": ["kafka"]}));
        let mut run = Run::start(&server, &with);
        // A minute of the clock, until a timeline is asked again.
        run.until("trouble", |run| run.log().concat().contains("in 60s"));
        assert_eq!(run.metric("gaps"), 0.0, "a first start misses nothing");
        if is_restart {
            let state = run.snapshot();
            run.stage.close().unwrap();
            until("no connection", || server.clients() == 0);
            server.write(post(1, TAG));
            run = Run::restore(&server, &with, Some(&state));
        } else {
            server.cut();
            server.write(post(1, TAG));
        }
        run.until_caught_up();
        assert_eq!(run.metric("gaps"), 2.0, "{:?}", run.log());
        assert!(run.log().concat().contains("hashtag:local:kafka since the"));
        // From here on it is known.
        server.cut();
        server.write(post(2, TAG));
        run.until("a post", |run| run.counts().contains_key(&id(2)));
        run.until_caught_up();
        assert_eq!(run.metric("gaps"), 2.0);
    }
}

#[test]
fn more_than_the_pages_allowed_is_a_gap_that_is_counted() {
    let (_server, mut run) = missed(100, json!({"catch_up_pages": 2, "rewind": "0s"}));
    run.until_caught_up();
    // The first page begins at second 1,000, which is there already.
    assert_eq!(run.counts().len(), 1 + 79);
    assert_eq!(run.metric("gaps"), 1.0);
    assert_eq!(run.metric("gap_seconds"), 21.0);
    let log = run.log().concat();
    assert!(log.contains("catch_up_pages allows no more"), "{log}");
}

#[test]
fn pages_without_news_are_no_burden() {
    let (server, mut run) = missed(0, json!({"catch_up_pages": 2}));
    // By the stream, and the next break comes before anything was fetched, as the clock stands
    // still and the timelines would not answer.
    server.trouble(Some(Answer::new(503, "").with("Retry-After", "60")));
    while server.subscriptions() == 0 {
        run.poll(5);
    }
    for second in 1_001..=1_200 {
        server.publish(post(second, TAG));
    }
    while run.counts().len() < 201 {
        run.poll(5);
    }
    server.cut();
    for second in 1_201..=1_230 {
        server.write(post(second, TAG));
    }
    run.until("all", |run| run.counts().len() == 231);
    run.until_caught_up();
    assert!(run.counts().values().all(|n| *n == 1));
    assert_eq!(run.metric("gaps"), 0.0);
}

#[test]
fn without_catching_up_each_new_connection_is_a_gap() {
    let change = json!({"catch_up": false});
    let (server, mut run) = missed(3, change.clone());
    run.until("another connection", |_| server.subscriptions() == 1);
    server.publish(post(2_000, TAG));
    run.until("a post", |run| run.counts().len() == 2);
    assert_eq!(run.metric("gaps"), 1.0);
    let state = run.snapshot();
    drop(run);
    let mut run = Run::restore(&server, &with(change), Some(&state));
    run.until("a gap", |run| run.metric("gaps") == 1.0);
    assert!(server.asked().is_empty());
}

#[test]
fn long_posts_are_fetched_in_smaller_pages() {
    let (server, mut run) = missed(0, json!({"max_message_bytes": "10 kB"}));
    for second in 1_001..=1_020 {
        let mut long = post(second, TAG);
        long.json = status(long.id, &"x".repeat(9_000)).to_string();
        server.write(long);
    }
    run.until("all", |run| run.counts().len() == 21);
    run.until_caught_up();
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.contains("limit=5&"))
    );
    assert_eq!((run.metric("gaps"), run.got.rejected_raw.len()), (0.0, 0));
}

#[test]
fn a_post_longer_than_any_page_is_a_gap() {
    let (server, mut run) = missed(2, json!({"max_message_bytes": "10 kB"}));
    let mut long = post(1_003, TAG);
    long.json = status(long.id, &"x".repeat(100_000)).to_string();
    server.write(long);
    server.write(post(1_004, TAG));
    run.until_caught_up();
    assert_eq!(run.counts().len(), 3);
    assert_eq!(run.metric("gaps"), 1.0);
}

#[test]
fn the_newest_post_is_asked_for_once_though_it_is_too_long() {
    let (server, mut run) = missed(0, json!({"max_message_bytes": "10 kB"}));
    let before = server.asked().len();
    let mut long = post(1_001, TAG);
    long.json = status(long.id, &"x".repeat(100_000)).to_string();
    server.write(long);
    run.until("a gap", |run| run.metric("gaps") == 1.0);
    run.until_caught_up();
    assert_eq!(server.asked().len(), before + 1, "{:?}", server.asked());
}

#[test]
fn looking_back_further_than_is_remembered_is_no_gap() {
    let server = Server::start();
    let mut run = Run::start(&server, &with(json!({"rewind": "6h"})));
    run.until_caught_up();
    // More than are remembered: the first of them are forgotten, and lie within six hours.
    let n = 33_000;
    for number in 0..n {
        let json = format!(r#"{{"id":"{}"}}"#, id(1_000) + number);
        server.event(TAG, "update", &json);
    }
    run.until("all", |run| run.received() == n);
    server.cut();
    server.write(post(1_100, TAG));
    run.until("what was missed", |run| run.got.emitted() as u64 > n);
    run.until_caught_up();
    assert_eq!(run.metric("gaps"), 0.0, "{:?}", run.log());
}

#[test]
fn streams_that_break_again_and_again_do_not_keep_it_from_catching_up() {
    let (server, mut run) = missed(100, json!({}));
    let has_all = |run: &Run| run.counts().len() == 101;
    let asked = server.asked().len();
    for _ in 0..6 {
        while server.subscriptions() == 0 {
            run.poll(5);
        }
        // Each stream lives for a second.
        let began = Instant::now();
        while !has_all(&run) && began.elapsed() < Duration::from_secs(1) {
            run.poll(5);
        }
        if has_all(&run) {
            break;
        }
        server.cut();
    }
    assert!(has_all(&run), "{:?}", run.log());
    run.until_caught_up();
    // What the server did not stream yet when all was fetched is looked for, too.
    let asked = server.asked().split_off(asked);
    let newest = asked.iter().filter(|asked| asked.ends_with("limit=1"));
    assert!(newest.count() >= 2, "{asked:?}");
    assert!(run.counts().values().all(|n| *n == 1));
    assert_eq!(run.metric("gaps"), 0.0);
}

#[test]
fn waiting_for_the_engine_while_it_fetches_is_no_silence_of_the_server() {
    let (server, mut run) = missed(0, json!({"stall_timeout": "10m"}));
    // Of a page, nearly twice what may wait for the engine.
    for second in 1_001..=1_010 {
        let mut long = post(second, TAG);
        long.json = status(long.id, &"x".repeat(700_000)).to_string();
        server.write(long);
    }
    while server.subscriptions() == 0 {
        run.poll(5);
    }
    run.stage.host().advance(2_000_000_000);
    until("a page", || run.metric("pages") > 0.0);
    // The engine takes nothing meanwhile.
    run.stage.host().advance(660_000_000_000);
    run.until_caught_up();
    // Its thread may still wait for room for the last of them.
    run.until("each post", |run| run.counts().len() == 11);
    // From now on it is silent.
    let mut silent_s = 0;
    run.until("a stall", |run| {
        run.stage.host().advance(5_000_000_000);
        silent_s += 5;
        run.metric("stalls") > 0.0
    });
    assert!(silent_s > 500, "{silent_s}");
}

#[test]
fn a_post_without_an_id_is_one_dead_letter_however_often_it_is_fetched() {
    let (server, mut run) = missed(0, json!({}));
    let page = format!(r#"[{},{{"content":"no id"}}]"#, post(1_001, TAG).json);
    server.write(post(1_001, TAG));
    for _ in 0..2 {
        run.until_caught_up();
        server.cut();
        server.trouble(None);
        server.trouble(Some(Answer::new(200, page.clone())));
        run.until("it", |run| run.metric("pages") >= 1.0);
    }
    run.until_caught_up();
    assert_eq!(run.got.rejected_raw.len(), 1);
    let state = run.snapshot();
    drop(run);
    server.trouble(None);
    server.trouble(Some(Answer::new(200, page)));
    let before = server.asked().len();
    let mut run = Run::restore(&server, &with(json!({})), Some(&state));
    run.until_caught_up();
    assert_eq!(server.asked().len(), before + 2);
    assert_eq!(run.got.rejected_raw.len(), 0);
}

#[test]
fn pages_that_lead_nowhere_end() {
    let (server, mut run) = missed(100, json!({}));
    server.trouble(None);
    // A server that ignores `min_id`, and one whose posts have no ids.
    server.trouble(Some(Answer::new(200, format!("[{}]", post(500, TAG).json))));
    run.until_caught_up();
    assert_eq!(run.metric("gaps"), 1.0);
    server.cut();
    server.write(post(3_000, TAG));
    server.trouble(None);
    server.trouble(Some(Answer::new(200, r#"[{"content":"no id"}]"#)));
    run.until("another gap", |run| run.metric("gaps") == 2.0);
    run.until_caught_up();
    assert_eq!(run.got.rejected_raw.len(), 1);
}

#[test]
fn a_post_edited_meanwhile_comes_once_as_it_is_now() {
    let (server, mut run) = missed(0, json!({}));
    let mut post = post(1_001, TAG);
    post.json = edited(post.id, 1_050);
    server.write(post);
    run.until("it", |run| run.counts().len() == 2);
    run.until_caught_up();
    let (_, batch) = run.got.batches.last().unwrap();
    let record = batch.record(0);
    assert_eq!(
        record.header("edit"),
        Some(&b"2023-11-14T22:30:50.000Z"[..])
    );
    assert!(run.counts().values().all(|n| *n == 1));
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    for (mut answer, why, least_s) in [
        (Answer::new(0, ""), "connection closed before", 0),
        (Answer::new(200, "[]"), "it does not answer", 60),
    ] {
        let (server, mut run) = missed(3, json!({}));
        let before = run.moved_s();
        answer.missing = 10;
        server.trouble(Some(answer));
        run.until("it", |run| {
            run.log().concat().contains("is not fetched yet")
        });
        assert!(run.moved_s() - before >= least_s);
        run.until_caught_up();
        assert_eq!(run.counts().len(), 4);
        let log = run.log().concat();
        assert!(log.contains(why), "{log}");
    }
}

#[test]
fn a_state_of_another_server_or_none_at_all_begins_anew() {
    let (server, mut run) = missed(3, json!({}));
    run.until_caught_up();
    let mut state: Value = serde_json::from_slice(&run.snapshot()).unwrap();
    assert_eq!(state["read"]["hashtag:rust"], id(1_003).to_string());
    drop(run);
    state["instance"] = json!("https://elsewhere.example/");
    server.write(post(1_004, TAG));
    for state in [
        state.to_string().into_bytes(),
        b"nonsense".to_vec(),
        Vec::new(),
    ] {
        let mut run = Run::restore(&server, &with(json!({})), Some(&state));
        run.until_caught_up();
        assert_eq!(run.got.emitted(), 0);
        server.cut();
    }
}

#[test]
fn a_stream_that_is_new_in_the_configuration_begins_anew_and_others_go_on() {
    let (server, mut run) = missed(1, json!({}));
    run.until_caught_up();
    let state = run.snapshot();
    drop(run);
    server.cut();
    server.write(post(1_010, TAG));
    server.write(post(1_011, &["hashtag:kafka"]));
    let both = with(json!({"hashtags": ["kafka", "rust"]}));
    let mut run = Run::restore(&server, &both, Some(&state));
    run.until_caught_up();
    assert_eq!(run.ids(), [id(1_010)]);
}
