//! How far a source has read each partition, what is safe, and what may be given up.
//!
//! Invariants: a position moves only with records that were emitted; it is committed only from an
//! epoch, only for a partition that is assigned, and never backwards; a partition that was revoked
//! is released only after an epoch whose barrier followed the last record read from it.

use std::collections::BTreeMap;

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Take,
    /// So many offsets before it hold no record: compaction, or marks of transactions.
    TakeAfter(u64),
    /// It is not ours, or was read already.
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    No,
    /// Revoked; no barrier has passed since.
    Asked,
    /// The barrier of this epoch followed.
    Covered(u64),
}

#[derive(Debug, Clone)]
struct Part {
    next: i64,
    /// The group's offset as far as is known; -1: none.
    committed: i64,
    leave: Leave,
}

/// Positions of one source.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    parts: Vec<Option<Part>>,
    /// From the epoch that the source was restored to, for partitions not assigned yet.
    restored: BTreeMap<i32, i64>,
    epochs: BTreeMap<u64, Vec<(i32, i64)>>,
}

impl Positions {
    fn part(&mut self, partition: i32) -> Option<&mut Part> {
        self.parts
            .get_mut(usize::try_from(partition).ok()?)?
            .as_mut()
    }

    fn all(&self) -> impl Iterator<Item = (i32, &Part)> {
        self.parts
            .iter()
            .zip(0..)
            .filter_map(|(part, p)| part.as_ref().map(|part| (p, part)))
    }

    /// The position that an epoch left for this partition.
    pub fn restored(&self, partition: i32) -> Option<i64> {
        self.restored.get(&partition).copied()
    }

    /// A partition is read from `next` on.
    pub fn assign(&mut self, partition: i32, next: i64, committed: Option<i64>) {
        let Ok(index) = usize::try_from(partition) else {
            return;
        };
        if self.parts.len() <= index {
            self.parts.resize(index + 1, None);
        }
        self.restored.remove(&partition);
        self.parts[index] = Some(Part {
            next,
            committed: committed.unwrap_or(-1),
            leave: Leave::No,
        });
    }

    /// A record came.
    pub fn advance(&mut self, partition: i32, offset: i64) -> Step {
        match self.part(partition) {
            Some(part) if part.leave == Leave::No && offset >= part.next => {
                let skipped = u64::try_from(offset - part.next).unwrap_or(0);
                part.next = offset + 1;
                if skipped == 0 {
                    Step::Take
                } else {
                    Step::TakeAfter(skipped)
                }
            }
            _ => Step::Skip,
        }
    }

    /// Goes on elsewhere, also backwards: what was there is gone.
    pub fn jump(&mut self, partition: i32, next: i64) {
        if let Some(part) = self.part(partition) {
            if next < part.next {
                part.committed = -1;
            }
            part.next = next;
        }
    }

    /// These are revoked: nothing more is taken from them. Those that were assigned at all.
    pub fn leave(&mut self, partitions: &[i32]) -> Vec<i32> {
        let mut leaving = Vec::new();
        for &p in partitions {
            if let Some(part) = self.part(p) {
                part.leave = Leave::Asked;
                leaving.push(p);
            }
        }
        leaving
    }

    /// No partition is given up after all.
    pub fn stay(&mut self) {
        self.parts
            .iter_mut()
            .flatten()
            .for_each(|part| part.leave = Leave::No);
    }

    /// Forgets partitions that belong to someone else now.
    pub fn forget(&mut self, partitions: &[i32]) {
        for &p in partitions {
            if let Some(slot) = usize::try_from(p).ok().and_then(|p| self.parts.get_mut(p)) {
                *slot = None;
            }
        }
    }

    /// Partitions being read, with their positions.
    pub fn active(&self) -> Vec<(i32, i64)> {
        self.all()
            .filter(|(_, part)| part.leave == Leave::No)
            .map(|(p, part)| (p, part.next))
            .collect()
    }

    /// All partitions assigned, with their positions.
    pub fn assigned(&self) -> Vec<(i32, i64)> {
        self.all().map(|(p, part)| (p, part.next)).collect()
    }

    /// A barrier follows what was read so far. Where everything goes on, and what of it is assigned.
    pub fn begin(&mut self, epoch: u64) -> (BTreeMap<i32, i64>, BTreeMap<i32, i64>) {
        for part in self.parts.iter_mut().flatten() {
            if part.leave == Leave::Asked {
                part.leave = Leave::Covered(epoch);
            }
        }
        let now = self.assigned();
        let assigned: BTreeMap<i32, i64> = now.iter().copied().collect();
        let mut all = self.restored.clone();
        all.extend(&assigned);
        self.epochs.insert(epoch, now);
        (all, assigned)
    }

    /// An epoch left these positions.
    pub fn restore(&mut self, next: BTreeMap<i32, i64>) {
        self.restored = next;
    }

    /// What an epoch left is of a cluster that is gone.
    pub fn forget_restored(&mut self) {
        self.restored.clear();
    }

    /// Whether this epoch began here and is not over.
    pub fn knows(&self, epoch: u64) -> bool {
        self.epochs.contains_key(&epoch)
    }

    /// Whether any of these is assigned.
    pub fn any_assigned(&self, partitions: &[i32]) -> bool {
        self.all().any(|(p, _)| partitions.contains(&p))
    }

    /// Whether everything that an epoch covers is still assigned.
    pub fn stands(&self, epoch: u64) -> bool {
        let ours =
            |p: &i32| usize::try_from(*p).is_ok_and(|p| matches!(self.parts.get(p), Some(Some(_))));
        self.epochs
            .get(&epoch)
            .is_none_or(|list| list.iter().all(|(p, _)| ours(p)))
    }

    /// What an epoch lets the group's offsets move to.
    pub fn to_commit(&self, epoch: u64) -> Vec<(i32, i64)> {
        let Some(list) = self.epochs.get(&epoch) else {
            return Vec::new();
        };
        let ahead = |p: &i32, next: i64| {
            let part = usize::try_from(*p)
                .ok()
                .and_then(|p| self.parts.get(p)?.as_ref());
            part.is_some_and(|part| next > part.committed && next <= part.next)
        };
        list.iter()
            .filter(|(p, next)| ahead(p, *next))
            .copied()
            .collect()
    }

    /// The group's offset of a partition is this now.
    pub fn committed(&mut self, partition: i32, offset: i64) {
        if let Some(part) = self.part(partition) {
            part.committed = part.committed.max(offset);
        }
    }

    /// An epoch is committed (or never will be): forgets it and those before it.
    pub fn end(&mut self, epoch: u64) {
        self.epochs.retain(|e, _| *e > epoch);
    }

    /// An epoch will not be: what waited for it waits for the next.
    pub fn abort(&mut self, epoch: u64) {
        self.epochs.remove(&epoch);
        for part in self.parts.iter_mut().flatten() {
            if part.leave == Leave::Covered(epoch) {
                part.leave = Leave::Asked;
            }
        }
    }

    /// Whether all of these are covered by an epoch up to this one, so that they can be released.
    pub fn may_release(&self, partitions: &[i32], epoch: u64) -> bool {
        self.all()
            .filter(|(p, _)| partitions.contains(p))
            .all(|(_, part)| match part.leave {
                Leave::Covered(covered) => covered <= epoch,
                Leave::No | Leave::Asked => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(next: i64) -> Positions {
        let mut positions = Positions::default();
        positions.assign(2, next, None);
        positions
    }

    #[test]
    fn gaps_and_repeats_are_told_apart() {
        let mut p = reading(5);
        assert_eq!(p.advance(2, 5), Step::Take);
        assert_eq!(p.advance(2, 5), Step::Skip);
        assert_eq!(p.advance(2, 9), Step::TakeAfter(3));
        assert_eq!(p.advance(1, 0), Step::Skip);
        assert_eq!(p.advance(-1, 0), Step::Skip);
        assert_eq!(p.active(), [(2, 10)]);
    }

    #[test]
    fn commits_are_assigned_only_and_never_backwards() {
        let mut p = reading(5);
        p.advance(2, 5);
        p.begin(1);
        p.advance(2, 6);
        assert_eq!(p.to_commit(1), [(2, 6)]);
        p.committed(2, 6);
        assert_eq!(p.to_commit(1), []);
        p.begin(2);
        p.end(1);
        assert!(p.stands(2));
        p.forget(&[2]);
        assert!(!p.stands(2));
        assert_eq!(p.to_commit(2), []);
        p.assign(2, 9, Some(9));
        assert_eq!(p.to_commit(2), [], "someone else has committed more");
    }

    #[test]
    fn a_revoked_partition_waits_for_an_epoch_after_its_last_record() {
        let mut p = reading(0);
        p.advance(2, 0);
        p.begin(1);
        p.advance(2, 1);
        assert_eq!(p.leave(&[2, 3]), [2]);
        assert_eq!(p.advance(2, 2), Step::Skip);
        assert!(!p.may_release(&[2], 1));
        p.begin(2);
        p.abort(2);
        assert!(!p.may_release(&[2], 2));
        p.begin(3);
        assert_eq!(p.to_commit(3), [(2, 2)]);
        assert!(!p.may_release(&[2], 1) && p.may_release(&[2], 3));
    }

    #[test]
    fn a_state_comes_back_and_outlives_epochs_without_assignment() {
        let mut p = reading(0);
        p.advance(2, 41);
        let (all, assigned) = p.begin(7);
        assert_eq!((&all, &assigned), (&[(2, 42)].into(), &[(2, 42)].into()));
        let mut q = Positions::default();
        q.restore(all);
        let (all, assigned) = q.begin(8);
        assert_eq!((all, assigned), ([(2, 42)].into(), BTreeMap::new()));
        assert_eq!(q.restored(2), Some(42));
        q.forget_restored();
        assert_eq!(q.restored(2), None);
    }
}
