//! One instance of a stage on a thread of its own: what is common to all kinds.

use std::sync::{Arc, mpsc::Sender};

use plugin_api::{
    Code, ContentType, StageError,
    abi::{
        root::{bytes, plain},
        services::{HostServices, OutHandle},
        stage::{Raw, StageBox, answer},
    },
    batch::monotonic_ns,
    context::Start,
    manifest::StageKind,
};

use super::{
    edge::{Control, Inbox},
    outbox::{Outbox, Torn},
    shared::{Phase, Services, StageShared},
    supervisor::{InstanceId, Message},
};
use crate::{
    config::OnCrash,
    loader::{self, registry::Planner},
};

/// Why an instance ends early.
#[derive(Debug)]
pub enum Trouble {
    /// The stage failed.
    Stage(StageError),
    /// The host is being torn down.
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

/// How a stage is made, and made again after a crash.
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
    /// Makes, plans, opens and restores.
    fn make(&self) -> Result<StageBox, StageError> {
        let mut stage = self.planner.create(self.kind, &self.plugin)?;
        loader::plan(&mut stage, &self.options, &self.inputs)?;
        let start =
            serde_json::to_vec(&self.start).map_err(|e| StageError::fatal(e.to_string()))?;
        plain(stage.open(self.services, bytes(&start)))?;
        plain(stage.restore(0, 0, abi_stable::std_types::ROption::RNone))?;
        Ok(stage)
    }
}

/// One instance of a stage.
pub struct Instance {
    pub id: InstanceId,
    pub recipe: Recipe,
    pub stage: Option<StageBox>,
    pub shared: Arc<StageShared>,
    pub inbox: Arc<Inbox>,
    pub out: Outbox,
    pub tell: Sender<Message>,
    pub on_crash: OnCrash,
    /// Port of each lane.
    pub lane_ports: Vec<u32>,
}

/// First wait after transient trouble, in nanoseconds; doubles up to [`RETRY_MAX_NS`].
const RETRY_MIN_NS: u64 = 100_000_000;
/// Longest wait after transient trouble, in nanoseconds.
const RETRY_MAX_NS: u64 = 30_000_000_000;

/// Waits between attempts, and words that are said once per trouble.
#[derive(Debug, Default)]
pub struct Retry {
    attempts: u32,
    said: String,
}

impl Retry {
    /// When to try again.
    pub fn after(&mut self, stage: &StageShared, e: &StageError) -> u64 {
        if self.said != e.message {
            let (host, stage) = (&*stage.host, &*stage.name);
            tracing::warn!(host, stage, "{}; waiting, and trying again", e.message);
            self.said.clone_from(&e.message);
        }
        stage.set_phase(Phase::Waiting);
        let own = RETRY_MIN_NS
            .saturating_mul(1 << self.attempts.min(16))
            .min(RETRY_MAX_NS);
        self.attempts += 1;
        let wait = e
            .retry_after
            .map_or(own, |d| u64::try_from(d.as_nanos()).unwrap_or(own));
        monotonic_ns() + wait
    }

    /// It went well.
    pub fn over(&mut self, stage: &StageShared) {
        if self.attempts > 0 {
            let (host, stage_name) = (&*stage.host, &*stage.name);
            tracing::info!(
                host,
                stage = stage_name,
                "goes on after {} attempts",
                self.attempts
            );
            *self = Self::default();
            stage.set_phase(Phase::Running);
        }
    }
}

impl Instance {
    /// The thread's whole life.
    pub fn run(mut self) {
        let ended = self.open_and_run();
        self.inbox.close();
        match ended {
            Ok(()) => {
                self.shared.set_phase(Phase::Closed);
                self.say(Message::Closed(self.id));
            }
            Err(Trouble::Torn) => self.say(Message::Closed(self.id)),
            Err(Trouble::Stage(e)) => {
                self.shared.set_phase(Phase::Failed);
                self.say(Message::Failed(self.id, e));
                self.say(Message::Closed(self.id));
            }
        }
    }

    fn open_and_run(&mut self) -> Result<(), Trouble> {
        let opened = self.open();
        if opened.is_ok() {
            self.shared.set_phase(Phase::Running);
            self.say(Message::Opened(self.id));
        }
        if self.recipe.kind != StageKind::Source {
            opened?;
            return self.run_receiver();
        }
        if let Err(Trouble::Stage(e)) = &opened {
            self.shared.set_phase(Phase::Failed);
            self.say(Message::Failed(self.id, e.clone()));
        }
        if opened.is_err() {
            self.say(Message::SourceDone(self.id));
        }
        self.run_source(opened.is_ok())
    }

    pub fn say(&self, message: Message) {
        // Nobody listens any more: the process ends.
        let _ = self.tell.send(message);
    }

    fn open(&mut self) -> Result<(), Trouble> {
        let mut retry = Retry::default();
        loop {
            match self.recipe.make() {
                Ok(stage) => {
                    self.stage = Some(stage);
                    retry.over(&self.shared);
                    return Ok(());
                }
                Err(e) if e.is_transient() => {
                    let at = retry.after(&self.shared, &e);
                    self.say(Message::OpenDelayed(self.id));
                    // A source that is not there yet has nothing to drain.
                    let until = match self.recipe.kind {
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
    }

    /// Makes the stage anew after a crash.
    pub fn reopen(&mut self) -> Result<(), Trouble> {
        // Only its destructor runs, inside the boundary.
        self.stage = None;
        self.open()
    }

    /// One call with `out`; what it emitted is sent afterwards, whatever it answered.
    pub fn call<T>(
        &mut self,
        f: impl FnOnce(&mut StageBox, &mut OutHandle<'_>) -> Raw<T>,
    ) -> Result<Result<T, StageError>, Torn> {
        let Some(stage) = self.stage.as_mut() else {
            return Ok(Err(StageError::fatal("the stage is closed")));
        };
        self.out.emitted_records = 0;
        let answer = plain(OutHandle::with(&mut self.out, |out| f(stage, out)));
        let fault = self.out.fault.take();
        self.out.flush()?;
        Ok(fault.map_or(answer, Err))
    }

    /// A call that is repeated while its trouble is transient.
    pub fn insist<T>(
        &mut self,
        mut f: impl FnMut(&mut StageBox, &mut OutHandle<'_>) -> Raw<T>,
    ) -> Result<T, Trouble> {
        let mut retry = Retry::default();
        loop {
            match self.call(&mut f)? {
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
        let mut wait_ns = 1_000_000;
        while !self.insist(|s, _| s.commit(epoch))? {
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
        self.insist(|s, _| s.close())
    }

    /// Whether a crash is survived by a new instance.
    pub fn survives(&self, e: &StageError) -> bool {
        e.code == Code::PANIC && self.on_crash == OnCrash::Restart
    }

    /// Aborts an epoch.
    pub fn abort(&mut self, epoch: u64) -> Result<(), Trouble> {
        self.insist(|s, _| s.abort(epoch))
    }

    /// A message of the engine that is the same for all kinds; whether it was one.
    pub fn common(&mut self, control: Control) -> Result<bool, Trouble> {
        match control {
            Control::Commit(epoch) => self.commit(epoch)?,
            Control::Abort(epoch) => self.abort(epoch)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `tick`'s answer as a deadline.
pub fn deadline(next: u64) -> u64 {
    if next == answer::NEVER {
        u64::MAX
    } else {
        next
    }
}

/// Services for an instance; they live as long as the process.
pub fn services(stage: Arc<StageShared>, host_index: usize, tell: Sender<Message>) -> HostServices {
    HostServices::new(Box::leak(Box::new(Services {
        stage,
        host_index,
        tell,
    })))
}
