//! The engine on stages of this binary: exact accounts, draining, epochs, crashes.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

mod recovery;
mod replay;
mod stages;

use std::{path::PathBuf, sync::Arc, time::Duration};

use host::{
    config::{Buffer, BufferKind, OnCrash, OnError, OnHang, Ordering, StageKind},
    engine::{Engine, Options, Report, account::Account},
    plan::{self, EdgePlan, HostPlan, Plan, Planner, PluginEntry, Registry, StagePlan, StageRef},
};
use plugin_api::{
    ContentType, Planned, StageError,
    abi::{
        root::{Plugin, create_here, plain},
        stage::StageBox,
    },
    manifest::Manifest,
};
use serde_json::{Value, json};
use stages::{ThisPlugin, seen};

struct Here;

impl Planner for Here {
    fn plan(
        &self,
        _: StageKind,
        _: &str,
        _: &[u8],
        _: &[ContentType],
    ) -> Result<Planned, StageError> {
        Ok(Planned::sink())
    }
    fn create(&self, kind: StageKind, stage: &str) -> Result<StageBox, StageError> {
        plain(create_here::<ThisPlugin>(kind.as_str(), stage))
    }
}

fn registry() -> Registry {
    let manifest = Manifest::of::<ThisPlugin>();
    let entry = PluginEntry {
        name: ThisPlugin::NAME.into(),
        version: manifest.version,
        license: String::new(),
        description: String::new(),
        file: PathBuf::new(),
        sha256: String::new(),
        bundled: true,
        stages: manifest.stages,
        planner: Arc::new(Here),
    };
    Registry {
        plugins: vec![Arc::new(entry)],
        ..Registry::default()
    }
}

/// A stage with defaults; `from` are indices of the stages that feed its one input.
fn stage(kind: StageKind, plugin: &str, name: &str, options: Value, from: &[usize]) -> StagePlan {
    StagePlan {
        name: name.into(),
        kind,
        plugin: plugin.into(),
        package: String::new(),
        options: plan::Options(options.to_string().into_bytes()),
        inputs: from
            .iter()
            .map(|f| EdgePlan {
                from: *f,
                from_port: 0,
                to_port: 0,
            })
            .collect(),
        input_types: if from.is_empty() {
            vec![]
        } else {
            vec![ContentType::text()]
        },
        ports: if kind == StageKind::Sink {
            vec![]
        } else {
            vec!["out".into()]
        },
        outputs: vec![],
        workers: 1,
        ordering: Ordering::Key,
        limit: None,
        buffer: Buffer::default(),
        on_error: OnError::DeadLetter,
        on_crash: OnCrash::Restart,
        isolate: None,
        state_version: 1,
        memory: vec![],
        live: false,
        alone: false,
        reads: vec![],
        writes: vec![],
        upstream: vec![],
    }
}

fn count(options: Value) -> StagePlan {
    stage(StageKind::Source, "count", "count", options, &[])
}
fn odd(options: Value) -> StagePlan {
    stage(StageKind::Processor, "odd", "odd", options, &[0])
}
fn keep(options: Value, from: &[usize]) -> StagePlan {
    stage(StageKind::Sink, "keep", "keep", options, from)
}

fn engine(hosts: Vec<(&str, Vec<StagePlan>)>, options: Options) -> Engine {
    let dir = tempfile::tempdir().unwrap().keep();
    engine_in(&dir, Duration::from_secs(3600), hosts, options).unwrap()
}

fn engine_in(
    dir: &std::path::Path,
    interval: Duration,
    hosts: Vec<(&str, Vec<StagePlan>)>,
    options: Options,
) -> Result<Engine, plugin_api::StageError> {
    let hosts: Vec<HostPlan> = hosts
        .into_iter()
        .map(|(name, stages)| HostPlan {
            name: name.into(),
            checkpoint_interval: interval,
            call_timeout: Duration::from_secs(60),
            on_hang: OnHang::Stop,
            stages,
        })
        .collect();
    let drain_order = (0..hosts.len()).map(|h| vec![h]).collect();
    let plan = Plan {
        folder: dir.to_owned(),
        state_dir: dir.to_owned(),
        admin: None,
        hosts,
        drain_order,
    };
    Engine::new(&plan, &registry(), options)
}

const LONG: Options = Options {
    run_for: None,
    grace: Duration::from_secs(60),
    drop_state: std::collections::BTreeSet::new(),
    replay: None,
};

fn run(name: &str, stages: Vec<StagePlan>) -> Report {
    engine(vec![(name, stages)], LONG).run()
}

fn account(report: &Report, stage: &str) -> Account {
    let (host, stage) = stage.split_once('/').unwrap();
    let stages = &report.hosts.iter().find(|h| h.0 == host).unwrap().1;
    stages.iter().find(|s| s.name == stage).unwrap().account
}

fn balances(a: Account) {
    assert_eq!(
        a.received,
        a.consumed + a.filtered + a.dead_lettered + a.dropped + a.in_flight,
        "{a:?}"
    );
}

#[test]
fn every_record_has_one_fate_and_the_run_ends_with_a_last_epoch() {
    let stages = vec![
        count(json!({"to": 1000, "batch": 7})),
        odd(json!({"drop": 2, "reject": 15})),
        keep(json!({"take": 3, "busy": true, "pending": 4}), &[1]),
    ];
    let report = run("fates", stages);
    let odd = account(&report, "fates/odd");
    assert_eq!(
        (odd.received, odd.filtered, odd.dead_lettered, odd.consumed),
        (1000, 467, 66, 467)
    );
    assert_eq!((odd.in_flight, odd.emitted), (0, 467));
    let keep = account(&report, "fates/keep");
    assert_eq!(
        (keep.received, keep.consumed, keep.in_flight),
        (467, 467, 0)
    );
    balances(keep);
    assert_eq!(report.exit(), 0);
    assert_eq!(report.letters[0].1, 66);

    let calls = seen("fates/keep");
    let got = calls.iter().filter(|c| c.starts_with("got")).count();
    assert_eq!(got, 467);
    let tail: Vec<&str> = calls[calls.len() - 5..]
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(
        tail,
        [
            "end 0",
            "checkpoint 1 true after 467",
            "ready 1",
            "commit 1",
            "close"
        ]
    );
    let source = seen("fates/count");
    assert_eq!(
        source,
        ["open", "checkpoint 1 true at 1000", "commit 1", "close"]
    );
}

#[test]
fn a_limit_is_a_hard_cap() {
    let mut source = count(json!({"batch": 10}));
    source.limit = Some(25);
    let report = run("limit", vec![source, keep(json!({}), &[0])]);
    assert_eq!(account(&report, "limit/count").emitted, 25);
    assert_eq!(account(&report, "limit/keep").consumed, 25);
    // It is told that no more is wanted.
    assert_eq!(
        seen("limit/count")[1..3],
        ["drain", "checkpoint 1 true at 25"]
    );
}

#[test]
fn fan_out_reaches_each_and_fan_in_takes_all() {
    let mut second = count(json!({"to": 50}));
    second.name = "second".into();
    let mut other = keep(json!({}), &[0]);
    other.name = "other".into();
    let stages = vec![
        count(json!({"to": 100, "batch": 9})),
        second,
        keep(json!({}), &[0, 1]),
        other,
    ];
    let report = run("fan", stages);
    assert_eq!(account(&report, "fan/keep").consumed, 150);
    assert_eq!(account(&report, "fan/other").consumed, 100);
    assert_eq!(seen("fan/keep").iter().filter(|c| *c == "end 0").count(), 1);
}

#[test]
fn records_of_a_key_stay_in_order_over_several_workers() {
    let mut odd = odd(json!({}));
    odd.workers = 3;
    let report = run(
        "workers",
        vec![
            count(json!({"to": 700, "batch": 50})),
            odd,
            keep(json!({}), &[1]),
        ],
    );
    assert_eq!(account(&report, "workers/odd").consumed, 700);
    let got: Vec<u64> = seen("workers/keep")
        .iter()
        .filter_map(|c| c.strip_prefix("got ").map(|n| n.parse().unwrap()))
        .collect();
    assert_eq!(got.len(), 700);
    for key in 0..7 {
        let of_key: Vec<u64> = got.iter().copied().filter(|n| n % 7 == key).collect();
        assert!(of_key.is_sorted(), "key {key}");
    }
}

/// Runs, and stops when the account of the first host's second stage is so.
fn stopped_when(engine: Engine, when: impl Fn(Account) -> bool + Send + 'static) -> Report {
    let (stop, watch) = (engine.stop_handle(), engine.view());
    let stopper = std::thread::spawn(move || {
        while !when(watch.hosts[0].1[1].account()) {
            std::thread::yield_now();
        }
        stop.stop();
    });
    let report = engine.run();
    stopper.join().unwrap();
    report
}

#[test]
fn a_stop_drains_what_was_read() {
    let engine = engine(
        vec![(
            "stop",
            vec![count(json!({})), keep(json!({"quiet": true}), &[0])],
        )],
        LONG,
    );
    let report = stopped_when(engine, |a| a.consumed >= 100);
    let (source, sink) = (
        account(&report, "stop/count"),
        account(&report, "stop/keep"),
    );
    assert_eq!((source.emitted, sink.in_flight), (sink.consumed, 0));
    let calls = seen("stop/keep");
    assert!(
        !calls.iter().any(|c| c.starts_with("end")),
        "a signal is no end of the input"
    );
    assert_eq!(seen("stop/count").last().unwrap(), "close");
}

#[test]
fn a_reader_drains_after_its_writer_and_reads_to_the_end() {
    let mut reader = count(json!({"drain_to": 1_000_000, "batch": 10_000}));
    reader.upstream = vec![StageRef { host: 0, stage: 1 }];
    let hosts = vec![
        (
            "up",
            vec![count(json!({"to": 10})), keep(json!({"quiet": true}), &[0])],
        ),
        ("down", vec![reader, keep(json!({"quiet": true}), &[0])]),
    ];
    let report = engine(hosts, LONG).run();
    assert_eq!(
        account(&report, "down/keep").consumed,
        account(&report, "down/count").emitted
    );
    assert!(account(&report, "down/count").emitted >= 1_000_000);
    let calls = stages::calls();
    let at = |what: &str| calls.iter().position(|c| c == what).unwrap();
    assert!(at("up/keep close") < at("down/count drain"));
}

#[test]
fn transient_trouble_is_waited_out() {
    let report = run(
        "trouble",
        vec![count(json!({"to": 5})), keep(json!({"trouble": 3}), &[0])],
    );
    assert_eq!(account(&report, "trouble/keep").consumed, 5);
    let calls = seen("trouble/keep");
    assert_eq!(calls[..4], ["trouble", "trouble", "trouble", "open"]);
    // No source was opened before the sink.
    let all = stages::calls();
    let at = |what: &str| all.iter().position(|c| c == what).unwrap();
    assert!(at("trouble/keep open") < at("trouble/count open"));
}

#[test]
fn on_crash_stop_ends_the_host_and_says_so() {
    let mut odd = odd(json!({"panic_at": 35}));
    odd.on_crash = OnCrash::Stop;
    let report = run(
        "crashstop",
        vec![count(json!({})), odd, keep(json!({"quiet": true}), &[1])],
    );
    assert_eq!(report.exit(), 70);
    assert_eq!(report.failures[0].stage, "odd");
    assert!(
        report.failures[0].error.message.contains("as asked"),
        "{:?}",
        report.failures
    );
    balances(account(&report, "crashstop/odd"));
}

#[test]
fn a_failed_source_lets_the_rest_drain() {
    let report = run(
        "failed",
        vec![count(json!({"fail_at": 8})), keep(json!({}), &[0])],
    );
    assert_eq!(report.exit(), 69);
    assert_eq!(
        account(&report, "failed/keep").consumed,
        account(&report, "failed/count").emitted
    );
    assert_eq!(seen("failed/keep").last().unwrap(), "close");
}

#[test]
fn one_failed_host_leaves_the_others_running() {
    let hosts = vec![
        (
            "bad",
            vec![
                count(json!({"fail_at": 3})),
                keep(json!({"quiet": true}), &[0]),
            ],
        ),
        (
            "good",
            vec![
                count(json!({"to": 20_000, "batch": 10})),
                keep(json!({"quiet": true}), &[0]),
            ],
        ),
    ];
    let report = engine(hosts, LONG).run();
    assert_eq!(account(&report, "good/keep").consumed, 20_000);
    assert_eq!(report.failures.len(), 1);
}

#[test]
fn what_does_not_drain_within_the_grace_is_counted_and_named() {
    let options = Options {
        grace: Duration::from_millis(50),
        ..LONG
    };
    let stages = vec![count(json!({"to": 5})), keep(json!({"stuck": true}), &[0])];
    let engine = engine(vec![("stuck", stages)], options);
    let report = stopped_when(engine, |a| a.received == 5);
    assert_eq!(account(&report, "stuck/keep").in_flight, 5);
    assert!(
        report.unfinished.contains(&"stuck/keep".to_owned()),
        "{:?}",
        report.unfinished
    );
    assert_eq!(report.exit(), 70);
}

#[test]
fn a_full_edge_drops_by_policy_and_counts() {
    let mut sink = keep(json!({"stuck": true}), &[0]);
    sink.buffer.max_records = 10;
    sink.buffer.when_full = host::config::WhenFull::DropOldest;
    let options = Options {
        grace: Duration::from_millis(50),
        ..LONG
    };
    let stages = vec![count(json!({"to": 100})), sink];
    let report = stopped_when(engine(vec![("drop", stages)], options), |a| {
        a.received == 100
    });
    let a = account(&report, "drop/keep");
    assert_eq!(a.received, 100);
    // Ten wait, and one more is in its hands if it came to take one before it had to make room.
    assert!((10..=11).contains(&a.in_flight), "{a:?}");
    assert_eq!(a.in_flight + a.dropped, 100);
    balances(a);
}

#[test]
fn epochs_pass_while_records_flow() {
    let dir = tempfile::tempdir().unwrap().keep();
    let stages = vec![
        count(json!({"batch": 3})),
        odd(json!({})),
        keep(json!({"pending": 2, "quiet": true}), &[1]),
    ];
    let host = HostPlan {
        name: "epochs".into(),
        checkpoint_interval: Duration::from_millis(5),
        call_timeout: Duration::from_secs(60),
        on_hang: OnHang::Stop,
        stages,
    };
    let plan = Plan {
        folder: dir.clone(),
        state_dir: dir,
        admin: None,
        hosts: vec![host],
        drain_order: vec![vec![0]],
    };
    let engine = Engine::new(&plan, &registry(), LONG).unwrap();
    let stop = engine.stop_handle();
    let stopper = std::thread::spawn(move || {
        while !seen("epochs/count").contains(&"commit 4".to_owned()) {
            std::thread::yield_now();
        }
        stop.stop();
    });
    let report = engine.run();
    stopper.join().unwrap();
    assert_eq!(report.exit(), 0);
    // A source commits only what its sink had taken and made ready before.
    let sink = seen("epochs/keep");
    let source = seen("epochs/count");
    for epoch in 1..=4 {
        let at = source
            .iter()
            .find_map(|c| c.strip_prefix(&format!("checkpoint {epoch} false at ")))
            .unwrap();
        assert!(
            sink.contains(&format!("checkpoint {epoch} false after {at}")),
            "epoch {epoch}"
        );
        let ready = sink
            .iter()
            .position(|c| *c == format!("ready {epoch}"))
            .unwrap();
        let committed = sink
            .iter()
            .position(|c| *c == format!("commit {epoch}"))
            .unwrap();
        assert!(ready < committed);
    }
}
