//! What only a real cluster can show. Runs against `KAFKA_BROKERS`; the last test against the
//! listeners in `KAFKA_SECURE`, a JSON list of `{"brokers", "security"}`.

#![allow(clippy::unwrap_used)]

mod common;
use std::time::Duration;

use common::*;
use plugin_api::{BatchBuilder, Code, ContentType};
use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};

#[test]
fn a_missing_topic_is_named() {
    let Some(brokers) = real() else { return };
    let topic = fresh("missing");
    let expected = format!(
        "topic `{topic}` does not exist on {brokers}; create it, or set `partitions` to have it created"
    );
    let options = json!({"brokers": brokers, "topic": topic});
    let e = Stage::sink("kafka", &options, &[ContentType::bytes()])
        .map(|_| ())
        .unwrap_err();
    assert_eq!((e.code, e.message), (Code::UNAVAILABLE, expected.clone()));
    let options = with(options, json!({"group": "g"}));
    let e = Stage::source("kafka", &options).map(|_| ()).unwrap_err();
    assert_eq!((e.code, e.message), (Code::UNAVAILABLE, expected));
}

#[test]
fn a_missing_topic_is_created_with_the_partitions_asked_for() {
    let Some(brokers) = real() else { return };
    let topic = fresh("created");
    let _sink = sink(&brokers, &topic, json!({"partitions": 7}));
    let admin = admin(&brokers);
    let metadata = admin
        .inner()
        .fetch_metadata(Some(&topic), Duration::from_secs(5))
        .unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 7);
}

#[test]
fn a_time_is_looked_up() {
    let Some(brokers) = real() else { return };
    let topic = fresh("time");
    // A broker deletes by the records' own times.
    create(&brokers, &topic, &[("retention.ms", "-1")]);
    let mut sink = sink(&brokers, &topic, json!({}));
    let mut b = BatchBuilder::new();
    for i in 0..10u32 {
        let at = 1_700_000_000_000_000 + i64::from(i) * 60_000_000;
        b.push(Some(i.to_string().as_bytes())).ts_us(Some(at));
    }
    deliver(&mut sink, &b.finish(), 1);
    let first = |start: &str, group: &str| {
        let mut source = source(&brokers, &topic, group, json!({"start": start}));
        source.poll_records(1).unwrap().texts()
    };
    assert_eq!(first("timestamp:1700000180000", "a"), ["3"]);
    assert_eq!(first("timestamp:2023-11-14T22:17:20.001Z", "b"), ["5"]);
    let mut later = source(
        &brokers,
        &topic,
        "c",
        json!({"start": "timestamp:2040-01-01T00:00:00Z"}),
    );
    settle(&mut later);
    deliver(&mut sink, &numbers(10..11), 2);
    assert_eq!(
        later.poll_records(1).unwrap().texts(),
        ["10"],
        "nothing that late: from the end on"
    );
}

#[test]
fn deleted_records_are_counted_as_lost() {
    let Some(brokers) = real() else { return };
    let topic = fresh("deleted");
    let mut writer = sink(&brokers, &topic, json!({}));
    deliver(&mut writer, &numbers(0..100), 1);
    let mut first = source(&brokers, &topic, "g", json!({}));
    assert_eq!(first.poll_records(10).unwrap().texts(), texts(0..10));
    epoch(&mut first, 1);
    first.close().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(60))
        .unwrap();
    wait(admin(&brokers).delete_records(&list, &AdminOptions::new())).unwrap();
    let mut second = source(&brokers, &topic, "g", json!({}));
    assert_eq!(second.poll_records(40).unwrap().texts(), texts(60..100));
    assert_eq!(second.host().metric_value("kafka_lost_records"), 50.0);
    let said = format!(
        "50 records of `{topic}` partition 0 were deleted before they could be read: offsets 10 to 59"
    );
    assert_eq!(warnings(second.host()), [said]);
}

#[test]
fn a_topic_with_a_small_limit_rejects_only_what_is_larger() {
    let Some(brokers) = real() else { return };
    let topic = fresh("small");
    create(&brokers, &topic, &[("max.message.bytes", "20000")]);
    let mut sink = sink(&brokers, &topic, json!({"compression": "none"}));
    let mut b = BatchBuilder::new();
    for i in 0..200usize {
        let size = if i % 50 == 7 { 30_000 } else { 1_000 };
        b.push(Some(&vec![b'x'; size]));
    }
    let out = deliver(&mut sink, &b.finish(), 1);
    assert_eq!(out.consumed_count(), 196);
    let indices: Vec<u32> = out.rejected.iter().map(|r| r.1).collect();
    assert_eq!(indices, [7, 57, 107, 157]);
}

#[test]
fn an_invalid_record_does_not_take_its_batch_with_it() {
    let Some(brokers) = real() else { return };
    let topic = fresh("compacted");
    create(&brokers, &topic, &[("cleanup.policy", "compact")]);
    let mut sink = sink(&brokers, &topic, json!({}));
    let mut b = BatchBuilder::new();
    for i in 0..100u32 {
        b.push(Some(i.to_string().as_bytes()));
        if i % 30 != 3 {
            b.key(Some(i.to_string().as_bytes()));
        }
    }
    let out = deliver(&mut sink, &b.finish(), 1);
    let indices: Vec<u32> = out.rejected.iter().map(|r| r.1).collect();
    assert_eq!(indices, [3, 33, 63, 93], "a compacted topic wants keys");
    assert!(
        out.rejected[0].2.starts_with(&format!(
            "topic `{topic}` refuses the record: InvalidRecord"
        )),
        "{out:?}"
    );
    assert_eq!(out.consumed_count(), 96);
    let mut source = source(&brokers, &topic, "g", json!({}));
    assert_eq!(source.poll_records(96).unwrap().emitted(), 96);
}

/// Members of one group, with the group protocol that the properties ask for.
fn share(brokers: &str, properties: &Value) {
    let topic = fresh("protocol");
    let mut writer = sink(brokers, &topic, json!({"partitions": 4}));
    let options = json!({"properties": properties});
    let mut one = source(brokers, &topic, "g", options.clone());
    deliver(&mut writer, &numbers(0..100), 1);
    let mut all = one.poll_records(100).unwrap();
    let mut two = source(brokers, &topic, "g", options);
    let (mut of_two, mut e, mut total) = (0, 1, 100);
    while of_two == 0 {
        assert!(e < 600, "the second member gets a share with {properties}");
        deliver(&mut writer, &numbers(total..total + 20), u64::from(total));
        total += 20;
        while all.emitted() < total as usize {
            all.merge(one.poll(1000, 20).unwrap().1);
            let outcome = two.poll(1000, 20).unwrap().1;
            of_two += outcome.emitted();
            all.merge(outcome);
            epoch(&mut one, e);
            epoch(&mut two, e);
            e += 1;
        }
    }
    assert_eq!(
        wrong_counts(&all.texts(), total),
        [],
        "twice or lost with {properties}\none: {:#?}\ntwo: {:#?}",
        one.host().log_lines(),
        two.host().log_lines()
    );
    assert_eq!(one.host().metric_value("kafka_partitions_lost"), 0.0);
}

#[test]
fn all_group_protocols_hand_over_without_loss() {
    let Some(brokers) = real() else { return };
    share(&brokers, &json!({}));
    share(&brokers, &json!({"partition.assignment.strategy": "range"}));
    share(&brokers, &json!({"group.protocol": "consumer"}));
}

#[test]
fn secure_listeners() {
    let Some(secure) = variable("KAFKA_SECURE") else {
        return;
    };
    let secure: Vec<Value> = serde_json::from_str(&secure).unwrap();
    for listener in &secure {
        let (brokers, security) = (listener["brokers"].as_str().unwrap(), &listener["security"]);
        let topic = fresh("secure");
        let mut writer = sink(brokers, &topic, json!({"security": security}));
        let out = deliver(&mut writer, &numbers(0..100), 1);
        assert_eq!(out.consumed_count(), 100, "{security}");
        let mut reader = source(brokers, &topic, "g", json!({"security": security}));
        assert_eq!(
            reader.poll_records(100).unwrap().texts(),
            texts(0..100),
            "{security}"
        );
        epoch(&mut reader, 1);
        if security["password"].is_string() {
            let security = with(security.clone(), json!({"password": "wrong"}));
            let options = json!({"brokers": brokers, "topic": topic, "security": security});
            let e = Stage::sink("kafka", &options, &[ContentType::bytes()])
                .map(|_| ())
                .unwrap_err();
            assert_eq!(e.code, Code::UNAVAILABLE);
            assert!(
                e.message.starts_with(&format!("{brokers} refuses us: ")),
                "{}",
                e.message
            );
            assert!(e.message.contains("uthentication"), "{}", e.message);
        }
    }
}
