//! One region: stages joined by edges in memory, which start, pass epochs and, after a crash, start
//! again together from the last durable one. The supervisor tells it what happened and when.

mod birth;
mod epochs;
mod restart;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc::Sender,
    },
    time::Duration,
};

use plugin_api::{StageError, batch::monotonic_ns, manifest::StageKind};

use super::{
    build::BuiltRegion,
    edge::Control,
    instance::{Blueprint, Instance},
    live,
    shared::StageShared,
    supervisor::Message,
};
use crate::checkpoint::{
    coordinator::{Coordinator, InstanceId},
    dead_letters::DeadLetters,
    epoch::{Epoch, Snapshot},
    inherit::Inherited,
    store::Store,
};

/// Order in which stages are opened and committed.
const CLASSES: [StageKind; 3] = [StageKind::Sink, StageKind::Processor, StageKind::Source];
/// The class of the sources.
pub const SOURCES: usize = 2;

/// What is known of a region's epochs from outside.
#[derive(Debug, Default)]
pub struct RegionShared {
    pub host: String,
    pub name: String,
    /// The last durable epoch.
    pub epoch: AtomicU64,
    /// When it became durable, microseconds since 1970.
    pub at_us: AtomicI64,
    /// Size of its file in bytes.
    pub bytes: AtomicU64,
    /// How long it took from its barrier to its last commit.
    pub took_ns: AtomicU64,
    /// How often the region was started again.
    pub restarts: AtomicU64,
    /// It has crashed and is not whole again yet.
    pub restarting: AtomicBool,
}

/// What a region does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It starts or runs.
    Running,
    /// Its instances end, to be started again.
    Tearing,
    /// It waits before it starts again.
    Waiting {
        /// Until then.
        until_ns: u64,
    },
    /// It was given up.
    GivenUp,
}

/// The epoch that a region starts from.
#[derive(Debug, Clone, Default)]
struct Decided {
    epoch: u64,
    content: Option<Arc<Epoch>>,
    /// The accounts go on from it.
    counts_on: bool,
    /// What holds whether it is gone on with or not: positions of replays and of parked sources.
    kept: BTreeMap<String, Snapshot>,
}

/// A region that runs.
pub struct Region {
    index: usize,
    pub stages: Vec<Arc<StageShared>>,
    prints: BTreeMap<InstanceId, Blueprint>,
    /// Stage of each instance, by its index in the host.
    pub stage_of: BTreeMap<InstanceId, usize>,
    pub classes: [Vec<InstanceId>; 3],
    pub life: Life,
    /// Next class to be started.
    next_class: usize,
    pub opened: BTreeSet<InstanceId>,
    /// Opened, or known to take its time.
    pub settled: BTreeSet<InstanceId>,
    pub alive: BTreeSet<InstanceId>,
    pub sources_left: BTreeSet<InstanceId>,
    /// Sources that came to their end by themselves.
    ended: BTreeSet<InstanceId>,
    drained: BTreeSet<InstanceId>,
    /// Live sources that outlive the restart under way.
    survivors: BTreeSet<InstanceId>,
    recovered: BTreeMap<InstanceId, Option<u64>>,
    decided: Option<Decided>,
    /// Everything was open once since the last start.
    whole: bool,
    /// Everything was open once since the process began.
    began: bool,
    pub coordinator: Coordinator,
    store: Store,
    /// The newest epoch when the process began, here or at a sink.
    found: Option<u64>,
    /// The epoch with which a complete run of the host ended.
    complete: Option<u64>,
    /// The epoch that this process started from; 0: none.
    begun_from: u64,
    pub letters: Arc<DeadLetters>,
    pub shared: Arc<RegionShared>,
    restarts: u32,
    /// The last crash found a record that will be kept away from the stage.
    poison_found: bool,
    started_ns: u64,
    /// Counts starts, so that what an earlier one asked for is known to be stale.
    start: u64,
    /// A thread writes an epoch. Until it is done nobody can say which one is true.
    keeping: bool,
    tell: Sender<Message>,
}

impl Region {
    /// A region whose stages are those of `stages` that it names.
    pub fn new(
        index: usize,
        host: &str,
        stages: &[Arc<StageShared>],
        built: BuiltRegion,
        inherited: Inherited,
        interval: Duration,
        tell: Sender<Message>,
    ) -> std::io::Result<Self> {
        let mut classes: [Vec<InstanceId>; 3] = Default::default();
        let (mut stage_of, mut prints) = (BTreeMap::new(), BTreeMap::new());
        let mut names = BTreeMap::new();
        for (stage, print) in built.prints {
            let class = CLASSES.iter().position(|k| *k == print.shared.kind);
            classes[class.unwrap_or(SOURCES)].push(print.id);
            stage_of.insert(print.id, stage);
            names.insert(print.id, print.name.clone());
            prints.insert(print.id, print);
        }
        let Inherited {
            store, complete, ..
        } = inherited;
        let found = store.numbers()?.first().copied();
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let shared = RegionShared {
            host: host.into(),
            name: built.shape.folder(),
            epoch: AtomicU64::new(found.unwrap_or(0)),
            ..RegionShared::default()
        };
        Ok(Self {
            index,
            stages: stages.to_vec(),
            coordinator: Coordinator::new(classes.clone(), names, interval_ns, monotonic_ns()),
            sources_left: classes[SOURCES].iter().copied().collect(),
            alive: stage_of.keys().copied().collect(),
            prints,
            stage_of,
            classes,
            life: Life::Running,
            next_class: 0,
            opened: BTreeSet::new(),
            settled: BTreeSet::new(),
            ended: BTreeSet::new(),
            drained: BTreeSet::new(),
            survivors: BTreeSet::new(),
            recovered: BTreeMap::new(),
            decided: None,
            whole: false,
            began: false,
            store,
            found,
            complete,
            begun_from: 0,
            letters: built.letters,
            shared: Arc::new(shared),
            restarts: 0,
            poison_found: false,
            started_ns: monotonic_ns(),
            start: 0,
            keeping: false,
            tell,
        })
    }

    /// Its last epoch, if this run came to its end and all have committed it.
    pub fn completed(&self) -> Option<u64> {
        self.coordinator.complete().filter(|_| !self.is_given_up())
    }

    /// The stages of this region.
    fn own_stages(&self) -> impl Iterator<Item = &Arc<StageShared>> {
        let own: BTreeSet<usize> = self.stage_of.values().copied().collect();
        own.into_iter().map(|s| &self.stages[s])
    }

    /// The stage of an instance.
    pub fn stage(&self, id: InstanceId) -> Option<&Arc<StageShared>> {
        self.prints.get(&id).map(|p| &p.shared)
    }

    /// The blueprint of an instance.
    pub fn print(&self, id: InstanceId) -> Option<&Blueprint> {
        self.prints.get(&id)
    }

    /// Tells an instance something.
    pub fn tell(&self, id: InstanceId, control: Control) {
        if let Some(print) = self.prints.get(&id) {
            print.shared.inboxes[print.worker].tell(control);
        }
    }

    /// Whether it was given up, so that nothing of it counts any more.
    pub fn is_given_up(&self) -> bool {
        self.life == Life::GivenUp
    }

    /// Whether nothing of it is left to be done.
    pub fn is_over(&self) -> bool {
        self.alive.is_empty() && matches!(self.life, Life::Running | Life::GivenUp)
    }

    /// Whether all instances up to the class that was started last are open.
    pub fn all_open(&self) -> bool {
        self.classes[..self.next_class]
            .iter()
            .flatten()
            .all(|id| self.opened.contains(id))
    }

    /// Whether every class was started.
    pub fn sources_started(&self) -> bool {
        self.next_class > SOURCES
    }

    /// Whether nothing has been running as a whole yet.
    pub fn is_beginning(&self) -> bool {
        !self.began
    }

    /// Whether its sinks are there to be met, or take their time.
    pub fn sinks_settled(&self) -> bool {
        self.is_given_up() || self.classes[0].iter().all(|id| self.settled.contains(id))
    }

    /// Starts the classes whose turn it is. `sources`: they may start as well.
    pub fn start_classes(&mut self, sources: bool) -> Result<(), StageError> {
        while self.life == Life::Running
            && self.next_class < CLASSES.len()
            && self.all_open()
            && (self.next_class != SOURCES || sources)
        {
            if self.next_class > 0 || self.classes[0].is_empty() {
                self.decide()?;
            }
            let class = self.next_class;
            self.next_class += 1;
            for id in self.classes[class].clone() {
                if self.survivors.contains(&id) {
                    let epoch = self.decided.as_ref().map_or(0, |d| d.epoch);
                    self.tell(id, Control::Reattach(epoch));
                } else {
                    self.spawn(id)?;
                }
            }
        }
        if self.sources_started() && self.all_open() && !self.whole {
            self.whole = true;
            self.began = true;
            self.shared.restarting.store(false, Relaxed);
            self.survivors.clear();
            let epoch = self.decided.as_ref().map_or(0, |d| d.epoch);
            let known = self.found.unwrap_or(0);
            let order = self.coordinator.restored(epoch, known, monotonic_ns());
            self.obey(order);
        }
        Ok(())
    }

    fn spawn(&self, id: InstanceId) -> Result<(), StageError> {
        let Some(print) = self.prints.get(&id) else {
            return Ok(());
        };
        let birth = self.decided.as_ref().map(|d| self.birth(print, d));
        let epochs = self.epochs()?;
        let instance = Instance::new(print.clone(), birth, epochs);
        // Linux shows 15 bytes of it; the rest serves panics and debuggers.
        let name = format!("{}/{}", self.shared.host, print.shared.name);
        std::thread::Builder::new()
            .name(name)
            .spawn(move || live(move || instance.run()))
            .map_err(|e| StageError::fatal(format!("no thread can be started: {e}")))?;
        Ok(())
    }
}
