//! Edges: bounded queues of batches. All edges into one instance of a stage end in its inbox, so
//! that it waits in one place; each keeps a lane and bounds of its own.
//!
//! Invariant: whoever sends waits here, in the host, never inside a plugin. Barriers and ends are
//! neither bounded nor counted nor dropped.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plugin_api::{Batch, batch::monotonic_ns};

use crate::config::{Buffer, WhenFull};

/// Marks in the flow where an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// Number of the epoch that it ends.
    pub epoch: u64,
    /// Whether the run ends with it.
    pub last: bool,
}

/// What travels along an edge.
#[derive(Debug, Clone)]
pub enum Item {
    /// Records.
    Batch(Batch),
    /// No more records; barriers may follow.
    End,
    /// An epoch ends here.
    Barrier(Barrier),
}

/// What the engine tells an instance apart from its edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A source: begin this epoch's barrier.
    Begin(Barrier),
    /// A source: is the epoch still yours?
    Confirm(u64),
    /// The epoch is true.
    Commit(u64),
    /// The epoch will not be.
    Abort(u64),
    /// A source: the run ends for it.
    Drain,
}

/// What an instance finds in its inbox.
#[derive(Debug)]
pub enum Event {
    /// From the engine.
    Control(Control),
    /// From lane number so-and-so.
    Item(usize, Item),
    /// Nothing until the deadline.
    Timeout,
    /// The host is being torn down.
    Torn,
}

/// What became of a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is queued; so many records of older or this batch were dropped for it.
    Queued { dropped: u64 },
    /// The host is being torn down.
    Torn,
}

#[derive(Debug)]
struct Lane {
    queue: VecDeque<Item>,
    bytes: u64,
    records: u64,
    bounds: Buffer,
    /// Behind a barrier that the other lanes have not reached yet.
    held: bool,
}

impl Lane {
    fn is_full(&self) -> bool {
        self.records > 0
            && (self.bytes >= self.bounds.max_bytes || self.records >= self.bounds.max_records)
    }

    fn push(&mut self, batch: Batch) {
        self.bytes += batch.pinned_bytes() as u64;
        self.records += batch.len() as u64;
        self.queue.push_back(Item::Batch(batch));
    }

    fn took(&mut self, batch: &Batch) {
        self.bytes -= batch.pinned_bytes() as u64;
        self.records -= batch.len() as u64;
    }

    /// Drops the oldest batch; how many records it had.
    fn drop_oldest(&mut self) -> u64 {
        let oldest = self.queue.iter().position(|i| matches!(i, Item::Batch(_)));
        match oldest.and_then(|i| self.queue.remove(i)) {
            Some(Item::Batch(b)) => {
                self.took(&b);
                b.len() as u64
            }
            _ => 0,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    control: VecDeque<Control>,
    /// Lane to look at first, so that fan-in is fair.
    turn: usize,
    receiver_waits: bool,
    senders_wait: usize,
    closed: bool,
}

/// All edges into one instance.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    ready: Condvar,
    room: Condvar,
    torn: AtomicBool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an edge; its lane.
    pub fn add_lane(&self, bounds: Buffer) -> usize {
        let mut s = self.lock();
        s.lanes.push(Lane {
            queue: VecDeque::new(),
            bytes: 0,
            records: 0,
            bounds,
            held: false,
        });
        s.lanes.len() - 1
    }

    /// How many records are queued.
    pub fn queued(&self) -> u64 {
        self.lock().lanes.iter().map(|l| l.records).sum()
    }

    /// Sends a batch, waiting while the lane is full, or dropping by its policy.
    pub fn send_batch(&self, lane: usize, batch: Batch) -> Sent {
        let mut s = self.lock();
        let mut dropped = 0;
        while s.lanes[lane].is_full() && !s.closed {
            if self.torn() {
                return Sent::Torn;
            }
            match s.lanes[lane].bounds.when_full {
                WhenFull::Block => {
                    s.senders_wait += 1;
                    s = self.room.wait(s).unwrap_or_else(PoisonError::into_inner);
                    s.senders_wait -= 1;
                }
                WhenFull::DropNewest => {
                    return Sent::Queued {
                        dropped: batch.len() as u64,
                    };
                }
                WhenFull::DropOldest => dropped += s.lanes[lane].drop_oldest(),
            }
        }
        if self.torn() || s.closed {
            return Sent::Torn;
        }
        s.lanes[lane].push(batch);
        self.wake(&s);
        Sent::Queued { dropped }
    }

    /// Sends a mark, whether there is room or not.
    pub fn send_mark(&self, lane: usize, mark: Item) {
        let mut s = self.lock();
        s.lanes[lane].queue.push_back(mark);
        self.wake(&s);
    }

    /// Tells the instance something.
    pub fn tell(&self, control: Control) {
        let mut s = self.lock();
        s.control.push_back(control);
        self.wake(&s);
    }

    fn wake(&self, s: &State) {
        if s.receiver_waits {
            self.ready.notify_one();
        }
    }

    /// Lets everybody go who waits; from now on nothing is queued.
    pub fn tear(&self) {
        self.torn.store(true, Ordering::SeqCst);
        // Under the lock, so that nobody is between looking and waiting.
        let _s = self.lock();
        self.ready.notify_all();
        self.room.notify_all();
    }

    fn torn(&self) -> bool {
        self.torn.load(Ordering::SeqCst)
    }

    /// The receiver has gone: nobody shall wait for it.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// The next event, waiting until `deadline_ns`; control first, then the lanes in turn.
    pub fn next(&self, deadline_ns: u64) -> Event {
        let mut s = self.lock();
        loop {
            if self.torn() {
                return Event::Torn;
            }
            if let Some(c) = s.control.pop_front() {
                return Event::Control(c);
            }
            let n = s.lanes.len();
            for i in 0..n {
                let lane = (s.turn + i) % n;
                if s.lanes[lane].held {
                    continue;
                }
                if let Some(item) = s.lanes[lane].queue.pop_front() {
                    s.turn = (lane + 1) % n;
                    if let Item::Batch(b) = &item {
                        s.lanes[lane].took(b);
                        if s.senders_wait > 0 {
                            self.room.notify_all();
                        }
                    }
                    return Event::Item(lane, item);
                }
            }
            let now = monotonic_ns();
            if now >= deadline_ns {
                return Event::Timeout;
            }
            s.receiver_waits = true;
            let wait = Duration::from_nanos(deadline_ns - now);
            s = self
                .ready
                .wait_timeout(s, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            s.receiver_waits = false;
        }
    }

    /// The next message of the engine, if there is one.
    pub fn next_control(&self) -> Option<Control> {
        self.lock().control.pop_front()
    }

    /// Whether messages of the engine wait.
    pub fn has_control(&self) -> bool {
        !self.lock().control.is_empty()
    }

    /// A barrier was taken from this lane: nothing more is, until all are there. True: they are.
    pub fn hold(&self, lane: usize) -> bool {
        let mut s = self.lock();
        s.lanes[lane].held = true;
        if s.lanes.iter().any(|l| !l.held) {
            return false;
        }
        s.lanes.iter_mut().for_each(|l| l.held = false);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugin_api::BatchBuilder;

    use super::*;

    fn batch(n: usize) -> Batch {
        let mut b = BatchBuilder::new();
        for _ in 0..n {
            b.push(Some(b"x"));
        }
        b.finish()
    }

    fn bounds(max_records: u64, when_full: WhenFull) -> Buffer {
        Buffer {
            max_bytes: u64::MAX,
            max_records,
            when_full,
        }
    }

    fn records(e: Event) -> usize {
        match e {
            Event::Item(_, Item::Batch(b)) => b.len(),
            other => panic!("no batch: {other:?}"),
        }
    }

    #[test]
    fn a_full_edge_holds_its_sender_until_there_is_room() {
        let inbox = Arc::new(Inbox::default());
        let lane = inbox.add_lane(bounds(2, WhenFull::Block));
        assert_eq!(
            inbox.send_batch(lane, batch(3)),
            Sent::Queued { dropped: 0 }
        );
        let sender = {
            let inbox = inbox.clone();
            std::thread::spawn(move || inbox.send_batch(lane, batch(1)))
        };
        while inbox.lock().senders_wait == 0 {
            std::thread::yield_now();
        }
        assert_eq!(inbox.queued(), 3);
        assert_eq!(records(inbox.next(u64::MAX)), 3);
        assert_eq!(sender.join().unwrap(), Sent::Queued { dropped: 0 });
        assert_eq!(records(inbox.next(u64::MAX)), 1);
    }

    #[test]
    fn dropping_counts_exactly_and_spares_marks() {
        let inbox = Inbox::default();
        let lane = inbox.add_lane(bounds(2, WhenFull::DropOldest));
        let barrier = Barrier {
            epoch: 1,
            last: false,
        };
        inbox.send_mark(lane, Item::Barrier(barrier));
        assert_eq!(
            inbox.send_batch(lane, batch(2)),
            Sent::Queued { dropped: 0 }
        );
        assert_eq!(
            inbox.send_batch(lane, batch(5)),
            Sent::Queued { dropped: 2 }
        );
        assert!(matches!(inbox.next(0), Event::Item(0, Item::Barrier(b)) if b == barrier));
        assert_eq!(records(inbox.next(0)), 5);
        let lane = inbox.add_lane(bounds(1, WhenFull::DropNewest));
        inbox.send_batch(lane, batch(1));
        assert_eq!(
            inbox.send_batch(lane, batch(4)),
            Sent::Queued { dropped: 4 }
        );
    }

    #[test]
    fn a_barrier_holds_its_lane_until_all_have_it() {
        let inbox = Inbox::default();
        let (a, b) = (
            inbox.add_lane(Buffer::default()),
            inbox.add_lane(Buffer::default()),
        );
        let barrier = Item::Barrier(Barrier {
            epoch: 7,
            last: false,
        });
        inbox.send_mark(a, barrier.clone());
        inbox.send_batch(a, batch(1));
        inbox.send_batch(b, batch(2));
        assert!(matches!(inbox.next(0), Event::Item(lane, Item::Barrier(_)) if lane == a));
        assert!(!inbox.hold(a));
        assert_eq!(records(inbox.next(0)), 2);
        assert!(matches!(inbox.next(0), Event::Timeout));
        inbox.send_mark(b, barrier);
        assert!(matches!(inbox.next(0), Event::Item(lane, Item::Barrier(_)) if lane == b));
        assert!(inbox.hold(b));
        assert_eq!(records(inbox.next(0)), 1);
    }

    #[test]
    fn tearing_frees_both_ends() {
        let inbox = Arc::new(Inbox::default());
        let lane = inbox.add_lane(bounds(1, WhenFull::Block));
        inbox.send_batch(lane, batch(1));
        let sender = {
            let inbox = inbox.clone();
            std::thread::spawn(move || inbox.send_batch(lane, batch(1)))
        };
        inbox.tear();
        assert_eq!(sender.join().unwrap(), Sent::Torn);
        assert!(matches!(inbox.next(u64::MAX), Event::Torn));
    }
}
