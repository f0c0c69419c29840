//! One region: what `engine::region` does, without threads. Coordinator, store and dead letters are
//! the real ones.

mod start;

use std::{collections::BTreeMap, sync::Arc};

use host::{
    checkpoint::{
        coordinator::{Barrier, Coordinator, InstanceId, Order},
        dead_letters::DeadLetters,
        epoch::Epoch,
        inherit::Inherited,
        store::Store,
    },
    engine::{edge::Control, shared::StageShared},
};
use plugin_api::manifest::StageKind;

use crate::{
    instance::{Instance, Message},
    mistake::Mistake,
    oracle,
    wiring::Wired,
    world,
};

/// The class of the sources.
pub const SOURCES: usize = 2;
const CLASSES: [StageKind; 3] = [StageKind::Sink, StageKind::Processor, StageKind::Source];
/// Restarts in a row after which a region is given up.
const MAX_RESTARTS: u32 = 5;
const STABLE_NS: u64 = 60_000_000_000;

/// What a region does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It starts or runs.
    Running,
    /// Its instances have ended; an epoch is still being written.
    Tearing,
    /// It waits before it starts again.
    Waiting(u64),
    /// It was given up.
    GivenUp,
}

/// An epoch that is being written, on a thread of its own.
struct Keeping {
    start: u64,
    epoch: Epoch,
    marked: bool,
}

#[derive(Default, Clone)]
struct Decided {
    epoch: u64,
    content: Option<Arc<Epoch>>,
    counts_on: bool,
}

/// A region that runs.
pub struct Region {
    pub index: usize,
    pub folder: String,
    wired: Arc<Wired>,
    pub instances: BTreeMap<InstanceId, Option<Instance>>,
    pub classes: [Vec<InstanceId>; 3],
    pub life: Life,
    next_class: usize,
    opened: u64,
    alive: u64,
    sources_left: u64,
    ended: u64,
    drained: u64,
    survivors: u64,
    recovered: BTreeMap<InstanceId, Option<u64>>,
    decided: Option<Decided>,
    whole: bool,
    pub began: bool,
    coordinator: Coordinator,
    store: Store,
    found: Option<u64>,
    /// The epoch with which a complete run of the host ended.
    complete: Option<u64>,
    /// The epoch that the process started from; 0: none.
    begun_from: u64,
    pub letters: Arc<DeadLetters>,
    restarts: u32,
    /// Restarts since the process began.
    pub all_restarts: u64,
    started_ns: u64,
    start: u64,
    keeping: Vec<Keeping>,
    in_flight: Option<Barrier>,
}

fn bit(id: InstanceId) -> u64 {
    1 << id
}

impl Region {
    /// A region of the wired stages.
    ///
    /// # Errors
    /// The store's.
    pub fn new(
        index: usize,
        folder: String,
        wired: &Arc<Wired>,
        inherited: Inherited,
        letters: Arc<DeadLetters>,
        interval_ns: u64,
    ) -> std::io::Result<Self> {
        let mut classes: [Vec<InstanceId>; 3] = Default::default();
        let (mut names, mut instances) = (BTreeMap::new(), BTreeMap::new());
        for print in wired.prints.iter().filter(|p| p.region == index) {
            let class = CLASSES.iter().position(|k| *k == print.kind);
            classes[class.unwrap_or(SOURCES)].push(print.id);
            names.insert(print.id, print.name.clone());
            instances.insert(print.id, None);
        }
        let alive = instances.keys().map(|id| bit(*id)).sum();
        let Inherited {
            store, complete, ..
        } = inherited;
        let found = store.numbers()?.first().copied();
        let now = world::with(|w| w.now_ns);
        Ok(Self {
            index,
            folder,
            wired: wired.clone(),
            coordinator: Coordinator::new(classes.clone(), names, interval_ns, now),
            sources_left: classes[SOURCES].iter().map(|id| bit(*id)).sum(),
            classes,
            instances,
            life: Life::Running,
            next_class: 0,
            opened: 0,
            alive,
            ended: 0,
            drained: 0,
            survivors: 0,
            recovered: BTreeMap::new(),
            decided: None,
            whole: false,
            began: false,
            store,
            found,
            complete,
            begun_from: 0,
            letters,
            restarts: 0,
            all_restarts: 0,
            started_ns: now,
            start: 0,
            keeping: Vec::new(),
            in_flight: None,
        })
    }

    /// Its last epoch, if this run came to its end and all have committed it.
    pub fn completed(&self) -> Option<u64> {
        let given_up = self.life == Life::GivenUp;
        self.coordinator.complete().filter(|_| !given_up)
    }

    fn shared(&self, id: InstanceId) -> &Arc<StageShared> {
        &self.wired.shared[self.wired.prints[id].stage]
    }

    fn tell(&self, id: InstanceId, control: Control) {
        let worker = self.wired.prints[id].worker;
        self.shared(id).inboxes[worker].tell(control);
    }

    fn tell_all(&self, to: &[InstanceId], control: &Control) {
        to.iter().for_each(|id| self.tell(*id, control.clone()));
    }

    /// Whether nothing of it is left to be done.
    pub fn is_over(&self) -> bool {
        self.life == Life::GivenUp || (self.life == Life::Running && self.alive == 0)
    }

    fn all_open(&self) -> bool {
        let started = self.classes[..self.next_class].iter().flatten();
        started.copied().all(|id| self.opened & bit(id) != 0)
    }

    /// Whether its sources were started.
    pub fn sources_started(&self) -> bool {
        self.next_class > SOURCES
    }

    fn obey(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        crate::trace(|| format!("{order:?}").chars().take(90).collect());
        match order {
            Order::Begin(to, barrier) => {
                self.in_flight = Some(barrier);
                if !world::mistaken(Mistake::LettersNotHeldBack) {
                    self.letters.begin(barrier.epoch);
                }
                self.tell_all(&to, &Control::Begin(barrier));
            }
            Order::Confirm(to, epoch) => self.tell_all(&to, &Control::Confirm(epoch)),
            Order::Commit(to, epoch) => self.tell_all(&to, &Control::Commit(epoch)),
            Order::Abort(to, epoch) => {
                self.in_flight = None;
                // A disk that is full or broken shows when an epoch is to be kept.
                let _ = self.letters.abort();
                self.tell_all(&to, &Control::Abort(epoch));
            }
            Order::Store(epoch) => {
                oracle::ask(|k| k.made(&self.wired, self.index, &epoch));
                if world::mistaken(Mistake::CommitBeforeStore) && !epoch.last {
                    self.tell_all(&self.classes[0], &Control::Commit(epoch.number));
                }
                self.keeping.push(Keeping {
                    start: self.start,
                    epoch: *epoch,
                    marked: false,
                });
            }
            Order::Retire { epoch, last } => {
                self.in_flight = None;
                // What stays is removed after the next one.
                let _ = self.store.committed(epoch, last);
            }
            Order::Restart(why) => self.fail(None, &why),
        }
    }

    /// Whether an epoch is being written.
    pub fn is_keeping(&self) -> bool {
        !self.keeping.is_empty()
    }

    /// The thread that writes an epoch goes on.
    pub fn keep(&mut self) {
        let Some(job) = self.keeping.first_mut() else {
            return;
        };
        let written = if job.marked {
            self.store.write(&job.epoch).map(drop)
        } else {
            match self.letters.checkpoint() {
                Ok(mark) => {
                    (job.epoch.letters, job.marked) = (mark, true);
                    return;
                }
                Err(e) => Err(e),
            }
        };
        if world::with(|w| w.disk.is_dead()) {
            return;
        }
        let job = self.keeping.remove(0);
        let number = job.epoch.number;
        if written.is_ok() {
            oracle::ask(|k| k.is_true(self.index, &job.epoch));
            if world::mistaken(Mistake::PruneBeforeCommit) {
                let _ = self.store.committed(number + 1, false);
            }
        }
        if job.start == self.start && self.life == Life::Running {
            let order = self.coordinator.stored(number, written);
            self.obey(order);
        }
        self.wait_if_torn();
    }

    /// Takes what an instance says.
    pub fn learn(&mut self, message: Message) {
        let running = self.life == Life::Running;
        let order = match message {
            Message::Recovered(id, said) => {
                if let Err(why) = self.recovered(id, said) {
                    self.fail(None, &why);
                }
                None
            }
            Message::Opened(id) => {
                self.opened |= bit(id);
                if self.drained & !self.survivors & bit(id) != 0 {
                    self.tell(id, Control::Drain);
                }
                None
            }
            Message::Failed(id, why) => {
                self.fail(Some(id), &why);
                None
            }
            Message::Passed(id, epoch, snapshot) if running => {
                self.coordinator.passed(id, epoch, snapshot)
            }
            Message::Confirmed(id, epoch, yes) if running => {
                self.coordinator.confirmed(id, epoch, yes)
            }
            Message::Committed(id, epoch) if running => self.coordinator.committed(id, epoch),
            Message::SourceDone(id, ended) => {
                self.sources_left &= !bit(id);
                if ended {
                    self.ended |= bit(id);
                }
                None
            }
            Message::Closed(id) => {
                self.sources_left &= !bit(id);
                self.alive &= !bit(id);
                self.survivor_closed(id);
                None
            }
            _ => None,
        };
        self.obey(order);
        if let Err(why) = self.start_classes() {
            self.fail(None, &why);
        }
    }

    /// Begins an epoch if it is time, or if the run of this region ends.
    pub fn advance(&mut self, now: u64) {
        if self.life != Life::Running || !self.whole {
            return;
        }
        if now.saturating_sub(self.started_ns) > STABLE_NS {
            self.restarts = 0;
        }
        let complete = self.classes[SOURCES]
            .iter()
            .all(|id| self.ended & bit(*id) != 0);
        let end = (self.sources_left == 0).then_some(complete);
        let order = self.coordinator.advance(now, end);
        self.obey(order);
    }

    /// A stage asked for an epoch.
    pub fn want(&mut self) {
        self.coordinator.want();
    }

    /// A stage crashed, or the region as a whole is in trouble.
    pub fn fail(&mut self, failed: Option<InstanceId>, why: &str) {
        if self.life != Life::Running || world::with(|w| w.disk.is_dead()) {
            return;
        }
        if !crate::crash::is_injected(why) {
            world::broken(|| format!("region {}: {why}", self.folder));
        }
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS || !self.began {
            return self.give_up();
        }
        self.all_restarts += 1;
        crate::trace(|| format!("region {} fails: {failed:?}: {why}", self.index));
        self.tear_down(failed);
    }

    /// Gives it up for good.
    pub fn give_up(&mut self) {
        self.life = Life::GivenUp;
        self.start += 1;
        for id in self.instances.keys() {
            self.shared(*id).tear();
        }
        self.instances.values_mut().for_each(|i| *i = None);
    }

    fn tear_down(&mut self, failed: Option<InstanceId>) {
        let broken = failed.map(|id| self.wired.prints[id].stage);
        self.life = Life::Tearing;
        self.start += 1;
        self.coordinator.fell();
        let before = std::mem::take(&mut self.survivors);
        for (id, instance) in &mut self.instances {
            let print = &self.wired.prints[*id];
            let shared = &self.wired.shared[print.stage];
            if instance.as_ref().is_some_and(|i| !i.is_closed())
                && shared.live
                && Some(print.stage) != broken
                && (self.opened | before) & bit(*id) != 0
            {
                self.survivors |= bit(*id);
                shared.inboxes[print.worker].unsay();
                if world::mistaken(Mistake::StaleBarrierTaken)
                    && let Some(instance) = instance
                {
                    instance.stale = self.in_flight;
                }
            } else {
                shared.tear();
                *instance = None;
            }
        }
        self.in_flight = None;
        self.wait_if_torn();
    }

    fn wait_if_torn(&mut self) {
        let written = self.keeping.is_empty() || world::mistaken(Mistake::RestartWhileWriting);
        if self.life == Life::Tearing && written {
            let now = world::with(|w| w.now_ns);
            self.life = Life::Waiting(now + (100_000_000 << self.restarts.saturating_sub(1)));
        }
    }

    /// It had committed the run's last epoch when its region fell, which has another now.
    fn survivor_closed(&mut self, id: InstanceId) {
        if self.survivors & bit(id) == 0 {
            return;
        }
        if self.life == Life::Running {
            return self.tear_down(Some(id));
        }
        let stage = self.wired.prints[id].stage;
        for (id, instance) in &mut self.instances {
            if self.wired.prints[*id].stage == stage {
                self.survivors &= !bit(*id);
                *instance = None;
            }
        }
        self.wired.shared[stage].tear();
    }

    /// Waits no longer than needed: the run ends.
    pub fn hurry(&mut self) {
        if let Life::Waiting(until) = &mut self.life {
            *until = 0;
        }
    }

    /// Starts all again if the time has come.
    pub fn start_again(&mut self, now: u64) {
        match self.life {
            Life::Waiting(until) if now >= until => {}
            _ => return,
        }
        self.life = Life::Running;
        self.started_ns = now;
        self.next_class = 0;
        self.recovered.clear();
        self.decided = None;
        self.whole = false;
        self.drained &= self.survivors;
        for id in self.instances.keys() {
            self.opened &= !bit(*id);
            if self.survivors & bit(*id) != 0 {
                continue;
            }
            self.alive |= bit(*id);
            self.ended &= !bit(*id);
            if self.classes[SOURCES].contains(id) {
                self.sources_left |= bit(*id);
            }
            self.shared(*id).reset();
        }
        if let Err(why) = self.start_classes() {
            self.fail(None, &why);
        }
    }

    /// Tells its sources that the run ends.
    pub fn drain_sources(&mut self) {
        if self.life != Life::Running || !self.sources_started() {
            return;
        }
        for id in self.classes[SOURCES].clone() {
            if self.drained & bit(id) == 0 {
                self.drained |= bit(id);
                if (self.opened | self.survivors) & bit(id) != 0 {
                    self.tell(id, Control::Drain);
                }
            }
        }
    }
}
