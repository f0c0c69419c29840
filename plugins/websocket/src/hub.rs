//! What the readers read from: the newest records, kept once and shared by all of them, already
//! encoded as websocket messages: sending one copies nothing and leaves no buffer behind.
//!
//! A *channel* is a row of records that readers follow: one of all records, and one for each topic.
//! Each reader holds the number of the record it wants next. One that keeps up gets every record
//! in order; one that does not jumps to the newest, so no reader ever costs more memory than the
//! record it is being sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::message::Message;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records of a channel.
    pub records: usize,
    /// Bytes of the channel of all records, and of all topics together.
    pub bytes: usize,
    /// Names of topics; 0: a record's key means nothing.
    pub topics: usize,
}

/// Shared between the sink and the server.
#[derive(Debug)]
pub struct Hub {
    bounds: Bounds,
    all: Arc<Channel>,
    topics: Mutex<BTreeMap<String, Topic>>,
    /// Records so far, by which topics are told apart that were quiet for long.
    clock: AtomicU64,
    /// How often the names of topics have changed.
    version: AtomicU64,
    /// Readers at the moment.
    pub clients: AtomicUsize,
    /// Those of them that want records packed.
    pub packers: AtomicUsize,
    /// Records sent to readers, so far.
    pub sent: AtomicU64,
    /// Bytes sent to readers, so far.
    pub bytes: AtomicU64,
    /// Records passed over because a reader was slow, so far.
    pub skipped: AtomicU64,
    /// Readers, requests and visitors turned away, so far.
    pub refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Topic {
    channel: Arc<Channel>,
    /// By [`Hub::clock`]; 0: never.
    last: u64,
    /// Whether it is among those that had records last. Others are there for who follows them.
    named: bool,
}

impl Topic {
    fn is_wanted(&self) -> bool {
        self.named || Arc::strong_count(&self.channel) > 1
    }
}

/// Records that readers follow.
#[derive(Debug)]
pub struct Channel {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    /// Number of the first record kept; records are numbered from 1.
    first: u64,
    records: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl Hub {
    /// An empty hub.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            all: Arc::default(),
            topics: Mutex::default(),
            clock: AtomicU64::new(0),
            version: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            packers: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Whether records have topics.
    pub fn by_key(&self) -> bool {
        self.bounds.topics > 0
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record, of a topic if there are any. Readers learn of it by [`Hub::announce`].
    pub fn add(&self, record: &str, topic: Option<&str>) {
        let message = Arc::new(Message::new(record));
        let Bounds { records, bytes, .. } = self.bounds;
        self.all.ring().add(Arc::clone(&message), records, bytes);
        let Some(topic) = topic.filter(|_| self.by_key()) else {
            return;
        };
        let mut topics = self.topics();
        if !topics.get(topic).is_some_and(|topic| topic.named) {
            self.yield_name(&mut topics);
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        let topic = topics.entry(topic.to_owned()).or_default();
        topic.named = true;
        topic.last = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        topic.channel.ring().add(message, records, bytes);
        shrink(&topics, bytes);
    }

    /// Wakes the readers that something has come for, packed if any of them wants that: here nobody
    /// waits for it, on the server's thread all readers would. What did not stay is not packed.
    pub fn announce(&self) {
        if self.packers.load(Ordering::Relaxed) > 0 {
            let mut fresh = self.all.fresh();
            for topic in self.topics().values() {
                fresh.extend(topic.channel.fresh());
            }
            for message in fresh {
                message.packed();
            }
        }
        self.all.announce();
        for topic in self.topics().values() {
            topic.channel.announce();
        }
    }

    /// The channel of a topic, or of all records; `None`: there are too many topics.
    pub fn channel(&self, topic: Option<&str>) -> Option<Arc<Channel>> {
        let Some(name) = topic.filter(|_| self.by_key()) else {
            return Some(Arc::clone(&self.all));
        };
        let mut topics = self.topics();
        if !topics.contains_key(name) {
            topics.retain(|_, topic| topic.is_wanted());
            // They take no name from another, but each takes memory.
            if topics.values().filter(|topic| !topic.named).count() >= self.awaited() {
                return None;
            }
        }
        let topic = topics.entry(name.to_owned()).or_default();
        Some(Arc::clone(&topic.channel))
    }

    /// Most topics beyond those that are named for which a reader may begin to wait.
    fn awaited(&self) -> usize {
        (self.bounds.topics / 4).max(1)
    }

    /// Makes room for one more name: the topic that was quiet longest yields its own. Who follows
    /// it keeps it, and gets its records when it comes back.
    fn yield_name(&self, topics: &mut BTreeMap<String, Topic>) {
        let named: Vec<_> = topics.values_mut().filter(|topic| topic.named).collect();
        if named.len() >= self.bounds.topics
            && let Some(quietest) = named.into_iter().min_by_key(|topic| topic.last)
        {
            quietest.named = false;
        }
        topics.retain(|_, topic| topic.is_wanted());
    }

    /// Changes whenever [`Hub::names`] does.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// The topics that had records last, in the order of their names.
    pub fn names(&self) -> Vec<String> {
        let topics = self.topics();
        let named = topics.iter().filter(|(_, topic)| topic.named);
        named.map(|(name, _)| name.clone()).collect()
    }
}

/// Lets go of records until the topics together take no more than `most` bytes: the oldest of the
/// topic that takes most, and once each has but its last, that of the quietest.
fn shrink(topics: &BTreeMap<String, Topic>, most: usize) {
    let mut taken: usize = topics
        .values()
        .map(|topic| topic.channel.ring().bytes)
        .sum();
    while taken > most {
        let several = topics
            .values()
            .filter(|topic| topic.channel.ring().records.len() > 1)
            .max_by_key(|topic| topic.channel.ring().bytes);
        let single = || {
            topics
                .values()
                .filter(|topic| !topic.channel.ring().records.is_empty())
                .min_by_key(|topic| topic.last)
        };
        let Some(topic) = several.or_else(single) else {
            return;
        };
        taken -= topic.channel.ring().drop_first();
    }
}

impl Default for Channel {
    fn default() -> Self {
        let ring = Ring {
            first: 1,
            records: VecDeque::new(),
            bytes: 0,
        };
        Self {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(0),
        }
    }
}

impl Channel {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records that readers have not been told of.
    fn fresh(&self) -> Vec<Arc<Message>> {
        let ring = self.ring();
        let told = *self.newest.borrow();
        let more = ring.newest().saturating_sub(told) as usize;
        let old = ring.records.len().saturating_sub(more);
        ring.records.iter().skip(old).cloned().collect()
    }

    fn announce(&self) {
        let newest = self.newest();
        self.newest.send_if_modified(|known| {
            let more = *known != newest;
            *known = newest;
            more
        });
    }

    /// Number of the newest record; 0: there is none yet.
    pub fn newest(&self) -> u64 {
        self.ring().newest()
    }

    /// Whether there is a record for a reader at `next`.
    pub fn has(&self, next: u64) -> bool {
        let ring = self.ring();
        !ring.records.is_empty() && next <= ring.newest()
    }

    /// Follows the number of the newest record.
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
    pub fn take(&self, next: u64, newest: bool) -> Option<(Arc<Message>, u64)> {
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
        let record = ring.records.get((number - ring.first) as usize)?;
        Some((Arc::clone(record), number + 1))
    }
}

impl Ring {
    fn newest(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }

    fn add(&mut self, record: Arc<Message>, most_records: usize, most_bytes: usize) {
        self.bytes += record.text().len();
        self.records.push_back(record);
        while self.records.len() > most_records
            || (self.bytes > most_bytes && self.records.len() > 1)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) -> usize {
        let Some(oldest) = self.records.pop_front() else {
            return 0;
        };
        self.bytes -= oldest.text().len();
        self.first += 1;
        oldest.text().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(records: usize, bytes: usize, topics: usize) -> Hub {
        Hub::new(Bounds {
            records,
            bytes,
            topics,
        })
    }

    fn take(channel: &Channel, next: u64, newest: bool) -> Option<(String, u64)> {
        let text = |message: Arc<Message>| String::from_utf8(message.text()[2..].to_vec()).unwrap();
        channel
            .take(next, newest)
            .map(|(message, next)| (text(message), next))
    }

    #[test]
    fn readers_get_each_record_in_order_and_the_newest_when_they_fall_behind() {
        let hub = hub(3, 1000, 0);
        let all = hub.channel(None).unwrap();
        assert_eq!((take(&all, 1, false), all.start(9)), (None, 1));
        for record in ["a", "b", "c", "d", "e"] {
            hub.add(record, Some("keys mean nothing"));
        }
        assert_eq!(all.start(1), 5);
        assert_eq!(all.start(2), 4);
        assert_eq!(all.start(9), 3);
        assert_eq!(take(&all, 3, false), Some(("c".into(), 4)));
        assert_eq!(take(&all, 4, false), Some(("d".into(), 5)));
        assert_eq!(take(&all, 4, true), Some(("e".into(), 6)));
        assert_eq!(take(&all, 2, false), Some(("e".into(), 6)));
        assert_eq!(take(&all, 6, false), None);
        assert_eq!(take(&all, 6, true), None);
        assert!(hub.names().is_empty());
    }

    #[test]
    fn only_what_stays_is_packed_and_only_while_somebody_unpacks() {
        let hub = hub(2, 1 << 20, 2);
        let message = |channel: &Channel, number| channel.take(number, false).unwrap().0;
        let (all, long) = (hub.channel(None).unwrap(), "word ".repeat(200));
        hub.add(&long, None);
        hub.announce();
        hub.packers.store(1, Ordering::Relaxed);
        let before = message(&all, 1);
        hub.add(&long, Some("topic"));
        let of_topic = message(&all, 2);
        hub.add(&long, None);
        let passed = message(&all, 3);
        hub.add(&long, None);
        hub.add(&long, None);
        hub.announce();
        let packed = [before, of_topic, passed, message(&all, 4), message(&all, 5)];
        assert_eq!(
            packed.map(|message| message.is_packed()),
            [false, true, false, true, true]
        );
    }

    #[test]
    fn the_version_tells_that_one_topic_took_the_place_of_another() {
        let hub = hub(10, 1000, 2);
        hub.add("1", Some("a"));
        hub.add("2", Some("b"));
        let (names, version) = (hub.names(), hub.version());
        hub.add("3", Some("a"));
        assert_eq!((hub.names(), hub.version()), (names.clone(), version));
        hub.add("4", Some("c"));
        assert_eq!(hub.names().len(), names.len());
        assert_ne!(hub.version(), version);
    }

    #[test]
    fn bytes_are_bounded_too_but_the_newest_stays() {
        let hub = hub(100, 14, 0);
        for record in ["12345", "67890", "abcde", "a record of its own"] {
            hub.add(record, None);
        }
        let all = hub.channel(None).unwrap();
        assert_eq!(all.ring().records.len(), 1);
        assert_eq!(all.ring().bytes, 21);
        assert_eq!(
            take(&all, 4, false),
            Some(("a record of its own".into(), 5))
        );
    }

    #[test]
    fn a_topic_has_its_own_records_and_the_quietest_yields_to_a_new_one() {
        let hub = hub(10, 1000, 2);
        hub.add("1", Some("rust"));
        hub.add("2", Some("kafka"));
        hub.add("3", Some("rust"));
        hub.add("4", None);
        let rust = hub.channel(Some("rust")).unwrap();
        assert_eq!(take(&rust, 1, false), Some(("1".into(), 2)));
        assert_eq!(take(&rust, 2, false), Some(("3".into(), 3)));
        assert_eq!(take(&rust, 3, false), None);
        assert_eq!(hub.channel(None).unwrap().newest(), 4);
        hub.add("5", Some("avro"));
        assert_eq!(hub.names(), ["avro", "rust"]);
    }

    #[test]
    fn a_quiet_topic_yields_its_name_to_a_new_one_and_its_readers_keep_it() {
        let hub = hub(10, 1000, 2);
        hub.add("1", Some("rust"));
        hub.add("2", Some("kafka"));
        let rust = hub.channel(Some("rust")).unwrap();
        let _kafka = hub.channel(Some("kafka")).unwrap();
        hub.add("3", Some("avro"));
        assert_eq!(hub.names(), ["avro", "kafka"]);
        assert_eq!(take(&rust, 1, false), Some(("1".into(), 2)));
        hub.add("4", Some("csv"));
        assert_eq!(hub.names(), ["avro", "csv"]);
        hub.add("5", Some("rust"));
        assert_eq!(hub.names(), ["csv", "rust"]);
        assert_eq!(take(&rust, 2, false), Some(("5".into(), 3)));
        // Only who is followed is kept without a name.
        assert_eq!(hub.topics().len(), 3);
    }

    #[test]
    fn topics_that_readers_wait_for_are_few_and_push_out_none() {
        let hub = hub(10, 1000, 8);
        for topic in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            hub.add("1", Some(topic));
        }
        let waiting: Vec<_> = (0..20)
            .filter_map(|number| hub.channel(Some(&format!("none {number}"))))
            .collect();
        assert_eq!((waiting.len(), hub.names().len()), (2, 8));
        hub.add("2", Some("none 1"));
        assert_eq!(take(&waiting[1], 1, false), Some(("2".into(), 2)));
        drop(waiting);
        assert!(
            hub.channel(Some("another")).is_some(),
            "nobody waits any more"
        );
    }

    #[test]
    fn topics_together_keep_within_their_bytes() {
        let hub = hub(10, 20, 10);
        for (record, topic) in [("12345678", "a"), ("abcdefgh", "b"), ("ABCDEFGH", "b")] {
            hub.add(record, Some(topic));
        }
        let (a, b) = (
            hub.channel(Some("a")).unwrap(),
            hub.channel(Some("b")).unwrap(),
        );
        assert_eq!(take(&a, 1, false), Some(("12345678".into(), 2)));
        assert_eq!(take(&b, 1, false), Some(("ABCDEFGH".into(), 3)));
        hub.add("something", Some("c"));
        assert_eq!(take(&a, 1, false), None);
        hub.add("back", Some("a"));
        assert_eq!(take(&a, 2, false), Some(("back".into(), 3)));
    }
}
