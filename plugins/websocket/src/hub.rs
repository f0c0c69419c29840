//! What the readers read from: the newest records, kept once and shared by all of them, already
//! encoded as websocket messages: sending one copies nothing and leaves no buffer behind.
//!
//! Each reader holds the number of the record it wants next. One that keeps up gets every record
//! in order; one that does not jumps to the newest, so no reader ever costs more memory than the
//! record it is being sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Bytes;

/// Shared between the sink and the server.
#[derive(Debug)]
pub struct Hub {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    /// Readers at the moment.
    pub clients: AtomicUsize,
    /// Records sent to readers, so far.
    pub sent: AtomicU64,
    /// Records passed over because a reader was slow, so far.
    pub skipped: AtomicU64,
    /// Readers and connections turned away, so far.
    pub refused: AtomicU64,
}

#[derive(Debug)]
struct Ring {
    /// Number of the first record kept; records are numbered from 1.
    first: u64,
    records: VecDeque<Bytes>,
    bytes: usize,
    most_records: usize,
    most_bytes: usize,
}

impl Hub {
    /// An empty hub that keeps at most so many records and bytes, but always the newest record.
    pub fn new(most_records: usize, most_bytes: usize) -> Self {
        let ring = Ring {
            first: 1,
            records: VecDeque::new(),
            bytes: 0,
            most_records,
            most_bytes,
        };
        Self {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(0),
            clients: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record. Readers learn of it by [`Hub::announce`].
    pub fn add(&self, record: &str) {
        self.ring().add(message(record));
    }

    /// Wakes the readers.
    pub fn announce(&self) {
        self.newest.send_replace(self.ring().newest());
    }

    /// Follows the number of the newest record; 0: there is none yet.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Where a reader starts that wants the last `back` records.
    pub fn start(&self, back: usize) -> u64 {
        let ring = self.ring();
        let kept = ring.records.len();
        ring.first + (kept - back.min(kept)) as u64
    }

    /// The record that a reader at `next` gets, and where it goes on; `newest`: it was slow, so it
    /// gets the last one. `None`: it has them all.
    pub fn take(&self, next: u64, newest: bool) -> Option<(Bytes, u64)> {
        let ring = self.ring();
        let last = ring.newest();
        if next > last || ring.records.is_empty() {
            return None;
        }
        let number = if newest || next < ring.first {
            last
        } else {
            next
        };
        let record = ring.records.get((number - ring.first) as usize)?.clone();
        Some((record, number + 1))
    }
}

impl Ring {
    fn newest(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }

    fn add(&mut self, record: Bytes) {
        self.bytes += record.len();
        self.records.push_back(record);
        while self.records.len() > self.most_records
            || (self.bytes > self.most_bytes && self.records.len() > 1)
        {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.first += 1;
        }
    }
}

/// A text message as a server sends it: one frame, not masked (RFC 6455, 5.2).
fn message(text: &str) -> Bytes {
    let mut frame = Vec::with_capacity(text.len() + 10);
    frame.push(0x81);
    match text.len() {
        short @ ..126 => frame.push(short as u8),
        medium @ ..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(hub: &Hub, next: u64, newest: bool) -> Option<(String, u64)> {
        let text = |frame: Bytes| String::from_utf8(frame[2..].to_vec()).unwrap();
        hub.take(next, newest)
            .map(|(frame, next)| (text(frame), next))
    }

    #[test]
    fn readers_get_each_record_in_order_and_the_newest_when_they_fall_behind() {
        let hub = Hub::new(3, 1000);
        assert_eq!((take(&hub, 1, false), hub.start(9)), (None, 1));
        for record in ["a", "b", "c", "d", "e"] {
            hub.add(record);
        }
        assert_eq!(hub.start(1), 5);
        assert_eq!(hub.start(2), 4);
        assert_eq!(hub.start(9), 3);
        assert_eq!(take(&hub, 3, false), Some(("c".into(), 4)));
        assert_eq!(take(&hub, 4, false), Some(("d".into(), 5)));
        assert_eq!(take(&hub, 4, true), Some(("e".into(), 6)));
        assert_eq!(take(&hub, 2, false), Some(("e".into(), 6)));
        assert_eq!(take(&hub, 6, false), None);
        assert_eq!(take(&hub, 6, true), None);
    }

    #[test]
    fn bytes_are_bounded_too_but_the_newest_stays() {
        let hub = Hub::new(100, 14);
        for record in ["12345", "67890", "abcde", "a record of its own"] {
            hub.add(record);
        }
        assert_eq!(hub.ring().records.len(), 1);
        assert_eq!(hub.ring().bytes, 21);
        assert_eq!(
            take(&hub, 4, false),
            Some(("a record of its own".into(), 5))
        );
    }
}
