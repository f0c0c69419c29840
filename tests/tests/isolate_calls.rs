//! A stage in a process of its own is called, and answers, as one in this process.

use std::{sync::Arc, time::Duration};

use e2e::thirdparty::{Compiler, build};
use host::{
    isolate::Isolated,
    loader,
    plan::{Isolate, Planner},
};
use plugin_api::{
    Batch, BatchBuilder, ContentType, StageError,
    abi::{
        batch::RawBatch,
        root::{bytes, plain},
        services::{HostApi, HostServices, Level, MetricKind, OutApi, OutHandle},
        stage::StageBox,
    },
    batch::monotonic_ns,
    manifest::StageKind,
};

/// Writes down what a stage puts out; says that it is enough where the engine does.
#[derive(Default)]
struct Recorder {
    events: Vec<String>,
    emitted: usize,
}

impl OutApi for Recorder {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        let batch = Batch::try_from(batch).expect("a sound batch");
        let records: Vec<_> = batch
            .iter()
            .map(|r| {
                let headers: Vec<_> = r.headers().collect();
                format!("{:?} {:?} {:?} {headers:?}", r.value(), r.key(), r.ts_us())
            })
            .collect();
        self.events.push(format!("emit {port} {records:?}"));
        self.emitted += 1;
        self.emitted < 16
    }
    fn consumed(&mut self, seq: u64, n: u64) {
        self.events.push(format!("consumed {seq} {n}"));
    }
    fn filtered(&mut self, seq: u64, n: u64) {
        self.events.push(format!("filtered {seq} {n}"));
    }
    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str) {
        self.events
            .push(format!("reject {seq} {index} {reason} {pointer}"));
    }
    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        let n = bytes.len();
        self.events
            .push(format!("reject {n} bytes {reason} {pointer}"));
    }
}

/// Services of a test that nobody cancels.
struct Quiet;

impl HostApi for Quiet {
    fn log(&self, _: Level, message: &str) {
        println!("{message}");
    }
    fn now_us(&self) -> i64 {
        0
    }
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }
    fn sleep_until(&self, until_ns: u64) -> bool {
        std::thread::sleep(Duration::from_nanos(
            until_ns.saturating_sub(monotonic_ns()),
        ));
        true
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn request_checkpoint(&self) {}
    fn metric(&self, _: &str, _: MetricKind, _: f64) {}
}

/// A stage, and what came of its calls so far.
struct Script {
    stage: StageBox,
    told: Vec<String>,
}

impl Script {
    fn call<T: std::fmt::Debug>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut StageBox, &mut OutHandle<'_>) -> Result<T, StageError>,
    ) {
        let mut recorder = Recorder::default();
        let answer = OutHandle::with(&mut recorder, |out| call(&mut self.stage, out));
        self.told.append(&mut recorder.events);
        self.told.push(format!("{name}: {answer:?}"));
    }
}

fn batch() -> Batch {
    let mut batch = BatchBuilder::new();
    batch
        .push(Some(b"one"))
        .key(Some(b"k"))
        .header("h", Some(b"v"));
    batch.push(None).ts_us(Some(-1));
    batch.push(Some(b""));
    batch.finish()
}

/// Every call there is, with every kind of answer.
fn run(planner: &dyn Planner, kind: StageKind) -> Vec<String> {
    let name = format!("calls-{kind}");
    let mut script = Script {
        stage: planner.create(kind, &name).expect("the stage is made"),
        told: Vec::new(),
    };
    let inputs = match kind {
        StageKind::Source => vec![],
        _ => vec![ContentType::avro("\"string\"")],
    };
    for options in [&br#"{"wrod": 1}"#[..], br#"{"word": "hello"}"#] {
        script.call("plan", |s, _| loader::plan(s, options, &inputs));
    }
    let start = br#"{"host": "a", "stage": "b", "worker": 2, "workers": 3}"#;
    let services = HostServices::new(&Quiet);
    script.call("open", |s, _| plain(s.open(services, bytes(start))));
    for epochs in [&[][..], &[9, 8]] {
        script.call("recover", |s, _| plain(s.recover(epochs.into())));
    }
    script.call("restore", |s, _| plain(s.restore(0, 0, None.into())));
    script.call("restore", |s, _| {
        plain(s.restore(3, 1, Some(bytes(b"state")).into()))
    });
    script.call("restore", |s, _| {
        plain(s.restore(3, 99, Some(bytes(b"newer")).into()))
    });
    for budget in [0, 1, 2] {
        script.call("poll", |s, out| plain(s.poll(budget, 5, out)));
    }
    script.call("drain", |s, _| plain(s.drain()));
    for port in [0, 1] {
        script.call("process", |s, out| {
            plain(s.process(port, 11, batch().raw(), out))
        });
        script.call("tick", |s, out| plain(s.tick(monotonic_ns(), out)));
        script.call("resume", |s, out| plain(s.resume(out)));
        script.call("write", |s, out| {
            plain(s.write(port, 12, batch().raw(), 1, out))
        });
        script.call("tick", |s, out| plain(s.tick(monotonic_ns(), out)));
        script.call("tick", |s, out| plain(s.tick(monotonic_ns(), out)));
    }
    for epoch in [1, 2, 7, 8] {
        script.call("checkpoint", |s, _| {
            plain(s.checkpoint(epoch, bytes(&[]), epoch == 2)).map(told)
        });
        script.call("checkpoint_poll", |s, out| {
            plain(s.checkpoint_poll(epoch, out)).map(told)
        });
        script.call("commit", |s, _| plain(s.commit(epoch)));
        script.call("abort", |s, _| plain(s.abort(epoch)));
    }
    script.call("end", |s, out| plain(s.end(1, out)));
    script.call("close", |s, _| plain(s.close()));
    script.told
}

/// A state as text, none as none.
fn told(state: impl Into<Option<StateBytes>>) -> Option<String> {
    let state: Option<StateBytes> = state.into();
    state.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

type StateBytes = abi_stable::std_types::RVec<u8>;

#[test]
fn an_isolated_stage_is_called_and_answers_as_any_other() {
    let built = build(Compiler::Ours, false);
    let entry = loader::load_file(&built.join("libfaults.so"));
    let entry = Arc::new(entry.expect("the plugin opens"));
    let host = e2e::artifacts::host();
    let isolated = Isolated::new(host, entry.clone(), Isolate::default());
    for kind in [StageKind::Source, StageKind::Processor, StageKind::Sink] {
        let here = run(&*entry.planner, kind);
        let there = run(&isolated, kind);
        for (here, there) in here.iter().zip(&there) {
            assert_eq!(here, there, "{kind}");
        }
        assert_eq!(here.len(), there.len(), "{kind}");
        assert!(
            here.iter().any(|line| line.contains("restore 3")),
            "{here:#?}"
        );
    }
}

#[test]
fn a_file_that_is_another_by_now_is_refused() {
    let built = build(Compiler::Ours, false);
    let entry = loader::load_file(&built.join("libfaults.so"));
    let mut entry = entry.expect("the plugin opens");
    entry.sha256 = "0".repeat(64);
    let isolated = Isolated::new(e2e::artifacts::host(), Arc::new(entry), Isolate::default());
    let refused = isolated.create(StageKind::Sink, "calls-sink").err();
    let message = refused.expect("another file is refused").message;
    assert!(message.contains("is not the file any more"), "{message}");
}
