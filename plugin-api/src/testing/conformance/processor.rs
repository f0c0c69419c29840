//! What every processor must keep.

use serde_json::Value;

use super::{Subject, awkward, must, planning::planned};
use crate::{
    Batch, ContentType,
    abi::root::Plugin,
    testing::{Harness, Outcome},
};

/// Checks a processor with a sample of its input: all of [`plan`](super::plan); each record has
/// one fate; room for one batch a call gives the same output; after a checkpoint, a crash and a
/// restore behind any batch the output is as if nothing had been; commits may be repeated; records
/// of no length, no value, no UTF-8 and of 1 MiB are no reason to panic.
///
/// # Panics
/// If one of these is not so.
pub fn processor<P: Plugin>(name: &str, options: &Value, input: &ContentType, sample: &[Batch]) {
    assert!(!sample.is_empty(), "a sample without batches shows nothing");
    let inputs = [input.clone()];
    let subject = Subject::new::<P>("processor", name, options, &inputs);
    planned::<P>(&subject);
    subject.harmless::<P>();
    let mut stage = subject.start::<P>(0, None);
    let straight = finish(stage_through(&mut stage, sample), &mut stage);
    must("close", stage.close());

    let mut stage = subject.start::<P>(0, None);
    stage.room(1);
    let narrow = finish(stage_through(&mut stage, sample), &mut stage);
    same(&straight, &narrow, "with room for one batch a call");

    for at in 0..=sample.len() {
        broken::<P>(&subject, &straight, sample, at);
    }
    for (what, batch) in awkward::batches() {
        let mut stage = subject.start::<P>(0, None);
        let outcome = must(what, stage.process(0, &batch));
        let outcome = finish(outcome, &mut stage);
        one_fate_each(&outcome, batch.len(), what);
        must("close", stage.close());
    }
}

/// Batches and the timer after each, as the engine calls.
fn stage_through<P: Plugin>(stage: &mut Harness<P>, sample: &[Batch]) -> Outcome {
    let mut all = Outcome::default();
    all.merge(must("tick", stage.tick()).1);
    for batch in sample {
        all.merge(must("process", stage.process(0, batch)));
        all.merge(must("tick", stage.tick()).1);
    }
    all
}

/// The end of the input, and the last epoch.
fn finish<P: Plugin>(mut all: Outcome, stage: &mut Harness<P>) -> Outcome {
    all.merge(must("end", stage.end(0)));
    all.merge(must("last checkpoint", stage.checkpoint(99, true)).1);
    must("commit", stage.commit(99));
    must("commit, repeated", stage.commit(99));
    all
}

fn same(straight: &Outcome, other: &Outcome, what: &str) {
    let (seen, wanted) = (other.seen(), straight.seen());
    let first = seen.iter().zip(&wanted).position(|(a, b)| a != b);
    if let Some(first) = first {
        panic!(
            "{what}: other output: record {first} is {:?} instead of {:?}",
            seen[first], wanted[first]
        );
    }
    assert_eq!(seen.len(), wanted.len(), "{what}: other output: records");
    assert_eq!(other.fates(), straight.fates(), "{what}: other fates");
    let reasons = |outcome: &Outcome| -> Vec<String> {
        outcome.rejected.iter().map(|r| r.2.clone()).collect()
    };
    assert_eq!(reasons(other), reasons(straight), "{what}: other rejects");
}

fn one_fate_each(outcome: &Outcome, records: usize, what: &str) {
    assert_eq!(
        outcome.fates(),
        records as u64,
        "{what}: fates of {records} records: {} consumed, {} filtered, {} rejected",
        outcome.consumed_count(),
        outcome.filtered_count(),
        outcome.rejected.len()
    );
}

fn broken<P: Plugin>(subject: &Subject<'_>, straight: &Outcome, sample: &[Batch], at: usize) {
    let mut stage = subject.start::<P>(0, None);
    let mut all = stage_through(&mut stage, &sample[..at]);
    let (state, late) = must("checkpoint", stage.checkpoint(1, false));
    all.merge(late);
    // Lost with the crash: it belongs to an epoch that never was.
    if let Some(next) = sample.get(at) {
        must("process", stage.process(0, next));
    }
    drop(stage);
    let mut stage = subject.start::<P>(1, Some(&state));
    must("commit, repeated", stage.commit(1));
    all.merge(stage_through(&mut stage, &sample[at..]));
    let all = finish(all, &mut stage);
    same(
        straight,
        &all,
        &format!("after a crash behind {at} batches"),
    );
    let records: usize = sample.iter().map(Batch::len).sum();
    one_fate_each(&all, records, "of the sample");
}
