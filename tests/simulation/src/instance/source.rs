//! What an instance of a source does, as `engine::source` does on a thread.

use host::engine::edge::{Control, Upstream};
use plugin_api::abi::{root::bytes, stage::answer};

use super::{Doing, Instance, Message, Pending, Trouble};
use crate::{mistake::Mistake, world};

impl Instance {
    pub(super) fn run_source(&mut self, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        if let Some(control) = self.inbox.next_control() {
            self.obey(control, say)?;
            return Ok(true);
        }
        if self.detached || self.done.is_some() || self.is_held_up() {
            return Ok(false);
        }
        if self.out.is_full() {
            world::with(|w| w.wanted = true);
            return Ok(false);
        }
        let budget = self.shared.take_budget(16_384);
        if budget == 0 {
            self.finish(true, say);
            return Ok(true);
        }
        let answer = self.call(|s, out| s.poll(budget as usize, u64::MAX, out));
        let emitted = self.out.emitted_records;
        self.shared.return_budget(budget.saturating_sub(emitted));
        let answer = answer?;
        if answer == answer::FINISHED || self.shared.limit_reached() {
            self.finish(true, say);
        }
        Ok(answer != answer::IDLE || emitted > 0)
    }

    fn finish(&mut self, ended: bool, say: &mut dyn FnMut(Message)) {
        self.done = Some(ended);
        if ended {
            if world::mistaken(Mistake::BarrierBeforeEnd) {
                self.late_end = true;
            } else {
                self.out.end();
            }
        }
        say(Message::SourceDone(self.id, ended));
    }

    fn obey(&mut self, control: Control, say: &mut dyn FnMut(Message)) -> Result<(), Trouble> {
        match control {
            Control::Reattach(epoch) => {
                (self.detached, self.last_seen) = (false, false);
                say(Message::Opened(self.id));
                self.out.replay(epoch)?;
                if let Some(stale) = self.stale.take() {
                    self.out.barrier(stale, &Upstream::default(), 0);
                }
            }
            Control::Begin(barrier) => {
                let state = self
                    .call(|s, _| s.checkpoint(barrier.epoch, bytes(&[]), barrier.last))?
                    .into_option();
                self.last_seen = barrier.last;
                self.out.barrier(barrier, &Upstream::default(), 0);
                if std::mem::take(&mut self.late_end) {
                    self.out.end();
                }
                let tally = self.out.tally();
                let state = state.map_or_else(Vec::new, Into::into);
                let mut snapshot = self.snapshot(state, tally);
                snapshot.finished = self.done == Some(true);
                if world::mistaken(Mistake::RetainedTrimmedTooEarly) {
                    self.out.forget(barrier.epoch);
                }
                say(Message::Passed(self.id, barrier.epoch, snapshot));
            }
            Control::Confirm(epoch) => {
                let yes = match self.call(|s, out| s.checkpoint_poll(epoch, out)) {
                    Ok(_) => true,
                    Err(Trouble::Stage(_)) => false,
                    Err(torn) => return Err(torn),
                };
                say(Message::Confirmed(self.id, epoch, yes));
            }
            Control::Drain => {
                if self.done.is_none() {
                    self.call(|s, _| s.drain())?;
                    self.finish(false, say);
                }
            }
            Control::Commit(epoch) => {
                self.out.forget(epoch);
                self.doing = Doing::Handle(Pending::Commit(epoch));
                self.handle(Pending::Commit(epoch), say)?;
            }
            Control::Abort(epoch) => self.call(|s, _| s.abort(epoch))?,
            Control::Restore(_) => {}
        }
        Ok(())
    }
}
