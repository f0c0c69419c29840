//! The loop of a source: poll, send, and between two polls what the engine asks.

use std::{collections::BTreeMap, sync::Arc};

use plugin_api::{
    StageError,
    abi::{root::bytes, stage::answer},
    batch::monotonic_ns,
};

use super::{
    edge::{Birth, Control, Event},
    instance::{Instance, Trouble},
    retry::Retry,
    shared::{CallName, Phase},
    supervisor::Message,
};
use crate::checkpoint::{coordinator::Barrier, epoch::Snapshot};

/// How long a poll may wait, in nanoseconds: bounds how late a barrier or a stop is seen.
const POLL_NS: u64 = 20_000_000;
/// Most records of one poll.
const POLL_RECORDS: u64 = 16_384;

/// What a source does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It polls.
    Polling,
    /// It has nothing more to read, of itself or because it was stopped, and answers for its
    /// epochs.
    Done { ended: bool },
    /// It failed: barriers pass with what it had, so that the rest of the region can drain.
    Failed,
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Close,
}

struct Loop {
    state: State,
    /// Live: its region is being started again, and it waits for that.
    detached: bool,
    /// The run's last barrier was sent.
    last_sent: bool,
    retry: Retry,
    not_before: u64,
}

impl Instance {
    /// `birth` none: it was stopped or failed before it could open.
    pub(super) fn run_source(&mut self, birth: Option<&Birth>) -> Result<(), Trouble> {
        let mut l = Loop {
            state: if birth.is_some() {
                State::Polling
            } else {
                State::Failed
            },
            detached: false,
            last_sent: false,
            retry: Retry::default(),
            not_before: 0,
        };
        if let Some(birth) = birth {
            let finished = birth.snapshot.as_ref().is_some_and(|s| s.finished);
            if finished || self.print.parked {
                l.state = State::Done { ended: finished };
                if finished && birth.epoch == 0 {
                    // Those that it feeds begin anew, and do not know that it has ended.
                    self.out.end();
                }
                self.say(Message::SourceDone(self.id, finished));
            }
            // What its predecessor sent and nobody can read again.
            let replayed = self.out.replay(birth.epoch).map_err(Trouble::from);
            if self.survive(replayed, &mut l)? == Some(true) && l.state == State::Polling {
                // Its predecessor had come to the end already, which was sent just now.
                l.state = State::Done { ended: true };
                self.say(Message::SourceDone(self.id, true));
            }
        }
        loop {
            let until = match l.state {
                State::Polling if !l.detached => l.not_before,
                _ => u64::MAX,
            };
            match self.inbox.next(until) {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(control) => {
                    let obeyed = self.obey(control, &mut l);
                    if self.survive(obeyed, &mut l)? == Some(Next::Close) {
                        return if l.state == State::Failed || self.stage.is_none() {
                            Ok(())
                        } else {
                            self.close()
                        };
                    }
                    continue;
                }
                Event::Item(..) | Event::Timeout => {}
            }
            if l.state == State::Polling && !l.detached {
                let polled = self.poll_once(&mut l);
                self.survive(polled, &mut l)?;
            }
        }
    }

    /// A live source outlives its region: it waits to be attached again. A failure becomes a state.
    fn survive<T>(&mut self, done: Result<T, Trouble>, l: &mut Loop) -> Result<Option<T>, Trouble> {
        match done {
            Ok(v) => Ok(Some(v)),
            Err(Trouble::Torn) if self.shared.live && !self.shared.torn.is_cancelled() => {
                l.detached = true;
                Ok(None)
            }
            Err(Trouble::Stage(e)) if l.state != State::Failed => {
                self.fail(e, l);
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn poll_once(&mut self, l: &mut Loop) -> Result<(), Trouble> {
        if self.out.is_full() {
            // It cannot be read again, and no more can be kept: an epoch makes room.
            self.say(Message::CheckpointWanted(self.print.region));
            l.not_before = monotonic_ns() + POLL_NS;
            return Ok(());
        }
        let budget = self.shared.take_budget(POLL_RECORDS);
        if budget == 0 {
            return self.enough(l);
        }
        let deadline = monotonic_ns() + POLL_NS;
        let answer = self.call(CallName::Poll, |s, out| {
            s.poll(budget as usize, deadline, out)
        });
        let emitted = self.out.emitted_records;
        self.shared.return_budget(budget.saturating_sub(emitted));
        let answer = match answer? {
            Ok(_) if emitted > budget => Err(StageError::fatal(format!(
                "it emitted {emitted} records where {budget} were asked for"
            ))),
            answer => answer,
        };
        match answer {
            Ok(answer) if answer == answer::FINISHED => self.done(l, true),
            Ok(_) if self.shared.limit_reached() => self.enough(l)?,
            Ok(answer) => {
                l.retry.over(&self.shared);
                // A source that comes back early with nothing must not spin.
                let now = monotonic_ns();
                let idle = answer == answer::IDLE && emitted == 0 && now + 1_000_000 < deadline;
                l.not_before = if idle {
                    deadline.min(now + 5_000_000)
                } else {
                    0
                };
            }
            Err(e) if e.is_transient() => l.not_before = l.retry.after(&self.shared, &e),
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Its limit is reached. It is told, since it may read ahead, from a service that charges for it
    /// maybe, while others of its region go on.
    fn enough(&mut self, l: &mut Loop) -> Result<(), Trouble> {
        self.insist(CallName::Drain, |s, _| s.drain())?;
        self.done(l, true);
        Ok(())
    }

    /// It reads nothing more. `ended`: of itself, so that what follows it ends too.
    fn done(&mut self, l: &mut Loop, ended: bool) {
        l.state = State::Done { ended };
        if ended {
            self.out.end();
        }
        self.say(Message::SourceDone(self.id, ended));
    }

    fn fail(&mut self, e: StageError, l: &mut Loop) {
        self.shared.set_phase(Phase::Failed);
        let polling = l.state == State::Polling;
        l.state = State::Failed;
        self.say(Message::Failed(self.id, e));
        if polling {
            self.say(Message::SourceDone(self.id, false));
        }
    }

    fn obey(&mut self, control: Control, l: &mut Loop) -> Result<Next, Trouble> {
        match control {
            Control::Reattach(epoch) => {
                // The run's last barrier, if it was sent, is not true: another one will be.
                (l.detached, l.last_sent) = (false, false);
                self.say(Message::Opened(self.id));
                self.out.replay(epoch)?;
            }
            Control::Begin(barrier) => self.begin(barrier, l)?,
            Control::Confirm(epoch) => {
                let confirmed = self.confirm(epoch, l)?;
                self.say(Message::Confirmed(self.id, epoch, confirmed));
            }
            Control::Drain if l.state == State::Polling => {
                if self.insist(CallName::Drain, |s, _| s.drain())? == answer::DRAIN_STOP {
                    self.shared.cancel.cancel();
                    self.done(l, false);
                }
            }
            Control::Drain | Control::Restore(_) => {}
            Control::Commit(epoch) => {
                if self.stage.is_some() {
                    self.commit(epoch)?;
                } else {
                    self.say(Message::Committed(self.id, epoch));
                }
                if l.last_sent {
                    return Ok(Next::Close);
                }
            }
            Control::Abort(_) if self.stage.is_none() => {}
            other => {
                self.common(other)?;
            }
        }
        Ok(Next::GoOn)
    }

    /// Sends the barrier with what is to be known of this source to go on from there.
    fn begin(&mut self, barrier: Barrier, l: &mut Loop) -> Result<(), Trouble> {
        let state = if self.stage.is_some() {
            let answered = self.insist(CallName::Checkpoint, |s, _| {
                s.checkpoint(barrier.epoch, bytes(&[]), barrier.last)
            })?;
            answered.into_option().map_or_else(Vec::new, Into::into)
        } else {
            self.inherited().map_or_else(Vec::new, |s| s.state.clone())
        };
        let own = plugin_api::Upstream {
            stage: self.shared.name.clone(),
            state: state.clone(),
        };
        let upstream = BTreeMap::from([(self.print.name.clone(), own)]);
        l.last_sent = barrier.last;
        self.out.barrier(barrier, &Arc::new(upstream), 0);
        let tally = self.out.tally();
        let mut snapshot = self.snapshot(state, tally);
        snapshot.finished = l.state == State::Done { ended: true };
        if self.stage.is_none() {
            // It never opened: what it was to start from still holds.
            let inherited = self.inherited().map(|s| (**s).clone());
            snapshot = Snapshot {
                tally: snapshot.tally,
                ..inherited.unwrap_or_default()
            };
        }
        self.say(Message::Passed(self.id, barrier.epoch, snapshot));
        Ok(())
    }

    fn confirm(&mut self, epoch: u64, l: &Loop) -> Result<bool, Trouble> {
        if l.state == State::Failed || self.stage.is_none() {
            return Ok(true);
        }
        let confirmed = self.call(CallName::CheckpointPoll, |s, out| {
            s.checkpoint_poll(epoch, out)
        })?;
        if let Err(e) = &confirmed {
            let (host, stage) = (&*self.shared.host, &*self.shared.name);
            tracing::info!(host, stage, "epoch {epoch} is given up: {e}");
        }
        Ok(confirmed.is_ok())
    }
}
