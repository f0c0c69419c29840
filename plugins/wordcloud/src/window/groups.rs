//! A window for each group of records, with one clock and one bound on memory for all of them.
//!
//! The clock is event time: the newest time of any record, of whichever group. A group whose
//! records have all become too old is empty though no record of it has come since.

use hashbrown::HashMap;

use super::{Bounds, Origin, Recent, Window};
use crate::bytes::{array, put, text_of, u32_of, u64_of};

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Its words are to be counted in the group of this number, then [`Groups::end_record`].
    Counted(usize),
    /// It repeats a record that is counted already, and lengthens its stay.
    Repeated,
    /// It is older than the window reaches, or than it may be.
    Late,
}

/// What was left out so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Words not counted because too many different ones were known.
    pub words: u64,
    /// Records that left early because the windows held too many words.
    pub records: u64,
    /// Groups that made room for others.
    pub groups: u64,
    /// Records that came too late.
    pub late: u64,
}

/// A group of records.
#[derive(Debug)]
pub struct Group<T> {
    /// Its name.
    pub name: Box<str>,
    /// Its records and their words.
    pub window: Window,
    /// Whether counts have changed since the last frame.
    pub changed: bool,
    /// The words of the last frame, with their case folded, and their counts.
    pub shown: HashMap<Box<str>, u64>,
    /// Samples of the last frame.
    pub recent: Recent,
    /// What the owner keeps for it.
    pub own: Option<T>,
}

/// Stands for the number of a group's newest record where the group made room for another one:
/// it is there, empty, until its owner has said so.
const EVICTED: u64 = u64::MAX;

/// All groups.
#[derive(Debug)]
pub struct Groups<T> {
    bounds: Bounds,
    most_groups: usize,
    slots: Vec<Option<Group<T>>>,
    free: Vec<usize>,
    index: HashMap<Box<str>, usize>,
    /// Of each slot the number of its newest record, `EVICTED` where there is no group. This and
    /// the next are apart from the groups because they are searched from end to end.
    seen: Vec<u64>,
    /// Of each slot the time of its oldest record, `i64::MAX` where there is none.
    oldest_us: Vec<i64>,
    newest_us: i64,
    serial: u64,
    forms: usize,
    cost: usize,
    losses: Losses,
    /// Most forms that the group of the record at hand may have.
    most_forms: usize,
}

impl<T> Groups<T> {
    /// No group yet. `bounds.words` and `bounds.tokens` are for all groups together.
    pub fn new(bounds: Bounds, most_groups: usize) -> Self {
        Self {
            bounds,
            most_groups,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            seen: Vec::new(),
            oldest_us: Vec::new(),
            newest_us: i64::MIN,
            serial: 0,
            forms: 0,
            cost: 0,
            losses: Losses::default(),
            most_forms: 0,
        }
    }

    /// Takes a record of the group `name`: what is to be done with its words.
    pub fn admit(&mut self, name: &str, time_us: i64, origin: Option<Origin>) -> Admitted {
        self.newest_us = self.newest_us.max(time_us);
        let late = |behind: Option<i64>| behind.map(|by| self.newest_us.saturating_sub(by));
        if late(self.bounds.span_us).is_some_and(|horizon| time_us <= horizon)
            || late(self.bounds.lateness_us).is_some_and(|mark| time_us < mark)
        {
            self.losses.late += 1;
            return Admitted::Late;
        }
        let slot = match self.index.get(name) {
            Some(slot) if self.seen[*slot] != EVICTED => *slot,
            _ => self.begin(name),
        };
        self.serial += 1;
        self.seen[slot] = self.serial;
        let horizon = self.horizon();
        let repeated = self.with(slot, |group| {
            if let Some(horizon) = horizon {
                group.changed |= group.window.leave_until(horizon);
            }
            let repeated = origin.is_some_and(|origin| group.window.repeat(time_us, origin));
            group.changed |= repeated;
            repeated
        });
        if repeated {
            self.keep_within();
            return Admitted::Repeated;
        }
        let room = self.bounds.words.saturating_sub(self.forms);
        self.most_forms = self.with(slot, |group| group.window.forms()) + room;
        Admitted::Counted(slot)
    }

    /// Counts a word of the record that was admitted last.
    pub fn word(&mut self, slot: usize, text: &str, key: &str) {
        if let Some(group) = &mut self.slots[slot] {
            group.window.word(text, key, self.most_forms);
        }
    }

    /// Ends the record that was admitted last and counted.
    pub fn end_record(&mut self, slot: usize, time_us: i64, origin: Option<Origin>, text: &str) {
        let room = self.bounds.words.saturating_sub(self.forms);
        let before = self.most_forms.saturating_sub(room);
        let Some(group) = &mut self.slots[slot] else {
            return;
        };
        // Words were counted since, beside `with`.
        self.forms = (self.forms + group.window.forms()).saturating_sub(before);
        self.with(slot, |group| {
            group.window.end_record(time_us, origin, text);
            group.changed = true;
        });
        self.keep_within();
    }

    /// Lets go of what is too old at `now_us`, as when the stream has gone quiet. A record that
    /// comes afterwards is still measured against the newest record, so that a stream which was
    /// held up loses nothing but what has gone by then.
    pub fn expire(&mut self, now_us: i64) {
        let Some(span) = self.bounds.span_us else {
            return;
        };
        let horizon = now_us.max(self.newest_us).saturating_sub(span);
        for slot in 0..self.slots.len() {
            if self.oldest_us[slot] <= horizon {
                self.with(slot, |group| {
                    group.changed |= group.window.leave_until(horizon);
                });
            }
        }
    }

    /// Makes the newest record one of this time, and all others older by as much, if it is newer:
    /// their times were taken from a clock that is not that of the records, as it turns out.
    pub fn set_back(&mut self, time_us: i64) {
        let by = self.newest_us.saturating_sub(time_us);
        if self.newest_us == i64::MIN || by <= 0 {
            return;
        }
        self.newest_us = time_us;
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_some() {
                self.with(slot, |group| group.window.set_back(by));
            }
        }
    }

    /// Gives back memory that windows needed once and do not any more.
    pub fn shrink(&mut self) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_some() {
                self.with(slot, |group| {
                    if group.window.shrink() {
                        group.recent = Recent::default();
                    }
                });
            }
        }
    }

    /// Groups in use.
    pub fn len(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != EVICTED).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots are numbered below this.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The group of a slot, for reading and for what is not counted.
    pub fn group(&mut self, slot: usize) -> Option<&mut Group<T>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// All groups.
    pub fn iter(&self) -> impl Iterator<Item = &Group<T>> {
        self.slots.iter().flatten()
    }

    /// The group of this name.
    pub fn named(&self, name: &str) -> Option<&Group<T>> {
        self.slots[*self.index.get(name)?].as_ref()
    }

    /// How far ahead of the clock a record's time is believed.
    pub fn ahead_us(&self) -> i64 {
        self.bounds.ahead_us()
    }

    /// The newest time seen, `i64::MIN` before the first record.
    pub fn newest_us(&self) -> i64 {
        self.newest_us
    }

    /// What was left out so far.
    pub fn losses(&self) -> Losses {
        let words = self.iter().map(|group| group.window.refused());
        let words = self.losses.words + words.sum::<u64>();
        Losses {
            words,
            ..self.losses
        }
    }

    /// Forgets a group.
    pub fn remove(&mut self, slot: usize) {
        let Some(group) = self.slots[slot].take() else {
            return;
        };
        self.forms -= group.window.forms();
        self.cost -= group.window.cost();
        self.losses.words += group.window.refused();
        self.index.remove(&group.name);
        self.free.push(slot);
        self.seen[slot] = EVICTED;
        self.oldest_us[slot] = i64::MAX;
    }

    /// Empties the group that has been quiet longest. If a frame has shown words of it, it stays
    /// until the next one has said that they are gone.
    fn evict(&mut self) {
        let Some(slot) = least(&self.seen).filter(|slot| self.seen[*slot] != EVICTED) else {
            return;
        };
        self.losses.groups += 1;
        let bounds = self.bounds;
        let (words, shown) = self.with(slot, |group| {
            let words = group.window.refused();
            group.window = Window::new(bounds);
            group.own = None;
            group.recent = Recent::default();
            group.changed = true;
            (words, !group.shown.is_empty())
        });
        self.losses.words += words;
        self.seen[slot] = EVICTED;
        // A few frames without names are better than names without bound.
        if !shown || self.index.len() > 2 * self.most_groups {
            self.remove(slot);
        }
    }

    fn horizon(&self) -> Option<i64> {
        let span = self.bounds.span_us?;
        Some(self.newest_us.saturating_sub(span))
    }

    /// Changes a group's window; the sums follow.
    fn with<R>(&mut self, slot: usize, change: impl FnOnce(&mut Group<T>) -> R) -> R {
        let group = self.slots[slot].as_mut().expect("a slot in use");
        let (forms, cost) = (group.window.forms(), group.window.cost());
        let result = change(group);
        self.forms = self.forms + group.window.forms() - forms;
        self.cost = self.cost + group.window.cost() - cost;
        self.oldest_us[slot] = group.window.oldest_us().unwrap_or(i64::MAX);
        result
    }

    /// A new group, in place of the one that has been quiet longest if there are too many. One
    /// that had to go and comes again knows what it showed.
    fn begin(&mut self, name: &str) -> usize {
        if self.len() >= self.most_groups {
            self.evict();
        }
        if let Some(slot) = self.index.get(name) {
            return *slot;
        }
        self.put(Group {
            name: name.into(),
            window: Window::new(self.bounds),
            changed: false,
            shown: HashMap::new(),
            recent: Recent::default(),
            own: None,
        })
    }

    fn put(&mut self, group: Group<T>) -> usize {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
            self.seen.push(EVICTED);
            self.oldest_us.push(i64::MAX);
        }
        self.index.insert(group.name.clone(), slot);
        self.forms += group.window.forms();
        self.cost += group.window.cost();
        self.oldest_us[slot] = group.window.oldest_us().unwrap_or(i64::MAX);
        self.slots[slot] = Some(group);
        slot
    }

    /// While the windows hold too many words, the oldest record of all leaves. One stays.
    fn keep_within(&mut self) {
        while self.cost > self.bounds.tokens {
            let Some(slot) = least(&self.oldest_us) else {
                return;
            };
            let old = self.horizon();
            let old = old.is_some_and(|horizon| self.oldest_us[slot] <= horizon);
            let last = self.cost == self.with(slot, |group| group.window.cost());
            if last && self.with(slot, |group| group.window.is_last()) {
                return;
            }
            let lost = self.with(slot, |group| {
                let lost = group.window.drop_oldest();
                group.changed |= lost;
                lost
            });
            self.losses.records += u64::from(lost && !old);
        }
    }

    /// Appends all that is needed to go on from here, with samples for the `words` most frequent
    /// words of each group, `each` for one, and with what `own` says of the owner's part.
    pub fn save(
        &self,
        words: usize,
        each: usize,
        own: impl Fn(&T, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        out.extend(self.newest_us.to_le_bytes());
        let losses = self.losses;
        for number in [
            self.serial,
            losses.words,
            losses.records,
            losses.groups,
            losses.late,
        ] {
            out.extend(number.to_le_bytes());
        }
        out.extend((self.index.len() as u32).to_le_bytes());
        for (group, seen) in self.slots.iter().zip(&self.seen) {
            let Some(group) = group else { continue };
            out.extend(seen.to_le_bytes());
            out.push(u8::from(group.changed));
            put(&group.name, out);
            out.extend((group.shown.len() as u32).to_le_bytes());
            for (word, count) in &group.shown {
                put(word, out);
                out.extend(count.to_le_bytes());
            }
            let top = group.window.top(words, 1);
            group.window.save(&top, each, out);
            let at = out.len();
            out.extend([0; 4]);
            if let Some(part) = &group.own {
                own(part, out);
            }
            let length = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// What [`Groups::save`] wrote, within bounds that may be others by now, of the words that are
    /// to be kept by their keys; `None` if it is not that. `own` reads the owner's part, or goes
    /// without.
    pub fn load(
        bounds: Bounds,
        most_groups: usize,
        keeps: impl Fn(&str) -> bool,
        own: impl Fn(&[u8]) -> Option<T>,
        mut state: &[u8],
    ) -> Option<Self> {
        let from = &mut state;
        let mut groups = Self::new(bounds, most_groups);
        groups.newest_us = i64::from_le_bytes(*array(from)?);
        groups.serial = u64_of(from)?;
        groups.losses = Losses {
            words: u64_of(from)?,
            records: u64_of(from)?,
            groups: u64_of(from)?,
            late: u64_of(from)?,
        };
        for _ in 0..u32_of(from)? {
            let seen = u64_of(from)?;
            let changed = array::<1>(from)?[0] != 0;
            let name = text_of(from)?;
            if groups.index.contains_key(name) {
                return None;
            }
            let mut shown = HashMap::new();
            for _ in 0..u32_of(from)? {
                let word = text_of(from)?;
                shown.insert(word.into(), u64_of(from)?);
            }
            let (window, whole) = Window::load(bounds, &keeps, from)?;
            let length = u32_of(from)? as usize;
            let part = from.split_off(..length)?;
            let slot = groups.put(Group {
                name: name.into(),
                window,
                // A frame says what is not there any more.
                changed: changed || !whole,
                shown,
                recent: Recent::default(),
                own: own(part),
            });
            groups.seen[slot] = seen;
        }
        if !from.is_empty() {
            return None;
        }
        groups.expire(i64::MIN);
        while groups.len() > most_groups {
            groups.evict();
        }
        groups.keep_within();
        Some(groups)
    }
}

/// Position of the smallest.
fn least<N: Ord + Copy>(numbers: &[N]) -> Option<usize> {
    let smallest = *numbers.iter().min()?;
    numbers.iter().position(|number| *number == smallest)
}
