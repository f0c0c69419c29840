//! The epochs of one host: which one is in flight, who has passed its barrier, who committed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    edge::{Barrier, Control},
    supervisor::InstanceId,
};

/// Where the epoch in flight stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// None is.
    Idle,
    /// The barrier travels; these have not passed it.
    Passing(BTreeSet<InstanceId>),
    /// These sources have not confirmed it; whether all others did.
    Confirming(BTreeSet<InstanceId>, bool),
    /// It is true: the instances of one class commit; the classes left follow.
    Committing(BTreeSet<InstanceId>, usize),
}

/// What to tell whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub to: Vec<InstanceId>,
    pub control: Control,
}

/// Epochs of a host, one in flight at a time.
#[derive(Debug)]
pub struct Epochs {
    /// Instances by class, in the order in which they commit: sinks, processors, sources.
    classes: [Vec<InstanceId>; 3],
    interval: Duration,
    next_at: Instant,
    number: u64,
    last: bool,
    step: Step,
    wanted: bool,
    /// The last epoch that was committed by all.
    pub committed: u64,
    /// Whether the last epoch of the run is committed.
    pub finished: bool,
}

impl Epochs {
    pub fn new(classes: [Vec<InstanceId>; 3], interval: Duration) -> Self {
        Self {
            classes,
            interval,
            next_at: Instant::now() + interval,
            number: 0,
            last: false,
            step: Step::Idle,
            wanted: false,
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

    /// A stage asks for an epoch soon.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// When `advance` is to be called at the latest.
    pub fn due(&self) -> Option<Instant> {
        (self.step == Step::Idle && !self.finished).then_some(self.next_at)
    }

    /// Begins an epoch if one is due and none is in flight. `end`: the run ends with it.
    pub fn advance(&mut self, now: Instant, end: bool) -> Option<Order> {
        if self.step != Step::Idle || self.finished || !(end || self.wanted || now >= self.next_at)
        {
            return None;
        }
        self.number += 1;
        self.wanted = false;
        self.last = end;
        self.next_at = now + self.interval;
        self.step = Step::Passing(self.all());
        let barrier = Barrier {
            epoch: self.number,
            last: end,
        };
        Some(Order {
            to: self.sources().clone(),
            control: Control::Begin(barrier),
        })
    }

    /// An instance has passed the barrier with everything before it safe.
    pub fn passed(&mut self, id: InstanceId, epoch: u64) -> Option<Order> {
        let Step::Passing(left) = &mut self.step else {
            return None;
        };
        if epoch != self.number || !left.remove(&id) || !left.is_empty() {
            return None;
        }
        let to = self.sources().clone();
        self.step = Step::Confirming(to.iter().copied().collect(), true);
        Some(Order {
            to,
            control: Control::Confirm(epoch),
        })
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
        if *all {
            return self.commit_class(0);
        }
        self.step = Step::Idle;
        self.wanted = true;
        Some(Order {
            to: self.all().into_iter().collect(),
            control: Control::Abort(epoch),
        })
    }

    /// The next class that has anybody commits; none left: the epoch is over.
    fn commit_class(&mut self, from: usize) -> Option<Order> {
        let Some(class) = (from..self.classes.len()).find(|c| !self.classes[*c].is_empty()) else {
            self.step = Step::Idle;
            self.committed = self.number;
            self.finished = self.last;
            return None;
        };
        let to = self.classes[class].clone();
        self.step = Step::Committing(to.iter().copied().collect(), class + 1);
        Some(Order {
            to,
            control: Control::Commit(self.number),
        })
    }

    /// An instance has committed.
    pub fn committed(&mut self, id: InstanceId, epoch: u64) -> Option<Order> {
        let Step::Committing(left, next) = &mut self.step else {
            return None;
        };
        if epoch != self.number || !left.remove(&id) || !left.is_empty() {
            return None;
        }
        let next = *next;
        self.commit_class(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        Epochs::new([vec![1, 2], vec![3], vec![4]], Duration::from_secs(1))
    }

    fn order(to: &[InstanceId], control: Control) -> Option<Order> {
        Some(Order {
            to: to.to_vec(),
            control,
        })
    }

    #[test]
    fn an_epoch_passes_is_confirmed_and_is_committed_from_the_sinks_up() {
        let mut e = epochs();
        let now = Instant::now();
        assert_eq!(e.advance(now, false), None);
        let barrier = Barrier {
            epoch: 1,
            last: true,
        };
        assert_eq!(e.advance(now, true), order(&[4], Control::Begin(barrier)));
        for id in [4, 3, 2] {
            assert_eq!(e.passed(id, 1), None);
        }
        assert_eq!(e.passed(2, 1), None, "twice is once");
        assert_eq!(e.passed(1, 1), order(&[4], Control::Confirm(1)));
        assert_eq!(e.confirmed(4, 1, true), order(&[1, 2], Control::Commit(1)));
        assert_eq!(e.committed(1, 1), None);
        assert_eq!(e.committed(2, 1), order(&[3], Control::Commit(1)));
        assert_eq!(e.committed(3, 1), order(&[4], Control::Commit(1)));
        assert!(!e.finished);
        assert_eq!(e.committed(4, 1), None);
        assert!(e.finished);
    }

    #[test]
    fn an_epoch_that_a_source_denies_is_aborted_and_tried_again() {
        let mut e = epochs();
        e.want();
        assert!(e.advance(Instant::now(), false).is_some());
        for id in [1, 2, 3, 4] {
            e.passed(id, 1);
        }
        assert_eq!(
            e.confirmed(4, 1, false),
            order(&[1, 2, 3, 4], Control::Abort(1))
        );
        let barrier = Barrier {
            epoch: 2,
            last: false,
        };
        assert_eq!(
            e.advance(Instant::now(), false),
            order(&[4], Control::Begin(barrier))
        );
        assert_eq!(e.passed(4, 1), None, "a stale answer");
    }
}
