//! The loop of a source: poll, send, and between two polls what the engine asks.

use plugin_api::{StageError, abi::stage::answer, batch::monotonic_ns};

use super::{
    edge::{Barrier, Control, Event, Item},
    instance::{Instance, Retry, Trouble},
    shared::Phase,
    supervisor::Message,
};

/// How long a poll may wait, in nanoseconds: bounds how late a barrier or a stop is seen.
const POLL_NS: u64 = 20_000_000;
/// Most records of one poll.
const POLL_RECORDS: u64 = 16_384;

/// What a source does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It polls.
    Polling,
    /// It has nothing more to read, and answers for its epochs.
    Done,
    /// It failed: barriers pass without it, so that the rest of the host can drain.
    Failed,
}

impl Instance {
    /// `opened` false: it was stopped or failed before it could open.
    pub(super) fn run_source(&mut self, opened: bool) -> Result<(), Trouble> {
        let mut state = if opened {
            State::Polling
        } else {
            State::Failed
        };
        let mut retry = Retry::default();
        let mut not_before = 0;
        loop {
            let event = match state {
                State::Polling if not_before <= monotonic_ns() => self.inbox.next(0),
                State::Polling => self.inbox.next(not_before),
                State::Done | State::Failed => self.inbox.next(u64::MAX),
            };
            match event {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(control) => {
                    let last = matches!(control, Control::Begin(Barrier { last: true, .. }));
                    let answered = match state {
                        State::Failed => self.pass_over(control),
                        State::Polling | State::Done => self.obey(control, &mut state),
                    };
                    match answered {
                        Ok(()) => {}
                        Err(Trouble::Stage(e)) => {
                            self.fail(e, &mut state);
                            if let Control::Begin(barrier) = control {
                                self.pass_over(Control::Begin(barrier))?;
                            }
                        }
                        Err(torn) => return Err(torn),
                    }
                    if last {
                        return self.last_epoch(state);
                    }
                    continue;
                }
                Event::Item(..) | Event::Timeout => {}
            }
            if state != State::Polling {
                continue;
            }
            match self.poll_once()? {
                Ok(Polled::More) => retry.over(&self.shared),
                Ok(Polled::Finished) => self.done(&mut state, true),
                Err(e) if e.is_transient() => not_before = retry.after(&self.shared, &e),
                Err(e) => self.fail(e, &mut state),
            }
        }
    }

    fn poll_once(&mut self) -> Result<Result<Polled, StageError>, Trouble> {
        let budget = self.shared.take_budget(POLL_RECORDS);
        if budget == 0 {
            return Ok(Ok(Polled::Finished));
        }
        let deadline = monotonic_ns() + POLL_NS;
        let answer = self.call(|s, out| s.poll(budget as usize, deadline, out))?;
        let emitted = self.out.emitted_records;
        if emitted > budget {
            let e = format!("it emitted {emitted} records where {budget} were asked for");
            return Ok(Err(StageError::fatal(e)));
        }
        self.shared.return_budget(budget - emitted);
        let answer = match answer {
            Ok(answer) => answer,
            Err(e) => return Ok(Err(e)),
        };
        if answer == answer::FINISHED || self.shared.limit_reached() {
            return Ok(Ok(Polled::Finished));
        }
        if answer == answer::IDLE && emitted == 0 {
            // A source that comes back early with nothing must not spin.
            let rest = deadline.saturating_sub(monotonic_ns());
            if rest > 1_000_000 && !self.inbox.has_control() {
                let _ = self
                    .shared
                    .torn
                    .sleep_until(monotonic_ns() + rest.min(5_000_000));
            }
        }
        Ok(Ok(Polled::More))
    }

    /// It reads nothing more. `ended`: of itself, so that what follows it ends too.
    fn done(&mut self, state: &mut State, ended: bool) {
        *state = State::Done;
        if ended {
            self.out.mark(&Item::End);
        }
        self.say(Message::SourceDone(self.id));
    }

    fn fail(&mut self, e: StageError, state: &mut State) {
        self.shared.set_phase(Phase::Failed);
        let polling = *state == State::Polling;
        *state = State::Failed;
        self.say(Message::Failed(self.id, e));
        if polling {
            self.say(Message::SourceDone(self.id));
        }
    }

    fn obey(&mut self, control: Control, state: &mut State) -> Result<(), Trouble> {
        match control {
            Control::Begin(barrier) => {
                self.insist(|s, _| {
                    s.checkpoint(
                        barrier.epoch,
                        plugin_api::abi::root::bytes(&[]),
                        barrier.last,
                    )
                })?;
                self.out.mark(&Item::Barrier(barrier));
                self.say(Message::Passed(self.id, barrier.epoch));
            }
            Control::Confirm(epoch) => {
                let confirmed = self.call(|s, out| s.checkpoint_poll(epoch, out))?;
                self.say(Message::Confirmed(self.id, epoch, confirmed.is_ok()));
                if let Err(e) = confirmed {
                    let (host, stage) = (&*self.shared.host, &*self.shared.name);
                    tracing::info!(host, stage, "epoch {epoch} is given up: {e}");
                }
            }
            Control::Drain if *state == State::Polling => {
                if self.insist(|s, _| s.drain())? == answer::DRAIN_STOP {
                    self.shared.cancel.cancel();
                    self.done(state, false);
                }
            }
            Control::Drain => {}
            other => {
                self.common(other)?;
            }
        }
        Ok(())
    }

    /// What a failed source answers in place of its stage.
    fn pass_over(&mut self, control: Control) -> Result<(), Trouble> {
        match control {
            Control::Begin(barrier) => {
                self.out.mark(&Item::Barrier(barrier));
                self.say(Message::Passed(self.id, barrier.epoch));
            }
            Control::Confirm(epoch) => self.say(Message::Confirmed(self.id, epoch, true)),
            Control::Commit(epoch) => self.say(Message::Committed(self.id, epoch)),
            Control::Abort(_) | Control::Drain => {}
        }
        Ok(())
    }

    /// After the last barrier: answer until it is committed, then close.
    fn last_epoch(&mut self, mut state: State) -> Result<(), Trouble> {
        loop {
            match self.inbox.next(u64::MAX) {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(control) => {
                    let committed = matches!(control, Control::Commit(_));
                    if state == State::Failed {
                        self.pass_over(control)?;
                    } else if let Err(e) = self.obey(control, &mut state) {
                        match e {
                            Trouble::Stage(e) => {
                                self.fail(e, &mut state);
                                self.pass_over(control)?;
                            }
                            torn => return Err(torn),
                        }
                    }
                    if committed {
                        return if state == State::Failed {
                            Ok(())
                        } else {
                            self.close()
                        };
                    }
                }
                Event::Item(..) | Event::Timeout => {}
            }
        }
    }
}

enum Polled {
    More,
    Finished,
}
