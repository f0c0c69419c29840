//! The targets of `fuzz/`, guided by coverage: built with LLVM's counters by a stable compiler,
//! run by libFuzzer, without AddressSanitizer. A run is a second; they are shared by the targets.

use std::{
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use e2e::{artifacts, parts};

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "fuzz",
    about: "what comes from outside, guided by coverage; a run is a second, shared by 11 targets",
    ci: 60 * TARGETS.len() as u64,
    long: Some(3600 * TARGETS.len() as u64),
    begin: || {
        let binaries = build()?;
        Some(Box::new(Fuzz { binaries }))
    },
};

/// As many at a time as there are processors.
pub const TARGETS: [&str; 11] = [
    "twitter_framing",
    "jetstream_frames",
    "mastodon_messages",
    "posts",
    "cloud_words",
    "hosts_toml",
    "avro_reading",
    "batch",
    "epoch",
    "dead_letters",
    "websocket_handshake",
];

/// What `cargo fuzz` passes, too; these are options of the stable compiler.
const COUNTERS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

struct Fuzz {
    binaries: PathBuf,
}

/// Builds the targets: the folder that holds them; `None` after saying what is missing.
fn build() -> Option<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        parts::skip("targets are built for x86-64 Linux only");
        return None;
    }
    if Command::new("c++").arg("--version").output().is_err() {
        parts::skip("libFuzzer needs a C++ compiler, `c++`");
        return None;
    }
    let target = artifacts::folder().join("fuzz");
    // Build scripts and macros run here and get no counters: the triple keeps them apart.
    let built = artifacts::cargo()
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TRIPLE,
            "--target-dir",
        ])
        .arg(&target)
        .env("RUSTFLAGS", COUNTERS)
        .current_dir(e2e::root().join("fuzz"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "fuzz/ does not build");
    Some(target.join(TRIPLE).join("release"))
}

impl Job for Fuzz {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let seconds = run.most.div_ceil(TARGETS.len() as u64);
        let next = AtomicUsize::new(0);
        let lane = || {
            let mut wrong = Vec::new();
            while let Some(name) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(why) = self.target(name, run, seconds) {
                    wrong.push(format!("{name}: {why}"));
                }
            }
            wrong
        };
        let lanes = thread::available_parallelism().map_or(1, NonZero::get);
        let wrong: Vec<_> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
            let ended = lanes.into_iter().map(|lane| lane.join().expect("no panic"));
            ended.flatten().collect()
        });
        if wrong.is_empty() {
            Ok(run.most)
        } else {
            Err(wrong.join("\n"))
        }
    }
}

impl Fuzz {
    fn target(&self, name: &str, run: &Run, seconds: u64) -> Result<(), String> {
        let folder = |part: &str| {
            let path = run.folder.path(name).join(part);
            fs::create_dir_all(&path)
                .map(|()| path)
                .map_err(|e| e.to_string())
        };
        let (corpus, broken) = (folder("corpus")?, folder("broken")?);
        let out = Command::new(self.binaries.join(name))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-seed={}", run.seed % (1 << 31) + 1))
            .args([
                "-rss_limit_mb=1024",
                "-malloc_limit_mb=512",
                "-timeout=20",
                "-print_final_stats=1",
            ])
            .arg(format!("-artifact_prefix={}/", broken.display()))
            .arg(&corpus)
            .env("FUZZ_SEEDS", &corpus)
            .output()
            .map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&out.stderr);
        if !out.status.success() {
            let from = said.len().saturating_sub(3000);
            let last = said.get(from..).unwrap_or(&said);
            return Err(format!("input in {}: {last}", broken.display()));
        }
        let runs = last_number(&said, "stat::number_of_executed_units:");
        let reached = said.lines().rfind(|line| line.contains(" cov: "));
        let reached = reached.map_or(0, |line| last_number(line, " cov: "));
        let grown = count(&corpus)?;
        println!("  {name}: {runs} inputs in {seconds} s, {reached} edges, {grown} of them kept");
        if runs == 0 || reached == 0 || grown <= 4 {
            return Err(format!("it is not guided: {said}"));
        }
        Ok(())
    }
}

/// The number behind the last occurrence of a text.
fn last_number(said: &str, behind: &str) -> u64 {
    let rest = said.rsplit_once(behind).map_or("", |(_, rest)| rest);
    let number = rest.split_whitespace().next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

fn count(folder: &Path) -> Result<usize, String> {
    fs::read_dir(folder)
        .map(Iterator::count)
        .map_err(|e| e.to_string())
}
