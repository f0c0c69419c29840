//! From Kafka to Kafka, each record once: whatever is killed, and whenever. Runs against
//! `KAFKA_BROKERS`.

#![allow(clippy::unwrap_used)]

mod common;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use common::{
    region::{Driven, Region, Step, Store, exactly_once},
    *,
};
use plugin_api::{BatchBuilder, Code, StageError, Upstream};

fn store(folder: &Path) -> Store {
    Store(Arc::new(folder.to_path_buf()))
}

/// A topic with so many records in two partitions.
fn filled(brokers: &str, name: &str, records: u32) -> String {
    let topic = fresh(name);
    let mut writer = sink(brokers, &topic, json!({"partitions": 2}));
    deliver(&mut writer, &numbers(0..records), 1);
    topic
}

/// Runs epochs until one has records.
fn flow(region: &mut Region) {
    while region.written == 0 {
        assert!(region.epoch(60, &mut |_| true).unwrap());
    }
}

/// Runs epochs until everything is read and committed.
fn finish(region: &mut Region, records: u32) {
    while region.read < i64::from(records) {
        assert!(region.epoch(500, &mut |_| true).unwrap());
    }
}

/// Which epoch is true after a kill behind this step of epoch `n`; `None`: either.
fn truth(step: Step, n: u64) -> Option<u64> {
    match step {
        Step::Started | Step::Committed | Step::SinkCommitted => Some(n),
        Step::Written | Step::Barrier | Step::Ready | Step::Durable => Some(n - 1),
        Step::Committing => None,
    }
}

#[test]
fn dropped_at_each_step_each_record_is_there_once() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "drop-in", 4000);
    let to = fresh("drop-out");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let mut expected = Some(0);
    for _ in 0..2 {
        for step in Step::ALL {
            let mut region = Region::start(&to, &source, &sink, &store).unwrap();
            if let Some(expected) = expected {
                assert_eq!(region.epoch, expected, "before {step:?}");
            }
            if step != Step::Started {
                flow(&mut region);
                while region.epoch(60, &mut |now| now != step).unwrap() {}
                assert!(region.written > 0, "an empty epoch proves nothing");
            }
            expected = truth(step, region.epoch);
        }
    }
    let mut region = Region::start(&to, &source, &sink, &store).unwrap();
    finish(&mut region, 4000);
    assert_eq!(wrong_counts(&committed(&brokers, &to), 4000), []);
}

#[test]
fn what_an_aborted_epoch_has_joins_the_next() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "abort-in", 1000);
    let to = fresh("abort-out");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let mut region = Region::start(&to, &source, &sink, &store).unwrap();
    flow(&mut region);
    for step in [Step::Barrier, Step::Ready, Step::Ready, Step::Barrier] {
        assert!(!region.epoch(60, &mut |now| now != step).unwrap());
        assert!(region.written > 0, "an empty epoch proves nothing");
        let aborted = region.epoch;
        region.sink.abort(aborted).unwrap();
        region.source.abort(aborted).unwrap();
        // It may also reach a stage that never saw such a barrier.
        region.sink.abort(aborted + 1).unwrap();
    }
    assert!(region.epoch(60, &mut |_| true).unwrap());
    let (epoch, read) = (region.epoch, usize::try_from(region.read).unwrap());
    assert_eq!(committed(&brokers, &to).len(), read);
    drop(region);
    let mut region = Region::start(&to, &source, &sink, &store).unwrap();
    assert_eq!(region.epoch, epoch);
    finish(&mut region, 1000);
    assert_eq!(wrong_counts(&committed(&brokers, &to), 1000), []);
}

/// The process that is killed: goes on where the last one was, and stops for ever at `RELAY_AT`.
#[test]
#[ignore = "is run, and killed, by the test below"]
fn relay() {
    let Ok(job) = std::env::var("RELAY") else {
        panic!("started by `killed_at_each_step_each_record_is_there_once` only");
    };
    let job: Value = serde_json::from_str(&job).unwrap();
    let (source, sink) = (&job["source"], &job["sink"]);
    let store = store(Path::new(job["store"].as_str().unwrap()));
    let mut region = Region::start(job["name"].as_str().unwrap(), source, sink, &store).unwrap();
    let say = |step: Step| {
        eprintln!("at {step:?}");
        while job["stop"] == true && job["at"] == format!("{step:?}") {
            std::thread::park();
        }
        true
    };
    say(Step::Started);
    flow(&mut region);
    eprintln!("flows");
    let until = job["until"].as_i64().unwrap();
    while region.read < until {
        region.epoch(60, &mut |step| say(step)).unwrap();
    }
}

#[test]
fn killed_at_each_step_each_record_is_there_once() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "kill-in", 4000);
    let to = fresh("kill-out");
    let folder = tempfile::tempdir().unwrap();
    let (source, sink) = exactly_once(&brokers, &from, &to);
    // A member that is known by name takes its partitions back at once.
    let source = with(
        source,
        json!({"properties": {"group.instance.id": "relay"}}),
    );
    let relay = |step: Option<Step>, stop: bool| {
        let job = json!({
            "name": to, "source": source, "sink": sink, "store": folder.path(), "until": 4000,
            "at": step.map(|s| format!("{s:?}")), "stop": stop,
        });
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "relay", "--nocapture"])
            .env("RELAY", job.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // At rest behind the step, then in the middle of whatever follows it.
    for stop in [true, false] {
        for step in Step::ALL {
            let mut process = relay(Some(step), stop);
            let mut flows = step == Step::Started;
            let mut said = Vec::new();
            let lines = BufReader::new(process.stderr.take().unwrap()).lines();
            let found = lines.map_while(Result::ok).any(|line| {
                flows |= line == "flows";
                let here = flows && line == format!("at {step:?}");
                said.push(line);
                here
            });
            process.kill().unwrap();
            process.wait().unwrap();
            assert!(found, "it was not at {step:?}: {said:?}");
        }
    }
    assert!(relay(None, false).wait().unwrap().success());
    assert_eq!(wrong_counts(&committed(&brokers, &to), 4000), []);
}

#[test]
fn a_transaction_wants_a_source_that_leaves_its_offsets_to_it() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "match-in", 10);
    let to = fresh("match-out");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let fails = |source: &Value, sink: &Value| -> StageError {
        let mut region = Region::start(&to, source, sink, &store).unwrap();
        region.epoch(10, &mut |_| true).unwrap_err()
    };
    let plain = with(source.clone(), json!({"exactly_once": false}));
    let e = fails(&plain, &sink);
    assert_eq!((e.code, &*e.pointer), (Code::CONFIG, "/exactly_once"));
    assert!(
        e.message
            .starts_with("source `source` is no kafka source with"),
        "{e}"
    );
    let plain = with(sink.clone(), json!({"exactly_once": false}));
    let e = fails(&source, &plain);
    assert_eq!((e.code, &*e.pointer), (Code::CONFIG, "/exactly_once"));
    assert!(e.message.starts_with("no sink has put the offsets"), "{e}");
    // An id that no source of this process has.
    let mut alone = Driven::open("sink", &to, &sink).unwrap();
    alone.restore(0, None).unwrap();
    let state = json!({
        "cluster": "", "topic": from, "next": {"0": 1}, "reader": {"id": "?", "next": {"0": 1}},
    });
    let upstream = |state: Value| Upstream {
        stage: "s".into(),
        state: state.to_string().into_bytes(),
    };
    let e = alone
        .barrier(1, &[upstream(state.clone())], false)
        .unwrap_err();
    assert!(
        e.message.starts_with("source `s` runs in another process"),
        "{e}"
    );
    let elsewhere = with(state, json!({"cluster": "elsewhere"}));
    let e = alone.barrier(1, &[upstream(elsewhere)], false).unwrap_err();
    assert!(
        e.message
            .starts_with("source `s` reads from another cluster"),
        "{e}"
    );
}

#[test]
fn what_went_on_under_the_same_name_shuts_the_former_out() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "fence-in", 500);
    let to = fresh("fence-out");
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let mut zombie = Region::start(&to, &source, &sink, &store(one.path())).unwrap();
    flow(&mut zombie);
    // Its last epoch hangs between the store and the commit.
    assert!(!zombie.epoch(60, &mut |step| step != Step::Durable).unwrap());
    std::fs::copy(
        one.path().join(format!("{}.epoch", zombie.epoch)),
        two.path().join(format!("{}.epoch", zombie.epoch)),
    )
    .unwrap();
    let before = zombie.epoch - 1;
    std::fs::copy(
        one.path().join(format!("{before}.epoch")),
        two.path().join(format!("{before}.epoch")),
    )
    .unwrap();
    let mut successor = Driven::open("sink", &to, &sink).unwrap();
    let epochs = store(two.path()).epochs();
    let said = successor.recover(&epochs).unwrap();
    assert_eq!((said.mine, said.epoch), (true, before));
    let e = loop {
        match zombie.sink.commit(zombie.epoch) {
            Ok(done) => assert!(!done, "the zombie committed"),
            Err(e) => break e,
        }
    };
    assert_eq!(e.code, Code::FATAL);
    assert!(e.message.contains("need a `transactional_id` each"), "{e}");
    assert!(
        e.message.contains("going back to the last checkpoint"),
        "{e}"
    );
}

#[test]
fn checkpoints_of_another_time_are_refused_and_none_are_no_loss() {
    let Some(brokers) = real() else { return };
    let from = filled(&brokers, "old-in", 300);
    let to = fresh("old-out");
    let folder = tempfile::tempdir().unwrap();
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let mut region = Region::start(&to, &source, &sink, &store(folder.path())).unwrap();
    flow(&mut region);
    let last = region.epoch;
    drop(region);
    let mut driven = Driven::open("sink", &to, &sink).unwrap();
    let e = driven.recover(&[last + 2, last + 1]).unwrap_err();
    assert!(
        e.message
            .starts_with(&format!("the last transaction is of epoch {last}, and")),
        "{e}"
    );
    drop(driven);
    // The store is gone: the group knows how far everything is.
    let empty = tempfile::tempdir().unwrap();
    let mut region = Region::start(&to, &source, &sink, &store(empty.path())).unwrap();
    finish(&mut region, 300);
    assert_eq!(wrong_counts(&committed(&brokers, &to), 300), []);
    drop(region);
    // Nothing of the former numbers is left that a new epoch 1 could be taken for.
    let mut driven = Driven::open("sink", &to, &sink).unwrap();
    let none = tempfile::tempdir().unwrap();
    assert_eq!(
        driven.recover(&store(none.path()).epochs()).unwrap().epoch,
        0
    );
    driven.restore(0, None).unwrap();
    drop(driven);
    let mut driven = Driven::open("sink", &to, &sink).unwrap();
    assert_eq!(driven.recover(&[1]).unwrap().epoch, 0);
}

#[test]
fn a_sink_that_was_not_exact_before_goes_on_from_its_checkpoint() {
    let Some(brokers) = real() else { return };
    let (_, options) = exactly_once(&brokers, "unused", &fresh("switch"));
    let name = fresh("switched");
    let mut driven = Driven::open("sink", &name, &options).unwrap();
    assert!(!driven.recover(&[9, 8]).unwrap().mine);
    driven.restore(9, None).unwrap();
    drop(driven);
    let mut driven = Driven::open("sink", &name, &options).unwrap();
    let said = driven.recover(&[10, 9]).unwrap();
    assert_eq!((said.mine, said.epoch), (true, 9), "10 was never committed");
}

#[test]
fn a_record_that_the_topic_would_refuse_does_not_take_its_transaction_with_it() {
    let Some(brokers) = real() else { return };
    let (from, to) = (fresh("refuse-in"), fresh("refuse-out"));
    create(
        &brokers,
        &to,
        &[
            ("cleanup.policy", "compact"),
            ("max.message.bytes", "20000"),
        ],
    );
    let mut b = BatchBuilder::new();
    for i in 0..100u32 {
        let value = if i == 50 {
            "x".repeat(30_000)
        } else {
            i.to_string()
        };
        b.push(Some(value.as_bytes()));
        if i % 30 != 3 {
            b.key(Some(i.to_string().as_bytes()));
        }
    }
    let mut writer = common::sink(&brokers, &from, json!({}));
    deliver(&mut writer, &b.finish(), 1);
    let folder = tempfile::tempdir().unwrap();
    let (source, sink) = exactly_once(&brokers, &from, &to);
    let sink = with(sink, json!({"compression": "none"}));
    let mut region = Region::start(&to, &source, &sink, &store(folder.path())).unwrap();
    finish(&mut region, 100);
    let mut refused: Vec<_> = region
        .sink
        .rejected
        .iter()
        .map(|reason| &**reason)
        .collect();
    refused.sort_unstable();
    let large = format!("30000 bytes are more than topic `{to}` takes");
    assert_eq!(refused[0], large);
    assert_eq!(refused.len(), 5);
    assert!(refused[1].starts_with(&format!("topic `{to}` refuses the record: InvalidRecord")));
    let expected: Vec<_> = (0..100).filter(|i| i % 30 != 3 && *i != 50).collect();
    let mut there = committed(&brokers, &to);
    there.sort_by_key(|t| t.parse::<u32>().unwrap());
    assert_eq!(
        there,
        expected.iter().map(u32::to_string).collect::<Vec<_>>()
    );
}
