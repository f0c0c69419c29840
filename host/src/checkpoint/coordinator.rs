//! Epochs of a region: who has passed, confirmed and committed, and what comes next. It does
//! nothing itself: it takes what happened and answers what to do, so that it runs under threads
//! and under a simulation alike.
//!
//! An epoch: all pass its barrier with what precedes it safe, the sources confirm that it is still
//! theirs, one durable file makes it true, all commit it: sinks first, sources last. A source that
//! cannot confirm, or a file that cannot be written, undoes it, and its records join the next one.
//! One is in flight at a time, until all its commits are done.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    epoch::{Epoch, Snapshot},
    store::WriteError,
};

/// Number of an instance, unique in the process.
pub type InstanceId = usize;

/// Marks in the flow where an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// Number of the epoch that it ends.
    pub epoch: u64,
    /// Whether the run ends with it.
    pub last: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// These sources send the barrier.
    Begin(Vec<InstanceId>, Barrier),
    /// These sources say whether the epoch is still theirs.
    Confirm(Vec<InstanceId>, u64),
    /// Add the mark of the dead letters and keep it durably.
    Store(Box<Epoch>),
    /// These commit the epoch.
    Commit(Vec<InstanceId>, u64),
    /// The epoch will not be.
    Abort(Vec<InstanceId>, u64),
    /// It is committed by all: older ones may go.
    Retire {
        /// Its number.
        epoch: u64,
        /// Whether the run ended with it.
        last: bool,
    },
    /// Whether the epoch is kept is not known: only a restart tells.
    Restart(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Passing(BTreeSet<InstanceId>),
    Confirming(BTreeSet<InstanceId>, bool),
    Storing,
    /// The epoch, instances of the class that is at it, and the next class.
    Committing(u64, BTreeSet<InstanceId>, usize),
}

/// Epochs of a region, one in flight at a time.
#[derive(Debug)]
pub struct Coordinator {
    /// Instances by class, in the order in which they commit: sinks, processors, sources.
    classes: [Vec<InstanceId>; 3],
    names: BTreeMap<InstanceId, String>,
    interval_ns: u64,
    next_at: u64,
    number: u64,
    last: bool,
    complete: bool,
    step: Step,
    wanted: bool,
    snapshots: BTreeMap<String, Snapshot>,
    /// When the epoch in flight began.
    began_ns: u64,
    /// The last epoch that was committed by all.
    pub committed: u64,
    /// Whether the last epoch of the run is committed.
    pub finished: bool,
}

impl Coordinator {
    /// For instances by class (sinks, processors, sources), each with its
    /// [name](super::shape::instance).
    pub fn new(
        classes: [Vec<InstanceId>; 3],
        names: BTreeMap<InstanceId, String>,
        interval_ns: u64,
        now_ns: u64,
    ) -> Self {
        Self {
            classes,
            names,
            interval_ns,
            next_at: now_ns.saturating_add(interval_ns),
            number: 0,
            last: false,
            complete: false,
            step: Step::Idle,
            wanted: false,
            snapshots: BTreeMap::new(),
            began_ns: 0,
            committed: 0,
            finished: false,
        }
    }

    fn sources(&self) -> &Vec<InstanceId> {
        &self.classes[2]
    }

    fn all(&self) -> BTreeSet<InstanceId> {
        self.classes.iter().flatten().copied().collect()
    }

    /// The region starts, or starts again, from this epoch, whose commit is repeated; 0: from
    /// nothing. Numbers up to `used` are not used again.
    pub fn restored(&mut self, epoch: u64, used: u64, now_ns: u64) -> Option<Order> {
        self.number = self.number.max(epoch).max(used);
        self.next_at = now_ns.saturating_add(self.interval_ns);
        self.step = Step::Idle;
        self.last = false;
        self.snapshots.clear();
        if epoch > 0 {
            return self.commit_class(0, epoch);
        }
        self.committed = self.number;
        None
    }

    /// The region falls: what is still said of the epoch in flight means nothing any more. A source
    /// that outlives it may answer when the region has begun again.
    pub fn fell(&mut self) {
        self.step = Step::Idle;
        self.snapshots.clear();
    }

    /// A stage asks for an epoch soon.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// When `advance` is to be called at the latest.
    pub fn due(&self) -> Option<u64> {
        (self.step == Step::Idle && !self.finished).then_some(self.next_at)
    }

    /// How long the epoch in flight has taken.
    pub fn taken_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.began_ns)
    }

    /// The last epoch of a run whose sources all came to their end, once all have committed it.
    pub fn complete(&self) -> Option<u64> {
        (self.finished && self.complete).then_some(self.number)
    }

    /// Whether an epoch is in flight.
    pub fn in_flight(&self) -> bool {
        self.step != Step::Idle
    }

    /// Begins an epoch if one is due and none is in flight. `end`: the run ends with it, and
    /// whether it is complete.
    pub fn advance(&mut self, now_ns: u64, end: Option<bool>) -> Option<Order> {
        let due = now_ns >= self.next_at;
        // After one that was undone, the next waits for its time, even at the end.
        let soon = (self.wanted || end.is_some()) && self.committed == self.number;
        if self.step != Step::Idle || self.finished || !(due || soon) {
            return None;
        }
        self.number += 1;
        self.wanted = false;
        self.last = end.is_some();
        self.complete = end == Some(true);
        self.began_ns = now_ns;
        self.next_at = now_ns.saturating_add(self.interval_ns);
        self.snapshots.clear();
        self.step = Step::Passing(self.all());
        let barrier = Barrier {
            epoch: self.number,
            last: self.last,
        };
        Some(Order::Begin(self.sources().clone(), barrier))
    }

    /// An instance has passed the barrier with everything before it safe.
    pub fn passed(&mut self, id: InstanceId, epoch: u64, snapshot: Snapshot) -> Option<Order> {
        let Step::Passing(left) = &mut self.step else {
            return None;
        };
        if epoch != self.number || !left.remove(&id) {
            return None;
        }
        let name = self.names.get(&id).cloned().unwrap_or_default();
        self.snapshots.insert(name, snapshot);
        if !left.is_empty() {
            return None;
        }
        let to = self.sources().clone();
        self.step = Step::Confirming(to.iter().copied().collect(), true);
        Some(Order::Confirm(to, epoch))
    }

    /// A source still stands by the epoch, or not.
    pub fn confirmed(&mut self, id: InstanceId, epoch: u64, yes: bool) -> Option<Order> {
        let Step::Confirming(left, all) = &mut self.step else {
            return None;
        };
        if epoch != self.number || !left.remove(&id) {
            return None;
        }
        *all &= yes;
        if !left.is_empty() {
            return None;
        }
        if !*all {
            return Some(self.undo());
        }
        self.step = Step::Storing;
        Some(Order::Store(Box::new(Epoch {
            number: self.number,
            last: self.last,
            complete: self.complete,
            instances: std::mem::take(&mut self.snapshots),
            ..Epoch::default()
        })))
    }

    fn undo(&mut self) -> Order {
        self.step = Step::Idle;
        Order::Abort(self.all().into_iter().collect(), self.number)
    }

    /// The file of the epoch is written, or not.
    pub fn stored(&mut self, epoch: u64, written: Result<(), WriteError>) -> Option<Order> {
        if self.step != Step::Storing || epoch != self.number {
            return None;
        }
        match written {
            Ok(()) => self.commit_class(0, epoch),
            Err(WriteError::Undone(_)) => Some(self.undo()),
            Err(WriteError::InDoubt(e)) => Some(Order::Restart(format!(
                "whether epoch {epoch} was kept is not certain: {e}"
            ))),
        }
    }

    /// The next class that has anybody commits; none left: the epoch is over.
    fn commit_class(&mut self, from: usize, epoch: u64) -> Option<Order> {
        let Some(class) = (from..self.classes.len()).find(|c| !self.classes[*c].is_empty()) else {
            self.step = Step::Idle;
            self.committed = self.number;
            self.finished = self.last;
            return Some(Order::Retire {
                epoch,
                last: self.last,
            });
        };
        let to = self.classes[class].clone();
        self.step = Step::Committing(epoch, to.iter().copied().collect(), class + 1);
        Some(Order::Commit(to, epoch))
    }

    /// An instance has committed.
    pub fn committed(&mut self, id: InstanceId, epoch: u64) -> Option<Order> {
        let Step::Committing(number, left, next) = &mut self.step else {
            return None;
        };
        // A live source may still answer for an epoch before its region was started again.
        if *number != epoch || !left.remove(&id) || !left.is_empty() {
            return None;
        }
        let next = *next;
        self.commit_class(next, epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinator() -> Coordinator {
        let names = (1..=4).map(|id| (id, format!("s#{id}"))).collect();
        Coordinator::new([vec![1, 2], vec![3], vec![4]], names, 100, 0)
    }

    fn pass_all(c: &mut Coordinator, epoch: u64) -> Option<Order> {
        let mut last = None;
        for id in [4, 3, 2, 1] {
            assert_eq!(last, None);
            last = c.passed(id, epoch, Snapshot::default());
        }
        last
    }

    #[test]
    fn an_epoch_passes_is_confirmed_kept_and_committed_from_the_sinks_up() {
        let mut c = coordinator();
        assert_eq!(c.advance(99, None), None);
        let barrier = Barrier {
            epoch: 1,
            last: true,
        };
        assert_eq!(
            c.advance(99, Some(true)),
            Some(Order::Begin(vec![4], barrier))
        );
        assert_eq!(pass_all(&mut c, 1), Some(Order::Confirm(vec![4], 1)));
        let Some(Order::Store(epoch)) = c.confirmed(4, 1, true) else {
            panic!("it is kept")
        };
        assert!(epoch.last && epoch.complete && epoch.instances.len() == 4);
        assert_eq!(c.stored(1, Ok(())), Some(Order::Commit(vec![1, 2], 1)));
        assert_eq!(c.committed(1, 1), None);
        assert_eq!(c.committed(2, 1), Some(Order::Commit(vec![3], 1)));
        assert_eq!(c.committed(3, 1), Some(Order::Commit(vec![4], 1)));
        assert!(!c.finished);
        let retire = Order::Retire {
            epoch: 1,
            last: true,
        };
        assert_eq!(c.committed(4, 1), Some(retire));
        assert!(c.finished);
    }

    #[test]
    fn what_is_denied_or_not_kept_is_undone_and_comes_again_in_time() {
        let mut c = coordinator();
        c.want();
        assert!(c.advance(10, None).is_some());
        pass_all(&mut c, 1);
        let all = vec![1, 2, 3, 4];
        assert_eq!(c.confirmed(4, 1, false), Some(Order::Abort(all.clone(), 1)));
        c.want();
        assert_eq!(c.advance(20, None), None, "not before its time");
        assert!(c.advance(110, None).is_some());
        assert_eq!(c.passed(4, 1, Snapshot::default()), None, "a stale answer");
        pass_all(&mut c, 2);
        c.confirmed(4, 2, true);
        let full = WriteError::Undone(std::io::ErrorKind::StorageFull.into());
        assert_eq!(c.stored(2, Err(full)), Some(Order::Abort(all, 2)));
    }

    #[test]
    fn what_a_source_says_after_its_region_fell_keeps_no_epoch() {
        let mut c = coordinator();
        c.advance(100, None);
        pass_all(&mut c, 1);
        c.fell();
        assert_eq!(c.confirmed(4, 1, true), None);
        assert_eq!(c.restored(0, 0, 200), None);
        assert_eq!(c.confirmed(4, 1, true), None);
    }

    #[test]
    fn doubt_asks_for_a_restart_which_repeats_the_commit() {
        let mut c = coordinator();
        c.advance(100, None);
        pass_all(&mut c, 1);
        c.confirmed(4, 1, true);
        let doubt = WriteError::InDoubt(std::io::ErrorKind::Other.into());
        assert!(matches!(c.stored(1, Err(doubt)), Some(Order::Restart(_))));
        assert_eq!(c.restored(1, 0, 200), Some(Order::Commit(vec![1, 2], 1)));
        for id in [1, 2, 3] {
            c.committed(id, 1);
        }
        assert_eq!(c.committed(4, 9), None, "of another epoch");
        assert_eq!(
            c.committed(4, 1),
            Some(Order::Retire {
                epoch: 1,
                last: false
            })
        );
    }
}
