//! The two ends of a buffer through the boundary, as the engine calls them.

mod faults;
mod kill;

use std::{path::Path, sync::mpsc, thread};

use abi_stable::std_types::{ROption, RSlice};
use plugin_api::{
    Batch, Code, StageError,
    abi::{
        root::{bytes, create_here, plain},
        services::{HostServices, OutHandle},
        stage::{StageBox, answer},
    },
    batch::monotonic_ns,
    testing::{Outcome, TestHost, batch_of},
};
use serde_json::{Value, json};

use super::*;

/// What an epoch says of a stage: its number and the state.
type Saved = Option<(u64, Vec<u8>)>;

struct End {
    stage: StageBox,
    host: &'static TestHost,
}

fn open(kind: &str, name: &str, options: &Value, saved: &Saved) -> Result<End, StageError> {
    let host = TestHost::leaked();
    let mut stage = plain(create_here::<BuiltIn>(kind, name))?;
    let inputs = if kind == "sink" {
        r#"[{"format": "text"}]"#
    } else {
        "[]"
    };
    plain(stage.plan(
        bytes(options.to_string().as_bytes()),
        bytes(inputs.as_bytes()),
    ))?;
    plain(stage.open(HostServices::new(host), bytes(br#"{"stage": "edge"}"#)))?;
    let (epoch, state) = match saved {
        None => (0, ROption::RNone),
        Some((epoch, state)) => (*epoch, ROption::RSome(RSlice::from_slice(state))),
    };
    plain(stage.restore(epoch, 1, state))?;
    let mut end = End { stage, host };
    if epoch > 0 {
        end.commit(epoch);
    }
    Ok(end)
}

fn writer_of(folder: &Path, max_bytes: u64, when_full: &str, saved: &Saved) -> End {
    let options = json!({"path": folder, "max_bytes": max_bytes, "when_full": when_full});
    open("sink", "disk-buffer-in", &options, saved).unwrap()
}

fn writer(folder: &Path, saved: &Saved) -> End {
    writer_of(folder, 1 << 20, "block", saved)
}

fn try_reader(folder: &Path, saved: &Saved) -> Result<End, StageError> {
    let options = json!({"path": folder, "content": {"format": "text"}});
    open("source", "disk-buffer-out", &options, saved)
}

fn reader(folder: &Path, saved: &Saved) -> End {
    try_reader(folder, saved).unwrap()
}

impl End {
    fn try_write(&mut self, batch: &Batch) -> Result<(usize, Outcome), StageError> {
        let (mut out, stage) = (Outcome::default(), &mut self.stage);
        let taken = OutHandle::with(&mut out, |out| {
            plain(stage.write(0, 1, batch.raw(), 0, out))
        })?;
        Ok((taken, out))
    }
    fn write<const N: usize>(&mut self, values: [&str; N]) -> usize {
        self.try_write(&batch_of(values)).unwrap().0
    }
    fn ends(&mut self) {
        let (mut out, stage) = (Outcome::default(), &mut self.stage);
        OutHandle::with(&mut out, |out| plain(stage.end(0, out))).unwrap();
    }
    fn checkpoint(&mut self, epoch: u64) -> Vec<u8> {
        let none = RSlice::from_slice(&[]);
        let at_once = plain(self.stage.checkpoint(epoch, none, false)).unwrap();
        let (mut out, stage) = (Outcome::default(), &mut self.stage);
        let state = OutHandle::with(&mut out, |out| plain(stage.checkpoint_poll(epoch, out)));
        let state = at_once.into_option().or(state.unwrap().into_option());
        state.unwrap().into_vec()
    }
    fn commit(&mut self, epoch: u64) {
        assert!(plain(self.stage.commit(epoch)).unwrap());
    }
    /// Checkpoint and commit.
    fn epoch(&mut self, epoch: u64) -> Saved {
        let state = self.checkpoint(epoch);
        self.commit(epoch);
        Some((epoch, state))
    }
    fn try_poll(&mut self, budget: usize, wait_ms: u64) -> Result<(u32, Outcome), StageError> {
        let (mut out, stage) = (Outcome::default(), &mut self.stage);
        let deadline = monotonic_ns() + wait_ms * 1_000_000;
        let poll = OutHandle::with(&mut out, |out| plain(stage.poll(budget, deadline, out)))?;
        Ok((poll, out))
    }
    /// All that there is now, `budget` at a time; whether that was the end.
    fn read_by(&mut self, budget: usize) -> (Vec<String>, bool) {
        let mut all = Vec::new();
        loop {
            let (poll, out) = self.try_poll(budget, 0).unwrap();
            assert!(out.emitted() <= budget);
            all.extend(out.texts());
            if poll != answer::MORE {
                return (all, poll == answer::FINISHED);
            }
        }
    }
    fn read(&mut self) -> String {
        self.read_by(usize::MAX).0.concat()
    }
}

#[test]
fn records_come_out_once_committed_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    assert_eq!(w.write(["a", "b", "c"]), 3);
    assert_eq!(w.write(["d"]), 1);
    assert_eq!(r.read(), "");
    w.checkpoint(1);
    w.write(["e"]);
    assert_eq!(r.read(), "", "durable is not readable");
    w.commit(1);
    w.commit(1);
    assert_eq!(r.read_by(2).0, ["a", "b", "c", "d"]);
    w.epoch(2);
    assert_eq!(r.read_by(1), (vec!["e".into()], false));
    w.ends();
    w.checkpoint(3);
    assert_eq!(r.read_by(1), (vec![], false), "the end is of epoch 3");
    w.commit(3);
    assert_eq!(r.read_by(1), (vec![], true));
}

#[test]
fn a_record_keeps_all_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    let mut b = plugin_api::BatchBuilder::new();
    b.push(Some(b"v")).key(Some(b"k")).ts_us(Some(-7));
    b.push(None).header("id", Some(b"1")).header("none", None);
    let batch = b.finish();
    w.try_write(&batch).unwrap();
    w.epoch(1);
    let (_, out) = r.try_poll(10, 0).unwrap();
    let raw = out.batches[0].1.raw();
    assert_eq!(raw.recs(), batch.raw().recs());
    assert_eq!(raw.hdrs(), batch.raw().hdrs());
    assert_eq!(raw.data(), batch.raw().data());
}

#[test]
fn a_restored_writer_forgets_what_its_epoch_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let mut r = reader(folder.path(), &None);
    let mut w = writer(folder.path(), &None);
    w.write(["a"]);
    let saved = Some((1, w.checkpoint(1)));
    w.write(["lost"]);
    w.checkpoint(2);
    drop(w);
    // In the same process while the reader lives on; the commit of epoch 1 is repeated.
    let mut w = writer(folder.path(), &saved);
    assert_eq!(r.read(), "a");
    w.write(["b"]);
    let saved = w.epoch(2);
    w.write(["lost too"]);
    w.checkpoint(3);
    drop((w, r));
    let (mut w, mut r) = (writer(folder.path(), &saved), reader(folder.path(), &None));
    w.write(["c"]);
    w.epoch(3);
    assert_eq!(r.read(), "abc");
    drop(w);
    // Without an epoch the published is what was acknowledged.
    let mut w = writer(folder.path(), &None);
    w.write(["d"]);
    w.epoch(1);
    assert_eq!(r.read(), "d");
}

#[test]
fn a_restored_reader_goes_on_within_a_batch_and_trims_only_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a", "b"]);
    w.write(["c", "d", "e"]);
    w.epoch(1);
    assert_eq!(r.try_poll(3, 0).unwrap().1.texts(), ["a", "b"]);
    assert_eq!(r.try_poll(1, 0).unwrap().1.texts(), ["c"]);
    let saved = Some((1, r.checkpoint(1)));
    assert_eq!(r.read(), "de");
    assert_eq!(spool.extent().first, 0);
    drop(r);
    let mut r = reader(folder.path(), &saved);
    assert_eq!(spool.extent().first, 1, "the repeated commit trims");
    assert_eq!(r.read(), "de");
    r.epoch(2);
    let extent = spool.extent();
    assert_eq!((extent.first, extent.next, extent.bytes), (2, 2, 0));
}

#[test]
fn records_of_an_aborted_epoch_belong_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a"]);
    w.checkpoint(1);
    plain(w.stage.abort(1)).unwrap();
    // One that it never saw.
    plain(w.stage.abort(2)).unwrap();
    assert_eq!(plain(w.stage.commit(2)).unwrap_err().code, Code::FATAL);
    w.write(["b"]);
    w.epoch(3);
    assert_eq!(r.read(), "ab");
    r.checkpoint(1);
    plain(r.stage.abort(1)).unwrap();
    r.epoch(2);
    assert_eq!(Spool::open(folder.path()).unwrap().extent().first, 2);
}

#[test]
fn a_stream_that_ended_may_go_on_in_another_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut w = writer(folder.path(), &None);
    w.write(["a"]);
    w.ends();
    let ended = w.epoch(1);
    drop(w);
    let mut r = reader(folder.path(), &None);
    assert_eq!(
        r.read_by(9),
        (vec!["a".into()], false),
        "nobody says so yet"
    );
    let w = writer(folder.path(), &ended);
    assert_eq!(r.read_by(9), (vec![], true));
    drop((r, w));
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    assert_eq!(r.read_by(9), (vec!["a".into()], false));
    w.write(["b"]);
    w.epoch(1);
    assert_eq!(r.read_by(9), (vec!["b".into()], false));
}

#[test]
fn a_full_buffer_makes_the_writer_wait_for_the_reader_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut w = writer_of(folder.path(), 300, "block", &None);
    let mut r = reader(folder.path(), &None);
    for _ in 0..9 {
        assert_eq!(w.write(["0123456789"]), 1, "nothing that could be read");
    }
    assert_eq!(w.host.checkpoints_requested(), 1);
    w.epoch(1);
    assert_eq!(w.write(["x"]), 0);
    assert_eq!(r.read().len(), 90);
    r.try_poll(1, 0).unwrap();
    assert_eq!(r.host.checkpoints_requested(), 1, "it asks to trim");
    assert_eq!(w.write(["x"]), 0);
    r.epoch(1);
    assert_eq!(w.write(["x"]), 1);
    w.write(["0123456789"; 30]);
    w.epoch(2);
    assert_eq!(w.write(["y"]), 0);
    w.host.cancel();
    assert_eq!(
        w.write(["y"]),
        1,
        "the run ends, and nobody may read any more"
    );
}

#[test]
fn what_is_dropped_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut w = writer_of(folder.path(), 250, "drop-newest", &None);
    assert_eq!((w.write(["a"]), w.write(["b"])), (1, 1));
    let (taken, out) = w.try_write(&batch_of(["c", "d"])).unwrap();
    assert_eq!(
        (taken, out.filtered_count(), out.consumed_count()),
        (2, 2, 0)
    );
    assert_eq!(w.host.metric_value("dropped_newest"), 2.0);
    let mut r = reader(folder.path(), &None);
    w.epoch(1);
    assert_eq!(r.read(), "ab");

    let folder = tempfile::tempdir().unwrap();
    let mut w = writer_of(folder.path(), 400, "drop-oldest", &None);
    let mut r = reader(folder.path(), &None);
    w.write(["a", "b"]);
    w.epoch(1);
    assert_eq!(r.read(), "ab");
    let saved = r.epoch(1);
    for (epoch, value) in ["c", "d", "e", "f", "g", "h"].into_iter().enumerate() {
        assert_eq!(w.write([value; 2]), 2);
        w.epoch(epoch as u64 + 2);
    }
    assert_eq!(w.host.metric_value("dropped_oldest"), 6.0);
    let spool = Spool::open(folder.path()).unwrap();
    assert!(spool.extent().bytes <= 400);
    assert_eq!(r.read(), "ffgghh");
    // What was read and may be asked for again is not dropped, but the new is.
    w.write(["i"; 9]);
    assert_eq!(w.host.metric_value("dropped_newest"), 9.0);
    drop(r);
    let mut r = reader(folder.path(), &saved);
    assert_eq!(r.read(), "ffgghh");
    r.epoch(2);
    assert_eq!(spool.extent().bytes, 0);
}

#[test]
fn a_reader_wakes_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a"]);
    w.checkpoint(1);
    let (ready, is_ready) = mpsc::channel();
    let waiting = thread::spawn(move || {
        ready.send(()).unwrap();
        // Far longer than any test takes: what wakes it is the commit.
        let (_, out) = r.try_poll(1, 3_600_000).unwrap();
        out.texts()
    });
    is_ready.recv().unwrap();
    w.commit(1);
    assert_eq!(waiting.join().unwrap(), ["a"]);
}
