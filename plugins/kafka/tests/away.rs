//! A broker that goes away and comes back. In a process of its own: it is everybody's broker.

#![allow(clippy::unwrap_used)]

mod common;
use common::{region::Driven, *};
use plugin_api::{ContentType, abi::services::Level};

#[test]
fn a_broker_that_goes_away_is_waited_for_and_rejects_nothing() {
    let topic = fresh("away");
    let mut writer = sink("embedded", &topic, json!({}));
    let mut reader = source("embedded", &topic, "g", json!({}));
    deliver(&mut writer, &numbers(0..10), 1);
    assert_eq!(reader.poll_records(10).unwrap().texts(), texts(0..10));
    let broker = plugin_kafka::embedded::running().expect("a stage uses it");
    broker.set_up(false).unwrap();
    let mut late = writer.write(&numbers(10..500)).unwrap();
    while !warnings(writer.host())
        .iter()
        .any(|w| w.starts_with("cannot reach the embedded broker"))
    {
        late.merge(writer.tick().unwrap().1);
        assert_eq!(reader.poll(100, 5).unwrap().1.emitted(), 0);
    }
    assert_eq!(late.consumed_count(), 0);
    broker.set_up(true).unwrap();
    late.merge(writer.checkpoint(2, false).unwrap().1);
    assert_eq!((late.consumed_count(), late.rejected.len()), (490, 0));
    assert_eq!(reader.poll_records(490).unwrap().texts(), texts(10..500));
    epoch(&mut reader, 1);
    for host in [writer.host(), reader.host()] {
        assert!(warnings(host).len() <= 1, "said once: {:?}", warnings(host));
    }
    let back = |l: &plugin_api::testing::LogLine| {
        l.level == Level::Info && l.message.ends_with("answers again")
    };
    assert_eq!(
        writer.host().log_lines().iter().filter(|l| back(l)).count(),
        1
    );
}

#[test]
fn an_epoch_waits_for_its_records_and_not_for_those_behind_its_barrier() {
    let topic = fresh("barrier");
    let options = json!({"brokers": "embedded", "topic": topic});
    let mut writer = Driven::open("sink", "test", &options).unwrap();
    writer.restore(0, None).unwrap();
    let mut behind = 0;
    for epoch in 1..=20 {
        assert_eq!(writer.write(&numbers(0..10), 0).unwrap(), 10);
        writer.barrier(epoch, &[], false).unwrap();
        // The flow never pauses: something is always on its way.
        while !writer.is_ready(epoch).unwrap() {
            behind += writer.write(&numbers(0..10), 0).unwrap();
        }
        behind += writer.write(&numbers(0..10), 0).unwrap();
    }
    assert!(behind > 0);
}

#[test]
fn a_broker_that_was_never_there_is_waited_for() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let brokers = format!("127.0.0.1:{port}");
    let options = json!({"brokers": brokers, "topic": "t"});
    let mut writer = Stage::sink("kafka", &options, &[ContentType::bytes()]).unwrap();
    let [warning] = &warnings(writer.host())[..] else {
        panic!("said once: {:?}", warnings(writer.host()))
    };
    assert!(
        warning.starts_with(&format!("cannot reach {brokers}: ")),
        "{warning}"
    );
    assert!(
        warning.contains("Connection refused") && warning.ends_with("; waiting"),
        "{warning}"
    );
    assert_eq!(
        writer.write_from(0, &numbers(0..10), 0).unwrap().0,
        0,
        "busy"
    );
    let options = json!({"brokers": brokers, "topic": "t", "group": "g"});
    let mut reader = Stage::source("kafka", &options).unwrap();
    assert_eq!(reader.poll(10, 50).unwrap().1.emitted(), 0);
    assert_eq!(warnings(reader.host()).len(), 1);
}
