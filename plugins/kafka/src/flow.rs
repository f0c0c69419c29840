//! Back-pressure through the embedded broker: a writer waits while a reader of this process is so
//! far behind that the broker's retention could overtake it.
//!
//! The mock keeps the newest 5 MiB of a partition. What was sent is measured before compression, so
//! the measure errs on the safe side. Readers in other processes are not known here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How far a reader may be behind, with what is on its way; below the mock's 5 MiB.
const MOST_BEHIND: u64 = 3 << 20;
/// Distance of two marks.
const STEP: u64 = 16 << 10;
/// What Kafka adds to a record in the worst case: a batch of one.
const OVERHEAD: u64 = 100;

/// Bytes written to a topic, and who has read how far.
pub(crate) struct Flow(Mutex<State>);

struct State {
    written: Vec<Written>,
    groups: HashMap<String, Readers>,
}

#[derive(Default)]
struct Written {
    bytes: u64,
    /// (offset, bytes before it), ascending.
    marks: VecDeque<(i64, u64)>,
}

#[derive(Default)]
struct Readers {
    members: usize,
    next: HashMap<i32, i64>,
}

impl Flow {
    pub fn new(partitions: i32) -> Self {
        let written = (0..partitions).map(|_| Written::default()).collect();
        Self(Mutex::new(State {
            written,
            groups: HashMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record of so many bytes stands at this offset.
    pub fn wrote(&self, partition: i32, offset: i64, bytes: usize) {
        let mut state = self.lock();
        let Some(written) = usize::try_from(partition)
            .ok()
            .and_then(|p| state.written.get_mut(p))
        else {
            return;
        };
        let before = written.bytes;
        written.bytes += bytes as u64 + OVERHEAD;
        if written.marks.back().is_none_or(|(_, b)| before - b >= STEP) {
            written.marks.push_back((offset, before));
            let floor = before.saturating_sub(4 * MOST_BEHIND);
            while written.marks.len() > 2 && written.marks[1].1 < floor {
                written.marks.pop_front();
            }
        }
    }

    /// A member of the group came.
    pub fn joined(&self, group: &str) {
        self.lock()
            .groups
            .entry(group.to_owned())
            .or_default()
            .members += 1;
    }

    /// It went; with the last one the group holds nobody up any more.
    pub fn left(&self, group: &str) {
        let mut state = self.lock();
        if let Some(readers) = state.groups.get_mut(group) {
            readers.members -= 1;
            if readers.members == 0 {
                state.groups.remove(group);
            }
        }
    }

    /// The group reads on from `next`.
    pub fn read(&self, group: &str, partition: i32, next: i64) {
        if let Some(readers) = self.lock().groups.get_mut(group) {
            readers.next.insert(partition, next);
        }
    }

    /// Whether more may be sent while `in_flight` bytes are on their way.
    pub fn has_room(&self, in_flight: usize) -> bool {
        let state = self.lock();
        let behind = state
            .groups
            .values()
            .flat_map(|readers| readers.next.iter())
            .filter_map(|(p, next)| {
                Some(state.written.get(usize::try_from(*p).ok()?)?.since(*next))
            })
            .max()
            .unwrap_or(0);
        behind + in_flight as u64 <= MOST_BEHIND
    }
}

impl Written {
    /// Bytes from this offset on, at most [`STEP`] and a record too many.
    fn since(&self, offset: i64) -> u64 {
        let first_beyond = self.marks.partition_point(|(o, _)| *o <= offset);
        match first_beyond
            .checked_sub(1)
            .or(if self.marks.is_empty() { None } else { Some(0) })
        {
            Some(mark) => self.bytes - self.marks[mark].1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_waits_for_the_slowest_reader() {
        let flow = Flow::new(2);
        let write = |p, from: i64, n: i64| (from..from + n).for_each(|o| flow.wrote(p, o, 924));
        write(0, 0, 10_000);
        assert!(flow.has_room(0), "nobody reads");
        flow.joined("fast");
        flow.joined("slow");
        assert!(flow.has_room(0), "nobody has a position yet");
        flow.read("fast", 0, 10_000);
        assert!(flow.has_room(0));
        flow.read("slow", 0, 5_000);
        assert!(!flow.has_room(0));
        flow.read("slow", 0, 8_000);
        assert!(flow.has_room(0));
        assert!(!flow.has_room(2 << 20));
        flow.read("slow", 1, 0);
        assert!(flow.has_room(0), "nothing was written there");
        flow.read("slow", 0, 5_000);
        assert!(!flow.has_room(0));
        flow.left("slow");
        assert!(flow.has_room(0));
    }
}
