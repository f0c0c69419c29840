//! Edges: bounded queues of batches. All edges into one instance of a stage end in its inbox, so
//! that it waits in one place; each keeps a lane and bounds of its own.
//!
//! Invariant: whoever sends waits here, in the host, never inside a plugin. Barriers and ends are
//! neither bounded nor counted nor dropped.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plugin_api::{Batch, batch::monotonic_ns};

use super::account::{Counters, add};
use crate::{
    checkpoint::{
        coordinator::Barrier,
        epoch::{Snapshot, Tally},
    },
    config::{Buffer, WhenFull},
};

/// What the sources behind a barrier answered, by the [names](crate::checkpoint::shape) of their
/// instances.
pub type Upstream = Arc<BTreeMap<String, plugin_api::Upstream>>;

/// What travels along an edge.
#[derive(Debug, Clone)]
pub enum Item {
    /// Records.
    Batch(Batch),
    /// No more records; barriers may follow.
    End,
    /// An epoch ends here.
    Barrier(Barrier, Upstream),
}

/// What the engine tells an instance apart from its edges.
#[derive(Debug, Clone)]
pub enum Control {
    /// Which epoch is true is settled: start from there.
    Restore(Birth),
    /// A live source: its region starts again from this epoch.
    Reattach(u64),
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

/// Where an instance starts.
#[derive(Debug, Clone, Default)]
pub struct Birth {
    /// The epoch that is true; 0: none.
    pub epoch: u64,
    /// Its own part of it.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The accounts that it counts on from; none: they stand.
    pub tally: Option<Tally>,
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
    /// It is queued, or it or older ones were dropped by policy; counted either way.
    Queued,
    /// The host is being torn down.
    Torn,
}

#[derive(Debug)]
struct Lane {
    queue: VecDeque<Item>,
    bytes: u64,
    records: u64,
    bounds: Buffer,
    /// Senders that wait for room.
    senders_wait: usize,
    /// Behind a barrier that the other lanes have not reached yet.
    held: bool,
    /// Records dropped that came before the next barrier.
    dropped: u64,
    /// Records dropped behind the barrier that is queued.
    dropped_behind: u64,
}

impl Lane {
    fn is_full(&self) -> bool {
        self.records > 0
            && (self.bytes >= self.bounds.max_bytes || self.records >= self.bounds.max_records)
    }

    /// Whether senders that wait shall go on. At half of its bounds: one that was let in for each
    /// batch taken would cost both threads a switch a batch.
    fn has_room(&self) -> bool {
        self.bytes <= self.bounds.max_bytes / 2 && self.records <= self.bounds.max_records / 2
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
        let barrier = self.barrier();
        match oldest.and_then(|i| self.queue.remove(i)) {
            Some(Item::Batch(b)) => {
                self.took(&b);
                let n = b.len() as u64;
                if self.held || barrier.is_some_and(|at| oldest > Some(at)) {
                    self.dropped_behind += n;
                } else {
                    self.dropped += n;
                }
                n
            }
            _ => 0,
        }
    }

    /// Counts records that came last and are dropped.
    fn drop_newest(&mut self, n: u64) {
        if self.held || self.barrier().is_some() {
            self.dropped_behind += n;
        } else {
            self.dropped += n;
        }
    }

    /// Where a barrier is queued. There is at most one: one epoch is in flight at a time.
    fn barrier(&self) -> Option<usize> {
        self.queue
            .iter()
            .position(|i| matches!(i, Item::Barrier(..)))
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    control: VecDeque<Control>,
    /// Lane to look at first, so that fan-in is fair.
    turn: usize,
    /// The receiver waits and was not woken yet.
    receiver_waits: bool,
    closed: bool,
    /// How often it was made anew: whoever sends to an earlier one is told that it is torn.
    generation: u64,
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
            senders_wait: 0,
            held: false,
            dropped: 0,
            dropped_behind: 0,
        });
        s.lanes.len() - 1
    }

    /// How many records are queued.
    pub fn queued(&self) -> u64 {
        self.lock().lanes.iter().map(|l| l.records).sum()
    }

    /// Whether a sender would have to wait now.
    pub fn holds_up(&self, lane: usize) -> bool {
        let s = self.lock();
        let lane = &s.lanes[lane];
        lane.is_full() && lane.bounds.when_full == WhenFull::Block && !s.closed
    }

    /// Which of its lives it is in.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Sends a batch, waiting while the lane is full, or dropping by its policy. What is received
    /// and dropped is added to the receiver's `counters`.
    pub fn send_batch(
        &self,
        lane: usize,
        batch: Batch,
        generation: u64,
        counters: &Counters,
    ) -> Sent {
        let mut s = self.lock();
        while s.lanes[lane].is_full() && !s.closed {
            if self.torn() || s.generation != generation {
                return Sent::Torn;
            }
            match s.lanes[lane].bounds.when_full {
                WhenFull::Block => {
                    s.lanes[lane].senders_wait += 1;
                    s = self.room.wait(s).unwrap_or_else(PoisonError::into_inner);
                    s.lanes[lane].senders_wait -= 1;
                }
                WhenFull::DropNewest => {
                    let n = batch.len() as u64;
                    s.lanes[lane].drop_newest(n);
                    add(&counters.received, n);
                    add(&counters.dropped, n);
                    return Sent::Queued;
                }
                WhenFull::DropOldest => {
                    let n = s.lanes[lane].drop_oldest();
                    add(&counters.dropped, n);
                }
            }
        }
        if self.torn() || s.closed || s.generation != generation {
            return Sent::Torn;
        }
        // Under the lock: before it is there to be taken, and not if it is torn.
        add(&counters.received, batch.len() as u64);
        s.lanes[lane].push(batch);
        self.wake(s);
        Sent::Queued
    }

    /// Sends a mark, whether there is room or not.
    pub fn send_mark(&self, lane: usize, mark: Item, generation: u64) {
        let mut s = self.lock();
        if self.torn() || s.generation != generation {
            return;
        }
        s.lanes[lane].queue.push_back(mark);
        self.wake(s);
    }

    /// Tells the instance something.
    pub fn tell(&self, control: Control) {
        let mut s = self.lock();
        s.control.push_back(control);
        self.wake(s);
    }

    /// Its region falls and it does not: what it has not heard yet is of no meaning any more.
    pub fn unsay(&self) {
        let is_drain = |c: &Control| matches!(c, Control::Drain);
        self.lock().control.retain(is_drain);
    }

    /// Once for each wait: each time is a call of the kernel. Without the lock, which the receiver
    /// takes as soon as it wakes.
    fn wake(&self, mut s: MutexGuard<'_, State>) {
        let waits = std::mem::take(&mut s.receiver_waits);
        drop(s);
        if waits {
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

    /// As new, with the lanes that it has.
    pub fn reset(&self) {
        let mut s = self.lock();
        s.control.clear();
        s.closed = false;
        s.generation += 1;
        for lane in &mut s.lanes {
            lane.queue.clear();
            (lane.bytes, lane.records) = (0, 0);
            (lane.dropped, lane.dropped_behind) = (0, 0);
            lane.held = false;
        }
        self.torn.store(false, Ordering::SeqCst);
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
                        let lane = &mut s.lanes[lane];
                        lane.took(b);
                        if lane.senders_wait > 0 && lane.has_room() {
                            self.room.notify_all();
                        }
                    }
                    return Event::Item(lane, item);
                }
            }
            if deadline_ns == u64::MAX {
                // No time is needed to wait without an end.
                s.receiver_waits = true;
                s = self.ready.wait(s).unwrap_or_else(PoisonError::into_inner);
            } else {
                let now = monotonic_ns();
                if now >= deadline_ns {
                    return Event::Timeout;
                }
                s.receiver_waits = true;
                let wait = Duration::from_nanos(deadline_ns - now);
                let waited = self.ready.wait_timeout(s, wait);
                s = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
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

    /// A barrier was taken from this lane: nothing more is, until all are there. Then: how many
    /// records their edges had dropped before it.
    pub fn hold(&self, lane: usize) -> Option<u64> {
        let mut s = self.lock();
        s.lanes[lane].held = true;
        if s.lanes.iter().any(|l| !l.held) {
            return None;
        }
        let mut dropped = 0;
        for lane in &mut s.lanes {
            lane.held = false;
            dropped += lane.dropped;
            lane.dropped += std::mem::take(&mut lane.dropped_behind);
        }
        Some(dropped)
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
            kind: Default::default(),
            max_bytes: u64::MAX,
            max_records,
            when_full,
        }
    }

    /// How many records were dropped; none: torn.
    fn send(inbox: &Inbox, lane: usize, batch: Batch, generation: u64) -> Option<u64> {
        let counters = Counters::default();
        match inbox.send_batch(lane, batch, generation, &counters) {
            Sent::Queued => Some(counters.account().dropped),
            Sent::Torn => None,
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
        assert_eq!(send(&inbox, lane, batch(3), 0), Some(0));
        let sender = {
            let inbox = inbox.clone();
            std::thread::spawn(move || send(&inbox, lane, batch(1), 0))
        };
        while inbox.lock().lanes[lane].senders_wait == 0 {
            std::thread::yield_now();
        }
        assert_eq!(inbox.queued(), 3);
        assert_eq!(records(inbox.next(u64::MAX)), 3);
        assert_eq!(sender.join().unwrap(), Some(0));
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
        inbox.send_mark(lane, Item::Barrier(barrier, Upstream::default()), 0);
        assert_eq!(send(&inbox, lane, batch(2), 0), Some(0));
        assert_eq!(send(&inbox, lane, batch(5), 0), Some(2));
        assert!(matches!(inbox.next(0), Event::Item(0, Item::Barrier(b, _)) if b == barrier));
        assert_eq!(records(inbox.next(0)), 5);
        let lane = inbox.add_lane(bounds(1, WhenFull::DropNewest));
        send(&inbox, lane, batch(1), 0);
        assert_eq!(send(&inbox, lane, batch(4), 0), Some(4));
    }

    #[test]
    fn a_barrier_holds_its_lane_until_all_have_it() {
        let inbox = Inbox::default();
        let (a, b) = (
            inbox.add_lane(Buffer::default()),
            inbox.add_lane(Buffer::default()),
        );
        let barrier = Barrier {
            epoch: 7,
            last: false,
        };
        let barrier = Item::Barrier(barrier, Upstream::default());
        inbox.send_mark(a, barrier.clone(), 0);
        send(&inbox, a, batch(1), 0);
        send(&inbox, b, batch(2), 0);
        assert!(matches!(inbox.next(0), Event::Item(lane, Item::Barrier(..)) if lane == a));
        assert_eq!(inbox.hold(a), None);
        assert_eq!(records(inbox.next(0)), 2);
        assert!(matches!(inbox.next(0), Event::Timeout));
        inbox.send_mark(b, barrier, 0);
        assert!(matches!(inbox.next(0), Event::Item(lane, Item::Barrier(..)) if lane == b));
        assert_eq!(inbox.hold(b), Some(0));
        assert_eq!(records(inbox.next(0)), 1);
    }

    #[test]
    fn tearing_frees_both_ends() {
        let inbox = Arc::new(Inbox::default());
        let lane = inbox.add_lane(bounds(1, WhenFull::Block));
        send(&inbox, lane, batch(1), 0);
        let sender = {
            let inbox = inbox.clone();
            std::thread::spawn(move || send(&inbox, lane, batch(1), 0))
        };
        inbox.tear();
        assert_eq!(sender.join().unwrap(), None);
        assert!(matches!(inbox.next(u64::MAX), Event::Torn));
    }

    #[test]
    fn drops_are_counted_to_the_epoch_of_what_was_dropped() {
        let inbox = Inbox::default();
        let lane = inbox.add_lane(bounds(1, WhenFull::DropOldest));
        let barrier = Barrier {
            epoch: 1,
            last: false,
        };
        send(&inbox, lane, batch(1), 0);
        send(&inbox, lane, batch(2), 0);
        inbox.send_mark(lane, Item::Barrier(barrier, Upstream::default()), 0);
        send(&inbox, lane, batch(3), 0);
        send(&inbox, lane, batch(4), 0);
        assert!(matches!(inbox.next(0), Event::Item(_, Item::Barrier(..))));
        assert_eq!(inbox.hold(lane), Some(3), "1 and 2 came before the barrier");
        assert_eq!(records(inbox.next(0)), 4);
        inbox.send_mark(lane, Item::Barrier(barrier, Upstream::default()), 0);
        assert!(matches!(inbox.next(0), Event::Item(_, Item::Barrier(..))));
        assert_eq!(inbox.hold(lane), Some(6));
    }

    #[test]
    fn who_knew_it_before_it_was_made_anew_sends_nothing_into_it() {
        let inbox = Inbox::default();
        let lane = inbox.add_lane(Buffer::default());
        inbox.tear();
        inbox.reset();
        assert_eq!(send(&inbox, lane, batch(1), 0), None);
        assert_eq!(send(&inbox, lane, batch(2), inbox.generation()), Some(0));
        assert_eq!(records(inbox.next(0)), 2);
    }
}
