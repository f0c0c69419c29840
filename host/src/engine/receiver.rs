//! The loop of a processor or sink: take a batch, use it, send on; align barriers, snapshot
//! between batches, commit when told.

use std::{collections::BTreeMap, sync::Arc};

use plugin_api::{
    Batch, StageError,
    abi::{
        root::bytes,
        services::OutApi,
        stage::{StageBox, answer},
    },
    batch::monotonic_ns,
    manifest::StageKind,
};

use super::{
    edge::{Birth, Control, Event, Item, Upstream},
    instance::{Instance, Trouble},
    retry::Retry,
    shared::CallName,
    supervisor::Message,
};
use crate::checkpoint::coordinator::Barrier;

/// First and longest wait before asking again, in nanoseconds.
const ASK_MIN_NS: u64 = 200_000;
const ASK_MAX_NS: u64 = 50_000_000;

/// A checkpoint that is not complete yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    epoch: u64,
    ask_at: u64,
    wait_ns: u64,
}

#[derive(Default)]
struct Progress {
    /// Lanes that have ended.
    ended: Vec<bool>,
    /// Those that had at the barrier.
    ended_at_barrier: Vec<String>,
    checkpoint: Option<Pending>,
    /// What came with the barrier so far.
    upstream: Option<Upstream>,
    tick_at: u64,
    last_seen: bool,
}

impl Instance {
    pub(super) fn run_receiver(&mut self, birth: &Birth) -> Result<(), Trouble> {
        let before = birth.snapshot.as_ref().map(|s| s.ended.as_slice());
        let had_ended = |name: &String| before.is_some_and(|ended| ended.contains(name));
        let mut p = Progress {
            ended: self
                .print
                .lanes
                .iter()
                .map(|l| had_ended(&l.name))
                .collect(),
            ..Progress::default()
        };
        loop {
            let until = p.tick_at.min(p.checkpoint.map_or(u64::MAX, |c| c.ask_at));
            match self.inbox.next(until) {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(control) => {
                    let committed = matches!(control, Control::Commit(_));
                    self.common(control)?;
                    if committed && p.last_seen {
                        return self.close();
                    }
                }
                Event::Item(lane, Item::Batch(batch)) => {
                    self.take(self.print.lanes[lane].port, &batch, &mut p)?;
                    // A stage may set a timer in `process`: it is asked below.
                    p.tick_at = 0;
                }
                Event::Item(lane, Item::End) => self.end_lane(lane, &mut p)?,
                Event::Item(lane, Item::Barrier(barrier, upstream)) => {
                    join(&mut p.upstream, upstream);
                    if let Some(dropped) = self.inbox.hold(lane) {
                        self.barrier(barrier, dropped, &mut p)?;
                    }
                }
                Event::Timeout => {}
            }
            // The clock is read once a turn: it is a good part of what a small batch costs.
            let now = monotonic_ns();
            if now >= p.tick_at {
                p.tick_at = self.tick(now)?;
            }
            if p.checkpoint.is_some_and(|c| now >= c.ask_at) {
                self.ask_checkpoint(&mut p)?;
            }
        }
    }

    fn tick(&mut self, now: u64) -> Result<u64, Trouble> {
        // `answer::NEVER` is the latest time there is.
        self.insist(CallName::Tick, |s, out| s.tick(now, out))
    }

    fn end_lane(&mut self, lane: usize, p: &mut Progress) -> Result<(), Trouble> {
        p.ended[lane] = true;
        let port = self.print.lanes[lane].port;
        let mut lanes = self.print.lanes.iter().zip(&p.ended);
        if lanes.all(|(l, ended)| l.port != port || *ended) {
            self.insist(CallName::End, |s, out| s.end(port, out))?;
        }
        if p.ended.iter().all(|e| *e) {
            self.out.end();
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier, dropped: u64, p: &mut Progress) -> Result<(), Trouble> {
        p.last_seen = barrier.last;
        let upstream = p.upstream.take().unwrap_or_default();
        let carried = carried(&upstream);
        self.insist(CallName::Checkpoint, |s, _| {
            s.checkpoint(barrier.epoch, bytes(&carried), barrier.last)
        })?;
        let lanes = self.print.lanes.iter().zip(&p.ended);
        p.ended_at_barrier = lanes
            .filter(|(_, ended)| **ended)
            .map(|(lane, _)| lane.name.clone())
            .collect();
        // On its way before this stage's own state is ready: the flow does not wait for a disk.
        self.out.barrier(barrier, &upstream, dropped);
        p.checkpoint = Some(Pending {
            epoch: barrier.epoch,
            ask_at: 0,
            wait_ns: ASK_MIN_NS,
        });
        Ok(())
    }

    fn ask_checkpoint(&mut self, p: &mut Progress) -> Result<(), Trouble> {
        let Some(pending) = p.checkpoint.as_mut() else {
            return Ok(());
        };
        let epoch = pending.epoch;
        let (wait, now) = (pending.wait_ns, monotonic_ns());
        pending.ask_at = now + wait;
        pending.wait_ns = (wait * 2).min(ASK_MAX_NS);
        let ready = self.insist(CallName::CheckpointPoll, |s, out| {
            s.checkpoint_poll(epoch, out)
        })?;
        if let Some(state) = ready.into_option() {
            p.checkpoint = None;
            let tally = self.out.tally();
            let mut snapshot = self.snapshot(state.into_vec(), tally);
            snapshot.ended = std::mem::take(&mut p.ended_at_barrier);
            self.say(Message::Passed(self.id, epoch, snapshot));
        }
        Ok(())
    }

    fn take(&mut self, port: u32, batch: &Batch, p: &mut Progress) -> Result<(), Trouble> {
        self.out.input = port;
        if !self.shared.poison.is_careful() {
            return self.give(port, batch, p);
        }
        for index in 0..batch.len() as u32 {
            let alone = batch.select(&[index]);
            let record = alone.record(0);
            if let Some(why) = self.shared.poison.why(&record) {
                let seq = self.out.ledger.enter(alone.clone());
                self.out.reject(seq, 0, &why, "");
                if let Some(fault) = self.out.fault.take() {
                    return Err(fault.into());
                }
                continue;
            }
            let given = self.give(port, &alone, p);
            if let Err(Trouble::Stage(e)) = &given
                && Self::is_panic(e)
                && self
                    .shared
                    .poison
                    .found(&record, &format!("the stage crashes over it: {e}"))
            {
                self.say(Message::PoisonFound(self.id));
            }
            given?;
        }
        Ok(())
    }

    fn give(&mut self, port: u32, batch: &Batch, p: &mut Progress) -> Result<(), Trouble> {
        let seq = self.out.ledger.enter(batch.clone());
        if self.kind() == StageKind::Sink {
            self.write_all(port, seq, batch, p)
        } else {
            self.process(port, seq, batch)
        }
    }

    fn process(&mut self, port: u32, seq: u64, batch: &Batch) -> Result<(), Trouble> {
        let mut answer = self.insist(CallName::Process, |s, out| {
            s.process(port, seq, batch.raw(), out)
        })?;
        while answer == answer::MORE {
            answer = self.insist(CallName::Process, |s: &mut StageBox, out| s.resume(out))?;
        }
        Ok(())
    }

    /// What there is to do besides records while a sink takes none: it may wait for the commit of
    /// the epoch before them. Whether there was any.
    fn hear(&mut self, p: &mut Progress) -> Result<bool, Trouble> {
        let mut heard = false;
        while let Some(control) = self.inbox.next_control() {
            self.common(control)?;
            heard = true;
        }
        if p.checkpoint.is_some_and(|c| monotonic_ns() >= c.ask_at) {
            self.ask_checkpoint(p)?;
        }
        Ok(heard)
    }

    fn write_all(
        &mut self,
        port: u32,
        seq: u64,
        batch: &Batch,
        p: &mut Progress,
    ) -> Result<(), Trouble> {
        let (mut from, mut wait, mut retry) = (0, ASK_MIN_NS, Retry::default());
        while from < batch.len() {
            let write = self.call(CallName::Write, |s, out| {
                s.write(port, seq, batch.raw(), from, out)
            });
            let pause = match write? {
                Ok(0) => {
                    // A busy sink may need its timers to become free.
                    self.tick(monotonic_ns())?;
                    let until = monotonic_ns() + wait;
                    wait = match self.hear(p)? {
                        true => ASK_MIN_NS,
                        false => (wait * 2).min(ASK_MAX_NS),
                    };
                    Some(until)
                }
                Ok(taken) if taken <= batch.len() - from => {
                    from += taken;
                    wait = ASK_MIN_NS;
                    retry.over(&self.shared);
                    None
                }
                Ok(taken) => {
                    let left = batch.len() - from;
                    return Err(
                        StageError::fatal(format!("it took {taken} of {left} records")).into(),
                    );
                }
                Err(e) if e.is_transient() => Some(retry.after(&self.shared, &e)),
                Err(e) => return Err(e.into()),
            };
            if pause.is_some_and(|until| !self.shared.torn.sleep_until(until)) {
                return Err(Trouble::Torn);
            }
        }
        Ok(())
    }
}

/// Adds what one more lane brought.
fn join(all: &mut Option<Upstream>, more: Upstream) {
    match all {
        Some(all) if !Arc::ptr_eq(all, &more) => {
            let mut joined: BTreeMap<_, _> = (**all).clone();
            joined.extend(
                more.iter()
                    .map(|(name, state)| (name.clone(), state.clone())),
            );
            *all = Arc::new(joined);
        }
        Some(_) => {}
        None => *all = Some(more),
    }
}

/// The sources' answers as they cross the boundary: a JSON array.
fn carried(upstream: &Upstream) -> Vec<u8> {
    let list: Vec<_> = upstream.values().collect();
    serde_json::to_vec(&list).expect("names and text are JSON")
}
