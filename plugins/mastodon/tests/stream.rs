//! The source reads what a server streams, and fetches what it missed.
#![allow(clippy::unwrap_used)]

mod common;

use common::http::Answer;
use common::server::Server;
use common::{Run, edited, id, post, tls, uri};
use plugin_api::{Drain, Poll};
use serde_json::json;

#[test]
fn posts_of_all_streams_come_once_each() {
    let server = Server::start();
    let mut run = Run::start(
        &server,
        &json!({"hashtags": ["rust", "kafka"], "timeline": "local", "lists": ["7"]}),
    );
    run.until_caught_up();
    server.publish(post(1, &["hashtag:rust", "hashtag:kafka", "public:local"]));
    server.publish(post(2, &["hashtag:go"]));
    server.publish(post(3, &["list:7"]));
    run.until_received(4);
    assert_eq!(run.ids(), [id(1), id(3)]);
    assert_eq!(run.metric("duplicates"), 2.0);
    assert_eq!(server.connections(), 1);
    let record = run.got.batches[0].1.record(0);
    assert_eq!(record.header("id"), Some(uri(id(1)).as_bytes()));
    assert_eq!(record.header("edit"), None);
    assert_eq!(record.ts_us(), Some(1_700_000_001_000_000));
    run.stage.close().unwrap();
}

#[test]
fn what_was_missed_between_two_connections_is_fetched() {
    let server = Server::start();
    for old in 0..10 {
        server.write(post(old, &["hashtag:rust"]));
    }
    let mut run = Run::start(&server, &json!({"hashtags": ["rust"]}));
    run.until_caught_up();
    assert_eq!(
        run.got.emitted(),
        0,
        "what was before the first start is not"
    );
    server.publish(post(300, &["hashtag:rust"]));
    run.until_received(1);
    server.cut();
    // Three pages, one of them late by a minute.
    for missed in 301..400 {
        server.write(post(missed, &["hashtag:rust"]));
    }
    server.write(post(250, &["hashtag:rust"]));
    run.until("all", |run| run.counts().len() == 101);
    run.until_caught_up();
    assert!(run.counts().values().all(|n| *n == 1));
    assert_eq!(run.metric("pages"), 3.0);
    assert_eq!(run.metric("caught_up"), 100.0);
    assert_eq!(run.metric("gaps"), 0.0);
    assert_eq!(run.metric("reconnects"), 1.0);
    assert!(
        run.sleeps().is_empty(),
        "a stream that worked is taken up at once"
    );
}

#[test]
fn a_restart_goes_on_where_the_snapshot_stood() {
    let server = Server::start();
    let with = json!({"hashtags": ["rust"]});
    let mut run = Run::start(&server, &with);
    run.until_caught_up();
    server.publish(post(10, &["hashtag:rust"]));
    server.publish(post(11, &["hashtag:rust"]));
    run.until_received(2);
    let state = run.snapshot();
    // Behind the snapshot, and so to come again.
    server.publish(post(12, &["hashtag:rust"]));
    run.until_received(3);
    drop(run);
    server.cut();
    server.write(post(13, &["hashtag:rust"]));
    let mut run = Run::restore(&server, &with, Some(&state));
    run.until_caught_up();
    assert_eq!(run.ids(), [id(12), id(13)]);
    assert_eq!(run.metric("duplicates"), 2.0);
}

#[test]
fn an_edit_comes_with_the_same_id_and_its_time_or_is_counted() {
    for (edits, expected) in [("emit", 2), ("drop", 1)] {
        let server = Server::start();
        let mut run = Run::start(&server, &json!({"timeline": "public", "edits": edits}));
        run.until_caught_up();
        server.publish(post(1, &["public"]));
        server.edit(id(1), &edited(id(1), 60));
        // Again, as of another stream, and as it was before.
        server.event(&["public"], "status.update", &edited(id(1), 60));
        server.event(&["public"], "update", &post(1, &[]).json);
        run.until_received(4);
        let seen = run.got.seen();
        assert_eq!(seen.len(), expected);
        assert_eq!(run.metric("edits"), 1.0);
        if let Some((_, batch)) = run.got.batches.last()
            && expected == 2
        {
            let last = batch.record(batch.len() - 1);
            assert_eq!(last.header("id"), Some(uri(id(1)).as_bytes()));
            assert_eq!(last.header("edit"), Some(&b"2023-11-14T22:14:20.000Z"[..]));
            assert_eq!(last.ts_us(), Some(1_700_000_060_000_000));
        }
    }
}

#[test]
fn the_place_of_the_stream_is_asked_for() {
    let (front, back) = (Server::start(), Server::start());
    let place = back.url.replace("http://", "ws://");
    front.instance(Answer::new(
        200,
        json!({"configuration": {"urls": {"streaming": place}}}).to_string(),
    ));
    let mut run = Run::start(&front, &json!({"hashtags": ["rust"], "catch_up": false}));
    run.until("a connection", |_| back.subscriptions() == 1);
    back.publish(post(1, &["hashtag:rust"]));
    run.until_received(1);
    assert_eq!((front.connections(), run.got.emitted()), (0, 1));
}

#[test]
fn all_of_it_goes_over_tls() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let url = tls::before(&server.url, &ca);
    let with = json!({"hashtags": ["rust"], "url": url, "ca_file": ca});
    let mut run = Run::start(&server, &with);
    run.until_caught_up();
    server.publish(post(1, &["hashtag:rust"]));
    run.until_received(1);
    server.cut();
    server.write(post(2, &["hashtag:rust"]));
    run.until("what was missed", |run| run.got.emitted() == 2);
    // Who is not told whom to trust does not connect, and says why.
    let with = json!({"hashtags": ["rust"], "url": url});
    let mut stranger = Run::start(&server, &with);
    stranger.until("a wait", |run| !run.sleeps().is_empty());
    assert!(
        stranger.log()[0].contains("certificate"),
        "{:?}",
        stranger.log()
    );
    let with = json!({"hashtags": ["rust"], "ca_file": folder.path().join("none.pem")});
    let error = Run::try_restore(&server, &with, None).err().unwrap();
    assert_eq!(error.pointer, "/ca_file");
}

#[test]
fn a_run_that_ends_reads_what_a_server_of_this_machine_sent() {
    let server = Server::start();
    let mut run = Run::start(&server, &json!({"hashtags": ["rust"]}));
    run.until_caught_up();
    for second in 1..=500 {
        server.publish(post(second, &["hashtag:rust"]));
    }
    // When a ping behind them is answered, they have come.
    server.ping();
    run.until("a pong", |_| server.pongs() == 1);
    assert_eq!(run.stage.drain().unwrap(), Drain::ToEnd);
    let rest = run.stage.poll_to_end().unwrap();
    assert_eq!(run.got.emitted() + rest.emitted(), 500);
    assert_eq!(run.stage.poll(1, 0).unwrap().0, Poll::Finished);
}

#[test]
fn a_small_budget_is_a_hard_cap_and_the_snapshot_holds_what_went_on() {
    let server = Server::start();
    let with = json!({"hashtags": ["rust"]});
    let mut run = Run::start(&server, &with);
    run.until_caught_up();
    for second in 1..=100 {
        server.publish(post(second, &["hashtag:rust"]));
    }
    let mut came = Vec::new();
    while came.len() < 40 {
        let (_, outcome) = run.stage.poll(7, 20).unwrap();
        assert!(outcome.emitted() <= 7);
        came.extend(common::ids(&outcome));
    }
    let state = run.snapshot();
    drop(run);
    server.cut();
    let mut run = Run::restore(&server, &with, Some(&state));
    run.until_caught_up();
    came.extend(run.ids());
    assert_eq!(came, (1..=100).map(id).collect::<Vec<_>>());
}
