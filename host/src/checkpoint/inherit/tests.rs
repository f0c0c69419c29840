use plugin_api::{files::MemoryFiles, manifest::StageKind};

use super::*;
use crate::checkpoint::{
    epoch::{LettersMark, Snapshot},
    shape::StageShape,
};

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

    fn start(&self, now: &Shape, before: &Shape, drop: &[&str]) -> Result<Option<Epoch>, String> {
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
    assert!(said.contains("the state of old would be lost") && said.contains("--drop-state old"));
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
