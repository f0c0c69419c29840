//! The records of a window in the order in which they leave.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A record, or a repetition of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) time_us: i64,
    pub(super) record: u32,
}

/// Those that came in order, and apart from them those that came late, so that no record costs
/// more the more the window holds.
#[derive(Debug, Default)]
pub(super) struct Entries {
    ordered: VecDeque<Entry>,
    /// By time, those of one time in the order in which they came.
    late: BinaryHeap<Reverse<(i64, u64, u32)>>,
    serial: u64,
}

impl Entries {
    /// Adds the newest.
    pub(super) fn push(&mut self, entry: Entry) {
        self.ordered.push_back(entry);
    }

    /// Adds one where it belongs by its time, behind others of that time.
    pub(super) fn insert(&mut self, entry: Entry) {
        let last = self.ordered.back();
        if last.is_none_or(|last| last.time_us <= entry.time_us) {
            return self.push(entry);
        }
        self.serial += 1;
        let late = (entry.time_us, self.serial, entry.record);
        self.late.push(Reverse(late));
    }

    /// Makes all older by as much.
    pub(super) fn set_back(&mut self, by_us: i64) {
        for entry in &mut self.ordered {
            entry.time_us = entry.time_us.saturating_sub(by_us);
        }
        let late = std::mem::take(&mut self.late).into_iter();
        let older = |Reverse((time_us, serial, record))| {
            Reverse((i64::saturating_sub(time_us, by_us), serial, record))
        };
        self.late = late.map(older).collect();
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len() + self.late.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.ordered.capacity() + self.late.capacity()
    }

    /// The one that leaves next.
    pub(super) fn front(&self) -> Option<Entry> {
        let late = self.late.peek().map(late_entry);
        let ordered = self.ordered.front().copied();
        match (ordered, late) {
            // Of one time the late one came later.
            (Some(ordered), Some(late)) if ordered.time_us > late.time_us => Some(late),
            (None, late) => late,
            (ordered, _) => ordered,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let front = self.front()?;
        if self.ordered.front() == Some(&front) {
            self.ordered.pop_front()
        } else {
            self.late.pop().as_ref().map(late_entry)
        }
    }

    /// All, in the order in which they leave.
    pub(super) fn in_order(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.ordered.iter().copied().collect();
        if !self.late.is_empty() {
            let mut late = self.late.clone().into_vec();
            late.sort_unstable_by_key(|Reverse(late)| *late);
            all.extend(late.iter().map(late_entry));
            // It is stable: late ones stay behind others of their time.
            all.sort_by_key(|entry| entry.time_us);
        }
        all
    }
}

fn late_entry(Reverse((time_us, _, record)): &Reverse<(i64, u64, u32)>) -> Entry {
    Entry {
        time_us: *time_us,
        record: *record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a list that is sorted anew each time. The heap is never walked through, so nothing
    /// here depends on how much is held.
    #[test]
    fn they_leave_by_time_and_those_of_one_time_as_they_came() {
        let mut state = 5_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let (mut entries, mut naive) = (Entries::default(), Vec::new());
        for record in 0..2_000 {
            let entry = Entry {
                time_us: i64::from(record / 4) - next(30) as i64,
                record,
            };
            entries.insert(entry);
            naive.push(entry);
            naive.sort_by_key(|entry| entry.time_us);
            while next(3) > 0 && !naive.is_empty() {
                assert_eq!(entries.front(), naive.first().copied());
                assert_eq!(entries.pop(), Some(naive.remove(0)));
            }
            assert_eq!(entries.len(), naive.len());
            assert_eq!(entries.in_order(), naive);
        }
    }
}
