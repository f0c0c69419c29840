//! Who reads which partition of the embedded broker: consumer groups of the stages of this process.
//!
//! Invariant: a partition has at most one owner in a group. A member that joins takes over a
//! partition only when its owner has released it, after the epoch that covers what it read.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::events::Change;

/// Raised by each change of any group.
static VERSION: AtomicU64 = AtomicU64::new(1);
static GROUPS: OnceLock<Mutex<HashMap<(String, String), Group>>> = OnceLock::new();

#[derive(Default)]
struct Group {
    /// In the order in which they came.
    members: Vec<u64>,
    owners: HashMap<i32, u64>,
}

fn groups() -> MutexGuard<'static, HashMap<(String, String), Group>> {
    GROUPS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Membership in a group; leaves it when dropped.
pub(crate) struct Member {
    key: (String, String),
    id: u64,
    partitions: i32,
    seen: u64,
}

impl Member {
    pub fn join(topic: &str, group: &str, partitions: i32) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = (topic.to_owned(), group.to_owned());
        groups().entry(key.clone()).or_default().members.push(id);
        VERSION.fetch_add(1, Ordering::Release);
        Self {
            key,
            id,
            partitions,
            seen: 0,
        }
    }

    /// What changed since the last question: partitions that are now this member's, and those
    /// that it should release.
    pub fn changes(&mut self) -> Vec<Change> {
        let version = VERSION.load(Ordering::Acquire);
        if version == self.seen {
            return Vec::new();
        }
        self.seen = version;
        let mut groups = groups();
        let Some(group) = groups.get_mut(&self.key) else {
            return Vec::new();
        };
        let share = group.share(self.id, self.partitions);
        let give: Vec<i32> = group
            .owners
            .iter()
            .filter(|(p, o)| **o == self.id && !share.contains(p))
            .map(|(p, _)| *p)
            .collect();
        let take: Vec<i32> = share
            .into_iter()
            .filter(|p| !group.owners.contains_key(p))
            .collect();
        for partition in &take {
            group.owners.insert(*partition, self.id);
        }
        let mut changes = Vec::new();
        if !give.is_empty() {
            changes.push(Change::Revoke {
                partitions: give,
                lost: false,
            });
        }
        if !take.is_empty() {
            changes.push(Change::Assign(take));
        }
        changes
    }

    /// Whether it could take over a partition right now.
    pub fn has_more_to_take(&self) -> bool {
        let groups = groups();
        let Some(group) = groups.get(&self.key) else {
            return false;
        };
        group
            .share(self.id, self.partitions)
            .iter()
            .any(|p| !group.owners.contains_key(p))
    }

    /// Gives partitions up.
    pub fn release(&self, partitions: &[i32]) {
        if let Some(group) = groups().get_mut(&self.key) {
            group
                .owners
                .retain(|p, owner| *owner != self.id || !partitions.contains(p));
        }
        VERSION.fetch_add(1, Ordering::Release);
    }
}

impl Group {
    /// The partitions that a member should have.
    fn share(&self, id: u64, partitions: i32) -> Vec<i32> {
        match self.members.iter().position(|m| *m == id) {
            Some(rank) => (0..partitions)
                .skip(rank)
                .step_by(self.members.len())
                .collect(),
            None => Vec::new(),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut groups = groups();
        if let Some(group) = groups.get_mut(&self.key) {
            group.members.retain(|m| *m != self.id);
            group.owners.retain(|_, owner| *owner != self.id);
            if group.members.is_empty() {
                groups.remove(&self.key);
            }
        }
        VERSION.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(changes: Vec<Change>) -> Vec<i32> {
        changes
            .into_iter()
            .flat_map(|c| match c {
                Change::Assign(p) => p,
                Change::Revoke { .. } => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_partition_moves_only_when_it_was_released() {
        let mut a = Member::join("t", "g", 4);
        assert_eq!(assigned(a.changes()), [0, 1, 2, 3]);
        assert!(!a.has_more_to_take());
        let mut b = Member::join("t", "g", 4);
        assert_eq!(assigned(b.changes()), [0; 0]);
        assert!(!b.has_more_to_take(), "its share is not free yet");
        let [
            Change::Revoke {
                partitions,
                lost: false,
            },
        ] = &a.changes()[..]
        else {
            panic!("a revocation")
        };
        let mut given = partitions.clone();
        given.sort_unstable();
        assert_eq!(given, [1, 3]);
        a.release(&given);
        assert!(b.has_more_to_take());
        assert_eq!(assigned(b.changes()), [1, 3]);
        assert!(!a.has_more_to_take() && !b.has_more_to_take());
        drop(a);
        assert_eq!(assigned(b.changes()), [0, 2]);
        let mut other = Member::join("t", "another", 4);
        assert_eq!(assigned(other.changes()), [0, 1, 2, 3]);
    }
}
