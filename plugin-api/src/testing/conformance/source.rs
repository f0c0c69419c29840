//! What every source must keep.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Subject, must, planning::planned};
use crate::{
    abi::root::Plugin,
    stage::Poll,
    testing::{Harness, Outcome, Seen},
};

/// Real time that a poll may take beyond its deadline, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Real time without a record after which a source counts as stuck.
const STUCK: Duration = Duration::from_secs(60);
/// Breaks that are tried in one stream.
const BREAKS: usize = 40;

/// Checks a source whose first `records` records depend on the options alone: all of
/// [`plan`](super::plan); a budget is a hard cap, and a deadline is kept; whatever the budgets, the
/// same records come; after a checkpoint, a crash and a restore at any point the stream goes on
/// as if nothing had been; commits may be repeated; a finished source stays finished.
///
/// # Panics
/// If one of these is not so.
pub fn source<P: Plugin>(name: &str, options: &Value, records: usize) {
    let subject = Subject::new::<P>("source", name, options, &[]);
    planned::<P>(&subject);
    subject.harmless::<P>();
    let straight = read(&mut subject.start::<P>(0, None), records, usize::MAX);
    assert!(straight.len() > 1, "too few records to break between them");
    for budget in [1, 2, 7] {
        let other = read(&mut subject.start::<P>(0, None), records, budget);
        same(&straight, &other, &format!("with a budget of {budget}"));
    }
    let step = straight.len().div_ceil(BREAKS);
    for at in (0..=straight.len()).step_by(step) {
        broken::<P>(&subject, &straight, at);
    }
    restarted_often::<P>(&subject, &straight, step);
    finished::<P>(&subject, records);
}

/// What came out of a source, in order: records, and bytes that were none.
type Stream = Vec<Item>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Record(Seen),
    Rejected(String),
}

fn poll<P: Plugin>(stage: &mut Harness<P>, budget: usize) -> (Poll, Outcome) {
    let began = Instant::now();
    let wait_ms = 20;
    let answer = must("poll", stage.poll(budget, wait_ms));
    let late = began
        .elapsed()
        .saturating_sub(Duration::from_millis(wait_ms));
    assert!(
        late < PATIENCE,
        "poll came back {late:?} after its deadline"
    );
    let emitted = answer.1.emitted();
    assert!(
        emitted <= budget,
        "poll gave {emitted} records at a budget of {budget}"
    );
    answer
}

/// Reads until `want` records have come, or to the end. Rejected bytes have no place among the
/// records of one call; they stand behind them.
fn read<P: Plugin>(stage: &mut Harness<P>, want: usize, budget: usize) -> Stream {
    let (mut stream, mut records, mut fed) = (Stream::new(), 0, Instant::now());
    while records < want {
        let (answer, outcome) = poll(stage, budget.min(want - records));
        let before = stream.len();
        records += outcome.emitted();
        stream.extend(outcome.seen().into_iter().map(Item::Record));
        let raw = outcome.rejected_raw.into_iter();
        stream.extend(raw.map(|(bytes, _)| Item::Rejected(bytes.escape_ascii().to_string())));
        if answer == Poll::Finished {
            break;
        }
        if stream.len() > before {
            fed = Instant::now();
        }
        assert!(fed.elapsed() < STUCK, "no record came, and no end");
    }
    stream
}

/// The same records in the same order, and the same rejected bytes in the same order.
fn same(straight: &[Item], other: &[Item], what: &str) {
    let part = |stream: &[Item], records: bool| -> Stream {
        let wanted = |item: &&Item| matches!(item, Item::Record(_)) == records;
        stream.iter().filter(wanted).cloned().collect()
    };
    for records in [true, false] {
        let (straight, other) = (part(straight, records), part(other, records));
        let first = straight.iter().zip(&other).position(|(a, b)| a != b);
        if let Some(first) = first {
            panic!(
                "{what}, item {first} is another: {:?} instead of {:?}",
                other[first], straight[first]
            );
        }
        assert_eq!(other.len(), straight.len(), "{what}: number of items");
    }
}

fn records(stream: &[Item]) -> usize {
    let record = |item: &&Item| matches!(item, Item::Record(_));
    stream.iter().filter(record).count()
}

/// Reads `at` records, makes an epoch, reads on, crashes, and goes on from the epoch.
fn broken<P: Plugin>(subject: &Subject<'_>, straight: &Stream, at: usize) {
    let all = records(straight);
    let mut stage = subject.start::<P>(0, None);
    let mut stream = read(&mut stage, at.min(all), usize::MAX);
    let (state, _) = must("checkpoint", stage.checkpoint(1, false));
    // Lost with the crash: it belongs to an epoch that never was.
    let _ = read(&mut stage, 2.min(all.saturating_sub(at)), 1);
    drop(stage);
    let mut stage = subject.start::<P>(1, Some(&state));
    must("commit, repeated", stage.commit(1));
    stream.extend(read(&mut stage, all - records(&stream), usize::MAX));
    same(
        straight,
        &stream,
        &format!("after a crash behind {at} records"),
    );
    must("close", stage.close());
}

/// An epoch and a crash every `step` records: states of restored stages are whole too.
fn restarted_often<P: Plugin>(subject: &Subject<'_>, straight: &Stream, step: usize) {
    let all = records(straight);
    let (mut stream, mut epoch, mut state) = (Stream::new(), 0, None);
    loop {
        let mut stage = subject.start::<P>(epoch, state.as_deref());
        let left = all - records(&stream);
        stream.extend(read(&mut stage, step.min(left), usize::MAX));
        epoch += 1;
        state = Some(must("checkpoint", stage.checkpoint(epoch, left <= step)).0);
        if left <= step {
            break;
        }
    }
    same(straight, &stream, "after a crash every few records");
}

/// If the stream ends: it stays ended, also for a new instance.
fn finished<P: Plugin>(subject: &Subject<'_>, records: usize) {
    let mut stage = subject.start::<P>(0, None);
    let _ = read(&mut stage, records, usize::MAX);
    if poll(&mut stage, 1).0 != Poll::Finished {
        return;
    }
    let (answer, outcome) = poll(&mut stage, 10);
    assert_eq!((answer, outcome.emitted()), (Poll::Finished, 0));
    let (state, _) = must("last checkpoint", stage.checkpoint(1, true));
    must("commit", stage.commit(1));
    must("close", stage.close());
    let mut stage = subject.start::<P>(1, Some(&state));
    let again = read(&mut stage, 1, 1);
    assert!(again.is_empty(), "after its end it gave {again:?}");
}
