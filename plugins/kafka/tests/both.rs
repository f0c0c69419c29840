//! What holds on any cluster: the embedded broker, and the one at `KAFKA_BROKERS`.

#![allow(clippy::unwrap_used)]

mod common;
use common::*;
use plugin_api::{BatchBuilder, Drain, Poll};

#[test]
fn a_record_comes_back_as_it_went() {
    for brokers in clusters() {
        let topic = fresh("whole");
        let mut sink = sink(&brokers, &topic, json!({}));
        // Recent: a broker deletes by the records' own times.
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let at = i64::try_from(now.as_millis()).unwrap() * 1000 - 60_000_000;
        let mut b = BatchBuilder::new();
        b.push(Some(b"value")).key(Some(b"key")).ts_us(Some(at));
        b.header("id", Some(b"17"))
            .header("none", None)
            .header("empty", Some(b""));
        b.push(None).key(Some(b"tombstone")).ts_us(Some(at + 1000));
        b.push(Some(b"")).key(Some(b""));
        let out = deliver(&mut sink, &b.finish(), 1);
        assert_eq!((out.consumed_count(), out.rejected.len()), (3, 0));

        let mut source = source(&brokers, &topic, "g", json!({}));
        let got = source.poll_records(3).unwrap();
        let records: Vec<_> = got.batches.iter().flat_map(|(_, b)| b.iter()).collect();
        assert_eq!(
            (records[0].value(), records[0].key()),
            (Some(&b"value"[..]), Some(&b"key"[..]))
        );
        assert_eq!(records[0].ts_us(), Some(at));
        let headers: Vec<_> = records[0].headers().collect();
        assert_eq!(
            headers,
            [
                ("id", Some(&b"17"[..])),
                ("none", None),
                ("empty", Some(&b""[..]))
            ]
        );
        assert_eq!(
            (records[1].value(), records[1].key()),
            (None, Some(&b"tombstone"[..]))
        );
        assert_eq!(
            records[1].header("id"),
            Some(format!("{topic}/0/1").as_bytes())
        );
        assert_eq!(
            (records[2].value(), records[2].key()),
            (Some(&b""[..]), Some(&b""[..]))
        );
        assert!(
            records[2].ts_us().unwrap() > at + 1000,
            "the time of sending"
        );
    }
}

#[test]
fn each_group_gets_everything_and_members_share() {
    for brokers in clusters() {
        let topic = fresh("groups");
        let mut sink = sink(&brokers, &topic, json!({"partitions": 4}));
        let mut a1 = source(&brokers, &topic, "a", json!({}));
        let mut a2 = source(&brokers, &topic, "a", json!({}));
        let mut b = source(&brokers, &topic, "b", json!({}));
        deliver(&mut sink, &numbers(0..1000), 1);
        assert_eq!(sorted(&b.poll_records(1000).unwrap()), texts(0..1000));
        let (mut all, mut second, mut e) = (plugin_api::testing::Outcome::default(), 0, 1);
        while all.emitted() < 1000 {
            all.merge(a1.poll(usize::MAX, 50).unwrap().1);
            let outcome = a2.poll(usize::MAX, 50).unwrap().1;
            second += outcome.emitted();
            all.merge(outcome);
            epoch(&mut a1, e);
            epoch(&mut a2, e);
            e += 1;
        }
        assert_eq!(sorted(&all), texts(0..1000), "nothing twice, nothing lost");
        // Both have joined by now, or will with what comes next.
        let mut total = 1000;
        let mut rounds = 0;
        while second == 0 {
            rounds += 1;
            assert!(rounds < 200, "the second member gets a share");
            deliver(&mut sink, &numbers(total..total + 100), u64::from(total));
            total += 100;
            while all.emitted() < total as usize {
                all.merge(a1.poll(usize::MAX, 50).unwrap().1);
                let outcome = a2.poll(usize::MAX, 50).unwrap().1;
                second += outcome.emitted();
                all.merge(outcome);
                epoch(&mut a1, e);
                epoch(&mut a2, e);
                e += 1;
            }
        }
        assert_eq!(sorted(&all), texts(0..total), "nothing twice, nothing lost");
    }
}

#[test]
fn a_committed_offset_wins_over_start() {
    for brokers in clusters() {
        let topic = fresh("commit");
        let mut sink = sink(&brokers, &topic, json!({}));
        deliver(&mut sink, &numbers(0..100), 1);
        let mut first = source(&brokers, &topic, "g", json!({}));
        assert_eq!(first.poll_records(30).unwrap().texts(), texts(0..30));
        epoch(&mut first, 1);
        assert_eq!(first.poll_records(20).unwrap().texts(), texts(30..50));
        first.close().unwrap();

        let mut second = source(&brokers, &topic, "g", json!({"start": "latest"}));
        assert_eq!(
            second.poll_records(70).unwrap().texts(),
            texts(30..100),
            "what was not committed comes again"
        );
        let state = second.checkpoint(2, false).unwrap().0;
        second.close().unwrap();

        let mut third = source(&brokers, &topic, "g", json!({}));
        third.restore(2, 1, Some(&state)).unwrap();
        deliver(&mut sink, &numbers(100..101), 2);
        assert_eq!(
            third.poll_records(1).unwrap().texts(),
            ["100"],
            "the epoch was further than the group"
        );
    }
}

#[test]
fn the_budget_is_a_hard_cap() {
    for brokers in clusters() {
        let topic = fresh("budget");
        let mut sink = sink(&brokers, &topic, json!({}));
        deliver(&mut sink, &numbers(0..100), 1);
        let mut first = source(&brokers, &topic, "g", json!({}));
        while first.poll(7, 1000).unwrap().1.emitted() == 0 {}
        epoch(&mut first, 1);
        first.close().unwrap();
        let mut second = source(&brokers, &topic, "g", json!({}));
        assert_eq!(second.poll_records(1).unwrap().texts(), ["7"]);
    }
}

#[test]
fn starts() {
    for brokers in clusters() {
        let topic = fresh("starts");
        let mut sink = sink(&brokers, &topic, json!({}));
        deliver(&mut sink, &numbers(0..10), 1);
        let first = |start: &str, group: &str| {
            let mut source = source(&brokers, &topic, group, json!({"start": start}));
            source.poll_records(1).unwrap().texts()
        };
        assert_eq!(first("earliest", "a"), ["0"]);
        assert_eq!(first("offset:4", "b"), ["4"]);
        let mut latest = source(&brokers, &topic, "c", json!({"start": "latest"}));
        settle(&mut latest);
        let mut beyond = source(&brokers, &topic, "d", json!({"start": "offset:99"}));
        settle(&mut beyond);
        deliver(&mut sink, &numbers(10..11), 2);
        assert_eq!(latest.poll_records(1).unwrap().texts(), ["10"]);
        assert_eq!(
            beyond.poll_records(1).unwrap().texts(),
            ["10"],
            "beyond the end: from the end on"
        );
    }
}

#[test]
fn only_the_record_that_is_too_large_is_rejected() {
    for brokers in clusters() {
        let topic = fresh("large");
        let mut sink = sink(&brokers, &topic, json!({"compression": "none"}));
        let mut b = BatchBuilder::new();
        for i in 0..100u32 {
            let value = if i == 50 {
                "x".repeat(3 << 20)
            } else {
                i.to_string()
            };
            b.push(Some(value.as_bytes()));
        }
        let out = deliver(&mut sink, &b.finish(), 1);
        assert_eq!(out.consumed_count(), 99);
        let [(_, index, reason, _)] = &out.rejected[..] else {
            panic!("one is rejected: {:?}", out.rejected)
        };
        assert_eq!(*index, 50);
        assert_eq!(
            *reason,
            format!("3145728 bytes are more than topic `{topic}` takes")
        );
        let mut source = source(&brokers, &topic, "g", json!({}));
        assert_eq!(source.poll_records(99).unwrap().emitted(), 99);
    }
}

#[test]
fn compressions() {
    for brokers in clusters() {
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let topic = fresh(codec);
            let mut sink = sink(&brokers, &topic, json!({"compression": codec}));
            deliver(&mut sink, &numbers(0..500), 1);
            let mut source = source(&brokers, &topic, "g", json!({}));
            assert_eq!(
                source.poll_records(500).unwrap().texts(),
                texts(0..500),
                "{codec}"
            );
        }
    }
}

#[test]
fn keys_come_from_where_they_are_said_to() {
    for brokers in clusters() {
        let key_of = |key: &str| {
            let topic = fresh("key");
            let mut sink = sink(&brokers, &topic, json!({"key": key}));
            let mut b = BatchBuilder::new();
            b.push(Some(b"v"))
                .key(Some(b"own"))
                .header("user", Some(b"of-header"));
            deliver(&mut sink, &b.finish(), 1);
            let mut source = source(&brokers, &topic, "g", json!({}));
            let got = source.poll_records(1).unwrap();
            got.batches[0].1.record(0).key().map(<[u8]>::to_vec)
        };
        assert_eq!(key_of("record").as_deref(), Some(&b"own"[..]));
        assert_eq!(key_of("none"), None);
        assert_eq!(key_of("header:user").as_deref(), Some(&b"of-header"[..]));
    }
}

#[test]
fn a_run_ends_at_the_end_of_an_embedded_topic_and_stops_elsewhere() {
    for brokers in clusters() {
        let topic = fresh("drain");
        let mut sink = sink(&brokers, &topic, json!({"partitions": 3}));
        let mut source = source(&brokers, &topic, "g", json!({}));
        deliver(&mut sink, &numbers(0..2500), 1);
        let mut got = source.poll_records(1).unwrap();
        if brokers == "embedded" {
            assert_eq!(source.drain().unwrap(), Drain::ToEnd);
            got.merge(source.poll_to_end().unwrap());
            assert_eq!(sorted(&got), texts(0..2500));
            assert_eq!(source.poll(10, 10).unwrap().0, Poll::Finished);
            epoch(&mut source, 1);
        } else {
            assert_eq!(source.drain().unwrap(), Drain::Stop);
        }
        source.close().unwrap();
    }
}
