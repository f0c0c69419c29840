//! What a source that asks again after a break must remember: how far it came, and which events
//! near that place it has had.
//!
//! A server's order is nearly that of `time_us`, not quite: when it passes from its archive to what
//! is live, single events run ahead, and two servers' clocks differ a little. So the place is no
//! later than the earliest of the last events, a new connection asks from some seconds before it,
//! and an event is known by its identity, never by its time.
//!
//! Invariant: an event that was taken, with a time at or after `floor_us`, is remembered; and no
//! connection asks for anything before `floor_us`. So an honest server can double nothing.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;

/// Events remembered at most; a full network's for some 20 s.
pub(crate) const MOST: usize = 1 << 16;
/// Of so many rewinds' time events are remembered.
const REWINDS: i64 = 3;
/// The place is no later than the earliest of so many events, as far as they came within a rewind.
const WINDOW: usize = 1_024;
/// Nothing was taken yet.
const NO_PLACE: i64 = i64::MIN;

/// An event that was taken: its time, and a hash of its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Note {
    pub time_us: i64,
    pub hash: u64,
}

/// Names events by a hash that nobody outside can aim at: whoever could, might hide others' posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u64, u64);

impl Key {
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let part = || RandomState::new().build_hasher().finish();
        Self(part(), part())
    }

    pub fn hash(self, identity: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(identity);
        hasher.finish()
    }
}

/// The place in the stream, and the events about it: what a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    key: Key,
    rewind_us: i64,
    low_us: i64,
    floor_us: i64,
    notes: VecDeque<Note>,
}

impl Ledger {
    pub fn new(rewind_us: i64) -> Self {
        Self {
            key: Key::random(),
            rewind_us,
            low_us: NO_PLACE,
            floor_us: NO_PLACE,
            notes: VecDeque::new(),
        }
    }

    pub fn key(&self) -> Key {
        self.key
    }

    pub fn rewind_us(&self) -> i64 {
        self.rewind_us
    }

    /// Where a connection is to go on; `None`: nothing was taken yet.
    pub fn cursor_us(&self) -> Option<i64> {
        let place = self.low_us.saturating_sub(self.rewind_us);
        (self.low_us != NO_PLACE).then(|| place.max(self.floor_us).max(1))
    }

    /// Whether an event is too old to say that it was not taken before.
    pub fn is_beyond_memory(&self, time_us: i64) -> bool {
        time_us < self.floor_us
    }

    /// Whether no event is remembered: the place, if there is one, is a guess.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Adds an event; `forget` learns which are forgotten.
    pub fn note(&mut self, note: Note, forget: impl FnMut(u64)) {
        self.notes.push_back(note);
        if self.notes.len() > MOST {
            self.shrink(forget);
        }
    }

    /// Sets the place behind the events that were added.
    pub fn advance(&mut self, low_us: i64, mut forget: impl FnMut(u64)) {
        self.low_us = low_us;
        // A place without events is a guess of another clock: nothing is too old for it.
        if self.is_empty() {
            return;
        }
        let end = low_us.saturating_sub(self.rewind_us.saturating_mul(REWINDS));
        self.floor_us = self.floor_us.max(end);
        // Events that ran ahead keep what is behind them a little longer.
        while let Some(first) = self.notes.front().filter(|n| n.time_us < self.floor_us) {
            forget(first.hash);
            self.notes.pop_front();
        }
    }

    /// Forgets the oldest quarter.
    fn shrink(&mut self, mut forget: impl FnMut(u64)) {
        let notes = self.notes.make_contiguous();
        notes.sort_unstable();
        let gone = notes.len() - MOST / 4 * 3;
        // A cursor is inclusive: others of the last one's time would come with it again.
        let behind_us = notes[gone - 1].time_us.saturating_add(1);
        self.floor_us = self.floor_us.max(behind_us);
        for note in self.notes.drain(..gone) {
            forget(note.hash);
        }
    }

    /// As bytes, little endian: the key, the place, the floor, then each event.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + 16 * self.notes.len());
        let head = [
            self.key.0.to_le_bytes(),
            self.key.1.to_le_bytes(),
            self.low_us.to_le_bytes(),
            self.floor_us.to_le_bytes(),
        ];
        bytes.extend(head.as_flattened());
        for note in self.notes.iter().filter(|n| n.time_us >= self.floor_us) {
            bytes.extend(note.time_us.to_le_bytes());
            bytes.extend(note.hash.to_le_bytes());
        }
        bytes
    }

    /// Reads them; `None`: they are none.
    pub fn from_bytes(bytes: &[u8], rewind_us: i64) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let (head, notes) = words.split_at_checked(4)?;
        let (notes, half) = notes.as_chunks::<2>();
        if !rest.is_empty() || !half.is_empty() || notes.len() > MOST {
            return None;
        }
        let note = |[time, hash]: &[[u8; 8]; 2]| Note {
            time_us: i64::from_le_bytes(*time),
            hash: u64::from_le_bytes(*hash),
        };
        Some(Self {
            key: Key(u64::from_le_bytes(head[0]), u64::from_le_bytes(head[1])),
            rewind_us,
            low_us: i64::from_le_bytes(head[2]),
            floor_us: i64::from_le_bytes(head[3]),
            notes: notes.iter().map(note).collect(),
        })
    }
}

/// What the reading thread keeps: a ledger that can be asked, and the last events' times.
#[derive(Debug)]
pub(crate) struct Memory {
    ledger: Ledger,
    known: HashSet<u64, BuildHasherDefault<AsItIs>>,
    last: Window,
}

impl Memory {
    pub fn new(ledger: Ledger) -> Self {
        Self {
            known: ledger.notes.iter().map(|note| note.hash).collect(),
            last: Window::new(ledger.rewind_us),
            ledger,
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Adds an event that came at `now_us`, on a monotonic clock; `false`: it was known.
    pub fn take(&mut self, note: Note, now_us: i64) -> bool {
        let known = &mut self.known;
        if !known.insert(note.hash) {
            self.last.touch(now_us);
            return false;
        }
        self.last.push(note.time_us, now_us);
        self.ledger.note(note, |hash| {
            known.remove(&hash);
        });
        true
    }

    /// Begins with a place, unless there is one; the first event moves it. Whether it did.
    pub fn start(&mut self, place_us: i64) -> bool {
        let is_first = self.ledger.low_us == NO_PLACE;
        if is_first {
            self.ledger.advance(place_us, |_| {});
        }
        is_first
    }

    /// A connection begins, at the place that the ledger has.
    pub fn begin(&mut self, now_us: i64) {
        self.settle(now_us);
        if self.ledger.low_us != NO_PLACE {
            self.last.restart(self.ledger.low_us, now_us);
        }
    }

    /// The place as of now, which the ledger keeps from here on.
    pub fn settle(&mut self, now_us: i64) -> Option<i64> {
        let low_us = self.last.earliest(now_us)?;
        let known = &mut self.known;
        self.ledger.advance(low_us, |hash| {
            known.remove(&hash);
        });
        Some(low_us)
    }
}

/// The earliest time among the last events, by a queue in which times only grow: an event makes
/// all before it that are later than it superfluous.
#[derive(Debug)]
struct Window {
    span_us: i64,
    pushed: usize,
    /// Number, time, and when it came.
    rising: VecDeque<(usize, i64, i64)>,
}

impl Window {
    fn new(span_us: i64) -> Self {
        Self {
            span_us,
            pushed: 0,
            rising: VecDeque::new(),
        }
    }

    fn push(&mut self, time_us: i64, now_us: i64) {
        while self.rising.back().is_some_and(|back| back.1 >= time_us) {
            self.rising.pop_back();
        }
        self.rising.push_back((self.pushed, time_us, now_us));
        self.pushed += 1;
        self.expire(now_us);
    }

    /// Begins with a place: whatever comes first need not be what follows it.
    fn restart(&mut self, place_us: i64, now_us: i64) {
        self.rising.clear();
        self.push(place_us, now_us);
    }

    /// As long as what comes is known, the place is as good as new.
    fn touch(&mut self, now_us: i64) {
        if let [only] = self.rising.make_contiguous() {
            only.2 = now_us;
        }
    }

    fn earliest(&mut self, now_us: i64) -> Option<i64> {
        self.expire(now_us);
        self.rising.front().map(|first| first.1)
    }

    /// The last event is always in it.
    fn expire(&mut self, now_us: i64) {
        while self.rising.len() > 1
            && self.rising.front().is_some_and(|&(number, _, came_us)| {
                number + WINDOW < self.pushed || came_us.saturating_add(self.span_us) < now_us
            })
        {
            self.rising.pop_front();
        }
    }
}

/// Hashes are spread already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn note(time_us: i64) -> Note {
        Note {
            time_us,
            hash: time_us as u64,
        }
    }

    fn memory() -> Memory {
        Memory::new(Ledger::new(5 * S))
    }

    #[test]
    fn the_place_is_the_earliest_of_the_last_events() {
        let mut memory = memory();
        assert_eq!(memory.ledger().cursor_us(), None);
        for (time, now, cursor) in [
            (100, 0, 95),
            (101, 1, 95),
            // One runs ahead, and the others go on.
            (900, 1, 95),
            (102, 2, 95),
            (103, 6, 96),
            // None came for long: the last one is the place.
            (300, 60, 295),
        ] {
            memory.take(note(time * S), now * S);
            memory.settle(now * S);
            assert_eq!(memory.ledger().cursor_us(), Some(cursor * S), "{time}");
        }
    }

    #[test]
    fn one_that_runs_ahead_of_an_archive_moves_no_place() {
        let mut memory = memory();
        for n in 100..110 {
            memory.take(note(n * S), n * S);
        }
        memory.settle(109 * S);
        let mut later = Memory::new(memory.ledger().clone());
        // Here nothing came for long before the new connection; there it is not known.
        for (memory, place) in [(&mut memory, 109), (&mut later, 104)] {
            memory.begin(900 * S);
            for again in 104..110 {
                memory.take(note(again * S), (800 + again) * S);
            }
            memory.take(note(5_000 * S), 910 * S);
            assert_eq!(memory.settle(910 * S), Some(place * S));
            memory.take(note(110 * S), 911 * S);
            assert_eq!(memory.settle(914 * S), Some(place * S));
            assert_eq!(memory.settle(917 * S), Some(110 * S));
        }
    }

    #[test]
    fn the_place_does_not_wait_for_more_events_than_a_server_lets_run_ahead() {
        let mut memory = memory();
        for n in 0..5_000 {
            memory.take(note(n * S), 0);
        }
        assert_eq!(memory.settle(0), Some((5_000 - WINDOW as i64) * S));
    }

    #[test]
    fn an_event_is_known_as_long_as_it_may_come_again() {
        let mut memory = memory();
        for n in 1_000..2_000 {
            assert!(memory.take(note(n * S), n * S));
            memory.settle(n * S);
            let from = memory.ledger().cursor_us().unwrap();
            for again in (from / S).max(1_000)..=n {
                assert!(!memory.take(note(again * S), n * S), "{again} at {n}");
            }
        }
        assert!(memory.ledger().notes.len() < 50);
        assert!(memory.ledger().is_beyond_memory(1_900 * S));
        assert_eq!(memory.known.len(), memory.ledger().notes.len());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_asked_for_that_was_forgotten() {
        let mut memory = memory();
        // All within a moment, the place at the first: the floor must rise.
        for n in 0..3 * MOST as i64 {
            memory.take(note(n), 0);
            memory.settle(0);
            assert!(memory.ledger().notes.len() <= MOST);
        }
        let floor = memory.ledger().cursor_us().unwrap();
        assert!(floor > 0);
        for again in floor..3 * MOST as i64 {
            assert!(!memory.take(note(again), 0));
        }
        let bytes = memory.ledger().to_bytes();
        assert!(bytes.len() <= 32 + 16 * MOST);
    }

    #[test]
    fn events_of_one_time_are_forgotten_together() {
        let mut memory = memory();
        let of_seven = |n: i64| Note {
            time_us: 1 + n / 7,
            hash: n as u64,
        };
        let most = 2 * MOST as i64;
        for n in 0..most {
            assert!(memory.take(of_seven(n), 0));
            memory.settle(0);
        }
        let floor = memory.ledger().cursor_us().unwrap();
        assert!(floor > 1);
        for again in (0..most).filter(|n| of_seven(*n).time_us >= floor) {
            assert!(!memory.take(of_seven(again), 0), "{again}");
        }
    }

    #[test]
    fn a_place_without_events_is_a_guess_that_the_first_event_mends() {
        let mut memory = memory();
        assert!(memory.start(1_000 * S));
        assert!(!memory.start(2_000 * S));
        assert_eq!(memory.ledger().cursor_us(), Some(995 * S));
        // The server's clock is far behind: nothing of it is too old.
        memory.begin(0);
        assert!(!memory.ledger().is_beyond_memory(7 * S));
        memory.take(note(7 * S), 0);
        memory.settle(0);
        assert_eq!(memory.ledger().cursor_us(), Some(2 * S));
    }

    #[test]
    fn a_snapshot_is_the_ledger() {
        let mut memory = memory();
        for n in 1..100 {
            memory.take(note(n * S), n * S);
        }
        memory.settle(99 * S);
        let bytes = memory.ledger().to_bytes();
        let ledger = Ledger::from_bytes(&bytes, 5 * S).unwrap();
        assert_eq!(&ledger, memory.ledger());
        assert_eq!(ledger.key().hash(b"x"), memory.ledger().key().hash(b"x"));
        let mut again = Memory::new(ledger);
        assert!(!again.take(note(99 * S), 0) && again.take(note(100 * S), 0));
        for wrong in [&bytes[..31], &bytes[..bytes.len() - 8], &bytes[1..]] {
            assert_eq!(Ledger::from_bytes(wrong, 5 * S), None);
        }
    }

    #[test]
    fn hashes_are_of_one_ledger_only() {
        let (one, other) = (Key::random(), Key::random());
        assert_eq!(one.hash(b"a"), one.hash(b"a"));
        assert_ne!(one.hash(b"a"), one.hash(b"b"));
        assert_ne!(one.hash(b"a"), other.hash(b"a"));
    }
}
