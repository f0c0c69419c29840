//! The ids of the newest posts, so that one that comes again is known.

use std::collections::{HashSet, VecDeque};

/// Without backfill, X may repeat a post now and then.
const FEW: usize = 1_024;
/// With it, all posts of five minutes may come again: 50 a second.
const MANY: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Window {
    order: VecDeque<u64>,
    known: HashSet<u64>,
    max: usize,
}

impl Window {
    pub fn new(backfill: bool) -> Self {
        Self {
            order: VecDeque::new(),
            known: HashSet::new(),
            max: if backfill { MANY } else { FEW },
        }
    }

    /// False if it is known already.
    pub fn insert(&mut self, id: u64) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        if self.order.len() == self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id);
        true
    }

    /// From the oldest to the newest.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.order.iter().copied()
    }

    /// What it may hold in memory.
    pub fn bytes(&self) -> u64 {
        // A number in the queue, one in the set with its byte of control, both half empty at worst.
        (self.max * 2 * (8 + 9)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ids_are_known() {
        let mut window = Window::new(false);
        assert!(window.insert(7) && !window.insert(7));
        for id in 100..100 + FEW as u64 {
            assert!(window.insert(id));
        }
        assert!(!window.insert(100 + FEW as u64 - 1));
        assert!(window.insert(7), "forgotten");
        assert_eq!((window.order.len(), window.known.len()), (FEW, FEW));
        assert_eq!(window.ids().last(), Some(7));
    }
}
