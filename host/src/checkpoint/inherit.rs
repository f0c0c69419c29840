//! Which state a run starts from: what a region of the same shape left, or, after the graph was
//! changed, what can be taken over stage by stage. Nothing is dropped without being told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::Path,
    sync::Arc,
};

use plugin_api::files::FileSystem;

use super::{
    complete::Complete,
    dead_letters::DeadLetters,
    epoch::{Epoch, LettersMark, Snapshot},
    replay,
    shape::Shape,
    store::Store,
};

/// Folder of a host's epochs within its folder of state.
pub const EPOCHS: &str = "epochs";

/// Why a run cannot start from what was left.
#[derive(Debug)]
pub enum InheritError {
    /// The file system's trouble, or a damaged file, in words.
    Io(io::Error),
    /// The state of these stages would be lost.
    WouldDrop(Vec<String>),
    /// The graph was changed behind a run that did not end cleanly.
    NotFinal(Vec<String>),
    /// `--drop-state` names a stage without state.
    NoSuchState(String),
}

impl From<io::Error> for InheritError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::WouldDrop(stages) => write!(
                f,
                "the state of {} would be lost, since the graph has changed; {}",
                stages.join(", "),
                drop_hint(stages)
            ),
            Self::NotFinal(stages) => write!(
                f,
                "the graph of {} has changed, but the last run did not end cleanly: run it once \
                 more as it was and let it drain; or {}",
                stages.join(", "),
                drop_hint(stages)
            ),
            Self::NoSuchState(stage) => {
                write!(
                    f,
                    "--drop-state {stage}: no stage of that name has left any state"
                )
            }
        }
    }
}

fn drop_hint(stages: &[String]) -> String {
    let flags: Vec<String> = stages.iter().map(|s| format!("--drop-state {s}")).collect();
    format!("to give it up, say {}", flags.join(" "))
}

/// Where a region starts.
pub struct Inherited {
    /// Its store.
    pub store: Store,
    /// The epoch with which the host's last run came to its end, if it did: this one begins anew.
    pub complete: Option<u64>,
    /// What was said about stages whose graph changed: for the log.
    pub notes: Vec<String>,
}

/// Finds the stores of a host's regions in `folder`, after changes of the graph.
///
/// # Errors
/// See [`InheritError`]. Nothing was changed then.
pub fn inherit(
    fs: &Arc<dyn FileSystem>,
    folder: &Path,
    shapes: &[Shape],
    drop_state: &BTreeSet<String>,
    folders: &[String],
) -> Result<Vec<Inherited>, InheritError> {
    let at = |name: &str| folder.join(EPOCHS).join(name);
    let open = |name: &str| Store::open(fs.clone(), at(name));
    let complete = Complete::read(&**fs, folder)?;
    // It may have been named by a process that died before it synced the folder.
    fs.create_folders(folder)?;
    fs.sync_folder(folder)?;
    let mut left = Left::default();
    let mut found = Vec::new();
    let mut dropped = BTreeSet::new();
    for shape in shapes {
        let store = open(&shape.folder())?;
        let newest = newest(&store)?;
        if let Some((epoch, _)) = &newest {
            let stages = epoch.instances.keys().map(|i| stage_of(i).to_owned());
            left.present.extend(stages.map(|s| (s, epoch.number)));
        }
        found.push((shape, store, newest));
    }
    let wanted: BTreeSet<String> = shapes.iter().map(Shape::folder).collect();
    for name in folders.iter().filter(|name| !wanted.contains(*name)) {
        let store = open(name)?;
        let newest = newest(&store)?;
        left.take(name, store, newest, &complete)?;
    }
    // What regions that are as they were are told to forget.
    let mut forget = Vec::new();
    for (index, (shape, _, epoch)) in found.iter().enumerate() {
        let Some((epoch, _)) = epoch else { continue };
        let stages: BTreeSet<&str> = epoch.instances.keys().map(|i| stage_of(i)).collect();
        let given_up: Vec<&str> = stages
            .into_iter()
            .filter(|s| drop_state.contains(*s))
            .collect();
        if !given_up.is_empty() {
            dropped.extend(given_up.iter().map(|s| (*s).to_owned()));
            if !complete.ended_with(&shape.folder(), epoch.number) {
                forget.push(index);
            }
        }
    }
    let mut plans = Vec::new();
    for (shape, _, newest) in &found {
        let own = newest.as_ref().map(|(epoch, _)| epoch);
        let new = own.is_none_or(Epoch::is_empty);
        plans.push(new.then(|| left.plan(shape, shapes, own)));
    }
    let lost = left.lost();
    let kept: Vec<String> = lost.difference(drop_state).cloned().collect();
    if !left.not_final.is_empty() {
        let stages: BTreeSet<String> = left.not_final.clone();
        let open: Vec<String> = stages.difference(drop_state).cloned().collect();
        if !open.is_empty() {
            return Err(InheritError::NotFinal(open));
        }
    }
    if !kept.is_empty() {
        return Err(InheritError::WouldDrop(kept));
    }
    dropped.extend(lost);
    dropped.extend(left.not_final.iter().cloned());
    if let Some(nobody) = drop_state.iter().find(|s| !dropped.contains(*s)) {
        return Err(InheritError::NoSuchState(nobody.clone()));
    }

    let mut all = Vec::new();
    let mut holds = Vec::new();
    for (index, ((shape, store, newest), plan)) in found.into_iter().zip(plans).enumerate() {
        let mut notes = Vec::new();
        let region = shape.folder();
        // It may not be the newest, and still be the one that a sink stands by.
        let numbers = store.numbers()?;
        let ended = complete
            .of(&region)
            .filter(|number| numbers.contains(number));
        holds.extend(ended.map(|number| (region, number)));
        if forget.contains(&index)
            && let Some((mut epoch, is_final)) = newest
        {
            epoch
                .instances
                .retain(|i, _| !drop_state.contains(stage_of(i)));
            epoch.number += 1;
            keep(&store, &epoch, is_final)?;
            notes.push(format!("the state of {} is given up", listed(drop_state)));
        }
        if let Some((epoch, said)) = plan.flatten() {
            keep(&store, &epoch, true)?;
            notes.extend(said);
        }
        all.push(Inherited {
            store,
            complete: ended,
            notes,
        });
    }
    // A run that came behind the epoch taken over may have left letters of records that are read
    // again.
    for (region, mark) in &left.marks {
        DeadLetters::new(fs.clone(), folder, "", region).restore(mark)?;
    }
    // A start that died may have taken over what is not on the disk yet.
    for inherited in all.iter().filter(|_| !left.stores.is_empty()) {
        inherited.store.restore(None)?;
    }
    // Only now is what was taken over on the disk under its new name.
    for (store, epoch) in left.stores {
        store
            .empty(epoch)
            .map_err(|e| io::Error::other(e.to_string()))?;
    }
    complete
        .keep_only(&holds.into_iter().collect(), &**fs, folder)
        .map_err(|e| io::Error::other(e.to_string()))?;
    Ok(all)
}

fn keep(store: &Store, epoch: &Epoch, is_final: bool) -> io::Result<()> {
    store
        .write(epoch)
        .map_err(|e| io::Error::other(e.to_string()))?;
    store.committed(epoch.number, is_final)
}

fn newest(store: &Store) -> io::Result<Option<(Epoch, bool)>> {
    let Some(number) = store.numbers()?.first().copied() else {
        return Ok(None);
    };
    Ok(Some((store.read(number)?, store.is_final(number)?)))
}

fn stage_of(instance: &str) -> &str {
    instance
        .rsplit_once('#')
        .map_or(instance, |(stage, _)| stage)
}

fn listed(stages: &BTreeSet<String>) -> String {
    stages.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// What regions left that are not there any more.
#[derive(Default)]
struct Left {
    /// Stores that have something to be taken over, and what.
    stores: Vec<(Store, Epoch)>,
    /// Where the dead letters of which region stood.
    marks: Vec<(String, LettersMark)>,
    instances: BTreeMap<String, Snapshot>,
    /// Where replays of dead letters stand: they hold for good.
    replays: BTreeMap<String, Snapshot>,
    taken: BTreeSet<String>,
    number: u64,
    not_final: BTreeSet<String>,
    /// Stages that the regions of now have in an epoch of this number.
    present: BTreeMap<String, u64>,
}

impl Left {
    /// What one of them left: state only if the host's run did not come to its end.
    fn take(
        &mut self,
        region: &str,
        store: Store,
        newest: Option<(Epoch, bool)>,
        complete: &Complete,
    ) -> io::Result<()> {
        let Some((epoch, is_final)) = newest else {
            // What it rejected was in no epoch: it is read again.
            self.marks.push((region.to_owned(), LettersMark::default()));
            return Ok(());
        };
        self.marks.push((region.to_owned(), epoch.letters.clone()));
        if epoch.is_empty() {
            // That it is may not be on the disk yet.
            store.restore(None)?;
            return Ok(());
        }
        self.number = self.number.max(epoch.number);
        let complete = complete.ended_with(region, epoch.number);
        for (name, snapshot) in &epoch.instances {
            let stage = stage_of(name);
            let present = self.present.get(stage);
            if present.is_some_and(|number| *number >= epoch.number) {
                // It was taken over by a start that did not come to empty what was left.
            } else if replay::stage_of(name).is_some() {
                self.replays.insert(name.clone(), snapshot.clone());
            } else if !complete && is_final {
                self.instances.insert(name.clone(), snapshot.clone());
            } else if !complete {
                self.not_final.insert(stage.to_owned());
            }
        }
        self.stores.push((store, epoch));
        Ok(())
    }

    fn workers(&self, stage: &str) -> usize {
        self.instances
            .keys()
            .filter(|i| stage_of(i) == stage)
            .count()
    }

    /// The epoch from which a region of this shape starts, and what to say about it. `own`: what a
    /// graph that comes back finds of its own, its letters.
    fn plan(
        &mut self,
        shape: &Shape,
        shapes: &[Shape],
        own: Option<&Epoch>,
    ) -> Option<(Epoch, Vec<String>)> {
        let mut epoch = Epoch {
            number: own.map_or(0, |own| own.number).max(self.number),
            last: true,
            letters: own.map(|own| own.letters.clone()).unwrap_or_default(),
            ..Epoch::default()
        };
        epoch.instances = self.replays_of(shape, shapes);
        let (mut over, mut new) = (BTreeSet::new(), BTreeSet::new());
        for (stage, plugin, workers) in shape.stages() {
            let fits = self.workers(stage) == workers as usize
                && self
                    .instances
                    .get(&super::shape::instance(stage, 0))
                    .is_some_and(|s| s.plugin == plugin);
            if !fits {
                new.insert(stage.to_owned());
                continue;
            }
            over.insert(stage.to_owned());
            for worker in 0..workers as usize {
                let name = super::shape::instance(stage, worker);
                if let Some(snapshot) = self.instances.get(&name) {
                    epoch.instances.insert(name.clone(), snapshot.clone());
                    self.taken.insert(name);
                }
            }
        }
        if over.is_empty() {
            // It begins anew, and still knows of letters.
            let knows = !epoch.instances.is_empty() || own.is_some();
            return knows.then(|| (epoch, Vec::new()));
        }
        let mut said = vec![format!(
            "the graph has changed: the state of {} is taken over",
            listed(&over)
        )];
        if !new.is_empty() {
            said.push(format!("{} start without state", listed(&new)));
        }
        Some((epoch, said))
    }

    /// Where replays stand of the letters of this region's stages, and of stages that are in none.
    fn replays_of(&mut self, shape: &Shape, shapes: &[Shape]) -> BTreeMap<String, Snapshot> {
        let has = |shape: &Shape, name: &str| shape.stages().any(|(s, ..)| s == name);
        let replays = std::mem::take(&mut self.replays);
        let (own, others) = replays.into_iter().partition(|(name, _)| {
            let stage = replay::stage_of(name).unwrap_or_default();
            has(shape, stage) || !shapes.iter().any(|s| has(s, stage))
        });
        self.replays = others;
        own
    }

    /// Stages whose state nobody took over.
    fn lost(&self) -> BTreeSet<String> {
        self.instances
            .iter()
            .filter(|(name, s)| !self.taken.contains(*name) && !s.state.is_empty())
            .map(|(name, _)| stage_of(name).to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{files::MemoryFiles, manifest::StageKind};

    use super::*;
    use crate::checkpoint::shape::StageShape;

    fn shape(stages: &[(&str, StageKind, &str, u32)]) -> Shape {
        Shape::new(
            stages
                .iter()
                .map(|(name, kind, plugin, workers)| StageShape {
                    name: (*name).into(),
                    kind: *kind,
                    plugin: (*plugin).into(),
                    workers: *workers,
                    inputs: Vec::new(),
                })
                .collect(),
        )
    }

    const SRC: (&str, StageKind, &str, u32) = ("src", StageKind::Source, "lines", 1);

    struct Disk(MemoryFiles);

    impl Disk {
        fn leave(&self, shape: &Shape, number: u64, is_final: bool, complete: bool) {
            let fs: Arc<dyn FileSystem> = Arc::new(self.0.clone());
            if complete {
                let mark: Complete = [(shape.folder(), number)].into_iter().collect();
                mark.write(&*fs, Path::new("h")).unwrap();
            }
            let store = Store::open(fs, Path::new("h").join(EPOCHS).join(shape.folder())).unwrap();
            let instances = shape.stages().flat_map(|(stage, plugin, workers)| {
                (0..workers as usize).map(move |w| {
                    let snapshot = Snapshot {
                        plugin: plugin.clone(),
                        state: stage.as_bytes().to_vec(),
                        ..Snapshot::default()
                    };
                    (crate::checkpoint::shape::instance(stage, w), snapshot)
                })
            });
            let epoch = Epoch {
                number,
                last: is_final,
                complete,
                instances: instances.collect(),
                ..Epoch::default()
            };
            keep(&store, &epoch, is_final).unwrap();
        }

        fn start(
            &self,
            now: &Shape,
            before: &Shape,
            drop: &[&str],
        ) -> Result<Option<Epoch>, String> {
            let fs: Arc<dyn FileSystem> = Arc::new(self.0.clone());
            let drop = drop.iter().map(|s| (*s).to_owned()).collect();
            let folders = [before.folder()];
            let found = inherit(
                &fs,
                Path::new("h"),
                std::slice::from_ref(now),
                &drop,
                &folders,
            )
            .map_err(|e| e.to_string())?;
            found[0].store.restore(None).map_err(|e| e.to_string())
        }
    }

    #[test]
    fn the_same_graph_goes_on_from_any_epoch() {
        let (disk, graph) = (Disk(MemoryFiles::default()), shape(&[SRC]));
        disk.leave(&graph, 5, false, false);
        let epoch = disk.start(&graph, &graph, &[]).unwrap().unwrap();
        assert_eq!(epoch.number, 5);
    }

    #[test]
    fn a_changed_graph_takes_over_what_fits_and_drops_nothing_unasked() {
        let disk = Disk(MemoryFiles::default());
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC, ("new", StageKind::Sink, "lines", 1)]);
        disk.leave(&before, 5, true, false);
        let said = disk.start(&now, &before, &[]).unwrap_err();
        assert!(
            said.contains("the state of old would be lost") && said.contains("--drop-state old")
        );
        let said = disk.start(&now, &before, &["old", "typo"]).unwrap_err();
        assert!(said.contains("--drop-state typo"), "{said}");
        let epoch = disk.start(&now, &before, &["old"]).unwrap().unwrap();
        assert_eq!(epoch.number, 5);
        assert_eq!(epoch.instances.keys().collect::<Vec<_>>(), ["src#0"]);
        // Once more: it is the region's own now.
        let again = disk.start(&now, &before, &[]).unwrap().unwrap();
        assert_eq!(again, epoch);
    }

    #[test]
    fn a_takeover_outlives_a_kill_at_any_step_and_then_a_loss_of_power() {
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC, ("new", StageKind::Sink, "lines", 1)]);
        for steps in 0.. {
            let disk = Disk(MemoryFiles::default());
            let start = || {
                let started = disk.start(&now, &before, &["old"]);
                started.or_else(|_| disk.start(&now, &before, &[]))
            };
            disk.leave(&before, 5, true, false);
            disk.0.stop_after(Some(steps));
            // Whether it was killed shows below.
            let _ = start();
            let killed = disk.0.stopped();
            disk.0.stop_after(None);
            start().unwrap();
            disk.0.lose_power(|| false);
            let epoch = start().unwrap().map(|e| e.number);
            assert_eq!(epoch, Some(5), "killed after {steps} steps");
            if !killed {
                break;
            }
        }
    }

    #[test]
    fn letters_behind_the_epoch_taken_over_go() {
        let disk = Disk(MemoryFiles::default());
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC, ("new", StageKind::Sink, "lines", 1)]);
        disk.leave(&before, 5, true, false);
        let folder = before.folder();
        for (region, stays) in [(folder.as_str(), false), ("other", true)] {
            let path = format!("h/dead-letters/{region}-000000.avro");
            let path = Path::new(&path);
            FileSystem::create_new(&disk.0, path).unwrap();
            disk.start(&now, &before, &["old"]).unwrap();
            assert_eq!(disk.0.names().contains(&path.to_owned()), stays);
            disk.leave(&before, 5, true, false);
        }
    }

    #[test]
    fn letters_of_a_graph_that_comes_back_stay_and_those_of_no_epoch_go() {
        let disk = Disk(MemoryFiles::default());
        let sink = |name| shape(&[SRC, (name, StageKind::Sink, "lines", 1)]);
        let (first, second) = (sink("one"), sink("two"));
        let letter = |shape: &Shape, number: u32| {
            let path = format!("h/dead-letters/{}-{number:06}.avro", shape.folder());
            FileSystem::create_new(&disk.0, Path::new(&path)).unwrap();
            Path::new(&path).to_owned()
        };
        let fs: Arc<dyn FileSystem> = Arc::new(disk.0.clone());
        let store = Store::open(fs, Path::new("h").join(EPOCHS).join(first.folder())).unwrap();
        let mark: Complete = [(first.folder(), 5)].into_iter().collect();
        mark.write(&disk.0, Path::new("h")).unwrap();
        let epoch = Epoch {
            number: 5,
            last: true,
            instances: [("src#0".to_owned(), Snapshot::default())].into(),
            letters: LettersMark {
                next: 1,
                ..LettersMark::default()
            },
            ..Epoch::default()
        };
        keep(&store, &epoch, true).unwrap();
        let (known, unknown) = (letter(&first, 0), letter(&first, 1));
        // The second graph begins anew and comes to no epoch of its own.
        assert_eq!(disk.start(&second, &first, &[]), Ok(None));
        assert!(disk.0.names().contains(&known) && !disk.0.names().contains(&unknown));
        let unknown = letter(&second, 0);
        let back = disk.start(&first, &second, &[]).unwrap().unwrap();
        assert_eq!((back.letters.next, back.is_empty()), (1, true));
        assert!(disk.0.names().contains(&known) && !disk.0.names().contains(&unknown));
    }

    #[test]
    fn a_start_that_was_interrupted_is_made_again() {
        let disk = Disk(MemoryFiles::default());
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC, ("new", StageKind::Sink, "lines", 1)]);
        disk.leave(&before, 5, true, false);
        let epoch = disk.start(&now, &before, &["old"]).unwrap();
        // What was left is there again: that it was emptied did not reach the disk.
        for is_final in [true, false] {
            disk.leave(&before, 5, is_final, false);
            assert_eq!(disk.start(&now, &before, &["old"]).unwrap(), epoch);
            assert_eq!(disk.start(&now, &before, &[]).unwrap(), epoch);
        }
    }

    #[test]
    fn a_changed_graph_wants_a_clean_end_before() {
        let disk = Disk(MemoryFiles::default());
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC]);
        disk.leave(&before, 5, false, false);
        let said = disk.start(&now, &before, &["old"]).unwrap_err();
        assert!(said.contains("did not end cleanly") && said.contains("--drop-state src"));
        assert_eq!(disk.start(&now, &before, &["old", "src"]), Ok(None));
    }

    #[test]
    fn other_workers_or_another_plugin_are_another_stage_and_a_complete_run_leaves_nothing() {
        let disk = Disk(MemoryFiles::default());
        let before = shape(&[SRC]);
        disk.leave(&before, 5, true, false);
        for now in [
            ("src", StageKind::Source, "lines", 2),
            ("src", StageKind::Source, "csv", 1),
        ] {
            assert!(disk.start(&shape(&[now]), &before, &[]).is_err());
        }
        disk.leave(&before, 6, true, true);
        let now = shape(&[("src", StageKind::Source, "csv", 1)]);
        assert_eq!(disk.start(&now, &before, &[]), Ok(None));
    }

    #[test]
    fn a_complete_run_is_begun_anew_by_each_region_until_it_has_an_epoch() {
        let disk = Disk(MemoryFiles::default());
        let fs: Arc<dyn FileSystem> = Arc::new(disk.0.clone());
        let (one, two) = (
            shape(&[SRC]),
            shape(&[("other", StageKind::Source, "csv", 1)]),
        );
        disk.leave(&one, 5, true, false);
        disk.leave(&two, 9, true, false);
        let folders = [one.folder(), two.folder()];
        let shapes = [one.clone(), two.clone()];
        let start = |drop: &[&str]| {
            let drop = drop.iter().map(|s| (*s).to_owned()).collect();
            let found = inherit(&fs, Path::new("h"), &shapes, &drop, &folders).unwrap();
            found.iter().map(|i| i.complete).collect::<Vec<_>>()
        };
        assert_eq!(start(&[]), [None, None], "both were stopped");
        let mark: Complete = [(one.folder(), 5), (two.folder(), 9)].into_iter().collect();
        mark.write(&*fs, Path::new("h")).unwrap();
        assert_eq!(start(&[]), [Some(5), Some(9)]);
        // There is nothing to be forgotten.
        assert_eq!(start(&["src"]), [Some(5), Some(9)]);
        // A sink may still say that the newest epoch never was.
        disk.leave(&one, 6, false, false);
        assert_eq!(start(&[]), [Some(5), Some(9)]);
        disk.leave(&one, 7, false, false);
        assert_eq!(start(&[]), [None, Some(9)]);
        // A graph that comes back later counts from its own epochs, whatever number they have.
        let now = shape(&[("src", StageKind::Source, "csv", 1)]);
        inherit(
            &fs,
            Path::new("h"),
            &[now],
            &["src".to_owned()].into(),
            &folders,
        )
        .unwrap();
        disk.leave(&two, 9, true, false);
        assert_eq!(start(&[]), [None, None]);
    }

    #[test]
    fn a_region_at_its_end_keeps_its_state_while_others_of_its_host_are_not() {
        let disk = Disk(MemoryFiles::default());
        let sink = ("out", StageKind::Sink, "lines", 1);
        let before = shape(&[SRC, ("old", StageKind::Sink, "lines", 1)]);
        let now = shape(&[SRC, sink]);
        let other = shape(&[("endless", StageKind::Source, "kafka", 1)]);
        disk.leave(&before, 5, true, false);
        disk.leave(&other, 9, true, false);
        let fs: Arc<dyn FileSystem> = Arc::new(disk.0.clone());
        let (shapes, folders) = ([now, other.clone()], [before.folder(), other.folder()]);
        let drop = ["old".to_owned()].into();
        let found = inherit(&fs, Path::new("h"), &shapes, &drop, &folders).unwrap();
        let epoch = found[0].store.restore(None).unwrap().unwrap();
        assert!(epoch.instances.contains_key("src#0"));
    }
}
