//! A bounded channel between a source's own thread or runtime and its `poll`.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::batch::monotonic_ns;

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    max_items: usize,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    senders: usize,
    receiver_gone: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receiving end; lives in the source.
pub struct Feed<T>(Arc<Shared<T>>);

/// Sending end; may be cloned. When the last one is dropped, the feed is finished.
pub struct FeedSender<T>(Arc<Shared<T>>);

/// Makes a channel bounded by items and by bytes (one item larger than all still passes).
#[must_use]
pub fn feed<T>(max_items: usize, max_bytes: usize) -> (FeedSender<T>, Feed<T>) {
    let state = State {
        items: VecDeque::new(),
        bytes: 0,
        senders: 1,
        receiver_gone: false,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        changed: Condvar::new(),
        max_items,
        max_bytes,
    });
    (FeedSender(shared.clone()), Feed(shared))
}

/// Answer of [`Feed::next`].
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// An item.
    Item(T),
    /// None until the deadline.
    Idle,
    /// All senders are gone and everything was received.
    Finished,
}

impl<T> Feed<T> {
    /// The next item, waiting until `deadline_ns` on the monotonic clock.
    pub fn next(&mut self, deadline_ns: u64) -> Next<T> {
        let mut state = self.0.lock();
        loop {
            if let Some((item, bytes)) = state.items.pop_front() {
                state.bytes -= bytes;
                self.0.changed.notify_all();
                return Next::Item(item);
            }
            if state.senders == 0 {
                return Next::Finished;
            }
            let now = monotonic_ns();
            if now >= deadline_ns {
                return Next::Idle;
            }
            let wait = Duration::from_nanos(deadline_ns - now);
            state = self
                .0
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl<T> FeedSender<T> {
    /// Sends, waiting while the channel is full.
    ///
    /// # Errors
    /// The item, if the receiver is gone.
    pub fn send(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.0.lock();
        loop {
            if state.receiver_gone {
                return Err(item);
            }
            let room =
                state.items.len() < self.0.max_items && state.bytes + bytes <= self.0.max_bytes;
            if room || state.items.is_empty() {
                state.bytes += bytes;
                state.items.push_back((item, bytes));
                self.0.changed.notify_all();
                return Ok(());
            }
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether an item of so many bytes could be sent now without waiting.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let state = self.0.lock();
        state.items.is_empty()
            || state.items.len() < self.0.max_items && state.bytes + bytes <= self.0.max_bytes
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// The item, if there is no room or the receiver is gone.
    pub fn try_send(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.0.lock();
        let room = state.items.len() < self.0.max_items && state.bytes + bytes <= self.0.max_bytes;
        if state.receiver_gone || !(room || state.items.is_empty()) {
            return Err(item);
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Clone for FeedSender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for FeedSender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver_gone = true;
        state.items.clear();
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_ordered_and_finished() {
        let (tx, mut rx) = feed(2, 100);
        assert!(tx.has_room(1_000) && tx.try_send(1, 10).is_ok());
        assert!(tx.has_room(90) && !tx.has_room(91) && tx.try_send(2, 10).is_ok());
        assert_eq!(tx.try_send(3, 10), Err(3));
        assert!(!tx.has_room(0));
        let sender = std::thread::spawn(move || tx.send(3, 1_000).is_ok());
        for i in 1..=3 {
            assert_eq!(rx.next(u64::MAX), Next::Item(i));
        }
        assert_eq!(rx.next(u64::MAX), Next::Finished);
        assert!(sender.join().unwrap());
    }

    #[test]
    fn a_gone_receiver_frees_the_sender() {
        let (tx, rx) = feed(1, 100);
        assert!(tx.send(1, 1).is_ok());
        let sender = std::thread::spawn(move || tx.send(2, 1));
        drop(rx);
        assert_eq!(sender.join().unwrap(), Err(2));
    }
}
