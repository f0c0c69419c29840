//! A file sink through the boundary, on a file system that can be filled up and broken.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use plugin_api::files::{FileFormat, FileWriter, MemoryFiles, Roll};
use plugin_api::prelude::*;
use plugin_api::testing::{Harness, batch_of};
use serde_json::json;

static FILES: LazyLock<MemoryFiles> = LazyLock::new(MemoryFiles::default);

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
        let files = Arc::new(FILES.clone());
        FileWriter::open_on(files, &options.path, options.roll, Framed, ctx).map(Self)
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
    fn checkpoint(&mut self, _: u64, last: bool) -> Result<(), StageError> {
        self.0.checkpoint(last)
    }
    fn checkpoint_poll(&mut self, _: u64, _: &mut Out<'_, '_>) -> Result<Checkpoint, StageError> {
        self.0.checkpoint_poll()
    }
    fn close(&mut self) -> Result<(), StageError> {
        self.0.close()
    }
}

export_plugin! { sinks: [FramedSink] }

fn open(options: &serde_json::Value) -> Harness<ThisPlugin> {
    Harness::sink("framed", options, &[ContentType::text()]).unwrap()
}

/// The file system is one for all, so this is one test.
#[test]
fn a_file_sink_rolls_rejects_and_survives_a_full_disk() {
    // Rolling: each file has its head and tail; a rejected record leaves nothing behind.
    let mut stage = open(&json!({"path": "roll", "roll": {"max_records": 2}}));
    let outcome = stage
        .write(&batch_of(["a", "bad", "b", "c", "bad"]))
        .unwrap();
    assert_eq!((outcome.consumed_count(), outcome.rejected.len()), (3, 2));
    stage.close().unwrap();
    assert_eq!(FILES.read("roll").unwrap(), b"<ab>");
    assert_eq!(FILES.read("roll-1").unwrap(), b"<c>");

    // By bytes: a file ends with the record that reaches the limit.
    let mut stage = open(&json!({"path": "bytes", "roll": {"max_bytes": 4}}));
    stage.write(&batch_of(["aa", "b", "c"])).unwrap();
    stage.close().unwrap();
    assert_eq!(FILES.read("bytes").unwrap(), b"<aab>");
    assert_eq!(FILES.read("bytes-1").unwrap(), b"<c>");

    // Only rejected records: no file.
    let mut stage = open(&json!({"path": "none"}));
    stage.write(&batch_of(["bad"])).unwrap();
    stage.close().unwrap();
    assert!(FILES.names().iter().all(|name| !name.starts_with("none")));

    // A full disk: nothing is taken, the error is transient, and nothing is lost or doubled.
    let mut stage = open(&json!({"path": "full"}));
    let big = "x".repeat(300_000);
    stage.write(&batch_of([&big])).unwrap();
    FILES.set_room(Some(100_000));
    assert!(stage.write(&batch_of(["y"])).unwrap_err().is_transient());
    assert!(stage.checkpoint(1, true).unwrap_err().is_transient());
    FILES.set_room(None);
    stage.write(&batch_of(["y"])).unwrap();
    stage.checkpoint(2, true).unwrap();
    stage.close().unwrap();
    let (first, second) = (FILES.read("full").unwrap(), FILES.read("full-1").unwrap());
    assert_eq!((first.len(), &second[..]), (300_002, &b"<y>"[..]));

    // A failed fsync is fatal, now and later.
    let mut stage = open(&json!({"path": "broken"}));
    stage.write(&batch_of(["a"])).unwrap();
    FILES.fail_syncs(1);
    assert!(!stage.checkpoint(1, false).unwrap_err().is_transient());
    assert!(!stage.checkpoint(2, true).unwrap_err().is_transient());
    assert!(FILES.read(Path::new("broken")).is_none());
}
