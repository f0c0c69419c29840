//! What it costs to run a stage in a process of its own: the same plugin's processor, which passes
//! a batch on as it is, and its sink, called in this process and in another, in turn. A processor's
//! batch goes there and comes back; a sink's goes there. Of the parts of a round the fastest counts:
//! the others measure who else uses the machine.

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use host::{
    isolate::Isolated,
    loader,
    plan::{Isolate, Planner, PluginEntry},
};
use plugin_api::{
    Batch, BatchBuilder, ContentType,
    abi::{
        batch::RawBatch,
        root::{bytes, plain},
        services::{HostApi, HostServices, Level, MetricKind, OutApi, OutHandle},
        stage::StageBox,
    },
    batch::monotonic_ns,
    context::Start,
    manifest::StageKind,
};

use crate::{Error, report::Report};

const ROUNDS: usize = 5;
const RECORD: [u8; 300] = [b'x'; 300];
const PARTS: usize = 20;
/// Records in a batch, how many batches a part, and what one crossing may cost in nanoseconds.
const FLOWS: [(usize, u32, f64); 2] = [(1, 200, 27_000.0), (1000, 50, 110_000.0)];
/// Stages, and how often a batch crosses for them.
const STAGES: [(StageKind, &str, f64); 2] = [
    (StageKind::Processor, "flow-pass", 2.0),
    (StageKind::Sink, "flow-discard", 1.0),
];

/// The worst of both stages and both sizes counts.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let plugin = e2e::thirdparty::build(e2e::thirdparty::Compiler::Ours, true);
    let entry = load(&plugin.join("libflow.so"))?;
    let isolated = Isolated::new(e2e::artifacts::host(), entry.clone(), Isolate::default());
    let mut ratio = f64::INFINITY;
    for (kind, name, crossings) in STAGES {
        let mut inside = open(&*entry.planner, kind, name)?;
        let mut outside = open(&isolated, kind, name)?;
        for (records, batches, limit) in FLOWS {
            let limit = limit * crossings;
            let batch = batch(records);
            let title = |place: &str| format!("{kind} {place}, ns a batch of {records}");
            let outside_title = format!("{} (limit {limit})", title("isolated"));
            for _ in 0..ROUNDS {
                let fastest = measure(&mut inside, kind, &batch, batches)?;
                report.add(&title("inside"), fastest);
                let fastest = measure(&mut outside, kind, &batch, batches)?;
                report.add(&outside_title, fastest);
            }
            ratio = ratio.min(limit / report.median(&outside_title));
        }
        plain(outside.close())?;
    }
    report.conclude(ratio);
    Ok(())
}

fn load(file: &Path) -> Result<Arc<PluginEntry>, Error> {
    let loaded = loader::load_file(file);
    Ok(Arc::new(loaded.map_err(|refusal| refusal.reason)?))
}

fn batch(records: usize) -> Batch {
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        builder.push(Some(&RECORD));
    }
    builder.finish()
}

fn open(planner: &dyn Planner, kind: StageKind, name: &str) -> Result<StageBox, Error> {
    let mut stage = planner.create(kind, name)?;
    loader::plan(&mut stage, b"{}", &[ContentType::text()])?;
    let start = serde_json::to_vec(&Start {
        host: "bench".into(),
        stage: name.into(),
        worker: 0,
        workers: 1,
        batch: plugin_api::BatchLimits::default(),
    })?;
    plain(stage.open(HostServices::new(&Quiet), bytes(&start)))?;
    plain(stage.restore(0, 0, None.into()))?;
    Ok(stage)
}

/// Nanoseconds a batch in the fastest part.
fn measure(
    stage: &mut StageBox,
    kind: StageKind,
    batch: &Batch,
    batches: u32,
) -> Result<f64, Error> {
    let mut fastest = f64::INFINITY;
    for _ in 0..PARTS {
        let spent = part(stage, kind, batch, batches)?;
        fastest = fastest.min(spent.as_nanos() as f64 / f64::from(batches));
    }
    Ok(fastest)
}

fn part(
    stage: &mut StageBox,
    kind: StageKind,
    batch: &Batch,
    batches: u32,
) -> Result<Duration, Error> {
    let started = Instant::now();
    OutHandle::with(&mut Nowhere, |out| {
        for seq in 0..u64::from(batches) {
            if kind == StageKind::Sink {
                plain(stage.write(0, seq, batch.raw(), 0, out))?;
            } else {
                plain(stage.process(0, seq, batch.raw(), out))?;
            }
        }
        Ok(started.elapsed())
    })
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl OutApi for Nowhere {
    fn emit(&mut self, _: u32, batch: RawBatch) -> bool {
        drop(black_box(batch));
        true
    }
    fn consumed(&mut self, _: u64, _: u64) {}
    fn filtered(&mut self, _: u64, _: u64) {}
    fn reject(&mut self, _: u64, _: u32, _: &str, _: &str) {}
    fn reject_raw(&mut self, _: &[u8], _: &str, _: &str) {}
}

/// Services that nobody uses here; nobody cancels.
struct Quiet;

impl HostApi for Quiet {
    fn log(&self, _: Level, message: &str) {
        eprintln!("{message}");
    }
    fn now_us(&self) -> i64 {
        0
    }
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }
    fn sleep_until(&self, until_ns: u64) -> bool {
        let left = until_ns.saturating_sub(monotonic_ns());
        std::thread::sleep(Duration::from_nanos(left));
        true
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn request_checkpoint(&self) {}
    fn metric(&self, _: &str, _: MetricKind, _: f64) {}
}
