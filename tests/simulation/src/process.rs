//! A process: regions, their supervisor, and one step of one of them at a time.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
    sync::Arc,
};

use fastrand::Rng;
use host::checkpoint::{
    complete::Complete,
    dead_letters::DeadLetters,
    inherit::{EPOCHS, InheritError, inherit},
    store::WriteError,
};
use plugin_api::files::FileSystem;

use crate::{
    crash::CRASH,
    disk::Disk,
    graph::Graph,
    instance::Message,
    region::{Life, Region},
    wiring::{HOST, Wired},
    world,
};

/// Regions that run, and what their instances have said.
pub struct Process {
    wired: Arc<Wired>,
    regions: Vec<Region>,
    said: VecDeque<(usize, Message)>,
    stopping: bool,
    /// An epoch was just kept: the aim of kills.
    pub just_kept: bool,
}

impl Process {
    /// Starts a graph from what is on the disk.
    ///
    /// # Errors
    /// See [`InheritError`].
    pub fn start(graph: &Graph, drop_state: &BTreeSet<String>) -> Result<Self, InheritError> {
        let disk: Disk = world::with(|w| w.disk.clone());
        let fs: Arc<dyn FileSystem> = Arc::new(disk);
        let home = Path::new(HOST);
        let shapes: Vec<_> = (0..graph.regions()).map(|r| graph.shape(r)).collect();
        let folders = fs.folders(&home.join(EPOCHS))?;
        let names: Vec<String> = folders
            .iter()
            .filter_map(|f| Some(f.file_name()?.to_str()?.to_owned()))
            .collect();
        let found = inherit(&fs, home, &shapes, drop_state, &names)?;
        let wired = Arc::new(Wired::new(graph.clone()));
        let mut regions = Vec::new();
        for (index, (shape, inherited)) in shapes.iter().zip(found).enumerate() {
            let folder = shape.folder();
            let letters = Arc::new(DeadLetters::new(fs.clone(), home, HOST, &folder));
            let interval = graph.interval_ns;
            regions.push(Region::new(
                index, folder, &wired, inherited, letters, interval,
            )?);
        }
        let mut process = Self {
            wired,
            regions,
            said: VecDeque::new(),
            stopping: false,
            just_kept: false,
        };
        for region in &mut process.regions {
            if let Err(why) = region.start_classes() {
                region.fail(None, &why);
            }
        }
        Ok(process)
    }

    /// Whether it has come to its end.
    pub fn is_over(&self) -> bool {
        self.regions.iter().all(Region::is_over)
    }

    /// Marks the run as complete if it is; it is over.
    ///
    /// # Errors
    /// The mark could not be kept.
    pub fn mark_complete(&self) -> Result<(), WriteError> {
        let regions = self.regions.iter();
        let own = regions.map(|r| Some((r.folder.clone(), r.completed()?)));
        let Some(complete) = own.collect::<Option<Complete>>() else {
            return Ok(());
        };
        let disk = world::with(|w| w.disk.clone());
        complete.write(&disk, Path::new(HOST))
    }

    /// A signal: sources stop.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.regions.iter_mut().for_each(Region::hurry);
    }

    /// One of its stages crashes.
    pub fn crash_stage(&mut self, rng: &mut Rng) {
        let id = rng.usize(0..self.wired.prints.len());
        let region = &mut self.regions[self.wired.prints[id].region];
        let alive = region.instances[&id]
            .as_ref()
            .is_some_and(|i| !i.is_closed());
        if alive && region.life == Life::Running && region.began {
            region.instances.insert(id, None);
            region.fail(Some(id), CRASH);
        }
    }

    /// One of its regions is given up.
    pub fn give_up_one(&mut self, rng: &mut Rng) {
        let index = rng.usize(0..self.regions.len());
        self.regions[index].give_up();
    }

    /// Restarts so far.
    pub fn restarts(&self) -> u64 {
        self.regions.iter().map(|r| r.all_restarts).sum()
    }

    /// Regions that were given up.
    pub fn given_up(&self) -> usize {
        let regions = self.regions.iter();
        regions.filter(|r| r.life == Life::GivenUp).count()
    }

    /// One step of somebody who has something to do, or time passes.
    pub fn step(&mut self, rng: &mut Rng) {
        self.just_kept = false;
        let count = self.wired.prints.len();
        let actors = count + 3;
        let first = rng.usize(0..actors);
        let did = rng.u8(0..16) > 0
            && (first..first + actors).any(|who| match who % actors {
                id if id < count => self.step_instance(id),
                who if who == count => self.supervise(),
                who if who == count + 1 => self.keep(rng),
                _ => self.run_job(rng),
            });
        if !did {
            let ns = match rng.u8(0..16) {
                0 => 1_000_000_000,
                1..4 => 50_000_000,
                _ => 1_000_000,
            };
            world::with(|w| w.now_ns += ns);
        }
    }

    fn step_instance(&mut self, id: usize) -> bool {
        let print = &self.wired.prints[id];
        let region = print.region;
        let said = &mut self.said;
        let Some(Some(instance)) = self.regions[region].instances.get_mut(&id) else {
            return false;
        };
        let did = instance.step(&mut |message| said.push_back((region, message)));
        if did && instance.is_running() && !world::with(|w| w.disk.is_dead()) {
            let shared = &self.wired.shared[print.stage];
            let account = shared.counters[print.worker].account();
            let settled =
                account.consumed + account.filtered + account.dead_lettered + account.dropped;
            let waiting = shared.inboxes[print.worker].queued() + instance.in_hand();
            let late = print.name.starts_with("late") || print.name.starts_with("end");
            let open = account.received.wrapping_sub(settled);
            if open < waiting || (open > waiting && !late) {
                world::broken(|| format!("{} has {waiting} in flight: {account:?}", print.name));
            }
        }
        did
    }

    fn supervise(&mut self) -> bool {
        let now = world::with(|w| w.now_ns);
        if world::with(|w| std::mem::take(&mut w.wanted)) {
            self.regions.iter_mut().for_each(Region::want);
        }
        let message = self.said.pop_front();
        let did = message.is_some();
        if let Some((region, message)) = message {
            self.regions[region].learn(message);
        }
        for region in &mut self.regions {
            if self.stopping {
                region.drain_sources();
            }
            region.advance(now);
            // The last words of threads come before the news that they have ended.
            if self.said.iter().all(|(from, _)| *from != region.index) {
                region.start_again(now);
            }
        }
        did
    }

    fn keep(&mut self, rng: &mut Rng) -> bool {
        let index = rng.usize(0..self.regions.len());
        let region = &mut self.regions[index];
        // A disk that is slow while its region is torn down shows whether anybody waits for it.
        let slow = region.life != Life::Running && rng.u8(0..8) > 0;
        if !region.is_keeping() || slow {
            return false;
        }
        region.keep();
        self.just_kept = !region.is_keeping();
        true
    }

    fn run_job(&mut self, rng: &mut Rng) -> bool {
        let disk = world::with(|w| w.disk.clone());
        let jobs = disk.jobs();
        if jobs > 0 {
            disk.run_job(rng.usize(0..jobs));
        }
        jobs > 0
    }
}
