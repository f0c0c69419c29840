//! What the reading thread knows of the stream so far.

use plugin_api::Context;

use crate::event::Event;
use crate::ledger::{Ledger, Memory, Note};

/// What the stage learns of the events behind a batch.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Those that were new, whether they went on or not.
    pub notes: Vec<Note>,
    /// The place in the stream; `None`: as before.
    pub low_us: Option<i64>,
}

/// An event that is new, and the place in the stream behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    note: Note,
    low_us: Option<i64>,
}

impl Marks {
    pub fn add(&mut self, news: News) {
        self.notes.push(news.note);
        self.low_us = news.low_us.or(self.low_us);
    }
}

pub(crate) struct Past {
    memory: Memory,
    identity: Vec<u8>,
    /// The host's clocks, in microseconds.
    monotonic_us: i64,
    wall_us: i64,
    /// The time of the last event; before the first, of the place that is asked for.
    last_us: i64,
    /// Of the first event since a connection began.
    first_us: Option<i64>,
    is_new: bool,
}

/// What an event is to the past.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Age {
    /// It was had before.
    Known,
    New(News),
    /// New, as far as can be said: it is older than what is remembered.
    Late(News),
}

/// Writes what tells an event of this address from every other.
pub(crate) fn identify(event: &Event<'_>, address: &[u8], out: &mut Vec<u8>) {
    out.clear();
    event.version(out);
    out.push(b' ');
    out.extend_from_slice(address);
}

impl Past {
    pub fn new(ledger: Ledger) -> Self {
        Self {
            last_us: 0,
            memory: Memory::new(ledger),
            identity: Vec::new(),
            monotonic_us: 0,
            wall_us: 0,
            first_us: None,
            is_new: false,
        }
    }

    /// What time it is.
    pub fn clock(&mut self, ctx: &Context) {
        self.monotonic_us = i64::try_from(ctx.monotonic_ns() / 1_000).unwrap_or(i64::MAX);
        self.wall_us = ctx.now_us();
    }

    /// A connection begins. Answers the place from which to ask, which is `start_us` for the first
    /// one of all.
    pub fn begin(&mut self, start_us: Option<i64>) -> Option<i64> {
        self.first_us = None;
        self.is_new = false;
        self.memory.begin(self.monotonic_us);
        let cursor_us = self.memory.ledger().cursor_us().or(start_us);
        if self.last_us == 0 {
            self.last_us = cursor_us.unwrap_or(self.wall_us);
        }
        cursor_us
    }

    /// The connection stands. If nothing was taken yet, what comes from now on is not to be
    /// missed, should it break before its first event: answers the place, if this is news.
    ///
    /// It is `start_us` itself that is asked for again, or a rewind before the time at which the
    /// connection was asked for, by a clock that is not the server's.
    pub fn connected(&mut self, start_us: Option<i64>) -> Option<i64> {
        let rewind_us = self.memory.ledger().rewind_us();
        let start_us = start_us.map(|us| us.saturating_add(rewind_us));
        let place_us = start_us.unwrap_or(self.wall_us);
        self.memory.start(place_us).then_some(place_us)
    }

    /// The time of the first event since then.
    pub fn first_us(&self) -> Option<i64> {
        self.first_us
    }

    /// Whether an event that was new has come since then.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// How far the last event is behind the clock, in seconds.
    pub fn lag_s(&self) -> f64 {
        self.wall_us.saturating_sub(self.last_us) as f64 / 1e6
    }

    /// Takes an event of this address.
    pub fn event(&mut self, event: &Event<'_>, address: &[u8]) -> Age {
        identify(event, address, &mut self.identity);
        self.first_us.get_or_insert(event.time_us);
        let is_late = self.memory.ledger().is_beyond_memory(event.time_us);
        self.last_us = event.time_us;
        match self.keep(event.time_us) {
            Age::New(news) if is_late => Age::Late(news),
            age => age,
        }
    }

    /// Takes bytes that are no event: when they came is all that tells their time.
    pub fn garbage(&mut self, bytes: &[u8]) -> Age {
        self.identity.clear();
        self.identity.push(b'!');
        self.identity.extend_from_slice(bytes);
        self.keep(self.last_us)
    }

    fn keep(&mut self, time_us: i64) -> Age {
        let note = Note {
            time_us,
            hash: self.memory.ledger().key().hash(&self.identity),
        };
        if !self.memory.take(note, self.monotonic_us) {
            return Age::Known;
        }
        self.is_new = true;
        let low_us = self.memory.settle(self.monotonic_us);
        Age::New(News { note, low_us })
    }
}
