//! Opens the stages of all hosts (sinks first, sources last), asks for epochs, drains upstream
//! first, and says how it ended. One thread; everything it learns comes as a [`Message`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use plugin_api::{StageError, manifest::StageKind};

use super::{
    Options, View,
    build::{self, BuiltHost},
    edge::Control,
    epoch::{Epochs, Order},
    instance::Instance,
    shared::StageShared,
    summary::{Failure, Report},
};
use crate::{
    checkpoint::dead_letters::DeadLetters,
    plan::{Plan, Registry, StageRef},
};

/// Number of an instance, unique in the process.
pub type InstanceId = usize;

/// What instances and the outside tell the supervisor.
#[derive(Debug)]
pub enum Message {
    /// It is open.
    Opened(InstanceId),
    /// It met transient trouble while opening, and goes on trying.
    OpenDelayed(InstanceId),
    /// It failed.
    Failed(InstanceId, StageError),
    /// It has passed an epoch's barrier and everything before it is safe.
    Passed(InstanceId, u64),
    /// A source stands by an epoch, or not.
    Confirmed(InstanceId, u64, bool),
    /// It has committed an epoch.
    Committed(InstanceId, u64),
    /// A source reads nothing more.
    SourceDone(InstanceId),
    /// Its thread ends.
    Closed(InstanceId),
    /// A stage of this host asks for an epoch soon.
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

/// Order in which stages are opened and committed.
const CLASSES: [StageKind; 3] = [StageKind::Sink, StageKind::Processor, StageKind::Source];
const SOURCES: usize = 2;

struct HostRun {
    name: String,
    stages: Vec<Arc<StageShared>>,
    /// Stage of each instance.
    stage_of: BTreeMap<InstanceId, usize>,
    classes: [Vec<InstanceId>; 3],
    /// Not started yet, by class.
    unborn: [Vec<Instance>; 3],
    /// Next class to be started.
    next_class: usize,
    opened: BTreeSet<InstanceId>,
    /// Opened, or known to take its time.
    settled: BTreeSet<InstanceId>,
    alive: BTreeSet<InstanceId>,
    sources_left: BTreeSet<InstanceId>,
    drained: BTreeSet<InstanceId>,
    epochs: Epochs,
    torn: bool,
    letters: Arc<DeadLetters>,
}

impl HostRun {
    fn new(name: &str, built: BuiltHost, interval: Duration) -> Self {
        let mut classes: [Vec<InstanceId>; 3] = Default::default();
        let mut unborn: [Vec<Instance>; 3] = Default::default();
        let mut stage_of = BTreeMap::new();
        for (stage, instance) in built.instances {
            let class = CLASSES
                .iter()
                .position(|k| *k == built.stages[stage].kind)
                .unwrap_or(SOURCES);
            classes[class].push(instance.id);
            stage_of.insert(instance.id, stage);
            unborn[class].push(instance);
        }
        Self {
            name: name.into(),
            sources_left: classes[SOURCES].iter().copied().collect(),
            alive: stage_of.keys().copied().collect(),
            epochs: Epochs::new(classes.clone(), interval),
            stages: built.stages,
            stage_of,
            classes,
            unborn,
            next_class: 0,
            opened: BTreeSet::new(),
            settled: BTreeSet::new(),
            drained: BTreeSet::new(),
            torn: false,
            letters: built.letters,
        }
    }

    fn shared(&self, id: InstanceId) -> Option<&Arc<StageShared>> {
        self.stage_of.get(&id).map(|s| &self.stages[*s])
    }

    fn tell(&self, id: InstanceId, control: Control) {
        let Some(shared) = self.shared(id) else {
            return;
        };
        let Some(first) = self
            .stage_of
            .iter()
            .find(|(_, s)| self.stage_of.get(&id) == Some(s))
        else {
            return;
        };
        // Instances of a stage are numbered in a row.
        shared.inboxes[id - first.0].tell(control);
    }

    fn obey(&self, order: Option<Order>) {
        let Some(order) = order else { return };
        for id in order.to {
            self.tell(id, order.control);
        }
    }

    /// Whether all instances up to the class that was started last are open.
    fn all_open(&self) -> bool {
        self.classes[..self.next_class]
            .iter()
            .flatten()
            .all(|id| self.opened.contains(id))
    }

    fn sources_started(&self) -> bool {
        self.next_class > SOURCES
    }

    /// Gives up what it has.
    fn tear(&mut self) {
        self.torn = true;
        self.stages.iter().for_each(|s| s.tear());
        for instance in self.unborn.iter_mut().flat_map(std::mem::take) {
            self.alive.remove(&instance.id);
            self.sources_left.remove(&instance.id);
        }
    }

    fn drain_source(&mut self, id: InstanceId) {
        if !self.drained.insert(id) {
            return;
        }
        if self.opened.contains(&id) {
            self.tell(id, Control::Drain);
        } else if let Some(shared) = self.shared(id) {
            // Still on its way in: that is called off.
            shared.cancel.cancel();
        }
    }
}

/// A plan that runs.
pub struct Engine {
    hosts: Vec<HostRun>,
    /// Stages that write what a source reads.
    upstream: BTreeMap<InstanceId, Vec<StageRef>>,
    host_of: BTreeMap<InstanceId, usize>,
    inbox: Receiver<Message>,
    sender: Sender<Message>,
    options: Options,
    healthy: Arc<AtomicBool>,
    failures: Vec<Failure>,
    stopping: bool,
    grace_over: Option<Instant>,
    /// Stages that had not drained when the grace was over.
    unfinished: Vec<String>,
}

impl Engine {
    /// Builds everything; nothing runs yet.
    ///
    /// # Errors
    /// The plan does not fit the plugins.
    pub fn new(plan: &Plan, registry: &Registry, options: Options) -> Result<Self, StageError> {
        let (sender, inbox) = channel();
        let (mut hosts, mut host_of, mut upstream) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (index, host) in plan.hosts.iter().enumerate() {
            let built = build::host(plan, index, registry, host_of.len(), &sender)?;
            for (stage, instance) in &built.instances {
                host_of.insert(instance.id, index);
                let from = &host.stages[*stage].upstream;
                if !from.is_empty() {
                    upstream.insert(instance.id, from.clone());
                }
            }
            hosts.push(HostRun::new(&host.name, built, host.checkpoint_interval));
        }
        Ok(Self {
            hosts,
            upstream,
            host_of,
            inbox,
            sender,
            options,
            healthy: Arc::new(AtomicBool::new(true)),
            failures: Vec::new(),
            stopping: false,
            grace_over: None,
            unfinished: Vec::new(),
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
        while self.hosts.iter().any(|h| !h.alive.is_empty()) {
            let now = Instant::now();
            if ends.is_some_and(|e| now >= e) && !self.stopping {
                self.stop();
            }
            if self.grace_over.is_some_and(|g| now >= g) {
                break;
            }
            for host in &mut self.hosts {
                let end = host.sources_started() && host.sources_left.is_empty();
                if host.all_open() || end {
                    let order = host.epochs.advance(now, end);
                    host.obey(order);
                }
            }
            let due = self
                .hosts
                .iter()
                .filter(|h| h.all_open())
                .filter_map(|h| h.epochs.due());
            let ends = ends.filter(|_| !self.stopping);
            let until = due.chain(ends).chain(self.grace_over).min();
            let wait = until.map_or(Duration::from_secs(3600), |u| {
                u.saturating_duration_since(now)
            });
            match self.inbox.recv_timeout(wait.max(Duration::from_millis(1))) {
                Ok(message) => self.learn(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.give_up();
        self.report(began.elapsed())
    }

    /// Grace is over: what has not drained is left; threads get a moment to end.
    fn give_up(&mut self) {
        for host in &self.hosts {
            let stages = host
                .alive
                .iter()
                .filter_map(|id| host.stage_of.get(id).copied());
            let stages: BTreeSet<usize> = stages.collect();
            let named = stages
                .into_iter()
                .map(|s| format!("{}/{}", host.name, host.stages[s].name));
            self.unfinished.extend(named);
        }
        self.hosts
            .iter_mut()
            .filter(|h| !h.alive.is_empty())
            .for_each(HostRun::tear);
        let until = Instant::now() + Duration::from_secs(1);
        while self.hosts.iter().any(|h| !h.alive.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(message) => self.learn(message),
                Err(_) => break,
            }
        }
    }

    fn report(self, took: Duration) -> Report {
        for host in &self.hosts {
            if let Err(e) = host.letters.flush() {
                tracing::error!(host = host.name, "dead letters cannot be made durable: {e}");
            }
        }
        let letters = self
            .hosts
            .iter()
            .filter_map(|h| h.letters.written())
            .collect();
        Report::new(&self.view(), self.failures, self.unfinished, letters, took)
    }

    /// Starts the next class of each host whose earlier ones are open.
    fn start_classes(&mut self) {
        // Sources begin when every sink of the process is there to be met, or takes its time.
        let sinks_settled = self
            .hosts
            .iter()
            .all(|h| h.torn || h.classes[0].iter().all(|id| h.settled.contains(id)));
        for host in &mut self.hosts {
            while !host.torn
                && host.next_class < CLASSES.len()
                && host.all_open()
                && (host.next_class != SOURCES || (sinks_settled && !self.stopping))
            {
                let born = std::mem::take(&mut host.unborn[host.next_class]);
                host.next_class += 1;
                for instance in born {
                    let (id, name) = (
                        instance.id,
                        format!("{}/{}", host.name, instance.shared.name),
                    );
                    // Linux shows 15 bytes of it; the rest serves panics and debuggers.
                    let spawned = std::thread::Builder::new()
                        .name(name)
                        .spawn(move || instance.run());
                    if let Err(e) = spawned {
                        let e = StageError::fatal(format!("no thread can be started: {e}"));
                        let _ = self.sender.send(Message::Failed(id, e));
                        let _ = self.sender.send(Message::Closed(id));
                    }
                }
            }
        }
    }

    fn host(&mut self, id: InstanceId) -> Option<&mut HostRun> {
        let host = *self.host_of.get(&id)?;
        self.hosts.get_mut(host)
    }

    fn learn(&mut self, message: Message) {
        match message {
            Message::Opened(id) => {
                if let Some(host) = self.host(id) {
                    host.opened.insert(id);
                    host.settled.insert(id);
                    if host.drained.contains(&id) {
                        host.tell(id, Control::Drain);
                    }
                }
                self.start_classes();
                // What it reads may have ended before it was open.
                self.drain_sources();
            }
            Message::OpenDelayed(id) => {
                if let Some(host) = self.host(id) {
                    host.settled.insert(id);
                }
                self.start_classes();
            }
            Message::Failed(id, e) => self.failed(id, e),
            Message::Passed(id, epoch) => self.order(id, |e| e.passed(id, epoch)),
            Message::Confirmed(id, epoch, yes) => self.order(id, |e| e.confirmed(id, epoch, yes)),
            Message::Committed(id, epoch) => self.order(id, |e| e.committed(id, epoch)),
            Message::SourceDone(id) => {
                if let Some(host) = self.host(id) {
                    host.sources_left.remove(&id);
                    host.opened.insert(id);
                    host.settled.insert(id);
                }
            }
            Message::Closed(id) => {
                if let Some(host) = self.host(id) {
                    host.alive.remove(&id);
                    host.sources_left.remove(&id);
                    host.settled.insert(id);
                }
                self.start_classes();
                self.drain_sources();
            }
            Message::CheckpointWanted(host) => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.epochs.want();
                }
            }
            Message::Stop => self.stop(),
        }
    }

    fn order(&mut self, id: InstanceId, f: impl FnOnce(&mut Epochs) -> Option<Order>) {
        if let Some(host) = self.host(id) {
            let order = f(&mut host.epochs);
            host.obey(order);
        }
    }

    fn failed(&mut self, id: InstanceId, error: StageError) {
        self.healthy.store(false, Ordering::SeqCst);
        let Some(host) = self.host(id) else { return };
        let Some(shared) = host.shared(id).cloned() else {
            return;
        };
        let starting = !host.opened.contains(&id);
        if shared.kind == StageKind::Source {
            // What it has sent still reaches the sinks.
            for source in host.classes[SOURCES].clone() {
                if source != id {
                    host.drain_source(source);
                }
            }
        } else {
            host.tear();
        }
        tracing::error!(host = shared.host, stage = shared.name, "{error}");
        self.failures.push(Failure {
            host: shared.host.clone(),
            stage: shared.name.clone(),
            error,
        });
        if starting {
            // A run that cannot begin as a whole ends, instead of half of it going on unseen.
            self.stop();
        }
        self.drain_sources();
    }

    /// The end: sources that nothing in this process feeds stop; the others follow.
    fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.grace_over = Some(Instant::now() + self.options.grace);
        for host in &mut self.hosts {
            if !host.sources_started() {
                host.tear();
            }
            // Sinks learn it too: what waits for a partner from outside need not wait any more.
            for stage in host.stages.iter().filter(|s| s.kind != StageKind::Source) {
                stage.cancel.cancel();
            }
        }
        self.drain_sources();
    }

    /// Tells sources to drain whose turn it is: all that write what they read are closed.
    fn drain_sources(&mut self) {
        let closed = |hosts: &[HostRun], s: &StageRef| {
            hosts.get(s.host).is_none_or(|h| {
                !h.stage_of
                    .iter()
                    .any(|(id, stage)| *stage == s.stage && h.alive.contains(id))
            })
        };
        let mut due = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            for id in &host.classes[SOURCES] {
                let ripe = match self.upstream.get(id) {
                    Some(from) => from.iter().all(|s| closed(&self.hosts, s)),
                    None => self.stopping,
                };
                if ripe && host.sources_started() {
                    due.push((index, *id));
                }
            }
        }
        for (host, id) in due {
            self.hosts[host].drain_source(id);
        }
    }
}
