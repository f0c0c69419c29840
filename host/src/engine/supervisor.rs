//! Opens the stages of all hosts (sinks first, sources last), watches them, drains upstream first,
//! and says how it ended. One thread; everything it learns comes as a [`Message`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use plugin_api::{Code, StageError, batch::monotonic_ns, manifest::StageKind};

use super::{
    Options, View,
    hosts::{self, HostRun},
    instance::Instance,
    outbox::STOPPED,
    region::{Life, Region, SOURCES},
    shared::StageShared,
    summary::{Failure, Report},
};
use crate::{
    checkpoint::{
        coordinator::{InstanceId, Order},
        epoch::Snapshot,
        store::WriteError,
    },
    config::{OnCrash, OnHang},
    plan::{Plan, Registry, StageRef},
};

/// How often calls are watched.
const WATCH: Duration = Duration::from_secs(1);

/// What instances and the outside tell the supervisor.
#[derive(Debug)]
pub enum Message {
    /// A sink is open and says which epoch is true, if it is the one to say.
    Recovered(InstanceId, Option<u64>),
    /// It is open and has its state.
    Opened(InstanceId),
    /// It met transient trouble while opening, and goes on trying.
    OpenDelayed(InstanceId),
    /// It failed.
    Failed(InstanceId, StageError),
    /// It crashed over one record alone, which will be kept away from it.
    PoisonFound(InstanceId),
    /// It has passed an epoch's barrier and everything before it is safe.
    Passed(InstanceId, u64, Snapshot),
    /// A source stands by an epoch, or not.
    Confirmed(InstanceId, u64, bool),
    /// It has committed an epoch.
    Committed(InstanceId, u64),
    /// A source reads nothing more: of itself, or because it was stopped.
    SourceDone(InstanceId, bool),
    /// Its thread ends.
    Closed(InstanceId),
    /// The epoch of a region is kept, or not.
    Stored {
        /// The region.
        region: usize,
        /// Which of its starts asked for it.
        start: u64,
        /// The epoch.
        epoch: u64,
        /// What became of it.
        written: Result<(), WriteError>,
    },
    /// A region must start again from its store.
    RegionFailed(usize, String),
    /// A stage of this region asks for an epoch soon.
    CheckpointWanted(usize),
    /// Drain and end.
    Stop,
}

/// Asks a running engine to drain and end.
#[derive(Debug, Clone)]
pub struct Stop(Sender<Message>);

impl Stop {
    /// Asks; more than once is the same as once.
    pub fn stop(&self) {
        // Nobody listens any more: it has ended.
        let _ = self.0.send(Message::Stop);
    }
}

/// A plan that runs.
pub struct Engine {
    hosts: Vec<HostRun>,
    regions: Vec<Region>,
    /// Host and region of each instance.
    home: BTreeMap<InstanceId, (usize, usize)>,
    /// Stages that write what a source reads.
    upstream: BTreeMap<InstanceId, Vec<StageRef>>,
    inbox: Receiver<Message>,
    sender: Sender<Message>,
    options: Options,
    healthy: Arc<AtomicBool>,
    failures: Vec<Failure>,
    stopping: bool,
    grace_over: Option<Instant>,
    /// Stages that had not drained when the grace was over.
    unfinished: Vec<String>,
    watched: Instant,
    /// Calls that were said to hang.
    hanging: BTreeSet<(InstanceId, u64)>,
}

impl Engine {
    /// Builds everything; nothing runs yet. The state of each host is locked for this process.
    ///
    /// # Errors
    /// The plan does not fit the plugins, or what earlier runs left cannot be used.
    pub fn new(plan: &Plan, registry: &Registry, options: Options) -> Result<Self, StageError> {
        let (sender, inbox) = channel();
        let built = hosts::build(plan, registry, &options, &sender)?;
        Ok(Self {
            hosts: built.hosts,
            regions: built.regions,
            home: built.home,
            upstream: built.upstream,
            inbox,
            sender,
            options,
            healthy: Arc::new(AtomicBool::new(true)),
            failures: Vec::new(),
            stopping: false,
            grace_over: None,
            unfinished: Vec::new(),
            watched: Instant::now(),
            hanging: BTreeSet::new(),
        })
    }

    /// What can be seen of the run.
    pub fn view(&self) -> View {
        let hosts = self
            .hosts
            .iter()
            .map(|h| (h.name.clone(), h.stages.clone()))
            .collect();
        View {
            hosts,
            regions: self.regions.iter().map(|r| r.shared.clone()).collect(),
            healthy: self.healthy.clone(),
        }
    }

    /// To ask for the end from elsewhere.
    pub fn stop_handle(&self) -> Stop {
        Stop(self.sender.clone())
    }

    /// Runs until all hosts are done.
    pub fn run(mut self) -> Report {
        let began = Instant::now();
        let ends = self.options.run_for.map(|d| began + d);
        self.start_classes();
        while !self.regions.iter().all(Region::is_over) {
            let now = Instant::now();
            if ends.is_some_and(|e| now >= e) && !self.stopping {
                self.stop();
            }
            if self.grace_over.is_some_and(|g| now >= g) {
                break;
            }
            self.watch(now);
            let now_ns = monotonic_ns();
            let mut again = false;
            for region in &mut self.regions {
                region.advance(now_ns);
                again |= region.start_again(now_ns, self.stopping);
            }
            if again {
                self.start_classes();
            }
            let due = self.regions.iter().filter_map(Region::due).min();
            let due = due.map_or(WATCH, |d| Duration::from_nanos(d.saturating_sub(now_ns)));
            let ends = ends.filter(|_| !self.stopping);
            let fixed = ends.into_iter().chain(self.grace_over).min();
            let fixed = fixed.map_or(WATCH, |f| f.saturating_duration_since(now));
            let wait = due.min(fixed).clamp(Duration::from_millis(1), WATCH);
            match self.inbox.recv_timeout(wait) {
                Ok(message) => self.learn(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for host in &self.hosts {
            host.mark_complete(&self.regions);
        }
        self.give_up();
        self.report(began.elapsed())
    }

    /// Grace is over: what has not drained is left; threads get a moment to end.
    fn give_up(&mut self) {
        for region in self.regions.iter_mut().filter(|r| !r.is_over()) {
            let host = region.shared.host.clone();
            let stages = region
                .alive
                .iter()
                .filter_map(|id| region.stage(*id))
                .map(|s| format!("{host}/{}", s.name));
            let stages: BTreeSet<String> = stages.collect();
            self.unfinished.extend(stages);
            region.give_up();
        }
        let until = Instant::now() + Duration::from_secs(1);
        while self.regions.iter().any(|r| !r.alive.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Message::Closed(id)) => {
                    if let Some(region) = self.region(id) {
                        region.closed(id);
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    fn report(self, took: Duration) -> Report {
        let mut letters = BTreeMap::new();
        for region in &self.regions {
            *letters
                .entry(region.letters.folder().to_owned())
                .or_insert(0) += region.letters.count();
        }
        let letters = letters.into_iter().filter(|(_, n)| *n > 0).collect();
        Report::new(&self.view(), self.failures, self.unfinished, letters, took)
    }

    /// Starts the next class of each region whose earlier ones are open.
    fn start_classes(&mut self) {
        // Sources begin when every sink of the process is there to be met, or takes its time.
        let settled = self.regions.iter().all(Region::sinks_settled);
        let mut failed = Vec::new();
        for (index, region) in self.regions.iter_mut().enumerate() {
            let sources = settled && !(self.stopping && region.is_beginning());
            if let Err(e) = region.start_classes(sources) {
                failed.push((index, e));
            }
        }
        for (index, e) in failed {
            self.region_failed(index, e);
        }
    }

    fn region(&mut self, id: InstanceId) -> Option<&mut Region> {
        let (_, region) = *self.home.get(&id)?;
        self.regions.get_mut(region)
    }

    fn learn(&mut self, message: Message) {
        match message {
            Message::Recovered(id, said) => {
                let Some((_, index)) = self.home.get(&id).copied() else {
                    return;
                };
                if let Err(e) = self.regions[index].recovered(id, said) {
                    self.region_failed(index, e);
                }
            }
            Message::Opened(id) => {
                if let Some(region) = self.region(id) {
                    region.is_open(id);
                }
                self.start_classes();
                // What it reads may have ended before it was open.
                self.drain_sources();
            }
            Message::OpenDelayed(id) => {
                if let Some(region) = self.region(id) {
                    region.settled.insert(id);
                }
                self.start_classes();
            }
            Message::Failed(id, e) => self.failed(id, e),
            Message::PoisonFound(id) => {
                if let Some(region) = self.region(id) {
                    region.poison_found();
                }
            }
            Message::Passed(id, epoch, snapshot) => {
                self.order(id, |r| r.coordinator.passed(id, epoch, snapshot));
            }
            Message::Confirmed(id, epoch, yes) => {
                self.order(id, |r| r.coordinator.confirmed(id, epoch, yes));
            }
            Message::Committed(id, epoch) => {
                self.order(id, |r| r.coordinator.committed(id, epoch));
            }
            Message::SourceDone(id, ended) => {
                if let Some(region) = self.region(id) {
                    region.source_done(id, ended);
                }
                self.start_classes();
            }
            Message::Closed(id) => {
                if let Some(region) = self.region(id) {
                    region.closed(id);
                }
                self.start_classes();
                self.drain_sources();
            }
            Message::Stored {
                region,
                start,
                epoch,
                written,
            } => {
                if let Some(region) = self.regions.get_mut(region) {
                    region.stored(start, epoch, written);
                }
            }
            Message::RegionFailed(region, why) => {
                self.region_failed(region, StageError::fatal(why));
            }
            Message::CheckpointWanted(region) => {
                if let Some(region) = self.regions.get_mut(region) {
                    region.coordinator.want();
                }
            }
            Message::Stop => self.stop(),
        }
    }

    fn order(&mut self, id: InstanceId, f: impl FnOnce(&mut Region) -> Option<Order>) {
        if let Some(region) = self.region(id).filter(|r| r.life == Life::Running) {
            let order = f(region);
            region.obey(order);
        }
    }

    /// A whole region is in trouble: it starts again, or is given up.
    fn region_failed(&mut self, index: usize, error: StageError) {
        let region = &mut self.regions[index];
        if region.life != Life::Running {
            return;
        }
        let host = region.shared.host.clone();
        if !region.is_beginning() && region.may_restart() {
            tracing::error!(host, "{error}; its stages start again from the last epoch");
            region.tear_down(None);
        } else {
            let stage = region.shared.name.clone();
            self.give_up_region(index, &stage, error);
        }
        self.drain_sources();
    }

    fn give_up_region(&mut self, index: usize, stage: &str, error: StageError) {
        self.healthy.store(false, Ordering::SeqCst);
        let region = &mut self.regions[index];
        let beginning = region.is_beginning();
        let host = region.shared.host.clone();
        tracing::error!(host, stage, "{error}");
        region.give_up();
        self.failures.push(Failure {
            host,
            stage: stage.into(),
            error,
        });
        if beginning {
            // A run that cannot begin as a whole ends, instead of half of it going on unseen.
            self.stop();
        }
    }

    fn failed(&mut self, id: InstanceId, error: StageError) {
        let Some((host, index)) = self.home.get(&id).copied() else {
            return;
        };
        let region = &mut self.regions[index];
        let Some(print) = region.print(id) else {
            return;
        };
        let (stage, on_crash) = (print.shared.clone(), print.on_crash);
        if region.life != Life::Running {
            // It falls with its region.
            region.survivor_failed(id);
            return;
        }
        let restarts = on_crash == OnCrash::Restart
            && !region.is_beginning()
            && !matches!(error.code, Code::CONFIG | Code::UNAVAILABLE | STOPPED);
        if restarts && region.may_restart() {
            if Instance::is_panic(&error) {
                stage.poison.set_careful(true);
            }
            let again = "its region starts again from the last epoch";
            tracing::error!(host = stage.host, stage = stage.name, "{error}; {again}");
            region.tear_down(Some(id));
            if self.stopping {
                region.hurry();
            }
        } else if restarts {
            let message = format!("{error}; it was started again too often in a row");
            let error = StageError { message, ..error };
            self.give_up_region(index, &stage.name, error);
        } else {
            self.fail_host(host, id, &stage, error);
        }
        self.drain_sources();
    }

    /// A failure that no restart mends ends the host. What a failed source has sent drains first,
    /// if it still answers.
    fn fail_host(&mut self, host: usize, id: InstanceId, stage: &StageShared, error: StageError) {
        self.healthy.store(false, Ordering::SeqCst);
        let (_, own) = self.home[&id];
        let beginning = self.regions[own].is_beginning();
        let drains = stage.kind == StageKind::Source && !Instance::is_panic(&error);
        for region in self.hosts[host].regions.clone() {
            let region = &mut self.regions[region];
            if drains {
                for source in region.classes[SOURCES].clone() {
                    if source != id {
                        region.drain_source(source);
                    }
                }
            } else {
                region.give_up();
            }
        }
        tracing::error!(host = stage.host, stage = stage.name, "{error}");
        self.failures.push(Failure {
            host: stage.host.clone(),
            stage: stage.name.clone(),
            error,
        });
        if beginning {
            self.stop();
        }
    }

    /// Names calls that do not come back, and ends their host if that is its policy.
    fn watch(&mut self, now: Instant) {
        if now.duration_since(self.watched) < WATCH {
            return;
        }
        self.watched = now;
        let now_ns = monotonic_ns();
        let mut hung = Vec::new();
        for (id, (host, region)) in &self.home {
            let region = &self.regions[*region];
            let Some(print) = region.print(*id).filter(|_| region.alive.contains(id)) else {
                continue;
            };
            let host = &self.hosts[*host];
            if let Some((call, since)) = print.shared.calls[print.worker].now() {
                let age = Duration::from_nanos(now_ns.saturating_sub(since));
                if age > host.call_timeout && self.hanging.insert((*id, since)) {
                    hung.push((*id, print.shared.clone(), call, age));
                }
            }
        }
        for (id, stage, call, age) in hung {
            let (host, _) = self.home[&id];
            let message = format!(
                "it hangs: its call `{call}` has not come back for {} s",
                age.as_secs()
            );
            if self.hosts[host].on_hang == OnHang::Wait {
                tracing::warn!(host = stage.host, stage = stage.name, "{message}");
                continue;
            }
            let error = StageError {
                code: STOPPED,
                ..StageError::fatal(message)
            };
            self.fail_host_of_hung(host, id, &stage, error);
        }
    }

    fn fail_host_of_hung(
        &mut self,
        host: usize,
        id: InstanceId,
        stage: &StageShared,
        error: StageError,
    ) {
        self.healthy.store(false, Ordering::SeqCst);
        for region in self.hosts[host].regions.clone() {
            self.regions[region].give_up();
        }
        if let Some(region) = self.region(id) {
            region.abandon(id);
        }
        tracing::error!(host = stage.host, stage = stage.name, "{error}");
        self.failures.push(Failure {
            host: stage.host.clone(),
            stage: stage.name.clone(),
            error,
        });
        self.drain_sources();
    }

    /// The end: sources that nothing in this process feeds stop; the others follow.
    fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.grace_over = Some(Instant::now() + self.options.grace);
        for region in &mut self.regions {
            region.hurry();
            if region.is_beginning() && !region.sources_started() {
                region.give_up();
            }
        }
        for host in &self.hosts {
            // Sinks learn it too: what waits for a partner from outside need not wait any more.
            for stage in host.stages.iter().filter(|s| s.kind != StageKind::Source) {
                stage.cancel.cancel();
            }
        }
        self.drain_sources();
    }

    /// Tells sources to drain whose turn it is: all that write what they read are closed.
    fn drain_sources(&mut self) {
        let closed = |s: &StageRef| {
            self.hosts.get(s.host).is_none_or(|h| {
                !h.regions.iter().any(|r| {
                    let r = &self.regions[*r];
                    let mut alive = r.alive.iter();
                    alive.any(|id| r.stage_of.get(id) == Some(&s.stage))
                })
            })
        };
        let mut due = Vec::new();
        for (index, region) in self.regions.iter().enumerate() {
            for id in &region.classes[SOURCES] {
                let ripe = match self.upstream.get(id) {
                    Some(from) => from.iter().all(closed),
                    None => self.stopping,
                };
                if ripe && region.sources_started() {
                    due.push((index, *id));
                }
            }
        }
        for (region, id) in due {
            self.regions[region].drain_source(id);
        }
    }
}
