//! The statuses that came lately, so that each is taken once, however often it comes: by several
//! streams, again after a break, by a stream and by a timeline.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::id::Id;

/// Statuses that are remembered: on the busiest servers, those of a quarter of an hour.
pub(crate) const REMEMBERED: usize = 32_768;
/// What one of them takes, roughly: in the queue, and in a map that is half full.
pub(crate) const REMEMBERED_BYTES: u64 = 32 + 2 * 48;

/// Documents without an id that are remembered.
const UNUSABLE: usize = 1_024;

/// A document that became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    /// A status.
    Status(Version),
    /// One without an id, by its bytes.
    Unusable(u64),
}

impl Dead {
    pub fn new(id: Option<Id>, bytes: &[u8]) -> Self {
        match id {
            Some(id) => Self::Status(Version { id, edited_us: 0 }),
            None => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                Self::Unusable(hasher.finish())
            }
        }
    }
}

/// A status as it stood: when it was edited, in microseconds since 1970; 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub id: Id,
    pub edited_us: i64,
}

/// What is known of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// The status was not seen before.
    New,
    /// An older version of it was.
    Edit,
    /// This version was, or a newer one.
    Known,
}

#[derive(Debug, Default)]
pub(crate) struct Window {
    edited_us: HashMap<Id, i64>,
    /// In the order in which they first came.
    order: VecDeque<Id>,
    forgotten: Option<Id>,
    unusable: VecDeque<u64>,
}

impl Window {
    /// Remembers a version.
    pub fn see(&mut self, version: Version) -> Novelty {
        let Version { id, edited_us } = version;
        if let Some(known) = self.edited_us.get_mut(&id) {
            if edited_us <= *known {
                return Novelty::Known;
            }
            *known = edited_us;
            return Novelty::Edit;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.edited_us.remove(&oldest);
            self.forget(Some(oldest));
        }
        self.edited_us.insert(id, edited_us);
        self.order.push_back(id);
        Novelty::New
    }

    /// Remembers a document that becomes a dead letter.
    pub fn see_dead(&mut self, dead: Dead) -> Novelty {
        let print = match dead {
            Dead::Status(version) => return self.see(version),
            Dead::Unusable(print) => print,
        };
        if self.unusable.contains(&print) {
            return Novelty::Known;
        }
        if self.unusable.len() >= UNUSABLE {
            self.unusable.pop_front();
        }
        self.unusable.push_back(print);
        Novelty::New
    }

    /// The documents without an id.
    pub fn unusable(&self) -> impl Iterator<Item = u64> + '_ {
        self.unusable.iter().copied()
    }

    /// The newest id that was forgotten: everything that came above it is still remembered.
    pub fn forgotten(&self) -> Option<Id> {
        self.forgotten
    }

    /// What came up to this id may be forgotten.
    pub fn forget(&mut self, id: Option<Id>) {
        self.forgotten = self.forgotten.max(id);
    }

    /// What is remembered with an id above this one, in the order in which it came.
    pub fn above(&self, id: Option<Id>) -> impl Iterator<Item = Version> + '_ {
        let above = self.order.iter().filter(move |seen| Some(**seen) > id);
        above.map(|id| Version {
            id: *id,
            edited_us: self.edited_us.get(id).copied().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: u64, edited_us: i64) -> Version {
        let id = Id::new(id.to_string().as_bytes()).unwrap();
        Version { id, edited_us }
    }

    #[test]
    fn each_version_is_new_once_and_older_ones_are_known() {
        let mut window = Window::default();
        assert_eq!(window.see(version(1, 0)), Novelty::New);
        assert_eq!(window.see(version(1, 0)), Novelty::Known);
        assert_eq!(window.see(version(1, 5)), Novelty::Edit);
        assert_eq!(window.see(version(1, 5)), Novelty::Known);
        assert_eq!(window.see(version(1, 4)), Novelty::Known);
        assert_eq!(window.see(version(2, 9)), Novelty::New);
        assert_eq!(window.see(version(2, 0)), Novelty::Known);
    }

    #[test]
    fn it_is_bounded_and_tells_what_it_forgot() {
        let mut window = Window::default();
        for id in 100..100 + REMEMBERED as u64 {
            window.see(version(id, 0));
        }
        assert_eq!(window.forgotten(), None);
        window.see(version(1, 0));
        assert_eq!(window.forgotten(), Some(version(100, 0).id));
        assert_eq!(window.order.len(), REMEMBERED);
        assert_eq!(window.see(version(100, 0)), Novelty::New);
    }

    #[test]
    fn what_lies_above_an_id_can_be_kept() {
        let mut window = Window::default();
        for id in [12, 9, 11] {
            window.see(version(id, 0));
        }
        window.see(version(11, 3));
        let above: Vec<_> = window.above(Some(version(9, 0).id)).collect();
        assert_eq!(above, [version(12, 0), version(11, 3)]);
        assert_eq!(window.above(None).count(), 3);
    }
}
