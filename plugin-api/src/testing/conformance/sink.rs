//! What every sink must keep.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Subject, awkward, must, planning::planned};
use crate::{
    Batch, ContentType,
    abi::root::Plugin,
    testing::{Harness, Outcome, outcome::shown},
};

/// Real time after which a sink that takes nothing counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Checks a sink with a sample of its input: all of [`plan`](super::plan), which leaves nothing
/// behind; each record has one fate; after a crash at any point of an epoch, a restore and the
/// repeated commit, what was written is as if nothing had been; an aborted epoch's records join
/// the next; commits may be repeated; awkward records are no reason to panic.
///
/// `folder` is an empty one; `options` makes the sink's options for a new folder below it, and
/// `written` reads what lies there after the run: [`files`], or a reader that is blind to what
/// may differ, such as Avro's random markers. A sink that writes elsewhere gives no output.
///
/// # Panics
/// If one of these is not so.
pub fn sink<P: Plugin, W: PartialEq + std::fmt::Debug>(
    name: &str,
    input: &ContentType,
    sample: &[Batch],
    folder: &Path,
    options: impl Fn(&Path) -> Value,
    written: impl Fn(&Path) -> W,
) {
    assert!(!sample.is_empty(), "a sample without batches shows nothing");
    let inputs = [input.clone()];
    let mut runs = 0;
    let mut run = |what: &str, f: &mut dyn FnMut(&Subject<'_>)| {
        runs += 1;
        let dir = folder.join(runs.to_string());
        let made = fs::create_dir(&dir);
        made.unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let options = options(&dir);
        let subject = Subject::new::<P>("sink", name, &options, &inputs);
        f(&subject);
        let unfinished: Vec<PathBuf> = paths(&dir)
            .into_iter()
            .filter(|p| p.extension().is_some_and(|e| e == "inprogress"))
            .collect();
        assert!(unfinished.is_empty(), "{what}: {unfinished:?} was left");
        written(&dir)
    };

    run("plan", &mut |s| planned::<P>(s));
    assert!(
        paths(&folder.join("1")).is_empty(),
        "`plan` is pure, but files were made"
    );
    run("harmless calls", &mut |s| s.harmless::<P>());
    run("a run without a record", &mut |s| {
        last(&mut s.start::<P>(0, None), 1);
    });
    let straight = run("a run", &mut |s| {
        let mut stage = s.start::<P>(0, None);
        let outcome = epochs(&mut stage, sample, 1);
        last(&mut stage, sample.len() as u64 + 1);
        let records: usize = sample.iter().map(Batch::len).sum();
        assert_eq!(
            outcome.fates(),
            records as u64,
            "fates of {records} records"
        );
    });
    for at in 0..=sample.len() {
        for store in [
            Store::Committed,
            Store::Durable,
            Store::Lost,
            Store::Aborted,
        ] {
            let what = format!("epoch {at} {store:?}");
            let broken = run(&what, &mut |s| broken::<P>(s, sample, at, store));
            assert!(
                broken == straight,
                "{what}: other output: {} instead of {}",
                shown(format!("{broken:?}").as_bytes()),
                shown(format!("{straight:?}").as_bytes())
            );
        }
    }
    for (what, batch) in awkward::batches() {
        run(what, &mut |s| {
            let mut stage = s.start::<P>(0, None);
            let mut outcome = write(&mut stage, &batch, 0, what);
            outcome.merge(last(&mut stage, 1));
            assert_eq!(outcome.fates(), batch.len() as u64, "{what}: fates");
        });
    }
}

/// Names and content of the files below a folder, sorted; bytes that are no ASCII are escaped.
///
/// # Panics
/// If one cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<(String, String)> {
    let read = |path: PathBuf| {
        let content = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.strip_prefix(folder).unwrap_or(&path);
        (
            name.display().to_string(),
            content.escape_ascii().to_string(),
        )
    };
    paths(folder).into_iter().map(read).collect()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(paths(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What became of an epoch before the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    /// It was durable and committed.
    Committed,
    /// It was durable, but not committed.
    Durable,
    /// The stage had answered, but it was not durable: the one before is true.
    Lost,
    /// It was aborted, and there was no crash.
    Aborted,
}

fn broken<P: Plugin>(subject: &Subject<'_>, sample: &[Batch], at: usize, store: Store) {
    let mut stage = subject.start::<P>(0, None);
    let (mut before, number) = (None, at as u64 + 1);
    for (index, batch) in sample[..at].iter().enumerate() {
        if index > 0 {
            before = Some(epoch(&mut stage, index as u64));
        }
        write(&mut stage, batch, 0, "before the crash");
    }
    must("checkpoint", stage.begin_checkpoint(number, false));
    // The flow goes on between the barrier and the end of the epoch; a sink may be busy with it.
    let (mut next, mut taken) = (at, 0);
    if let Some(batch) = sample.get(at) {
        taken = must("behind the barrier", stage.write_from(0, batch, 0)).0;
    }
    let (state, _) = must("checkpoint", stage.end_checkpoint(number));
    if store == Store::Committed {
        must("commit", stage.commit(number));
    }
    match store {
        Store::Aborted => must("abort", stage.abort(number)),
        Store::Committed | Store::Durable => {
            drop(stage);
            stage = subject.start::<P>(number, Some(&state));
            must("commit, repeated", stage.commit(number));
            taken = 0;
        }
        Store::Lost => {
            drop(stage);
            let last = (at as u64).saturating_sub(1);
            stage = subject.start::<P>(last, before.as_deref());
            (next, taken) = (at.saturating_sub(1), 0);
        }
    }
    if taken > 0 {
        write(&mut stage, &sample[next], taken, "after an abort");
        next += 1;
    }
    epochs(&mut stage, &sample[next..], number + 1);
    last(&mut stage, 99);
    must("close", stage.close());
}

/// A batch an epoch.
fn epochs<P: Plugin>(stage: &mut Harness<P>, sample: &[Batch], first: u64) -> Outcome {
    let mut all = Outcome::default();
    for (number, batch) in (first..).zip(sample) {
        all.merge(write(stage, batch, 0, "the sample"));
        epoch(stage, number);
    }
    all
}

fn epoch<P: Plugin>(stage: &mut Harness<P>, number: u64) -> Vec<u8> {
    let (state, _) = must("checkpoint", stage.checkpoint(number, false));
    must("commit", stage.commit(number));
    state
}

fn last<P: Plugin>(stage: &mut Harness<P>, number: u64) -> Outcome {
    let mut all = must("end", stage.end(0));
    all.merge(must("last checkpoint", stage.checkpoint(number, true)).1);
    must("commit", stage.commit(number));
    must("commit, repeated", stage.commit(number));
    all
}

/// Gives a batch from record `from` on, coming again while the sink is busy.
fn write<P: Plugin>(stage: &mut Harness<P>, batch: &Batch, mut from: usize, what: &str) -> Outcome {
    let (mut all, began) = (Outcome::default(), Instant::now());
    while from < batch.len() {
        let (taken, outcome) = must(what, stage.write_from(0, batch, from));
        all.merge(outcome);
        from += taken;
        assert!(from <= batch.len(), "{what}: it took more than there was");
        all.merge(must("tick", stage.tick()).1);
        assert!(began.elapsed() < STUCK, "{what}: it takes no records");
    }
    all
}
