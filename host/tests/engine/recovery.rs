//! What becomes of a run that crashes, hangs or is started again.

use super::*;
use crate::stages::held;

const SOON: Duration = Duration::from_millis(5);

fn temp() -> std::path::PathBuf {
    tempfile::tempdir().unwrap().keep()
}

/// All numbers once, in order.
fn exact(sink: &str, to: u64) {
    let held = held();
    let got = &held[sink];
    assert!(
        got.iter().copied().eq(1..=to),
        "{sink}: {} of {to}",
        got.len()
    );
}

#[test]
fn a_record_that_crashes_a_stage_is_found_and_kept_away_from_it() {
    let stages = vec![
        count(json!({"to": 100, "batch": 10})),
        odd(json!({"panic_at": 35})),
        keep(json!({"exact": true}), &[1]),
    ];
    let report = run("crash", stages);
    let odd = account(&report, "crash/odd");
    assert_eq!((odd.dead_lettered, odd.consumed, odd.in_flight), (1, 99, 0));
    assert_eq!(account(&report, "crash/keep").consumed, 99);
    assert_eq!(account(&report, "crash/count").emitted, 100);
    let got = held()["crash/keep"].clone();
    assert!(got.iter().copied().eq((1..=100).filter(|n| *n != 35)));
    // Once in its batch, once alone, and then no more.
    assert_eq!(seen("crash/odd"), ["open", "open", "open"]);
    assert_eq!((report.letters[0].1, report.exit()), (1, 0));
}

#[test]
fn a_crash_goes_back_to_the_last_epoch_and_no_further() {
    let stages = vec![
        count(json!({"to": 2_000, "batch": 7, "wait_at": 700})),
        odd(json!({"panic_once_at": 1_500})),
        keep(json!({"exact": true, "pending": 1}), &[1]),
    ];
    let engine = engine_in(&temp(), SOON, vec![("again", stages)], LONG).unwrap();
    let report = engine.run();
    exact("again/keep", 2_000);
    for stage in ["count", "odd", "keep"] {
        let a = account(&report, &format!("again/{stage}"));
        assert_eq!(
            (a.received, a.consumed, a.in_flight),
            (2_000, 2_000, 0),
            "{stage}"
        );
    }
    let restored = seen("again/count");
    assert!(
        restored.iter().any(|c| c.starts_with("restored at ")),
        "{restored:?}"
    );
    assert_eq!(report.exit(), 0);
}

#[test]
fn a_sink_may_wait_for_its_commit_before_it_takes_more() {
    let stages = vec![
        count(json!({"to": 2_000, "batch": 7, "wait_at": 700})),
        keep(json!({"exact": true, "seals": true, "pending": 1}), &[0]),
    ];
    let engine = engine_in(&temp(), SOON, vec![("sealed", stages)], LONG).unwrap();
    assert_eq!(engine.run().exit(), 0);
    exact("sealed/keep", 2_000);
}

#[test]
fn a_live_source_outlives_its_region_and_what_it_sent_comes_again() {
    let stages = vec![
        count(json!({"to": 2_000, "batch": 7, "wait_at": 700, "live": true})),
        odd(json!({"panic_once_at": 1_500})),
        keep(json!({"exact": true}), &[1]),
    ];
    let mut stages = stages;
    stages[0].live = true;
    let engine = engine_in(&temp(), SOON, vec![("live", stages)], LONG).unwrap();
    let report = engine.run();
    exact("live/keep", 2_000);
    let source = seen("live/count");
    assert_eq!(source.iter().filter(|c| *c == "open").count(), 1);
    let a = account(&report, "live/count");
    assert_eq!((a.emitted, a.in_flight), (2_000, 0));
    assert_eq!(report.exit(), 0);
}

#[test]
fn a_source_that_panics_starts_again_from_its_position() {
    let stages = vec![
        count(json!({"to": 900, "batch": 10, "panic_once_at": 455})),
        keep(json!({"exact": true}), &[0]),
    ];
    let report = run("panics", stages);
    exact("panics/keep", 900);
    assert_eq!(account(&report, "panics/count").emitted, 900);
}

#[test]
fn what_fails_again_and_again_is_given_up_and_the_rest_runs_on() {
    let hosts = vec![
        (
            "broken",
            vec![
                count(json!({"break_at": 3})),
                keep(json!({"quiet": true}), &[0]),
            ],
        ),
        (
            "sound",
            vec![
                count(json!({"to": 20_000, "batch": 10})),
                keep(json!({"quiet": true}), &[0]),
            ],
        ),
    ];
    let report = engine(hosts, LONG).run();
    assert_eq!(account(&report, "sound/keep").consumed, 20_000);
    assert_eq!(report.failures.len(), 1);
    assert!(
        report.failures[0]
            .error
            .message
            .contains("too often in a row")
    );
    assert_eq!(
        seen("broken/count").iter().filter(|c| *c == "open").count(),
        6
    );
    assert_eq!(report.exit(), 70);
}

#[test]
fn two_regions_of_a_host_fall_apart() {
    let mut other = count(json!({"to": 5_000, "batch": 10}));
    other.name = "other".into();
    let mut second = keep(json!({"exact": true}), &[2]);
    second.name = "second".into();
    let stages = vec![
        count(json!({"break_at": 3})),
        keep(json!({"quiet": true}), &[0]),
        other,
        second,
    ];
    let report = run("apart", stages);
    exact("apart/second", 5_000);
    assert_eq!((report.failures.len(), report.exit()), (1, 70));
}

#[test]
fn the_next_process_goes_on_where_the_last_one_was_broken_off() {
    let dir = temp();
    let stages = |broken: bool| {
        let at = if broken { 1_500 } else { 0 };
        vec![
            count(json!({"to": 2_000, "batch": 7, "wait_at": 700, "break_at": at})),
            odd(json!({})),
            keep(json!({"exact": true}), &[1]),
        ]
    };
    let first = engine_in(&dir, SOON, vec![("next", stages(true))], LONG).unwrap();
    assert_eq!(first.run().exit(), 70);
    let report = engine_in(&dir, SOON, vec![("next", stages(false))], LONG)
        .unwrap()
        .run();
    exact("next/keep", 2_000);
    // The account is that of the whole, since it was broken off.
    assert_eq!(account(&report, "next/keep").consumed, 2_000);
    assert_eq!(account(&report, "next/keep").in_flight, 0);

    // Killed before that was kept: the next process finds it out, and doubles nothing.
    let mark = dir.join("next/complete.json");
    std::fs::remove_file(&mark).unwrap();
    let report = engine_in(&dir, SOON, vec![("next", stages(false))], LONG)
        .unwrap()
        .run();
    assert_eq!(account(&report, "next/keep").consumed, 0);
    exact("next/keep", 2_000);
    assert!(mark.exists());

    // It is complete now: the next run begins anew, with an account of its own.
    let report = engine_in(&dir, SOON, vec![("next", stages(false))], LONG)
        .unwrap()
        .run();
    assert_eq!(account(&report, "next/keep").consumed, 2_000);
    exact("next/keep", 2_000);
}

#[test]
fn a_stopped_run_is_gone_on_with() {
    let dir = temp();
    let stages = || {
        vec![
            count(json!({"batch": 3})),
            keep(json!({"exact": true}), &[0]),
        ]
    };
    let engine = engine_in(&dir, SOON, vec![("stopped", stages())], LONG).unwrap();
    let first = stopped_when(engine, |a| a.consumed >= 500);
    let before = account(&first, "stopped/keep").consumed;
    let engine = engine_in(&dir, SOON, vec![("stopped", stages())], LONG).unwrap();
    let second = stopped_when(engine, |a| a.consumed >= 500);
    let after = account(&second, "stopped/keep").consumed;
    exact("stopped/keep", before + after);
}

#[test]
fn a_limit_holds_over_a_crash() {
    let mut source = count(json!({"batch": 7, "wait_at": 700}));
    source.limit = Some(2_000);
    let stages = vec![
        source,
        odd(json!({"panic_once_at": 1_500})),
        keep(json!({"exact": true}), &[1]),
    ];
    let engine = engine_in(&temp(), SOON, vec![("capped", stages)], LONG).unwrap();
    engine.run();
    exact("capped/keep", 2_000);
}

#[test]
fn a_changed_graph_says_what_would_be_lost() {
    let dir = temp();
    let source = || count(json!({"batch": 3}));
    let stages = vec![source(), keep(json!({"exact": true}), &[0])];
    let first = engine_in(&dir, SOON, vec![("changed", stages)], LONG).unwrap();
    stopped_when(first, |a| a.consumed >= 50);
    let mut renamed = keep(json!({"exact": true}), &[0]);
    renamed.name = "renamed".into();
    let stages = || vec![source(), renamed.clone()];
    let refused = engine_in(&dir, SOON, vec![("changed", stages())], LONG);
    let said = refused.err().unwrap().message;
    assert!(said.contains("--drop-state keep"), "{said}");
    let options = Options {
        drop_state: ["keep".to_owned()].into(),
        ..LONG
    };
    let second = engine_in(&dir, SOON, vec![("changed", stages())], options).unwrap();
    let report = stopped_when(second, |a| a.consumed >= 50);
    let all = account(&report, "changed/renamed").consumed;
    let held = held()["changed/renamed"].clone();
    assert_eq!(held.len() as u64, all);
    assert!(
        held[0] > 50,
        "the source went on from where it was: {}",
        held[0]
    );
}

#[test]
fn one_process_at_a_time() {
    let dir = temp();
    let stages = || vec![count(json!({"to": 3})), keep(json!({}), &[0])];
    let first = engine_in(&dir, SOON, vec![("alone", stages())], LONG).unwrap();
    let second = engine_in(&dir, SOON, vec![("alone", stages())], LONG);
    assert!(second.err().unwrap().message.contains("runs already"));
    drop(first);
    assert!(engine_in(&dir, SOON, vec![("alone", stages())], LONG).is_ok());
}

#[test]
fn a_call_that_hangs_is_named_and_ends_its_host() {
    let dir = temp();
    let host = |name: &str, stages| HostPlan {
        name: name.into(),
        checkpoint_interval: SOON,
        call_timeout: Duration::from_millis(200),
        on_hang: OnHang::Stop,
        stages,
    };
    let plan = Plan {
        folder: dir.clone(),
        state_dir: dir,
        admin: None,
        hosts: vec![
            host(
                "hangs",
                vec![
                    count(json!({"to": 10})),
                    odd(json!({"hang_at": 5})),
                    keep(json!({"quiet": true}), &[1]),
                ],
            ),
            host(
                "lives",
                vec![
                    count(json!({"to": 1_000})),
                    keep(json!({"exact": true}), &[0]),
                ],
            ),
        ],
        drain_order: vec![vec![0], vec![1]],
    };
    let report = Engine::new(&plan, &registry(), LONG).unwrap().run();
    exact("lives/keep", 1_000);
    let failure = &report.failures[0];
    assert_eq!((failure.stage.as_str(), report.exit()), ("odd", 70));
    assert!(
        failure
            .error
            .message
            .contains("`process` has not come back"),
        "{failure:?}"
    );
}

/// A host with a disk buffer before its last stage.
fn on_disk(dir: &std::path::Path, name: &str, mut stages: Vec<StagePlan>, max_bytes: u64) -> Plan {
    let last = stages.last_mut().unwrap();
    last.buffer.kind = host::config::BufferKind::Disk;
    last.buffer.max_bytes = max_bytes;
    for s in &mut stages {
        s.outputs = s.ports.iter().map(|_| ContentType::text()).collect();
    }
    let mut host = HostPlan {
        name: name.into(),
        checkpoint_interval: SOON,
        call_timeout: Duration::from_secs(60),
        on_hang: OnHang::Stop,
        stages,
    };
    plan::disk::cut(&mut host, &dir.join(name).join("buffers"));
    Plan {
        folder: dir.to_owned(),
        state_dir: dir.to_owned(),
        admin: None,
        hosts: vec![host],
        drain_order: vec![vec![0]],
    }
}

#[test]
fn a_disk_buffer_passes_all_on_and_bounds_what_waits() {
    let stages = vec![
        count(json!({"to": 20_000, "batch": 100})),
        keep(json!({"exact": true, "take": 7}), &[0]),
    ];
    let plan = on_disk(&temp(), "disk", stages, 100_000);
    let report = Engine::new(&plan, &registry(), LONG).unwrap().run();
    exact("disk/keep", 20_000);
    for stage in ["count>keep", "count>>keep", "keep"] {
        let a = account(&report, &format!("disk/{stage}"));
        assert_eq!(
            (a.received, a.consumed, a.in_flight),
            (20_000, 20_000, 0),
            "{stage}"
        );
    }
    assert_eq!(report.exit(), 0);
}

#[test]
fn behind_a_disk_buffer_only_the_own_region_falls() {
    let dir = temp();
    let stages = |broken: bool| {
        vec![
            count(json!({"to": 3_000, "batch": 10})),
            keep(json!({"exact": true, "broken": broken}), &[0]),
        ]
    };
    let plan = on_disk(&dir, "fallen", stages(true), 1 << 30);
    let report = Engine::new(&plan, &registry(), LONG).unwrap().run();
    assert_eq!(report.exit(), 70);
    assert_eq!(account(&report, "fallen/count>keep").consumed, 3_000);
    // The next process finds it all in the buffer, and the source does not start anew.
    let plan = on_disk(&dir, "fallen", stages(false), 1 << 30);
    let report = Engine::new(&plan, &registry(), LONG).unwrap().run();
    exact("fallen/keep", 3_000);
    assert_eq!(account(&report, "fallen/count").emitted, 0);
    assert_eq!(report.exit(), 0);
}
