//! What is particular to the embedded broker.

#![allow(clippy::unwrap_used)]

mod common;
use std::time::Instant;

use common::*;
use plugin_api::{BatchBuilder, ContentType, StageError, testing::TestHost};

fn refused(kind: &str, options: Value) -> StageError {
    let options = with(json!({"brokers": "embedded", "topic": "t"}), options);
    Stage::plan(kind, "kafka", &options, &[ContentType::bytes()])
        .map(|_| ())
        .unwrap_err()
}

#[test]
fn what_it_cannot_do_is_refused_offline() {
    let source = |more: Value| refused("source", with(json!({"group": "g"}), more)).pointer;
    assert_eq!(
        source(json!({"start": "timestamp:1700000000000"})),
        "/start"
    );
    assert_eq!(source(json!({"start": "soon"})), "/start");
    assert_eq!(
        source(json!({"security": {"username": "u", "password": "p"}})),
        "/security"
    );
    assert_eq!(
        source(json!({"properties": {"ssl.ca.location": "x"}})),
        "/properties/ssl.ca.location"
    );
    assert_eq!(source(json!({"format": "avro"})), "/format");
    assert_eq!(source(json!({"schema": "x.avsc"})), "/schema");
    assert_eq!(
        source(json!({"format": "avro", "schema": "/nonexistent.avsc"})),
        "/schema"
    );
    assert_eq!(source(json!({"group": ""})), "/group");
    let sink = |more: Value| refused("sink", more).pointer;
    assert_eq!(
        sink(json!({"properties": {"transactional.id": "x"}})),
        "/properties/transactional.id"
    );
    assert_eq!(sink(json!({"key": "field"})), "/key");
    assert_eq!(sink(json!({"partitions": 0})), "/partitions");
    assert_eq!(sink(json!({"max_in_flight": 0})), "/max_in_flight");
}

#[test]
fn its_topics_are_meeting_places() {
    let options = json!({"brokers": "embedded", "topic": "tweets", "group": "g", "format": "json"});
    let (_, planned) = Stage::plan("source", "kafka", &options, &[]).unwrap();
    assert_eq!(planned.reads, ["kafka://embedded/tweets"]);
    assert_eq!(planned.outputs, [ContentType::json()]);
    assert_eq!(planned.warnings.len(), 1);
    let options = json!({"brokers": "embedded", "topic": "tweets"});
    let (_, planned) = Stage::plan("sink", "kafka", &options, &[ContentType::json()]).unwrap();
    assert_eq!(planned.writes, ["kafka://embedded/tweets"]);
    let options = json!({"brokers": "localhost:9092", "topic": "tweets"});
    let (_, planned) = Stage::plan("sink", "kafka", &options, &[ContentType::json()]).unwrap();
    assert!(planned.writes.is_empty() && planned.warnings.is_empty());
}

#[test]
fn the_first_record_arrives_at_once() {
    let began = Instant::now();
    let topic = fresh("first");
    let mut source = source("embedded", &topic, "g", json!({}));
    let mut sink = sink("embedded", &topic, json!({}));
    sink.write(&numbers(0..1)).unwrap();
    assert_eq!(source.poll_records(1).unwrap().texts(), ["0"]);
    println!("first record after {:?}", began.elapsed());
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
}

#[test]
fn what_was_deleted_before_it_was_read_is_counted_as_lost() {
    let topic = fresh("lost");
    let mut writer = sink("embedded", &topic, json!({"compression": "none"}));
    deliver(&mut writer, &numbers(0..1), 1);
    let mut first = source("embedded", &topic, "g", json!({}));
    assert_eq!(first.poll_records(1).unwrap().texts(), ["0"]);
    epoch(&mut first, 1);
    first.close().unwrap();
    let mut b = BatchBuilder::new();
    (0..20_000).for_each(|_| {
        b.push(Some(&[b'x'; 500]));
    });
    deliver(&mut writer, &b.finish(), 2);
    deliver(&mut writer, &numbers(1..2), 3);

    let mut second = source("embedded", &topic, "g", json!({}));
    let mut got = 0;
    let mut last = String::new();
    while last != "1" {
        let outcome = second.poll(usize::MAX, 1000).unwrap().1;
        got += outcome.emitted();
        last = outcome.texts().pop().unwrap_or(last);
    }
    let lost = second.host().metric_value("kafka_lost_records") as usize;
    assert!(lost > 0);
    assert_eq!(got + lost, 20_001, "what was not read is counted exactly");
    let warnings = warnings(second.host());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with(&format!(
            "{lost} records of `{topic}` partition 0 were deleted"
        )),
        "{warnings:?}"
    );
}

#[test]
fn a_writer_waits_for_a_slow_reader_and_nothing_is_lost() {
    let topic = fresh("flow");
    let mut reader = source("embedded", &topic, "g", json!({}));
    let mut writer = sink("embedded", &topic, json!({"compression": "none"}));
    writer.write(&numbers(0..1)).unwrap();
    assert_eq!(reader.poll_records(1).unwrap().emitted(), 1);
    let mut b = BatchBuilder::new();
    (0..20_000).for_each(|_| {
        b.push(Some(&[b'x'; 500]));
    });
    let batch = b.finish();
    let (mut from, mut waits, mut read) = (0, 0, 0);
    let (mut e, mut consumed) = (1, 0);
    while from < batch.len() {
        let (taken, outcome) = writer.write_from(0, &batch, from).unwrap();
        consumed += outcome.consumed_count();
        from += taken;
        if taken == 0 {
            waits += 1;
            consumed += writer.tick().unwrap().1.consumed_count();
            // The reader is slow: it reads only when the writer cannot go on.
            read += reader.poll(500, 20).unwrap().1.emitted();
            epoch(&mut reader, e);
            e += 1;
        }
    }
    consumed += writer.checkpoint(1, true).unwrap().1.consumed_count();
    assert!(waits > 10);
    assert_eq!(consumed, 20_001);
    read += reader.poll_records(20_000 - read).unwrap().emitted();
    assert_eq!(read, 20_000);
    assert_eq!(reader.host().metric_value("kafka_lost_records"), 0.0);
}

#[test]
fn a_partition_is_handed_over_after_an_epoch() {
    let topic = fresh("handover");
    let mut writer = sink("embedded", &topic, json!({"partitions": 2}));
    let mut one = source("embedded", &topic, "g", json!({}));
    deliver(&mut writer, &numbers(0..100), 1);
    let first = one.poll_records(100).unwrap();
    let mut two = source("embedded", &topic, "g", json!({}));
    assert_eq!(
        two.poll(10, 50).unwrap().1.emitted(),
        0,
        "nothing is free yet"
    );
    assert_eq!(one.poll(10, 50).unwrap().1.emitted(), 0);
    assert_eq!(one.host().checkpoints_requested(), 1);
    deliver(&mut writer, &numbers(100..200), 2);
    assert_eq!(
        two.poll(10, 50).unwrap().1.emitted(),
        0,
        "no epoch has covered it"
    );
    epoch(&mut one, 1);
    let mut all = first;
    let (mut of_two, mut e) = (0, 2);
    while all.emitted() < 200 {
        all.merge(one.poll(1000, 20).unwrap().1);
        let outcome = two.poll(1000, 20).unwrap().1;
        of_two += outcome.emitted();
        all.merge(outcome);
        epoch(&mut one, e);
        e += 1;
    }
    assert_eq!(sorted(&all), texts(0..200));
    assert!(of_two > 20, "{of_two}");
    two.close().unwrap();
    deliver(&mut writer, &numbers(200..300), 3);
    // What the second had read was not committed by it, so it may come again; nothing is missing.
    let mut rest = Vec::new();
    while !(200..300).all(|i: u32| rest.contains(&i.to_string())) {
        rest.extend(one.poll(1000, 100).unwrap().1.texts());
    }
}

#[test]
fn it_is_announced_once_and_warns_of_another_number_of_partitions() {
    let host = TestHost::leaked();
    let open = |topic: &str, partitions: u32| {
        let options = json!({"brokers": "embedded", "topic": topic, "partitions": partitions});
        Stage::open_on(host, "sink", "kafka", &options, &[ContentType::bytes()]).unwrap()
    };
    let topic = fresh("announced");
    let (_a, _b) = (open(&topic, 3), open(&topic, 2));
    let said = host
        .log_lines()
        .iter()
        .filter(|l| l.message.starts_with("embedded broker on 127.0.0.1:"))
        .count();
    assert!(said <= 1, "by whichever stage came first in this process");
    assert_eq!(
        warnings(host),
        [format!("topic `{topic}` has 3 partitions already, not 2")]
    );
}

#[test]
fn offsets_of_a_broker_that_is_gone_are_ignored() {
    let topic = fresh("gone");
    let mut writer = sink("embedded", &topic, json!({}));
    deliver(&mut writer, &numbers(0..10), 1);
    let mut first = source("embedded", &topic, "a", json!({}));
    assert_eq!(first.poll_records(6).unwrap().texts(), texts(0..6));
    let state = first.checkpoint(1, false).unwrap().0;
    let restored = |group: &str, state: &[u8]| {
        let mut source = source("embedded", &topic, group, json!({}));
        source.restore(1, 1, Some(state)).unwrap();
        let first = source.poll_records(1).unwrap().texts();
        let state: Value = serde_json::from_slice(&source.checkpoint(2, false).unwrap().0).unwrap();
        (first, state)
    };
    let (next, now) = restored("b", &state);
    assert_eq!(next, ["6"], "this broker's own");
    let mut other: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(other["cluster"], now["cluster"]);
    other["cluster"] = json!("another");
    let (next, now) = restored("c", other.to_string().as_bytes());
    assert_eq!(next, ["0"], "from `start` on");
    assert_ne!(now["cluster"], "another");
}

#[test]
fn transactions_are_refused() {
    let exact = json!({"group": "g", "exactly_once": true});
    assert_eq!(refused("source", exact).pointer, "/exactly_once");
    assert_eq!(
        refused("sink", json!({"exactly_once": true})).pointer,
        "/exactly_once"
    );
    let dirty = json!({
        "brokers": "a:1", "group": "g", "exactly_once": true,
        "properties": {"isolation.level": "read_uncommitted"},
    });
    assert_eq!(
        refused("source", dirty).pointer,
        "/properties/isolation.level"
    );
    let named = json!({"transactional_id": "x"});
    assert_eq!(refused("sink", named).pointer, "/transactional_id");
}
