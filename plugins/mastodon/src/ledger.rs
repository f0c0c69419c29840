//! Where the source stands: what its thread has read, told to the stage in the order of the
//! records, and what of it has gone on to the engine, which is what a snapshot holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use live::Passed;
use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::timeline::Timeline;
use crate::window::{Dead, Version, Window};

/// What the thread has done.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It made a record of this version.
    Record(Version),
    /// It made a dead letter of this.
    Dead(Dead),
    /// This timeline was subscribed to, and it is not known where it stood.
    Begun(usize),
    /// Something of this timeline was missed, and is being fetched.
    Behind(usize),
    /// Of this timeline everything up to this id is read.
    Read(usize, Id),
    /// All of it is.
    CaughtUp(usize),
    /// Everything up to this id is read of all timelines of which nothing is missing: a server
    /// numbers its statuses in one row.
    Reached(Id),
}

/// The thread's side: notes its steps, numbered from 1.
pub(crate) struct Notes {
    steps: Sender<(u64, Step)>,
    last: u64,
}

impl Notes {
    /// A record was made.
    pub fn record(&mut self, version: Version) {
        self.note(Step::Record(version));
    }

    /// A dead letter was made.
    pub fn dead(&mut self, dead: Dead) {
        self.note(Step::Dead(dead));
    }

    /// A timeline was subscribed to, and it is not known where it stood.
    pub fn begun(&mut self, timeline: usize) {
        self.note(Step::Begun(timeline));
    }

    /// Something of a timeline was missed, and is being fetched.
    pub fn behind(&mut self, timeline: usize) {
        self.note(Step::Behind(timeline));
    }

    /// What was missed of it is fetched up to there.
    pub fn read(&mut self, timeline: usize, id: Id) {
        self.note(Step::Read(timeline, id));
    }

    /// All of it is.
    pub fn caught_up(&mut self, timeline: usize) {
        self.note(Step::CaughtUp(timeline));
    }

    /// A stream brought this id.
    pub fn reached(&mut self, id: Id) {
        self.note(Step::Reached(id));
    }

    /// The number of the last step: the mark of what was gathered so far.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn note(&mut self, step: Step) {
        self.last += 1;
        // Nobody listens: the stage is closed, as the thread will soon see.
        let _ = self.steps.send((self.last, step));
    }
}

/// The stage's side.
pub(crate) struct Ledger {
    steps: Receiver<(u64, Step)>,
    /// Received, and of what has not gone on yet.
    waiting: VecDeque<(u64, Step)>,
    seen: Window,
    read: Vec<Read>,
    names: Vec<String>,
    instance: String,
    rewind: Duration,
}

/// Up to where a timeline was read.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Read {
    pub to: Option<Id>,
    /// It was subscribed to: what comes from then on, read or not, is not to be lost in silence.
    pub is_begun: bool,
    pub is_behind: bool,
}

impl Read {
    /// Goes on to there.
    pub fn on_to(&mut self, id: Id) {
        self.to = self.to.max(Some(id));
    }
}

/// Where a source stood.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub read: Vec<Read>,
    /// What was emitted lately.
    pub seen: Window,
    /// Whether it goes on from somewhere, rather than anew.
    pub goes_on: bool,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    /// Ids mean nothing on another server.
    instance: String,
    /// By the timelines' names, of which some may be gone from the configuration, and new ones in it.
    read: BTreeMap<String, String>,
    /// Names of those that were subscribed to before it was known where they stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    begun: Vec<String>,
    /// Ids, with the time of their edit: `12 13@1668528449023000`.
    seen: String,
    /// What made a dead letter, and has no id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unusable: Vec<u64>,
    /// Up to this id some may be missing there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<String>,
}

impl Ledger {
    /// A ledger that goes on from a snapshot, what its thread is to know of it, and the thread's
    /// side.
    pub fn open(
        instance: &str,
        timelines: &[Timeline],
        rewind: Duration,
        state: Option<&[u8]>,
    ) -> (Self, Standing, Notes) {
        let names: Vec<String> = timelines.iter().map(Timeline::name).collect();
        let snapshot = state
            .and_then(|bytes| serde_json::from_slice::<Snapshot>(bytes).ok())
            .filter(|snapshot| snapshot.instance == instance);
        let standing = || standing(snapshot.as_ref(), &names);
        let (own, of_thread) = (standing(), standing());
        let (sender, steps) = channel();
        let ledger = Self {
            steps,
            waiting: VecDeque::new(),
            seen: own.seen,
            read: own.read,
            names,
            instance: instance.into(),
            rewind,
        };
        let notes = Notes {
            steps: sender,
            last: 0,
        };
        (ledger, of_thread, notes)
    }

    /// What has gone on to the engine.
    pub fn passed(&mut self, passed: &Passed<'_, u64>) {
        self.waiting.extend(self.steps.try_iter());
        match passed {
            Passed::Records(batch) => {
                let mut records = batch.len();
                while records > 0
                    && let Some((_, step)) = self.waiting.pop_front()
                {
                    records -= usize::from(matches!(step, Step::Record(_)));
                    self.take(step);
                }
            }
            Passed::Mark(number) => {
                while let Some((n, step)) = self.waiting.front().copied()
                    && n <= *number
                {
                    self.waiting.pop_front();
                    self.take(step);
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Record(version) => {
                self.seen.see(version);
            }
            Step::Dead(dead) => {
                self.seen.see_dead(dead);
            }
            Step::Begun(timeline) => self.read[timeline].is_begun = true,
            Step::Behind(timeline) => self.read[timeline].is_behind = true,
            Step::Read(timeline, id) => self.read[timeline].on_to(id),
            Step::CaughtUp(timeline) => self.read[timeline].is_behind = false,
            Step::Reached(id) => {
                for read in self.read.iter_mut().filter(|read| !read.is_behind) {
                    read.on_to(id);
                }
            }
        }
    }

    /// Where a new source would have to go on.
    pub fn snapshot(&self) -> Vec<u8> {
        let timelines = || self.names.iter().zip(&self.read);
        let begun = timelines().filter(|(_, read)| read.is_begun && read.to.is_none());
        let read: BTreeMap<_, _> = timelines()
            .filter_map(|(name, read)| Some((name.clone(), read.to?.to_string())))
            .collect();
        // What is older is not asked for again.
        let lowest = self.read.iter().filter_map(|read| read.to).min();
        let lowest = lowest.map(|id| id.earlier(self.rewind));
        let mut seen = String::new();
        for Version { id, edited_us } in self.seen.above(lowest) {
            if !seen.is_empty() {
                seen.push(' ');
            }
            seen.push_str(id.as_str());
            if edited_us != 0 {
                seen.push('@');
                seen.push_str(&edited_us.to_string());
            }
        }
        let snapshot = Snapshot {
            instance: self.instance.clone(),
            read,
            begun: begun.map(|(name, _)| name.clone()).collect(),
            seen,
            unusable: self.seen.unusable().collect(),
            forgotten: self.seen.forgotten().map(|id| id.to_string()),
        };
        serde_json::to_vec(&snapshot).unwrap_or_default()
    }
}

fn standing(snapshot: Option<&Snapshot>, names: &[String]) -> Standing {
    let Some(snapshot) = snapshot else {
        return Standing {
            read: vec![Read::default(); names.len()],
            ..Standing::default()
        };
    };
    let mut seen = Window::default();
    for word in snapshot.seen.split_ascii_whitespace() {
        let (id, edited) = word.split_once('@').unwrap_or((word, "0"));
        if let (Some(id), Ok(edited_us)) = (Id::new(id.as_bytes()), edited.parse()) {
            seen.see(Version { id, edited_us });
        }
    }
    for print in &snapshot.unusable {
        seen.see_dead(Dead::Unusable(*print));
    }
    let forgotten = snapshot.forgotten.as_ref();
    seen.forget(forgotten.and_then(|id| Id::new(id.as_bytes())));
    let read = names
        .iter()
        .map(|name| Read {
            to: snapshot
                .read
                .get(name)
                .and_then(|id| Id::new(id.as_bytes())),
            is_begun: snapshot.begun.contains(name),
            is_behind: false,
        })
        .collect();
    Standing {
        read,
        seen,
        goes_on: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Public;
    use crate::timeline::Feed;
    use plugin_api::testing::batch_of;

    fn id(n: u64) -> Id {
        Id::new(n.to_string().as_bytes()).unwrap()
    }

    fn version(n: u64, edited_us: i64) -> Version {
        Version {
            id: id(n),
            edited_us,
        }
    }

    fn open(state: Option<&[u8]>) -> (Ledger, Standing, Notes) {
        let timeline = |feed| Timeline {
            feed,
            only_media: false,
            pointer: String::new(),
        };
        let timelines = [
            timeline(Feed::Public(Public::Local)),
            timeline(Feed::List("7".into())),
        ];
        Ledger::open("https://a.example/", &timelines, Duration::ZERO, state)
    }

    fn snapshot(ledger: &Ledger) -> String {
        String::from_utf8(ledger.snapshot()).unwrap()
    }

    #[test]
    fn a_snapshot_holds_what_has_gone_on_and_no_more() {
        let (mut ledger, standing, mut notes) = open(None);
        assert!(!standing.goes_on);
        notes.record(version(11, 0));
        notes.reached(id(11));
        notes.record(version(12, 5));
        notes.reached(id(12));
        // Filtered.
        notes.reached(id(13));
        let mark = notes.last();
        notes.reached(id(14));
        let nothing = r#"{"instance":"https://a.example/","read":{},"seen":""}"#;
        assert_eq!(snapshot(&ledger), nothing);
        ledger.passed(&Passed::Records(&batch_of(["11"])));
        assert!(snapshot(&ledger).contains(r#""read":{},"seen":"11""#));
        ledger.passed(&Passed::Records(&batch_of(["12"])));
        assert!(snapshot(&ledger).contains(r#""read":{"list:7":"11","public:local":"11"}"#));
        ledger.passed(&Passed::Mark(mark));
        let state = snapshot(&ledger);
        assert!(
            state.contains(r#""read":{"list:7":"13","public:local":"13"}"#),
            "{state}"
        );
    }

    #[test]
    fn a_timeline_that_is_behind_stays_where_it_is() {
        let (mut ledger, _, mut notes) = open(None);
        notes.reached(id(10));
        notes.behind(1);
        notes.record(version(20, 0));
        notes.reached(id(20));
        notes.record(version(12, 3));
        notes.read(1, id(12));
        ledger.passed(&Passed::Records(&batch_of(["20", "12"])));
        ledger.passed(&Passed::Mark(notes.last()));
        let state = snapshot(&ledger);
        assert!(
            state.contains(r#""read":{"list:7":"12","public:local":"20"},"seen":"20""#),
            "{state}"
        );
        notes.caught_up(1);
        notes.reached(id(21));
        ledger.passed(&Passed::Mark(notes.last()));
        assert!(snapshot(&ledger).contains(r#""list:7":"21""#));
    }

    #[test]
    fn a_timeline_that_was_begun_and_not_read_is_in_the_snapshot() {
        let (mut ledger, standing, mut notes) = open(None);
        assert!(standing.read.iter().all(|read| !read.is_begun));
        notes.begun(0);
        notes.begun(1);
        notes.read(0, id(10));
        ledger.passed(&Passed::Mark(notes.last()));
        let state = snapshot(&ledger);
        assert!(
            state.contains(r#""read":{"public:local":"10"},"begun":["list:7"]"#),
            "{state}"
        );
        let (_, standing, _notes) = open(Some(state.as_bytes()));
        assert!(standing.read[1].is_begun && standing.read[1].to.is_none());
    }

    #[test]
    fn a_source_goes_on_from_a_snapshot() {
        let (mut ledger, _, mut notes) = open(None);
        notes.read(0, id(10));
        notes.record(version(12, 3));
        notes.record(version(9, 0));
        ledger.passed(&Passed::Records(&batch_of(["12", "9"])));
        ledger.seen.forget(Some(id(11)));
        let (mut ledger, mut standing, _notes) = open(Some(&ledger.snapshot()));
        assert!(standing.goes_on);
        assert_eq!(standing.read[0].to, Some(id(10)));
        assert_eq!(standing.read[1].to, None);
        for seen in [&mut standing.seen, &mut ledger.seen] {
            assert_eq!(seen.forgotten(), Some(id(11)));
            assert_eq!(seen.see(version(12, 3)), crate::window::Novelty::Known);
            assert_eq!(seen.see(version(9, 0)), crate::window::Novelty::New);
        }
    }
}
