//! Members of a group come, go and hang. Runs against `KAFKA_BROKERS`.

#![allow(clippy::unwrap_used)]

mod common;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::{
    region::{Driven, Region, Store, exactly_once},
    *,
};
use plugin_api::Code;

/// A topic of two partitions with so many records, and the options of a source of it.
fn filled(brokers: &str, name: &str, records: u32, more: Value) -> (Value, Stage) {
    let topic = fresh(name);
    let mut writer = sink(brokers, &topic, json!({"partitions": 2}));
    deliver(&mut writer, &numbers(0..records), 1);
    let options = json!({
        "brokers": brokers, "topic": topic, "group": format!("{topic}.g"), "start": "earliest",
    });
    (with(options, more), writer)
}

fn member(options: &Value) -> Driven {
    let mut member = Driven::open("source", "test", options).unwrap();
    member.restore(0, None).unwrap();
    member
}

fn read(member: &mut Driven, records: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < records {
        texts.extend(member.poll(100).unwrap().texts());
    }
    texts
}

/// One that hangs would do so for ever.
fn leave(member: Driven) {
    let (left, has_left) = mpsc::channel();
    thread::spawn(move || {
        drop(member);
        left.send(())
    });
    let in_time = has_left.recv_timeout(Duration::from_secs(30));
    in_time.expect("it leaves the group");
}

/// Until one is to give partitions up to the other.
fn share(one: &mut Driven, other: &mut Driven) {
    while one.host.checkpoints_requested() == 0 {
        one.poll(100).unwrap();
        other.poll(100).unwrap();
    }
}

#[test]
fn what_was_lost_is_in_no_epoch_and_ends_the_source() {
    let Some(brokers) = real() else { return };
    let hangs = json!({"properties": {"max.poll.interval.ms": 6000, "session.timeout.ms": 6000}});
    let (options, _writer) = filled(&brokers, "lost", 100, hangs);
    let mut hung = member(&options);
    read(&mut hung, 100);
    hung.barrier(1, &[], false).unwrap();
    assert!(hung.is_ready(1).unwrap());
    // It is not polled for so long that the group gives its partitions to the other.
    let mut other = member(&options);
    let mut again = read(&mut other, 100);
    again.sort_by_key(|t| t.parse::<u32>().unwrap());
    assert_eq!(again, texts(0..100), "nothing was committed");
    let e = hung.is_ready(1).unwrap_err();
    assert_eq!(e.code, Code::FATAL);
    let e = loop {
        match hung.poll(100) {
            Ok(outcome) => assert_eq!(outcome.emitted(), 0),
            Err(e) => break e,
        }
    };
    assert_eq!(e.code, Code::FATAL);
    assert!(e.message.contains("went on without us"), "{e}");
    assert_eq!(hung.host.metric_value("kafka_partitions_lost"), 2.0);
    assert!(hung.barrier(2, &[], false).is_err());
    leave(hung);
}

#[test]
fn a_member_leaves_also_while_the_group_waits_for_its_answer() {
    let Some(brokers) = real() else { return };
    for properties in [
        json!({}),
        json!({"partition.assignment.strategy": "range"}),
        json!({"group.protocol": "consumer"}),
    ] {
        let quick = json!({"properties": with(properties.clone(), json!({"max.poll.interval.ms": 60_000}))});
        let (options, _writer) = filled(&brokers, "leaves", 100, quick);
        let mut one = member(&options);
        read(&mut one, 100);
        let mut two = member(&options);
        share(&mut one, &mut two);
        // No epoch has come.
        leave(one);
        let mut again = read(&mut two, 100);
        again.sort_by_key(|t| t.parse::<u32>().unwrap());
        assert_eq!(again, texts(0..100), "{properties}");
    }
}

#[test]
fn a_member_leaves_whatever_it_waits_for() {
    let Some(brokers) = real() else { return };
    let (options, _writer) = filled(&brokers, "early", 1, json!({}));
    // From before it has joined until it reads.
    let (mut polls, mut seen) = (0, 0);
    while seen < 5 {
        let mut member = member(&options);
        let mut records = 0;
        for _ in 0..polls {
            records += member.poll(100).unwrap().emitted();
        }
        leave(member);
        seen += usize::from(records > 0);
        polls += 1;
    }
}

#[test]
fn what_no_epoch_releases_in_time_is_lost() {
    let Some(brokers) = real() else { return };
    let (options, mut writer) = filled(&brokers, "late", 100, json!({}));
    let mut one = member(&options);
    read(&mut one, 100);
    let mut two = member(&options);
    share(&mut one, &mut two);
    one.host.advance(60_000_000_000);
    for _ in 0..20 {
        one.poll(100).unwrap();
        assert_eq!(two.poll(100).unwrap().emitted(), 0, "it waits for an epoch");
    }
    one.host.advance(100_000_000_000);
    let e = one.poll(100).unwrap_err();
    assert_eq!(e.code, Code::FATAL);
    assert!(e.message.contains("are lost"), "{e}");
    // The group goes on: the other reads what no epoch has covered.
    drop(one);
    deliver(&mut writer, &numbers(100..101), 2);
    let mut again = read(&mut two, 101);
    again.sort_by_key(|t| t.parse::<u32>().unwrap());
    assert_eq!(again, texts(0..101));
}

#[test]
fn partitions_move_between_exact_regions_and_each_record_is_there_once() {
    move_partitions(&json!({}));
}

#[test]
fn they_move_so_with_the_newer_group_protocol_too() {
    move_partitions(&json!({"group.protocol": "consumer"}));
}

fn move_partitions(properties: &Value) {
    const RECORDS: u32 = 6000;
    let Some(brokers) = real() else { return };
    let (source, _writer) = filled(&brokers, "move-in", RECORDS, json!({}));
    let (from, to) = (source["topic"].as_str().unwrap(), fresh("move-out"));
    let (source, sink) = exactly_once(&brokers, from, &to);
    let source = with(source, json!({"properties": properties}));
    let done = Arc::new(AtomicBool::new(false));
    let run = |name: &'static str, lives: usize| {
        let (source, sink, to) = (source.clone(), sink.clone(), to.clone());
        let done = done.clone();
        thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let store = Store(Arc::new(folder.path().to_path_buf()));
            let name = format!("{to}.{name}");
            while !done.load(Ordering::Relaxed) {
                let mut region = Region::start(&name, &source, &sink, &store).unwrap();
                let mut with_records = 0;
                while with_records < lives && !done.load(Ordering::Relaxed) {
                    match region.epoch(40, &mut |_| true) {
                        Ok(_) if region.written > 0 => {
                            with_records += 1;
                        }
                        Ok(_) => {}
                        // What the host does: back to the last epoch.
                        Err(e) if e.code == Code::FATAL => {
                            println!("{name} starts again: {e}");
                            break;
                        }
                        Err(e) => panic!("{e}"),
                    }
                }
            }
        })
    };
    let regions = [run("a", usize::MAX), run("b", 8)];
    let mut seen = 0;
    while seen < RECORDS as usize && regions.iter().all(|r| !r.is_finished()) {
        seen = committed(&brokers, &to).len();
    }
    done.store(true, Ordering::Relaxed);
    regions.into_iter().for_each(|r| r.join().unwrap());
    assert_eq!(wrong_counts(&committed(&brokers, &to), RECORDS), []);
}
