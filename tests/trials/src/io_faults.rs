//! Each call that changes the output or the state fails once, or is the last of its process.

use e2e::{host::Folder, process::Process};

use crate::{
    fault::{Calls, EVERY, How, Injector},
    flow::{self, Outputs, PATIENCE, Tweets},
    frame::{Job, Run, Trial},
};

pub const TRIAL: Trial = Trial {
    name: "io-faults",
    about: "the n-th write, fsync, rename, … fails (EIO, ENOSPC) or ends the process; then a clean run",
    ci: 300,
    long: None,
    begin: || {
        let injector = Injector::build()?;
        let mut faults = IoFaults {
            injector,
            tweets: Tweets::known(1_500, Some(10_000)),
            calls: [0; SHAPES.len()],
            missed: 0,
        };
        for shape in 0..SHAPES.len() {
            let folder = Folder::new();
            let (count, result) = faults.broken(&folder, shape, 0, How::Kill);
            result.expect("a run that nothing disturbs");
            faults.calls[shape] = count;
        }
        println!("io-faults: {:?} calls in a run of {SHAPES:?}", faults.calls);
        Some(Box::new(faults))
    },
};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One region: file sinks in memory's reach of the source.
    Files,
    /// Two regions with a disk buffer between.
    Buffer,
}

const SHAPES: [Shape; 2] = [Shape::Files, Shape::Buffer];

struct IoFaults {
    injector: Injector,
    tweets: Tweets,
    /// Calls of a whole run, by shape.
    calls: [u64; SHAPES.len()],
    /// Runs in a row that ended before their call came.
    missed: usize,
}

impl Job for IoFaults {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        // In a long run each call has its turn, with every fault and shape; else chance picks.
        let kinds = (EVERY.len() * SHAPES.len()) as u64;
        let kind = (run.seed % kinds) as usize;
        let (how, shape) = (EVERY[kind % EVERY.len()], kind / EVERY.len());
        let at = if run.long {
            run.seed / kinds + 1
        } else {
            run.rng.u64(1..=self.calls[shape])
        };
        if self.missed >= kinds as usize {
            return Ok(0);
        }
        let place = format!("call {at} of {:?}, {how:?}", SHAPES[shape]);
        let (calls, result) = self.broken(&run.folder, shape, at, how);
        self.missed = if calls < at { self.missed + 1 } else { 0 };
        result.map_err(|why| format!("{place}: {why}"))?;
        let mut outputs = outputs(&run.folder, shape);
        outputs
            .look()
            .map_err(|why| format!("{place}: before the clean run: {why}"))?;
        let stages: &[&str] = match SHAPES[shape] {
            Shape::Files => &["flow/tweets", "flow/avro", "flow/csv", "flow/lines"],
            Shape::Buffer => &["flow/tweets", "flow/behind"],
        };
        flow::complete(&run.folder, stages, self.tweets.count())
            .map_err(|why| format!("{place}: the clean run: {why}"))?;
        outputs
            .close(self.tweets.ids())
            .map_err(|why| format!("{place}: after the clean run: {why}"))?;
        Ok(1)
    }
}

impl IoFaults {
    /// A run in which that call breaks: how many calls there were. One that says it ended well
    /// must have written everything.
    fn broken(
        &self,
        folder: &Folder,
        shape: usize,
        at: u64,
        how: How,
    ) -> (u64, Result<(), String>) {
        folder.write("hosts.toml", &self.hosts(shape));
        let mut outputs = outputs(folder, shape);
        let calls = Calls::none(folder.path("calls"));
        let mut host = folder.host(&["--config", "hosts.toml", "--summary", "json"]);
        let root = folder.path("").canonicalize().expect("the folder");
        self.injector.arm(&mut host, &root, &calls, at, how);
        let ended = Process::start(&mut host).finish(PATIENCE);
        let result = match ended.code {
            Some(0) => outputs
                .close(self.tweets.ids())
                .map_err(|why| format!("the host ended well, yet {why}\n{}", ended.stderr)),
            // Killed here, or the host gave up and said so.
            None | Some(65..=78) if at > 0 => outputs.look(),
            code => Err(format!("exit code {code:?}:\n{}", ended.stderr)),
        };
        (calls.count(), result)
    }

    fn hosts(&self, shape: usize) -> String {
        let source = self.tweets.source("flow", "tweets");
        let sinks = match SHAPES[shape] {
            Shape::Files => flow::sinks("flow", "tweets"),
            Shape::Buffer => r#"
[hosts.flow.sinks.behind]
plugin = "lines"
inputs = ["tweets"]
buffer = { type = "disk", max_bytes = "1 GiB" }
with = { path = "out/behind/t.jsonl", roll = { max_records = 300 } }
"#
            .to_owned(),
        };
        format!(
            r#"
version = 1
[hosts.flow]
checkpoint_interval = "30ms"
{source}
{sinks}
"#
        )
    }
}

fn outputs(folder: &Folder, shape: usize) -> Outputs {
    match SHAPES[shape] {
        Shape::Files => Outputs::of(folder),
        Shape::Buffer => Outputs::in_folders(folder, &["out/behind"]),
    }
}
