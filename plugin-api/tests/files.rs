//! A file sink through the boundary, on a file system that can be filled up, broken and crashed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use plugin_api::files::{FileFormat, FileWriter, MemoryFiles, Roll};
use plugin_api::prelude::*;
use plugin_api::testing::{Harness, TestHost, batch_of};
use serde_json::json;

thread_local! {
    /// A stage runs on the thread of its test, and so each test has a file system of its own.
    static FILES: MemoryFiles = MemoryFiles::default();
}

options! {
    /// Writes lines between a head and a tail.
    pub struct Options {
        /// The file.
        pub path: FilePath,
        /// When a new file is begun.
        #[serde(default)]
        pub roll: Roll,
    }
}

struct Framed;

impl FileFormat for Framed {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        out.extend_from_slice(b"<");
        Ok(())
    }
    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        out.extend_from_slice(record.bytes());
        if record.bytes() == b"bad" {
            return Err(Reject::new("bad"));
        }
        Ok(())
    }
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        out.extend_from_slice(b">");
        Ok(())
    }
}

struct FramedSink(FileWriter<Framed>);

impl Sink for FramedSink {
    const NAME: &'static str = "framed";
    type Options = Options;
    fn plan(options: &Options, _: &[ContentType]) -> Result<Planned, StageError> {
        FileWriter::<Framed>::plan(&options.path)?;
        Ok(Planned::sink())
    }
    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let files = Arc::new(FILES.with(MemoryFiles::clone));
        FileWriter::open_on(files, &options.path, options.roll, Framed, ctx).map(Self)
    }
    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        self.0.restore(epoch, state)
    }
    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        self.0.write(input, from, out)
    }
    fn tick(&mut self, now_ns: u64, _: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.0.tick(now_ns)
    }
    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        self.0.checkpoint(epoch, last)
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.0.checkpoint_poll(epoch)
    }
    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        self.0.commit(epoch)
    }
    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        self.0.abort(epoch);
        Ok(())
    }
}

export_plugin! { sinks: [FramedSink] }

type Stage = Harness<ThisPlugin>;

fn open(options: &serde_json::Value) -> Stage {
    Stage::sink("framed", options, &[ContentType::text()]).unwrap()
}

fn read(path: &str) -> Option<Vec<u8>> {
    FILES.with(|files| files.read(path))
}

#[test]
fn files_roll_and_a_rejected_record_leaves_nothing_behind() {
    // Each file has its head and tail.
    let mut stage = open(&json!({"path": "roll", "roll": {"max_records": 2}}));
    let outcome = stage
        .write(&batch_of(["a", "bad", "b", "c", "bad"]))
        .unwrap();
    assert_eq!((outcome.consumed_count(), outcome.rejected.len()), (3, 2));
    stage.finish().unwrap();
    assert_eq!(read("roll").unwrap(), b"<ab>");
    assert_eq!(read("roll-1").unwrap(), b"<c>");

    // By bytes: a file ends with the record that reaches the limit.
    let mut stage = open(&json!({"path": "bytes", "roll": {"max_bytes": 4}}));
    stage.write(&batch_of(["aa", "b", "c"])).unwrap();
    stage.finish().unwrap();
    assert_eq!(read("bytes").unwrap(), b"<aab>");
    assert_eq!(read("bytes-1").unwrap(), b"<c>");

    // Only rejected records: no file.
    let mut stage = open(&json!({"path": "none"}));
    stage.write(&batch_of(["bad"])).unwrap();
    stage.finish().unwrap();
    let names = FILES.with(MemoryFiles::names);
    assert!(names.iter().all(|name| !name.starts_with("none")));
}

#[test]
fn what_no_epoch_covers_takes_no_name() {
    let mut stage = open(&json!({"path": "x"}));
    stage.write(&batch_of(["a"])).unwrap();
    stage.close().unwrap();
    let open_file = "x.test.framed.0-1.inprogress";
    assert_eq!(FILES.with(MemoryFiles::names), [Path::new(open_file)]);
    open(&json!({"path": "x"}));
    assert!(FILES.with(MemoryFiles::names).is_empty());
}

#[test]
fn a_full_disk_loses_and_doubles_nothing() {
    let files = FILES.with(MemoryFiles::clone);
    let mut stage = open(&json!({"path": "full"}));
    let big = "x".repeat(300_000);
    stage.write(&batch_of([&big])).unwrap();
    files.set_room(Some(100_000));
    assert!(stage.write(&batch_of(["y"])).unwrap_err().is_transient());
    stage.begin_checkpoint(1, true).unwrap();
    assert!(stage.poll_checkpoint(1).unwrap_err().is_transient());
    files.set_room(None);
    stage.write(&batch_of(["y"])).unwrap();
    assert!(stage.poll_checkpoint(1).unwrap().0.is_some());
    stage.commit(1).unwrap();
    stage.finish().unwrap();
    let (first, second) = (read("full").unwrap(), read("full-1").unwrap());
    assert_eq!((first.len(), &second[..]), (300_002, &b"<y>"[..]));
}

#[test]
fn a_failed_fsync_is_fatal_now_and_later() {
    let mut stage = open(&json!({"path": "broken"}));
    stage.write(&batch_of(["a"])).unwrap();
    FILES.with(|files| files.fail_syncs(1));
    assert!(!stage.checkpoint(1, false).unwrap_err().is_transient());
    assert!(!stage.checkpoint(2, true).unwrap_err().is_transient());
    assert!(read("broken").is_none());
}

/// Records of the source that the lives below read.
const RECORDS: usize = 14;

/// What is durable beside the files: the last epoch, its state and the source's position.
#[derive(Default)]
struct Store {
    epoch: u64,
    state: Option<Vec<u8>>,
    position: usize,
}

/// One process, from the last epoch to the end or to its death.
fn live(store: &mut Store) -> Result<(), StageError> {
    let options = json!({"path": "{date}/x", "roll": {"max_records": 3}});
    let host = TestHost::leaked();
    // A fixed clock: three records a day.
    let day_of = |record: usize| 1 + record as i64 / 3 * 86_400_000_000;
    let mut at = store.position;
    host.set_now_us(day_of(at));
    let restored = (store.epoch, store.state.as_deref());
    let inputs = [ContentType::text()];
    let mut stage = Stage::open_at(host, "sink", "framed", &options, &inputs, restored)?;
    if store.epoch > 0 {
        stage.commit(store.epoch)?;
    }
    let mut epoch = store.epoch;
    let mut write = |stage: &mut Stage, count: usize| {
        let until = RECORDS.min(at + count);
        while at < until {
            host.set_now_us(day_of(at));
            stage.write(&batch_of([format!("{at};")]))?;
            at += 1;
        }
        Ok::<usize, StageError>(at)
    };
    loop {
        let barrier = write(&mut stage, 2)?;
        epoch += 1;
        let last = barrier == RECORDS;
        stage.begin_checkpoint(epoch, last)?;
        // The flow goes on.
        write(&mut stage, 1)?;
        if epoch % 3 == 2 && !last {
            stage.abort(epoch)?;
            continue;
        }
        let state = stage.poll_checkpoint(epoch)?.0;
        assert!(state.is_some(), "in memory nothing takes time");
        *store = Store {
            epoch,
            state,
            position: barrier,
        };
        write(&mut stage, 1)?;
        stage.commit(epoch)?;
        if last {
            return stage.close();
        }
    }
}

/// Records in files that have their names, in order; every such file must be whole.
fn visible(files: &MemoryFiles) -> Vec<usize> {
    let mut records = Vec::new();
    for name in files.names() {
        let text = String::from_utf8(files.read(&name).unwrap()).unwrap();
        if name.extension().is_some_and(|end| end == "inprogress") {
            continue;
        }
        let body = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
        let body = body.unwrap_or_else(|| panic!("{}: {text}", name.display()));
        let numbers = body
            .split_terminator(';')
            .map(|n| n.parse::<usize>().unwrap());
        records.extend(numbers);
    }
    records.sort_unstable();
    records
}

/// Whether the process ended by itself. If not, the machine goes down: by a kill, after which all
/// that was written is there, or a loss of power, after which what was not synced may be.
fn live_and_die(store: &mut Store, steps: Option<usize>, power: Option<u64>) -> bool {
    let files = FILES.with(MemoryFiles::clone);
    files.stop_after(steps);
    let ended = live(store);
    if let Err(error) = &ended {
        assert!(files.stopped(), "{error}");
    }
    files.stop_after(None);
    if let Some(mut seed) = power.filter(|_| ended.is_err()) {
        files.lose_power(|| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed >> 63 == 1
        });
    }
    let seen = visible(&files);
    let known: Vec<usize> = (0..store.position).collect();
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]) && seen.iter().all(|r| known.contains(r)),
        "steps {steps:?}, power {power:?}: {seen:?} of {}",
        store.position
    );
    ended.is_ok()
}

#[test]
fn each_record_is_in_one_file_whatever_crashes_when() {
    let files = FILES.with(MemoryFiles::clone);
    let mut crashes = 0;
    for power in [None, Some(0), Some(1), Some(2), Some(3)] {
        for first in 0.. {
            let mut over = false;
            for second in 0.. {
                let mut store = Store::default();
                over = live_and_die(&mut store, Some(first), power);
                let again = power.map(|seed| seed + 10);
                let survived = over || live_and_die(&mut store, Some(second), again);
                if !survived {
                    live_and_die(&mut store, None, None);
                    crashes += 1;
                }
                let all: Vec<usize> = (0..RECORDS).collect();
                assert_eq!(visible(&files), all, "{first}, {second}, {power:?}");
                let names = files.names();
                let left = names
                    .iter()
                    .filter(|name| name.to_string_lossy().contains("inprogress"));
                assert_eq!(left.count(), 0, "{first}, {second}, {power:?}: {names:?}");
                for name in names {
                    plugin_api::files::FileSystem::remove(&files, &name).unwrap();
                }
                files.lose_power(|| true);
                if survived {
                    break;
                }
            }
            if over {
                break;
            }
        }
    }
    assert!(crashes > 4_000, "{crashes}");
}
