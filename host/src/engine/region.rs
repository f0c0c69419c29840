//! One region: stages joined by edges in memory, which start, pass epochs and, after a crash, start
//! again together from the last durable one. The supervisor tells it what happened and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc::Sender,
    },
    time::Duration,
};

use plugin_api::{StageError, batch::monotonic_ns, manifest::StageKind};

use super::{
    build::BuiltRegion,
    edge::{Birth, Control},
    instance::{Blueprint, Instance},
    retry::backoff_ns,
    shared::{Phase, StageShared},
    supervisor::Message,
};
use crate::checkpoint::{
    coordinator::{Coordinator, InstanceId, Order},
    dead_letters::DeadLetters,
    epoch::{Epoch, LettersMark},
    store::{Store, WriteError},
};

/// Order in which stages are opened and committed.
const CLASSES: [StageKind; 3] = [StageKind::Sink, StageKind::Processor, StageKind::Source];
/// The class of the sources.
pub const SOURCES: usize = 2;
/// Restarts in a row after which a region is given up.
const MAX_RESTARTS: u32 = 5;
/// A region that has run for so long is healthy again.
const STABLE_NS: u64 = 60_000_000_000;

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
    /// The newest epoch when the process began, and whether it was that of a complete run of the
    /// whole host.
    found: Option<(u64, bool)>,
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
        store: Store,
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
        let found = match store.numbers()?.first() {
            Some(n) => Some((*n, store.is_final(*n)? && store.read(*n)?.complete)),
            None => None,
        };
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let shared = RegionShared {
            host: host.into(),
            name: built.shape.folder(),
            epoch: AtomicU64::new(found.map_or(0, |f| f.0)),
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

    /// Whether its last run came to its end, and there was one.
    pub fn found_complete(&self) -> bool {
        self.found.is_some_and(|f| f.1)
    }

    /// Other regions of the host have not come to their end: this one keeps to its own.
    pub fn stays_complete(&mut self) {
        if let Some(found) = &mut self.found {
            found.1 = false;
        }
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
            self.survivors.clear();
            let epoch = self.decided.as_ref().map_or(0, |d| d.epoch);
            let known = self.found.map_or(0, |f| f.0);
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
            .spawn(move || instance.run())
            .map_err(|e| StageError::fatal(format!("no thread can be started: {e}")))?;
        Ok(())
    }

    /// Whether the newest epoch is that of a run that came to its end: this one begins anew.
    fn begins_anew(&self, newest: Option<u64>) -> bool {
        newest.is_some() && self.found.filter(|f| f.1).map(|f| f.0) == newest
    }

    /// Epochs that may be true.
    fn epochs(&self) -> Result<Vec<u64>, StageError> {
        let numbers = self.store.numbers().map_err(|e| self.store_trouble(&e))?;
        if self.begins_anew(numbers.first().copied()) {
            return Ok(Vec::new());
        }
        Ok(numbers)
    }

    fn store_trouble(&self, e: &std::io::Error) -> StageError {
        StageError::fatal(format!(
            "the checkpoints in {} cannot be used: {e}",
            self.store.folder().display()
        ))
    }

    fn birth(&self, print: &Blueprint, decided: &Decided) -> Birth {
        let snapshot = decided
            .content
            .as_ref()
            .and_then(|e| e.instances.get(&print.name));
        // What a live source has read since the process began is not read again.
        let stands = print.shared.live && self.began;
        let counted = snapshot.filter(|_| decided.counts_on).map(|s| s.tally);
        Birth {
            epoch: decided.epoch,
            snapshot: snapshot.cloned().map(Arc::new),
            tally: (!stands).then(|| counted.unwrap_or_default()),
        }
    }

    /// A sink has said which epoch is true.
    pub fn recovered(&mut self, id: InstanceId, said: Option<u64>) -> Result<(), StageError> {
        self.recovered.insert(id, said);
        if self.life != Life::Running
            || self.decided.is_some()
            || !self.classes[0]
                .iter()
                .all(|id| self.recovered.contains_key(id))
        {
            return Ok(());
        }
        self.decide()?;
        let decided = self.decided.clone().unwrap_or_default();
        for id in &self.classes[0] {
            if let Some(print) = self.prints.get(id) {
                self.tell(*id, Control::Restore(self.birth(print, &decided)));
            }
        }
        Ok(())
    }

    /// Settles from which epoch everything starts.
    fn decide(&mut self) -> Result<(), StageError> {
        if self.decided.is_some() {
            return Ok(());
        }
        let trouble = |e: std::io::Error| self.store_trouble(&e);
        let numbers = self.store.numbers().map_err(trouble)?;
        let newest = numbers.first().copied();
        let said = self.recovered.values().flatten().copied().min();
        let mut mark = LettersMark::default();
        let mut decided = Decided::default();
        if self.begins_anew(newest) {
            if let Some(n) = newest {
                mark = self.store.read(n).map_err(trouble)?.letters;
                mark.count = 0;
            }
        } else {
            // A sink whose own record outlived the store begins behind what it has.
            let known = said.filter(|n| *n == 0 || numbers.contains(n));
            if let (Some(said), None, false) = (said, known, numbers.is_empty()) {
                return Err(StageError::fatal(format!(
                    "a sink says that epoch {said} is true, which is not in {}",
                    self.store.folder().display()
                )));
            }
            if let Some(epoch) = self.store.restore(known).map_err(trouble)? {
                mark = epoch.letters.clone();
                // The account of a run that ended is told; the next one has its own.
                if !self.began {
                    self.begun_from = epoch.number;
                }
                decided.counts_on = !(epoch.last && self.begun_from == epoch.number);
                if !decided.counts_on {
                    mark.count = 0;
                }
                decided.epoch = epoch.number;
                decided.content = Some(Arc::new(epoch));
            }
        }
        if let Some(said) = said {
            self.found = Some((
                self.found.map_or(said, |f| f.0.max(said)),
                self.found.is_some_and(|f| f.1),
            ));
        }
        self.letters
            .restore(&mark)
            .map_err(|e| StageError::fatal(format!("the dead letters cannot be used: {e}")))?;
        let emitted = |stage: &StageShared| -> u64 {
            let content = decided.content.as_ref().filter(|_| decided.counts_on);
            let tallies = self.prints.values().filter(|p| p.shared.name == stage.name);
            tallies
                .filter_map(|p| Some(content?.instances.get(&p.name)?.tally.emitted))
                .sum()
        };
        // What a live source has read in this process stands.
        for stage in self.own_stages().filter(|s| !(s.live && self.began)) {
            stage.count_against_limit(emitted(stage));
        }
        if decided.epoch > 0 {
            tracing::info!(
                host = self.shared.host,
                "goes on from epoch {} of {}",
                decided.epoch,
                self.shared.name
            );
        }
        self.decided = Some(decided);
        Ok(())
    }

    /// Does what the coordinator says.
    pub fn obey(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        match order {
            Order::Begin(to, barrier) => {
                self.letters.begin(barrier.epoch);
                self.tell_all(&to, &Control::Begin(barrier));
            }
            Order::Confirm(to, epoch) => self.tell_all(&to, &Control::Confirm(epoch)),
            Order::Commit(to, epoch) => self.tell_all(&to, &Control::Commit(epoch)),
            Order::Abort(to, epoch) => {
                if let Err(e) = self.letters.abort() {
                    tracing::error!(host = self.shared.host, "dead letters: {e}");
                }
                self.tell_all(&to, &Control::Abort(epoch));
            }
            Order::Store(epoch) => self.keep(*epoch),
            Order::Retire { epoch, last } => {
                let took = self.coordinator.taken_ns(monotonic_ns());
                self.shared.took_ns.store(took, Relaxed);
                if let Err(e) = self.store.committed(epoch, last) {
                    tracing::error!(
                        host = self.shared.host,
                        "old checkpoints in {} stay: {e}",
                        self.store.folder().display()
                    );
                }
            }
            Order::Restart(why) => {
                let _ = self.tell.send(Message::RegionFailed(self.index, why));
            }
        }
    }

    fn tell_all(&self, to: &[InstanceId], control: &Control) {
        for id in to {
            self.tell(*id, control.clone());
        }
    }

    /// Writes an epoch on a thread of its own: a slow disk holds up nobody.
    fn keep(&mut self, mut epoch: Epoch) {
        self.keeping = true;
        let (letters, store) = (self.letters.clone(), self.store.clone());
        let (tell, region, start) = (self.tell.clone(), self.index, self.start);
        let shared = self.shared.clone();
        let number = epoch.number;
        let keep = move || {
            let written = letters.checkpoint().and_then(|mark| {
                epoch.letters = mark;
                epoch.at_us = now_us();
                store.write(&epoch)
            });
            if let Ok(bytes) = written {
                shared.epoch.store(number, Relaxed);
                shared.at_us.store(epoch.at_us, Relaxed);
                shared.bytes.store(bytes, Relaxed);
            }
            let stored = Message::Stored {
                region,
                start,
                epoch: number,
                written: written.map(drop),
            };
            // Nobody listens any more: the process ends.
            let _ = tell.send(stored);
        };
        if let Err(e) = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(keep)
        {
            let stored = Message::Stored {
                region: self.index,
                start: self.start,
                epoch: number,
                written: Err(WriteError::Undone(e)),
            };
            let _ = self.tell.send(stored);
        }
    }

    /// An epoch was kept, or not.
    pub fn stored(&mut self, start: u64, epoch: u64, written: Result<(), WriteError>) {
        self.keeping = false;
        if start != self.start || self.life != Life::Running {
            self.wait_if_torn();
            return;
        }
        if let Err(WriteError::Undone(e)) = &written {
            tracing::warn!(
                host = self.shared.host,
                "epoch {epoch} cannot be kept in {}: {e}; the next one holds its records too",
                self.store.folder().display()
            );
        }
        let order = self.coordinator.stored(epoch, written);
        self.obey(order);
    }

    /// A source reads nothing more.
    pub fn source_done(&mut self, id: InstanceId, ended: bool) {
        self.sources_left.remove(&id);
        if ended {
            self.ended.insert(id);
        }
        if !self.opened.contains(&id) {
            // It never opened: nobody waits for it.
            self.opened.insert(id);
            self.settled.insert(id);
        }
    }

    /// Begins an epoch if it is time, or if the run of this region ends.
    pub fn advance(&mut self, now_ns: u64) {
        if self.life != Life::Running || !self.whole {
            return;
        }
        if self.restarts > 0 && now_ns.saturating_sub(self.started_ns) > STABLE_NS {
            self.restarts = 0;
            self.own_stages().for_each(|s| s.poison.set_careful(false));
        }
        let end = self.sources_left.is_empty();
        let complete = self.classes[SOURCES]
            .iter()
            .all(|id| self.ended.contains(id));
        let order = self.coordinator.advance(now_ns, end.then_some(complete));
        self.obey(order);
    }

    /// When `advance` or `start_again` is to be called at the latest.
    pub fn due(&self) -> Option<u64> {
        match self.life {
            Life::Running if self.whole => self.coordinator.due(),
            Life::Waiting { until_ns } => Some(until_ns),
            _ => None,
        }
    }

    /// A crash found the record that it was over.
    pub fn poison_found(&mut self) {
        self.poison_found = true;
    }

    /// Whether one more restart is due after a crash; counts it.
    pub fn may_restart(&mut self) -> bool {
        if !std::mem::take(&mut self.poison_found) {
            self.restarts += 1;
        }
        self.restarts <= MAX_RESTARTS
    }

    /// Ends all instances, to start them again. Live sources go on, apart from `failed`'s stage.
    pub fn tear_down(&mut self, failed: Option<InstanceId>) {
        let broken = failed.and_then(|id| self.stage_of.get(&id)).copied();
        self.life = Life::Tearing;
        self.start += 1;
        self.survivors = self.classes[SOURCES]
            .iter()
            .copied()
            .filter(|id| {
                let stage = self.stage_of.get(id).copied();
                stage != broken
                    && self.alive.contains(id)
                    && self.opened.contains(id)
                    && self.stage(*id).is_some_and(|s| s.live)
            })
            .collect();
        let survive: BTreeSet<usize> = self.survivors.iter().map(|id| self.stage_of[id]).collect();
        for (index, stage) in self.stages.iter().enumerate() {
            if self.stage_of.values().any(|s| *s == index) && !survive.contains(&index) {
                stage.tear();
                stage.set_phase(Phase::Restarting);
            }
        }
        // Classes that were not started have no instance to wait for.
        for id in self.classes[self.next_class..].iter().flatten() {
            if !self.survivors.contains(id) {
                self.alive.remove(id);
            }
        }
        self.shared.restarts.fetch_add(1, Relaxed);
        self.wait_if_torn();
    }

    fn wait_if_torn(&mut self) {
        let ended = self.alive.is_subset(&self.survivors) && !self.keeping;
        if self.life == Life::Tearing && ended {
            let wait = backoff_ns(self.restarts.saturating_sub(1));
            self.life = Life::Waiting {
                until_ns: monotonic_ns() + wait,
            };
        }
    }

    /// Waits no longer than needed: the run ends.
    pub fn hurry(&mut self) {
        if let Life::Waiting { until_ns } = &mut self.life {
            *until_ns = 0;
        }
    }

    /// Starts all again whose time has come.
    pub fn start_again(&mut self, now_ns: u64) -> bool {
        let Life::Waiting { until_ns } = self.life else {
            return false;
        };
        if now_ns < until_ns {
            return false;
        }
        self.life = Life::Running;
        self.started_ns = now_ns;
        self.next_class = 0;
        self.recovered.clear();
        self.decided = None;
        self.whole = false;
        self.drained.retain(|id| self.survivors.contains(id));
        for (id, stage) in &self.stage_of {
            if self.survivors.contains(id) {
                continue;
            }
            self.opened.remove(id);
            self.settled.remove(id);
            self.alive.insert(*id);
            self.ended.remove(id);
            if self.classes[SOURCES].contains(id) {
                self.sources_left.insert(*id);
            }
            // Once for each of its instances, which does no harm: none has started.
            self.stages[*stage].reset();
        }
        true
    }

    /// Gives it up for good.
    pub fn give_up(&mut self) {
        self.life = Life::GivenUp;
        self.start += 1;
        self.own_stages().for_each(|s| s.tear());
        for id in self.classes[self.next_class..].concat() {
            self.alive.remove(&id);
        }
        self.sources_left.clear();
    }

    /// An instance's thread has ended.
    pub fn closed(&mut self, id: InstanceId) {
        self.alive.remove(&id);
        self.sources_left.remove(&id);
        self.settled.insert(id);
        self.wait_if_torn();
    }

    /// Leaves an instance that hangs to itself.
    pub fn abandon(&mut self, id: InstanceId) {
        self.alive.remove(&id);
    }

    /// Tells a source that the run ends for it.
    pub fn drain_source(&mut self, id: InstanceId) {
        if self.life != Life::Running || !self.drained.insert(id) {
            return;
        }
        if self.opened.contains(&id) {
            self.tell(id, Control::Drain);
        } else if let Some(stage) = self.stage(id) {
            // Still on its way in: that is called off.
            stage.cancel.cancel();
        }
    }

    /// An instance is open.
    pub fn is_open(&mut self, id: InstanceId) {
        self.opened.insert(id);
        self.settled.insert(id);
        if self.drained.contains(&id) {
            self.tell(id, Control::Drain);
        }
    }
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
