//! One instance of a stage on a thread of its own: what is common to all kinds.

use std::sync::{Arc, mpsc::Sender};

use abi_stable::std_types::{ROption, RSlice};
use plugin_api::{
    Code, ContentType, StageError,
    abi::{
        root::{bytes, plain},
        services::{HostServices, OutHandle},
        stage::{Raw, StageBox},
    },
    batch::monotonic_ns,
    context::Start,
    manifest::StageKind,
};

use super::{
    edge::{Birth, Control, Event, Inbox},
    outbox::{Outbox, Torn, Wiring},
    retry::Retry,
    shared::{CallName, Phase, Services, StageShared},
    supervisor::Message,
};
use crate::{
    checkpoint::{
        coordinator::InstanceId,
        epoch::{Snapshot, Tally},
    },
    config::OnCrash,
    loader::{self, registry::Planner},
};

/// Why an instance ends early.
#[derive(Debug)]
pub enum Trouble {
    /// The stage failed.
    Stage(StageError),
    /// The region is being torn down.
    Torn,
}

impl From<Torn> for Trouble {
    fn from(_: Torn) -> Self {
        Self::Torn
    }
}

impl From<StageError> for Trouble {
    fn from(e: StageError) -> Self {
        Self::Stage(e)
    }
}

/// How a stage is made.
#[derive(Clone)]
pub struct Recipe {
    pub planner: Arc<dyn Planner>,
    pub kind: StageKind,
    pub plugin: String,
    pub options: Vec<u8>,
    pub inputs: Vec<ContentType>,
    pub start: Start,
    pub services: HostServices,
}

impl Recipe {
    /// Makes, plans and opens.
    fn make(&self) -> Result<StageBox, StageError> {
        let mut stage = self.planner.create(self.kind, &self.plugin)?;
        loader::plan(&mut stage, &self.options, &self.inputs)?;
        let start =
            serde_json::to_vec(&self.start).map_err(|e| StageError::fatal(e.to_string()))?;
        plain(stage.open(self.services, bytes(&start)))?;
        Ok(stage)
    }
}

/// A lane of an instance's inbox.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The input port that it belongs to.
    pub port: u32,
    /// Its [name](crate::checkpoint::shape::lane).
    pub name: String,
}

/// All that is needed to make an instance, again and again.
#[derive(Clone)]
pub struct Blueprint {
    pub id: InstanceId,
    /// Its [name](crate::checkpoint::shape::instance).
    pub name: String,
    /// Number of its region.
    pub region: usize,
    pub recipe: Recipe,
    pub shared: Arc<StageShared>,
    pub worker: usize,
    pub wiring: Wiring,
    pub lanes: Vec<Lane>,
    pub tell: Sender<Message>,
    pub on_crash: OnCrash,
    pub state_version: u32,
    /// A source that reads nothing in this run: its state is carried along as it is.
    pub parked: bool,
}

/// One instance of a stage.
pub struct Instance {
    pub print: Blueprint,
    pub id: InstanceId,
    pub stage: Option<StageBox>,
    pub shared: Arc<StageShared>,
    pub inbox: Arc<Inbox>,
    pub out: Outbox,
    /// Where it starts; none: it is told after it has said which epoch is true.
    birth: Option<Birth>,
    /// Epochs that may be true.
    epochs: Vec<u64>,
}

impl Instance {
    pub fn new(print: Blueprint, birth: Option<Birth>, epochs: Vec<u64>) -> Self {
        Self {
            id: print.id,
            stage: None,
            shared: print.shared.clone(),
            inbox: print.shared.inboxes[print.worker].clone(),
            out: Outbox::new(print.wiring.clone()),
            birth,
            epochs,
            print,
        }
    }

    pub fn kind(&self) -> StageKind {
        self.print.recipe.kind
    }

    /// The thread's whole life.
    pub fn run(mut self) {
        let ended = self.open_and_run();
        // A stage that was given up goes before anybody hears of it, so that what it holds is free.
        self.stage = None;
        self.inbox.close();
        match ended {
            Ok(()) => self.shared.set_phase(Phase::Closed),
            Err(Trouble::Torn) => {}
            Err(Trouble::Stage(e)) => {
                self.shared.set_phase(Phase::Failed);
                self.say(Message::Failed(self.id, e));
            }
        }
        self.say(Message::Closed(self.id));
    }

    fn open_and_run(&mut self) -> Result<(), Trouble> {
        let opened = match self.birth.clone().filter(|_| self.print.parked) {
            Some(birth) => {
                self.count_on(&birth);
                Ok(birth)
            }
            None => self.open(),
        };
        if opened.is_ok() {
            self.shared.set_phase(Phase::Running);
            self.say(Message::Opened(self.id));
        }
        if self.kind() != StageKind::Source {
            return self.run_receiver(&opened?);
        }
        match opened {
            Ok(birth) => self.run_source(Some(&birth)),
            Err(trouble) => {
                if let Trouble::Stage(e) = &trouble {
                    self.shared.set_phase(Phase::Failed);
                    self.say(Message::Failed(self.id, e.clone()));
                }
                self.say(Message::SourceDone(self.id, false));
                self.run_source(None)
            }
        }
    }

    pub fn say(&self, message: Message) {
        // Nobody listens any more: the process ends.
        let _ = self.print.tell.send(message);
    }

    fn open(&mut self) -> Result<Birth, Trouble> {
        let mut retry = Retry::default();
        loop {
            let made = self.shared.calls[self.print.worker]
                .watched(CallName::Open, || self.print.recipe.make());
            match made {
                Ok(stage) => {
                    self.stage = Some(stage);
                    retry.over(&self.shared);
                    break;
                }
                Err(e) if e.is_transient() => {
                    let at = retry.after(&self.shared, &e);
                    self.say(Message::OpenDelayed(self.id));
                    // A source that is not there yet has nothing to drain.
                    let until = match self.kind() {
                        StageKind::Source => &self.shared.cancel,
                        StageKind::Processor | StageKind::Sink => &self.shared.torn,
                    };
                    if !until.sleep_until(at) {
                        return Err(Trouble::Torn);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        let birth = self.settle_birth()?;
        self.restore(&birth)?;
        Ok(birth)
    }

    /// Says which epoch is true, if this stage is the one to say, and waits for the decision.
    fn settle_birth(&mut self) -> Result<Birth, Trouble> {
        let epochs = self.epochs.clone();
        let said = self.insist(CallName::Recover, |s, _| {
            s.recover(RSlice::from_slice(&epochs))
        })?;
        if let Some(birth) = self.birth.clone() {
            return Ok(birth);
        }
        let said = said.mine.then_some(said.epoch);
        self.say(Message::Recovered(self.id, said));
        loop {
            match self.inbox.next(u64::MAX) {
                Event::Torn => return Err(Trouble::Torn),
                Event::Control(Control::Restore(birth)) => {
                    self.birth = Some(birth.clone());
                    return Ok(birth);
                }
                _ => {}
            }
        }
    }

    fn restore(&mut self, birth: &Birth) -> Result<(), Trouble> {
        let snapshot = birth.snapshot.clone();
        self.insist(CallName::Restore, |s, _| {
            let state = snapshot.as_ref().map(|s| RSlice::from_slice(&s.state));
            let version = snapshot.as_ref().map_or(0, |s| s.version);
            s.restore(
                birth.epoch,
                version,
                state.map_or(ROption::RNone, ROption::RSome),
            )
        })?;
        self.count_on(birth);
        Ok(())
    }

    fn count_on(&mut self, birth: &Birth) {
        if let Some(tally) = &birth.tally {
            self.out.restore(birth.epoch, tally);
        }
    }

    /// Its part of the epoch that it was to start from.
    pub fn inherited(&self) -> Option<&Arc<Snapshot>> {
        self.birth.as_ref()?.snapshot.as_ref()
    }

    /// What this instance says at a barrier.
    pub fn snapshot(&self, state: Vec<u8>, tally: Tally) -> Snapshot {
        Snapshot {
            plugin: crate::checkpoint::shape::plugin(self.kind(), &self.print.recipe.plugin),
            version: self.print.state_version,
            state,
            tally,
            ..Snapshot::default()
        }
    }

    /// One call with `out`; what it emitted is sent afterwards, whatever it answered.
    pub fn call<T>(
        &mut self,
        name: CallName,
        f: impl FnOnce(&mut StageBox, &mut OutHandle<'_>) -> Raw<T>,
    ) -> Result<Result<T, StageError>, Torn> {
        let Some(stage) = self.stage.as_mut() else {
            return Ok(Err(StageError::fatal("the stage is closed")));
        };
        self.out.emitted_records = 0;
        let call = &self.shared.calls[self.print.worker];
        let answer = call.watched(name, || {
            plain(OutHandle::with(&mut self.out, |out| f(stage, out)))
        });
        let fault = self.out.fault.take();
        self.out.flush()?;
        Ok(fault.map_or(answer, Err))
    }

    /// A call that is repeated while its trouble is transient.
    pub fn insist<T>(
        &mut self,
        name: CallName,
        mut f: impl FnMut(&mut StageBox, &mut OutHandle<'_>) -> Raw<T>,
    ) -> Result<T, Trouble> {
        let mut retry = Retry::default();
        loop {
            match self.call(name, &mut f)? {
                Ok(v) => {
                    retry.over(&self.shared);
                    return Ok(v);
                }
                Err(e) if e.is_transient() => {
                    let at = retry.after(&self.shared, &e);
                    if !self.shared.torn.sleep_until(at) {
                        return Err(Trouble::Torn);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Commits an epoch, asking until it is done.
    pub fn commit(&mut self, epoch: u64) -> Result<(), Trouble> {
        self.out.forget(epoch);
        let mut wait_ns = 1_000_000;
        while !self.insist(CallName::Commit, |s, _| s.commit(epoch))? {
            if !self.shared.torn.sleep_until(monotonic_ns() + wait_ns) {
                return Err(Trouble::Torn);
            }
            wait_ns = (wait_ns * 2).min(100_000_000);
        }
        self.say(Message::Committed(self.id, epoch));
        Ok(())
    }

    /// The last call.
    pub fn close(&mut self) -> Result<(), Trouble> {
        self.insist(CallName::Close, |s, _| s.close())
    }

    /// A message of the engine that is the same for all kinds; whether it was one.
    pub fn common(&mut self, control: Control) -> Result<bool, Trouble> {
        match control {
            Control::Commit(epoch) => self.commit(epoch)?,
            Control::Abort(epoch) => self.insist(CallName::Abort, |s, _| s.abort(epoch))?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether author's code panicked.
    pub fn is_panic(e: &StageError) -> bool {
        e.code == Code::PANIC
    }
}

/// Services for an instance; they live as long as the process.
pub fn services(stage: Arc<StageShared>, region: usize, tell: Sender<Message>) -> HostServices {
    HostServices::new(Box::leak(Box::new(Services {
        stage,
        region,
        tell,
    })))
}
