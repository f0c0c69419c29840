//! Dead letters that are sent again.

use std::path::Path;

use host::engine::Replay;

use super::*;
use crate::stages::held;

const SOON: Duration = Duration::from_millis(5);

fn again() -> Options {
    Options {
        replay: Some(Replay::default()),
        ..LONG
    }
}

/// Numbers to 2,000, of which `odd` rejects the multiples of `reject`.
fn stages(reject: u64) -> Vec<StagePlan> {
    vec![
        count(json!({"to": 2_000, "batch": 7})),
        odd(json!({"reject": reject})),
        keep(json!({"exact": true}), &[1]),
    ]
}

fn run_in(dir: &Path, host: &str, stages: Vec<StagePlan>, options: Options) -> Report {
    engine_in(dir, SOON, vec![(host, stages)], options)
        .unwrap()
        .run()
}

fn multiples(of: u64) -> Vec<u64> {
    (1..=2_000).filter(|n| n % of == 0).collect()
}

#[test]
fn letters_reach_the_stage_that_rejected_them_once_and_its_sources_read_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = run_in(dir.path(), "letters", stages(500), LONG);
    assert_eq!(first.letters[0].1, 4);
    // Mended.
    let report = run_in(dir.path(), "letters", stages(0), again());
    assert_eq!(report.exit(), 0);
    assert_eq!(account(&report, "letters/dead-letters:odd").emitted, 4);
    assert_eq!(account(&report, "letters/odd").consumed, 4);
    assert_eq!(account(&report, "letters/count").received, 0);
    // A run that was complete begins anew, its sink too.
    assert_eq!(held()["letters/keep"], multiples(500));
    let opened = |report: &str| seen(report).iter().filter(|c| *c == "open").count();
    assert_eq!(opened("letters/count"), 1);

    let nothing = engine_in(dir.path(), SOON, vec![("letters", stages(0))], again());
    assert!(
        nothing
            .err()
            .unwrap()
            .message
            .contains("sent again already")
    );
    // The next run of all begins anew, and what was replayed stays replayed.
    let report = run_in(dir.path(), "letters", stages(500), LONG);
    assert_eq!(account(&report, "letters/count").emitted, 2_000);
    let report = run_in(dir.path(), "letters", stages(1_000), again());
    assert_eq!(account(&report, "letters/dead-letters:odd").emitted, 4);
    let odd = account(&report, "letters/odd");
    assert_eq!((odd.consumed, odd.dead_lettered), (2, 2), "rejected again");
    let report = run_in(dir.path(), "letters", stages(0), again());
    assert_eq!(account(&report, "letters/odd").consumed, 2);
}

#[test]
fn a_source_in_the_middle_of_its_input_goes_on_after_a_replay_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let endless = || {
        vec![
            count(json!({"batch": 7})),
            odd(json!({"reject": 50})),
            keep(json!({"exact": true}), &[1]),
        ]
    };
    for _ in 0..2 {
        let engine = engine_in(dir.path(), SOON, vec![("middle", endless())], LONG).unwrap();
        let stopped = stopped_when(engine, |a| a.consumed >= 600);
        let report = run_in(dir.path(), "middle", stages(0), again());
        assert_eq!(report.exit(), 0);
        let sent = account(&report, "middle/dead-letters:odd").emitted;
        assert_eq!(sent, stopped.letters[0].1);
    }
    let mut got = held()["middle/keep"].clone();
    got.sort_unstable();
    assert!(got.len() > 1_200 && got.iter().copied().eq(1..=got.len() as u64));
}

#[test]
fn a_replay_that_breaks_off_goes_on_where_it_was() {
    const ALL: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let stages = |odd_options: Value| {
        vec![
            count(json!({"to": ALL, "batch": 1_000})),
            odd(odd_options),
            keep(json!({"exact": true}), &[1]),
        ]
    };
    run_in(dir.path(), "torn", stages(json!({"reject": 1})), LONG);
    let sink = seen("torn/keep");
    let before = sink.iter().filter(|c| c.starts_with("commit ")).count();
    let mut broken = stages(json!({"panic_after_commits": before}));
    broken[1].on_crash = OnCrash::Stop;
    assert_eq!(run_in(dir.path(), "torn", broken, again()).exit(), 70);
    let report = run_in(dir.path(), "torn", stages(json!({})), again());
    assert_eq!(report.exit(), 0);
    let sent = account(&report, "torn/dead-letters:odd").emitted;
    assert!(sent < ALL, "an epoch held some of it");
    assert!(held()["torn/keep"].iter().copied().eq(1..=ALL));
    let nothing = engine_in(dir.path(), SOON, vec![("torn", stages(json!({})))], again());
    assert!(nothing.is_err());
}

#[test]
fn a_changed_graph_knows_what_was_replayed() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), "graph", stages(500), LONG);
    run_in(dir.path(), "graph", stages(0), again());
    let mut changed = stages(1_000);
    changed[2].name = "renamed".into();
    run_in(dir.path(), "graph", changed.clone(), LONG);
    let report = run_in(dir.path(), "graph", changed, again());
    assert_eq!(account(&report, "graph/dead-letters:odd").emitted, 2);
    // And back: its first letters are still there, and done with.
    let report = run_in(dir.path(), "graph", stages(500), LONG);
    assert_eq!(report.letters[0].1, 4);
    let report = run_in(dir.path(), "graph", stages(0), again());
    // Two that were rejected again, and four new ones.
    assert_eq!(account(&report, "graph/dead-letters:odd").emitted, 6);
    let files = std::fs::read_dir(dir.path().join("graph/dead-letters")).unwrap();
    assert_eq!(files.count(), 4);
}

#[test]
fn letters_go_on_through_a_buffer_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let cut = |reject: u64| {
        let mut host = HostPlan {
            name: "spooled".into(),
            checkpoint_interval: SOON,
            call_timeout: Duration::from_secs(60),
            on_hang: OnHang::Stop,
            stages: stages(reject),
        };
        host.stages[1].outputs = vec![ContentType::text()];
        host.stages[2].buffer.kind = BufferKind::Disk;
        plan::disk::cut(&mut host, &dir.path().join("spooled/buffers"));
        host.stages
    };
    run_in(dir.path(), "spooled", cut(500), LONG);
    assert_eq!(held()["spooled/keep"].len(), 1_996);
    let report = run_in(dir.path(), "spooled", cut(0), again());
    assert_eq!(report.exit(), 0);
    assert_eq!(account(&report, "spooled/odd>keep").consumed, 4);
    assert_eq!(held()["spooled/keep"], multiples(500));
    let report = run_in(dir.path(), "spooled", cut(500), LONG);
    assert_eq!(report.exit(), 0);
    assert_eq!(held()["spooled/keep"].len(), 1_996);
}
