//! The loop of a processor or sink: take a batch, use it, send on; align barriers, snapshot
//! between batches, commit when told.

use plugin_api::{
    Batch, Code, StageError,
    abi::{
        root::bytes,
        services::OutHandle,
        stage::Raw,
        stage::{StageBox, answer},
    },
    batch::monotonic_ns,
    manifest::StageKind,
};

use super::{
    edge::{Barrier, Event, Item},
    instance::{Instance, Retry, Trouble, deadline},
    outbox::crash_reason,
    shared::Phase,
    supervisor::Message,
};

/// First and longest wait before asking again, in nanoseconds.
const ASK_MIN_NS: u64 = 200_000;
const ASK_MAX_NS: u64 = 50_000_000;
/// Crashes in a row after which a stage is given up.
const MAX_CRASHES: u32 = 5;
/// First wait after a crash, in nanoseconds; doubles with each in a row.
const CRASH_WAIT_NS: u64 = 100_000_000;

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
    checkpoint: Option<Pending>,
    tick_at: u64,
    crashes: u32,
    last_seen: bool,
}

impl Instance {
    pub(super) fn run_receiver(&mut self) -> Result<(), Trouble> {
        let mut p = Progress {
            ended: vec![false; self.lane_ports.len()],
            ..Progress::default()
        };
        p.tick_at = self.tick()?;
        loop {
            let until = p.tick_at.min(p.checkpoint.map_or(u64::MAX, |c| c.ask_at));
            match self.inbox.next(until) {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(control) => {
                    let committed = matches!(control, super::edge::Control::Commit(_));
                    self.common(control)?;
                    if committed && p.last_seen {
                        return self.close();
                    }
                }
                Event::Item(lane, Item::Batch(batch)) => {
                    self.take(self.lane_ports[lane], batch, &mut p)?;
                    p.tick_at = self.tick()?;
                }
                Event::Item(lane, Item::End) => self.end_lane(lane, &mut p)?,
                Event::Item(lane, Item::Barrier(barrier)) => {
                    if self.inbox.hold(lane) {
                        self.barrier(barrier, &mut p)?;
                    }
                }
                Event::Timeout => {}
            }
            let now = monotonic_ns();
            if now >= p.tick_at {
                p.tick_at = self.tick()?;
            }
            if p.checkpoint.is_some_and(|c| now >= c.ask_at) {
                self.ask_checkpoint(&mut p)?;
            }
        }
    }

    fn tick(&mut self) -> Result<u64, Trouble> {
        let now = monotonic_ns();
        let next = self.insist(|s, out| s.tick(now, out))?;
        Ok(deadline(next))
    }

    fn end_lane(&mut self, lane: usize, p: &mut Progress) -> Result<(), Trouble> {
        p.ended[lane] = true;
        let port = self.lane_ports[lane];
        let port_ended = self
            .lane_ports
            .iter()
            .zip(&p.ended)
            .all(|(l, ended)| *l != port || *ended);
        if port_ended {
            self.insist(|s, out| s.end(port, out))?;
        }
        if p.ended.iter().all(|e| *e) {
            self.out.mark(&Item::End);
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier, p: &mut Progress) -> Result<(), Trouble> {
        p.last_seen = barrier.last;
        self.insist(|s, _| s.checkpoint(barrier.epoch, bytes(&[]), barrier.last))?;
        // On its way before this stage's own state is ready: the flow does not wait for a disk.
        self.out.mark(&Item::Barrier(barrier));
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
        if self
            .insist(|s, out| s.checkpoint_poll(epoch, out))?
            .is_some()
        {
            p.checkpoint = None;
            if let Err(e) = self.out.letters.flush() {
                return Err(
                    StageError::fatal(format!("dead letters cannot be made durable: {e}")).into(),
                );
            }
            self.say(Message::Passed(self.id, epoch));
        }
        Ok(())
    }

    fn take(&mut self, port: u32, batch: Batch, p: &mut Progress) -> Result<(), Trouble> {
        self.out.input = port;
        self.out.rejected.clear();
        let seq = self.out.ledger.enter(batch.clone());
        let done = if self.recipe.kind == StageKind::Sink {
            self.write_all(port, seq, &batch)
        } else {
            self.process(port, seq, &batch)
        };
        match done {
            Ok(()) => {
                p.crashes = 0;
                Ok(())
            }
            Err(Trouble::Stage(e)) if self.survives(&e) && p.crashes < MAX_CRASHES => {
                self.start_anew(seq, &e, p)
            }
            Err(other) => Err(other),
        }
    }

    /// After a crash: the batch in hand becomes dead letters, and a new instance goes on.
    fn start_anew(&mut self, seq: u64, e: &StageError, p: &mut Progress) -> Result<(), Trouble> {
        debug_assert_eq!(e.code, Code::PANIC);
        let (host, stage) = (&*self.shared.host, &*self.shared.name);
        tracing::error!(
            host,
            stage,
            "{e}; its batch goes to the dead letters, and the stage is started anew"
        );
        self.out.reject_rest(seq, &crash_reason(e).reason);
        if let Some(fault) = self.out.fault.take() {
            return Err(fault.into());
        }
        let wait = CRASH_WAIT_NS << p.crashes;
        p.crashes += 1;
        if !self.shared.torn.sleep_until(monotonic_ns() + wait) {
            return Err(Trouble::Torn);
        }
        self.reopen()?;
        self.shared.set_phase(Phase::Running);
        p.tick_at = self.tick()?;
        Ok(())
    }

    fn process(&mut self, port: u32, seq: u64, batch: &Batch) -> Result<(), Trouble> {
        let mut answer = self.insist(|s, out| s.process(port, seq, batch.raw(), out))?;
        while answer == answer::MORE {
            answer = self.insist(|s: &mut StageBox, out: &mut OutHandle<'_>| -> Raw<u32> {
                s.resume(out)
            })?;
        }
        Ok(())
    }

    fn write_all(&mut self, port: u32, seq: u64, batch: &Batch) -> Result<(), Trouble> {
        let (mut from, mut wait, mut retry) = (0, ASK_MIN_NS, Retry::default());
        while from < batch.len() {
            let pause = match self.call(|s, out| s.write(port, seq, batch.raw(), from, out))? {
                Ok(0) => {
                    let now = monotonic_ns();
                    // A busy sink may need its timers to become free.
                    self.insist(|s, out| s.tick(now, out))?;
                    let until = monotonic_ns() + wait;
                    wait = (wait * 2).min(ASK_MAX_NS);
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
