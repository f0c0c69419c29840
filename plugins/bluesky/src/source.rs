//! The source `bluesky`: the stage's side of it. A thread of its own reads the stream; here its
//! batches go on, and what went on is what a checkpoint knows.

use live::{Live, Passed, keep};
use plugin_api::prelude::*;

use crate::config::{self, Options};
use crate::event::Event;
use crate::ledger::{Ledger, Note};
use crate::listener::Jetstream;
use crate::past::{self, Marks};

/// The source `bluesky`: see its [`Options`].
pub struct Bluesky {
    options: Options,
    ctx: Context,
    /// From `restore` on.
    live: Option<Live<Marks>>,
    ledger: Ledger,
    /// Records that went on since the last mark: those of a batch that has not gone on whole.
    ahead: Vec<Batch>,
}

impl Source for Bluesky {
    const NAME: &'static str = "bluesky";
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        config::plan(options)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            ledger: Ledger::new(options.rewind_us()),
            options,
            ctx: ctx.clone(),
            live: None,
            ahead: Vec::new(),
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        if let Some(bytes) = state.filter(|bytes| !bytes.is_empty()) {
            let ledger = Ledger::from_bytes(bytes, self.options.rewind_us());
            self.ledger = ledger.ok_or_else(|| {
                StageError::fatal(format!("the state of epoch {epoch} is none of this source"))
            })?;
        }
        let (options, ledger) = (self.options.clone(), self.ledger.clone());
        let mut jetstream = Jetstream::new(options, ledger, self.ctx.now_us())?;
        self.live = Some(Live::start("bluesky", &self.ctx, move |intake, shared| {
            keep(&mut jetstream, intake, shared)
        })?);
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let Self {
            live: Some(live),
            ledger,
            ahead,
            ..
        } = self
        else {
            return Ok(Poll::Finished);
        };
        live.poll_with(budget, deadline_ns, out, |passed| match passed {
            Passed::Records(batch) => ahead.push(batch.clone()),
            Passed::Mark(marks) => {
                ahead.clear();
                for note in marks.notes {
                    ledger.note(note, |_| {});
                }
                if let Some(low_us) = marks.low_us {
                    ledger.advance(low_us, |_| {});
                }
            }
        })
    }

    fn drain(&mut self) -> Drain {
        // What is not handed on yet is read again.
        Drain::Stop
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        if self.ahead.is_empty() {
            return Ok(self.ledger.to_bytes());
        }
        // The place is not moved: what follows the last mark is asked for again, and what of it
        // went on is known.
        let mut ledger = self.ledger.clone();
        let earliest_us = self.ahead.iter().flatten().filter_map(|r| r.ts_us()).min();
        if let (true, Some(first_us)) = (ledger.is_empty(), earliest_us) {
            ledger.advance(first_us, |_| {});
        }
        let mut identity = Vec::new();
        for record in self.ahead.iter().flatten() {
            if let Ok(event) = Event::read(record.bytes()) {
                past::identify(
                    &event,
                    record.header("id").unwrap_or_default(),
                    &mut identity,
                );
                let note = Note {
                    time_us: event.time_us,
                    hash: ledger.key().hash(&identity),
                };
                ledger.note(note, |_| {});
            }
        }
        Ok(ledger.to_bytes())
    }

    fn close(&mut self) -> Result<(), StageError> {
        if let Some(live) = &mut self.live {
            live.close();
        }
        Ok(())
    }
}
