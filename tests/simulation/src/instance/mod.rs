//! One instance of a stage, a step at a time: what `engine::instance`, `receiver` and `source` do on
//! a thread. The stage, its outbox with ledger and accounts, and its inbox are the real ones.

mod source;

use std::sync::Arc;

use host::{
    checkpoint::{
        coordinator::{Barrier, InstanceId},
        epoch::{Snapshot, Tally},
        shape,
    },
    engine::{
        edge::{Birth, Control, Event, Inbox, Item, Upstream},
        outbox::Outbox,
        shared::StageShared,
    },
    loader,
};
use plugin_api::{
    Batch, ContentType, StageError,
    abi::{
        root::{bytes, plain},
        services::{HostServices, OutHandle},
        stage::StageBox,
    },
    context::Start,
    manifest::StageKind,
};

use crate::{mistake::Mistake, stages, world};

/// What an instance tells its supervisor.
pub enum Message {
    /// It says which epoch is true, or that it does not know.
    Recovered(InstanceId, Option<u64>),
    /// It is open.
    Opened(InstanceId),
    /// It is in trouble.
    Failed(InstanceId, String),
    /// It passed a barrier.
    Passed(InstanceId, u64, Snapshot),
    /// It stands by an epoch, or not.
    Confirmed(InstanceId, u64, bool),
    /// It committed an epoch.
    Committed(InstanceId, u64),
    /// It reads nothing more; whether it came to its end.
    SourceDone(InstanceId, bool),
    /// It is closed.
    Closed(InstanceId),
}

/// Why a step ends early.
pub enum Trouble {
    /// The stage failed, or asks to be called again.
    Stage(StageError),
    /// Its region is torn down.
    Torn,
}

impl From<StageError> for Trouble {
    fn from(e: StageError) -> Self {
        Self::Stage(e)
    }
}

impl From<host::engine::outbox::Torn> for Trouble {
    fn from(_: host::engine::outbox::Torn) -> Self {
        Self::Torn
    }
}

/// What it is about.
#[derive(Clone)]
enum Doing {
    /// To be made and asked which epoch is true.
    Open,
    /// To hear what was decided.
    Await,
    /// To restore.
    Restore,
    /// What came last, which is not done.
    Handle(Pending),
    /// Nothing.
    Run,
    Closed,
}

#[derive(Clone)]
enum Pending {
    Commit(u64),
    Abort(u64),
    Barrier(Barrier, u64),
    End(u32),
}

/// A lane of its inbox: the sender's name, for what an epoch knows of ends.
pub type LaneName = String;

/// An instance.
pub struct Instance {
    pub id: InstanceId,
    pub plugin: &'static str,
    pub kind: StageKind,
    pub worker: usize,
    pub shared: Arc<StageShared>,
    pub inbox: Arc<Inbox>,
    pub out: Outbox,
    pub lanes: Vec<LaneName>,
    pub start: Start,
    pub birth: Option<Birth>,
    pub epochs: Vec<u64>,
    stage: Option<StageBox>,
    doing: Doing,
    ended: Vec<bool>,
    ended_at_barrier: Vec<String>,
    checkpoint: Option<u64>,
    /// A sink: the batch in hand, its number, and how many records were taken.
    hand: Option<(u64, Batch, usize)>,
    tick_at: u64,
    last_seen: bool,
    /// A source: nothing more to read, and whether it came to its end.
    done: Option<bool>,
    detached: bool,
    /// A stale barrier that is to be sent again by mistake.
    pub stale: Option<Barrier>,
    late_end: bool,
}

impl Instance {
    /// One that is to be opened.
    pub fn new(
        id: InstanceId,
        plugin: &'static str,
        shared: Arc<StageShared>,
        out: Outbox,
        lanes: Vec<LaneName>,
        start: Start,
    ) -> Self {
        let worker = start.worker as usize;
        Self {
            id,
            plugin,
            kind: shared.kind,
            worker,
            inbox: shared.inboxes[worker].clone(),
            shared,
            out,
            ended: vec![false; lanes.len()],
            lanes,
            start,
            birth: None,
            epochs: Vec::new(),
            stage: None,
            doing: Doing::Open,
            ended_at_barrier: Vec::new(),
            checkpoint: None,
            hand: None,
            tick_at: 0,
            last_seen: false,
            done: None,
            detached: false,
            stale: None,
            late_end: false,
        }
    }

    /// Records of the batch in hand that were not taken yet.
    pub fn in_hand(&self) -> u64 {
        let hand = self.hand.as_ref();
        hand.map_or(0, |(_, batch, from)| (batch.len() - from) as u64)
    }

    /// Whether it has been restored and is not closed.
    pub fn is_running(&self) -> bool {
        matches!(self.doing, Doing::Run | Doing::Handle(_))
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.doing, Doing::Closed)
    }

    fn call<T>(
        &mut self,
        f: impl FnOnce(&mut StageBox, &mut OutHandle<'_>) -> plugin_api::abi::stage::Raw<T>,
    ) -> Result<T, Trouble> {
        let Some(stage) = self.stage.as_mut() else {
            return Err(StageError::fatal("the stage is closed").into());
        };
        self.out.emitted_records = 0;
        let answer = plain(OutHandle::with(&mut self.out, |out| f(stage, out)));
        let fault = self.out.fault.take();
        self.out.flush()?;
        match fault {
            Some(fault) => Err(fault.into()),
            None => Ok(answer?),
        }
    }

    /// Whether an edge out of it has no room.
    fn is_held_up(&self) -> bool {
        self.out.routes.iter().flatten().any(|route| {
            let mut to = route.to.inboxes.iter().zip(&route.lanes);
            to.any(|(inbox, lane)| inbox.holds_up(*lane))
        })
    }

    /// Does one thing, if there is one to do.
    pub fn step(&mut self, say: &mut dyn FnMut(Message)) -> bool {
        let result = match self.doing.clone() {
            Doing::Closed => return false,
            Doing::Open => self.open(say),
            Doing::Await => self.settle(),
            Doing::Restore => self.restore(say),
            Doing::Handle(pending) => self.handle(pending, say),
            Doing::Run if self.kind == StageKind::Source => self.run_source(say),
            Doing::Run => self.run_receiver(say),
        };
        match result {
            Ok(did) => did,
            // The same thing again later: what it is doing stays.
            Err(Trouble::Stage(e)) if e.is_transient() => false,
            Err(Trouble::Stage(e)) => {
                say(Message::Failed(self.id, e.to_string()));
                self.doing = Doing::Closed;
                true
            }
            Err(Trouble::Torn) => {
                self.detached = true;
                true
            }
        }
    }

    fn open(&mut self, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        static SERVICES: world::Services = world::Services;
        let mut stage = stages::create(self.kind, self.plugin)?;
        let inputs = vec![ContentType::bytes(); usize::from(self.kind != StageKind::Source)];
        loader::plan(&mut stage, b"{}", &inputs)?;
        let start = format!(
            r#"{{"host":"{}","stage":"{}","worker":{},"workers":{}}}"#,
            self.start.host, self.start.stage, self.start.worker, self.start.workers
        );
        plain(stage.open(HostServices::new(&SERVICES), bytes(start.as_bytes())))?;
        let epochs = self.epochs.clone();
        let said = match self.kind {
            StageKind::Sink => {
                plain(stage.recover(abi_stable::std_types::RSlice::from_slice(&epochs)))?
            }
            _ => plugin_api::abi::stage::Recovered {
                mine: false,
                epoch: 0,
            },
        };
        self.stage = Some(stage);
        self.doing = Doing::Restore;
        if self.birth.is_none() {
            self.doing = Doing::Await;
            say(Message::Recovered(self.id, said.mine.then_some(said.epoch)));
        }
        Ok(true)
    }

    fn settle(&mut self) -> Result<bool, Trouble> {
        let Some(control) = self.inbox.next_control() else {
            return Ok(false);
        };
        if let Control::Restore(birth) = control {
            self.birth = Some(birth);
            self.doing = Doing::Restore;
        }
        Ok(true)
    }

    fn restore(&mut self, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        use abi_stable::std_types::{ROption, RSlice};
        let birth = self.birth.clone().unwrap_or_default();
        let snapshot = birth.snapshot.clone();
        if birth.epoch > 0 || !world::mistaken(Mistake::RestoreNotCalledAtZero) {
            self.call(|s, _| {
                let state = snapshot.as_ref().map(|s| RSlice::from_slice(&s.state));
                s.restore(birth.epoch, 1, state.map_or(ROption::RNone, ROption::RSome))
            })?;
        }
        if let Some(tally) = &birth.tally {
            self.out.restore(birth.epoch, tally);
        }
        let before = snapshot.as_ref().map_or(&[][..], |s| &s.ended[..]);
        self.ended = self.lanes.iter().map(|l| before.contains(l)).collect();
        self.doing = Doing::Run;
        say(Message::Opened(self.id));
        if self.kind == StageKind::Source {
            if snapshot.is_some_and(|s| s.finished) {
                self.done = Some(true);
                say(Message::SourceDone(self.id, true));
            }
            if self.out.replay(birth.epoch)? && self.done.is_none() {
                self.done = Some(true);
                say(Message::SourceDone(self.id, true));
            }
        } else {
            self.tick()?;
        }
        Ok(true)
    }

    fn tick(&mut self) -> Result<(), Trouble> {
        let now = world::with(|w| w.now_ns);
        self.tick_at = self.call(|s, out| s.tick(now, out))?;
        Ok(())
    }

    fn handle(&mut self, pending: Pending, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        match pending {
            Pending::Commit(epoch) => {
                if !self.call(|s, _| s.commit(epoch))? {
                    return Ok(true);
                }
                say(Message::Committed(self.id, epoch));
                if self.last_seen {
                    self.call(|s, _| s.close())?;
                    self.stage = None;
                    self.inbox.close();
                    self.doing = Doing::Closed;
                    say(Message::Closed(self.id));
                    return Ok(true);
                }
            }
            Pending::Abort(epoch) => self.call(|s, _| s.abort(epoch))?,
            Pending::Barrier(barrier, dropped) => self.barrier(barrier, dropped)?,
            Pending::End(port) => {
                self.call(|s, out| s.end(port, out))?;
                self.out.end();
            }
        }
        self.doing = Doing::Run;
        Ok(true)
    }

    fn run_receiver(&mut self, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        let now = world::with(|w| w.now_ns);
        if let Some(epoch) = self.checkpoint
            && world::with(|w| w.rng.bool())
        {
            return self.poll_checkpoint(epoch, say);
        }
        if now >= self.tick_at {
            self.tick()?;
            return Ok(true);
        }
        if let Some(control) = self.inbox.next_control() {
            match control {
                Control::Commit(epoch) => {
                    self.out.forget(epoch);
                    self.doing = Doing::Handle(Pending::Commit(epoch));
                }
                Control::Abort(epoch) => self.doing = Doing::Handle(Pending::Abort(epoch)),
                _ => {}
            }
            return self.go_on(say);
        }
        if let Some((seq, batch, from)) = self.hand.take() {
            return self.write(seq, batch, from);
        }
        if self.is_held_up() {
            return Ok(false);
        }
        match self.inbox.next(0) {
            Event::Torn => return Err(Trouble::Torn),
            Event::Timeout | Event::Control(_) => return Ok(false),
            Event::Item(_, Item::Batch(batch)) => {
                self.out.input = 0;
                let seq = self.out.ledger.enter(batch.clone());
                if self.kind == StageKind::Sink {
                    return self.write(seq, batch, 0);
                }
                self.call(|s, out| s.process(0, seq, batch.raw(), out))?;
                self.tick()?;
            }
            Event::Item(lane, Item::End) => {
                self.ended[lane] = true;
                if self.ended.iter().all(|e| *e) {
                    self.doing = Doing::Handle(Pending::End(0));
                }
            }
            Event::Item(lane, Item::Barrier(barrier, _)) => {
                if let Some(dropped) = self.inbox.hold(lane) {
                    self.doing = Doing::Handle(Pending::Barrier(barrier, dropped));
                }
            }
        }
        self.go_on(say)
    }

    /// A thread goes on at once with what it took.
    fn go_on(&mut self, say: &mut dyn FnMut(Message)) -> Result<bool, Trouble> {
        match self.doing.clone() {
            Doing::Handle(pending) => self.handle(pending, say),
            _ => Ok(true),
        }
    }

    fn write(&mut self, seq: u64, batch: Batch, from: usize) -> Result<bool, Trouble> {
        self.hand = Some((seq, batch.clone(), from));
        let taken = self.call(|s, out| s.write(0, seq, batch.raw(), from, out))?;
        self.hand = (from + taken < batch.len()).then_some((seq, batch, from + taken));
        self.tick()?;
        Ok(true)
    }

    fn barrier(&mut self, barrier: Barrier, dropped: u64) -> Result<(), Trouble> {
        self.last_seen = barrier.last;
        self.call(|s, _| s.checkpoint(barrier.epoch, bytes(b"[]"), barrier.last))?;
        let lanes = self.lanes.iter().zip(&self.ended);
        self.ended_at_barrier = lanes.filter(|l| *l.1).map(|l| l.0.clone()).collect();
        self.out.barrier(barrier, &Upstream::default(), dropped);
        self.checkpoint = Some(barrier.epoch);
        Ok(())
    }

    fn poll_checkpoint(
        &mut self,
        epoch: u64,
        say: &mut dyn FnMut(Message),
    ) -> Result<bool, Trouble> {
        let ready = self.call(|s, out| s.checkpoint_poll(epoch, out))?;
        if let Some(state) = ready.into_option() {
            self.checkpoint = None;
            let mut tally = self.out.tally();
            if world::mistaken(Mistake::LateFatesToWrongEpoch) {
                let now = self.shared.counters[self.worker].account();
                tally = Tally {
                    received: now.consumed + now.filtered + now.dead_lettered + tally.dropped,
                    consumed: now.consumed,
                    filtered: now.filtered,
                    dead_lettered: now.dead_lettered,
                    ..tally
                };
            }
            let mut snapshot = self.snapshot(state.into_vec(), tally);
            snapshot.ended = std::mem::take(&mut self.ended_at_barrier);
            say(Message::Passed(self.id, epoch, snapshot));
        }
        Ok(true)
    }

    fn snapshot(&self, state: Vec<u8>, tally: Tally) -> Snapshot {
        Snapshot {
            plugin: shape::plugin(self.kind, self.plugin),
            version: 1,
            state,
            tally,
            ..Snapshot::default()
        }
    }
}
