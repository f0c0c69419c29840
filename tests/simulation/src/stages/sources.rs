//! Sources: of records that can be read again, that come once, and of the disk edge.

use std::collections::BTreeMap;

use plugin_api::{
    BatchBuilder, Commit, ContentType, Context, Out, Planned, Poll, Reject, Source, StageError,
};

use super::{NoOptions, send, state_number};
use crate::{
    mistake::Mistake,
    records::{id, is_garbled, key},
    world,
};

/// Most records of a poll.
const MOST: usize = 3;

fn push(builder: &mut BatchBuilder, source: &str, n: u64) {
    builder.push(Some(id(source, n).as_bytes()));
    if let Some(key) = key(n) {
        builder.key(Some(&key));
    }
}

/// Once in a while a source no longer stands by an epoch, as after the loss of a partition.
fn stands_by() -> Result<(), StageError> {
    match world::with(|w| w.rough && w.rng.u8(0..8) == 0) {
        true => Err(StageError::fatal("it is no longer mine")),
        false => Ok(()),
    }
}

/// Records that can be read again.
pub struct Replay {
    name: String,
    next: u64,
    committed: u64,
    marks: BTreeMap<u64, u64>,
}

impl Source for Replay {
    const NAME: &'static str = "replay";
    type Options = NoOptions;

    fn plan(_: &NoOptions) -> Result<Planned, StageError> {
        Ok(Planned::new(ContentType::bytes()))
    }

    fn open(_: NoOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            name: ctx.stage().to_owned(),
            next: 0,
            committed: 0,
            marks: BTreeMap::new(),
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.next = state_number(state);
        self.committed = self.next;
        self.marks = BTreeMap::from([(epoch, self.next)]);
        Ok(())
    }

    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        let (total, most) = world::with(|w| (w.graph.total, w.rng.usize(1..=MOST)));
        let mut builder = BatchBuilder::new();
        while self.next < total && builder.len() < most.min(budget) {
            push(&mut builder, &self.name, self.next);
            self.next += 1;
        }
        send(&mut builder, out);
        Ok(match self.next == total {
            true => Poll::Finished,
            false => Poll::More,
        })
    }

    fn checkpoint(&mut self, epoch: u64, _: bool) -> Result<Vec<u8>, StageError> {
        self.marks.insert(epoch, self.next);
        Ok(self.next.to_string().into_bytes())
    }

    fn checkpoint_poll(&mut self, _: u64) -> Result<(), StageError> {
        stands_by()
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some(next) = self.marks.get(&epoch) {
            self.committed = *next;
        }
        self.marks.retain(|e, _| *e > epoch);
        Ok(Commit::Done)
    }

    fn abort(&mut self, _: u64) -> Result<(), StageError> {
        if world::mistaken(Mistake::AbortUndoes) {
            self.next = self.committed;
        }
        Ok(())
    }
}

/// Records that come once, and some that are none.
pub struct Live {
    name: String,
}

impl Source for Live {
    const NAME: &'static str = "live";
    type Options = NoOptions;

    fn plan(_: &NoOptions) -> Result<Planned, StageError> {
        Ok(Planned::new(ContentType::bytes()).live())
    }

    fn open(_: NoOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            name: ctx.stage().to_owned(),
        })
    }

    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        let (mut next, total, most) = world::with(|w| {
            let next = w.live.get(&self.name).copied().unwrap_or(0);
            (next, w.graph.total, w.rng.usize(1..=MOST))
        });
        let mut builder = BatchBuilder::new();
        while next < total && builder.len() < most.min(budget) {
            if is_garbled(next) {
                let bytes = id(&self.name, next);
                out.reject_raw(bytes.as_bytes(), &Reject::new("it is garbled"));
            } else {
                push(&mut builder, &self.name, next);
            }
            next += 1;
        }
        world::with(|w| w.live.insert(self.name.clone(), next));
        send(&mut builder, out);
        Ok(match next == total {
            true => Poll::Finished,
            false => Poll::More,
        })
    }

    fn checkpoint(&mut self, _: u64, _: bool) -> Result<Vec<u8>, StageError> {
        let next = world::with(|w| w.live.get(&self.name).copied().unwrap_or(0));
        Ok(next.to_string().into_bytes())
    }
}

/// The end of a disk edge where it is read.
pub struct EdgeOut {
    position: usize,
    marks: BTreeMap<u64, usize>,
}

impl Source for EdgeOut {
    const NAME: &'static str = "edge-out";
    type Options = NoOptions;

    fn plan(_: &NoOptions) -> Result<Planned, StageError> {
        Ok(Planned::new(ContentType::bytes()))
    }

    fn open(_: NoOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Self {
            position: 0,
            marks: BTreeMap::new(),
        })
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.position = usize::try_from(state_number(state)).unwrap_or(0);
        self.marks = BTreeMap::from([(epoch, self.position)]);
        let trimmed = world::with(|w| w.edge.trimmed);
        if self.position < trimmed {
            let at = self.position;
            world::broken(|| format!("row {at} of the edge is wanted, trimmed up to {trimmed}"));
        }
        Ok(())
    }

    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        let mut builder = BatchBuilder::new();
        let at = self.position;
        let finished = world::with(|w| {
            let end = match w.mistake == Some(Mistake::ReadPastCommitted) {
                true => w.edge.rows.len(),
                false => w.edge.readable,
            };
            let to = end.min(at + budget.min(MOST));
            for row in w.edge.rows.get(at..to).unwrap_or_default() {
                builder.push(Some(row.as_bytes()));
            }
            w.edge.ended && at + builder.len() == w.edge.readable
        });
        self.position += builder.len();
        let idle = builder.is_empty();
        send(&mut builder, out);
        Ok(match (finished, idle) {
            (true, _) => Poll::Finished,
            (false, true) => Poll::Idle,
            (false, false) => Poll::More,
        })
    }

    fn checkpoint(&mut self, epoch: u64, _: bool) -> Result<Vec<u8>, StageError> {
        self.marks.insert(epoch, self.position);
        Ok(self.position.to_string().into_bytes())
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        if let Some(position) = self.marks.get(&epoch) {
            let position = *position;
            world::with(|w| w.edge.trimmed = w.edge.trimmed.max(position));
        }
        Ok(Commit::Done)
    }
}
