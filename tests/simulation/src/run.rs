//! One run: a graph, and processes that are killed one after the other until the last is left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use fastrand::Rng;
use host::checkpoint::{
    complete::Complete,
    epoch::Epoch,
    inherit::{EPOCHS, InheritError},
    store::Store,
};

use crate::{
    Outcome,
    crash::is_injected,
    disk::Disk,
    graph::Graph,
    mistake::Mistake,
    oracle::{self, Known},
    process::Process,
    wiring::HOST,
    world::{self, World},
};

/// Steps after which a process that nobody disturbs should have come to its end.
const MOST_STEPS: u64 = 20_000;

/// How the next processes run.
struct Driver {
    rng: Rng,
    graph: Graph,
    /// A change of the graph that a crash has interrupted.
    change: Option<Change>,
    changes: usize,
    /// What the last job left when this one began, if it is not the first.
    job_before: Option<Complete>,
    mistake: Option<Mistake>,
    outcome: Outcome,
}

/// Does run `number` of a seed.
pub fn one(seed: u64, number: u64, mistake: Option<Mistake>) -> Outcome {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let graph = Graph::draw(&mut rng);
    world::begin(World {
        now_ns: 1_000_000_000,
        rng: rng.fork(),
        disk: Disk::new(rng.u64(..), mistake),
        graph: graph.clone(),
        mistake,
        rough: true,
        live: BTreeMap::new(),
        brokers: BTreeMap::new(),
        late: BTreeMap::new(),
        edge: world::Edge::default(),
        wanted: false,
        known: Known::default(),
        broken: None,
    });
    let mut driver = Driver {
        rng,
        graph,
        change: None,
        changes: 0,
        job_before: None,
        mistake,
        outcome: Outcome {
            runs: 1,
            ..Outcome::default()
        },
    };
    driver.run();
    let broken = world::with(|w| w.broken.take());
    let repeat = format!("seed {seed}, run {number} (simulation 1 {seed} {number})");
    let violation = broken.map(|why| format!("{why}; {repeat}"));
    driver.outcome.violations.extend(violation);
    driver.outcome
}

impl Driver {
    fn run(&mut self) {
        for _ in 0..self.rng.u8(4..24) {
            if self.is_broken() || self.rough_process() {
                break;
            }
        }
        world::with(|w| {
            w.rough = false;
            w.disk.calm();
        });
        if !self.is_broken() {
            self.last_process();
        }
        if !self.is_broken() {
            // What is over outlives a loss of power.
            let disk = world::with(|w| w.disk.clone());
            disk.crash(true);
            oracle::ask(|k| {
                k.nothing_unfinished(&self.graph);
                k.at_the_end(&self.graph);
            });
        }
    }

    fn is_broken(&self) -> bool {
        world::with(|w| w.broken.is_some())
    }

    /// A process that is disturbed. Whether everything has come to its end.
    fn rough_process(&mut self) -> bool {
        let disk = world::with(|w| w.disk.clone());
        if self.rng.u8(0..4) == 0 {
            disk.kill_after(self.rng.u32(0..12));
        }
        let mut process = match self.start() {
            Ok(Some(process)) => process,
            Ok(None) => return !disk.is_dead(),
            Err(()) => {
                self.crash(&disk);
                return false;
            }
        };
        let mut steps = match self.rng.u8(0..4) {
            0 => self.rng.u64(1..40),
            _ => self.rng.u64(40..200),
        };
        let stop_at = (self.rng.u8(0..3) == 0).then(|| self.rng.u64(0..steps));
        let mut clean = false;
        while steps > 0 && !disk.is_dead() && !self.is_broken() {
            steps -= 1;
            self.outcome.steps += 1;
            process.step(&mut self.rng);
            if Some(steps) == stop_at {
                process.stop();
                crate::trace(|| "signal".to_owned());
            }
            self.disturb(&mut process, &disk);
            if process.is_over() {
                clean = process.given_up() == 0 && self.is_marked(&process, &disk);
                break;
            }
        }
        if !clean && !disk.is_dead() && !self.is_broken() && self.rng.u8(0..12) == 0 {
            clean = self.recovers(&mut process, &disk);
        }
        self.outcome.restarts += process.restarts();
        self.outcome.given_up += process.given_up() as u64;
        drop(process);
        match clean {
            true => disk.calm(),
            false => self.crash(&disk),
        }
        false
    }

    /// What a process does last, and whether it lives to do it.
    fn is_marked(&self, process: &Process, disk: &Disk) -> bool {
        if let Err(e) = process.mark_complete()
            && !world::with(|w| w.rough)
        {
            world::broken(|| format!("the end of a run is not kept: {e}"));
        }
        !disk.is_dead()
    }

    /// Once it is left alone, a process comes to its end, unless part of it was given up.
    fn recovers(&mut self, process: &mut Process, disk: &Disk) -> bool {
        world::with(|w| w.rough = false);
        disk.calm();
        for _ in 0..MOST_STEPS {
            if process.is_over() || process.given_up() > 0 || self.is_broken() {
                let over = process.is_over() && process.given_up() == 0;
                let marked = over && self.is_marked(process, disk);
                world::with(|w| w.rough = true);
                return marked;
            }
            self.outcome.steps += 1;
            process.step(&mut self.rng);
        }
        world::broken(|| "it stalls after crashes".to_owned());
        false
    }

    fn crash(&mut self, disk: &Disk) {
        let power = self.rng.bool();
        self.outcome.crashes += 1;
        self.outcome.power += u64::from(power);
        disk.crash(power);
        crate::trace(|| format!("crash, power {power}"));
        oracle::ask(|k| k.nothing_unfinished(&self.graph));
    }

    fn disturb(&mut self, process: &mut Process, disk: &Disk) {
        if process.just_kept && self.rng.u8(0..4) == 0 {
            disk.kill_after(self.rng.u32(0..6));
        }
        match self.rng.u16(0..8_000) {
            0..40 => process.crash_stage(&mut self.rng),
            40..60 => disk.fail_sync(),
            60..80 => disk.set_room(Some(self.rng.usize(0..400))),
            100..500 => disk.set_room(None),
            500 => process.give_up_one(&mut self.rng),
            _ => {}
        }
    }

    /// The process that is left alone.
    fn last_process(&mut self) {
        for _ in 0..2 {
            let Ok(Some(mut process)) = self.start() else {
                return;
            };
            let mut steps = 0;
            while !process.is_over() && !self.is_broken() {
                process.step(&mut self.rng);
                steps += 1;
                if steps == MOST_STEPS {
                    world::broken(|| "it stalls".to_owned());
                }
            }
            let disk = world::with(|w| w.disk.clone());
            self.is_marked(&process, &disk);
            self.outcome.steps += steps;
            self.outcome.restarts += process.restarts();
        }
    }

    /// Starts a process, once in a while with a changed graph. `None`: all has come to its end.
    fn start(&mut self) -> Result<Option<Process>, ()> {
        if let Some(complete) = self
            .complete()
            .filter(|c| self.job_before.as_ref() != Some(c))
        {
            if !world::with(|w| w.rough) || self.rng.bool() {
                return Ok(None);
            }
            crate::trace(|| "the next job".to_owned());
            self.outcome.jobs += 1;
            self.job_before = Some(complete);
            world::with(World::begin_job);
        }
        let begun = self.change.take();
        let change = begun.is_none() && world::with(|w| w.rough) && self.rng.u8(0..4) == 0;
        let drawn = change.then(|| self.draw_change()).flatten();
        let again = begun.is_some();
        if let Some(Change {
            graph: changed,
            old,
            mut before,
        }) = begun.or(drawn)
        {
            // What is there may have been lost with the power since, unless it was taken over.
            match self.left_behind() {
                Some(epoch) if epoch.is_empty() => {}
                left => before = left,
            }
            let mut started = self.start_as(&changed, &BTreeSet::from([old.clone()]));
            if let (true, Ok(Started::Refused)) = (again, &started) {
                started = self.start_as(&changed, &BTreeSet::new());
            }
            match started {
                Ok(Started::Yes(process)) => {
                    let process = Some(*process);
                    self.changes += 1;
                    self.outcome.changed += 1;
                    self.graph = changed;
                    if let Some(epoch) = before {
                        oracle::ask(|k| k.tell(0, &epoch));
                    }
                    return Ok(process);
                }
                Ok(Started::Refused) => {}
                Err(()) => {
                    self.change = Some(Change {
                        graph: changed,
                        old,
                        before,
                    });
                    return Err(());
                }
            }
        }
        let graph = self.graph.clone();
        match self.start_as(&graph, &BTreeSet::new())? {
            Started::Yes(process) => Ok(Some(*process)),
            Started::Refused => {
                world::broken(|| "what was left is refused though nothing has changed".to_owned());
                Err(())
            }
        }
    }

    /// The mark of a run that came to its end, if nothing has happened since.
    fn complete(&self) -> Option<Complete> {
        let disk = world::with(|w| w.disk.clone());
        let mark = Complete::read(&disk, Path::new(HOST)).ok()?;
        let regions = 0..self.graph.regions();
        let folders: Vec<String> = regions.map(|r| self.graph.shape(r).folder()).collect();
        let ended = |folder: &String| {
            let newest = store(folder)?.numbers().ok()?.first().copied()?;
            mark.ended_with(folder, newest).then_some(())
        };
        folders.iter().all(|f| ended(f).is_some()).then_some(mark)
    }

    fn draw_change(&self) -> Option<Change> {
        let (graph, old) = self.graph.changed(self.changes + 1)?;
        Some(Change {
            graph,
            old,
            before: self.left_behind(),
        })
    }

    /// The newest epoch of the first region before its graph changes.
    fn left_behind(&self) -> Option<Epoch> {
        let folder = self.graph.shape(0).folder();
        let store = store(&folder)?;
        let epoch = store.read(*store.numbers().ok()?.first()?).ok()?;
        let disk = world::with(|w| w.disk.clone());
        let mark = Complete::read(&disk, Path::new(HOST)).ok()?;
        if mark.ended_with(&folder, epoch.number) {
            // It is of the job before.
            return None;
        }
        if self.mistake == Some(Mistake::ChangedGraphFromAnyEpoch) {
            store.committed(epoch.number, true).ok()?;
        }
        Some(epoch)
    }

    fn start_as(&mut self, graph: &Graph, drop_state: &BTreeSet<String>) -> Result<Started, ()> {
        world::with(|w| w.graph = graph.clone());
        crate::trace(|| format!("start of {}, drop {drop_state:?}", graph.shape(0).folder()));
        match Process::start(graph, drop_state) {
            Ok(process) => Ok(Started::Yes(Box::new(process))),
            Err(InheritError::Io(e)) => {
                let dead = world::with(|w| w.disk.is_dead());
                if !dead && !is_injected(&e.to_string()) {
                    world::broken(|| format!("a process cannot start: {e}"));
                }
                Err(())
            }
            Err(e) => {
                crate::trace(|| format!("refused: {e}"));
                Ok(Started::Refused)
            }
        }
    }
}

/// The epochs of a region.
fn store(folder: &str) -> Option<Store> {
    let disk = world::with(|w| w.disk.clone());
    Store::open(Arc::new(disk), Path::new(HOST).join(EPOCHS).join(folder)).ok()
}

/// Another graph than before.
struct Change {
    graph: Graph,
    /// The stage that is not there any more.
    old: String,
    /// The epoch from which it starts, if it may.
    before: Option<Epoch>,
}

enum Started {
    Yes(Box<Process>),
    Refused,
}
