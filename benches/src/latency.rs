//! What epochs cost in latency: how old batches are at a sink, at a steady rate that leaves the
//! machine room, with an epoch each second and with none, in turn. A file beside that sink makes
//! the epochs write and wait for the disk.

use std::fs;

use crate::{Error, host, report::Report};

const ROUNDS: usize = 5;
/// Batches a second, records in each, and seconds.
const RATE: u64 = 1000;
const RECORDS: u64 = 100;
const SECONDS: u64 = 10;
/// How many times the latency without epochs it may be.
const LIMIT: f64 = 2.0;
/// With and without.
const INTERVALS: [&str; 2] = ["1s", "1h"];

/// Limit over the medians of the rounds.
pub fn run(report: &mut Report) -> Result<(), Error> {
    // Beside the other parts: a temporary folder may be in memory, where nothing is durable.
    let folder = tempfile::Builder::new()
        .prefix("bench")
        .tempdir_in(needs::parts_dir())?;
    let at = |name: &str| folder.path().join(name);
    let plugin = e2e::thirdparty::build(e2e::thirdparty::Compiler::Ours, true);
    fs::create_dir(at("plugins"))?;
    fs::copy(plugin.join("libflow.so"), at("plugins/libflow.so"))?;
    for _ in 0..ROUNDS {
        for interval in INTERVALS {
            host::cost(&mut host::command(folder.path(), &hosts(interval))?)?;
            let ages = fs::read_to_string(at("ages"))?;
            for (what, line) in ["p50", "p99", "max"].iter().zip(ages.lines()) {
                let us = line.parse::<f64>()? / 1e3;
                report.add(&title(what, interval), us);
            }
            fs::remove_file(at("ages"))?;
            fs::remove_dir_all(at("out"))?;
            fs::remove_dir_all(at("state"))?;
        }
    }
    let [with, without] = INTERVALS.map(|interval| report.median(&title("p99", interval)));
    report.conclude(LIMIT * without / with);
    Ok(())
}

fn title(what: &str, interval: &str) -> String {
    format!("{what} {interval}, µs")
}

fn hosts(interval: &str) -> String {
    format!(
        r#"
version = 1
state_dir = "state"
plugin_dirs = ["plugins"]
[hosts.bench]
checkpoint_interval = "{interval}"
[hosts.bench.sources.count]
plugin = "flow-count"
with = {{ records = {}, batch = {RECORDS}, rate = {RATE} }}
[hosts.bench.processors.pass]
plugin = "flow-pass"
inputs = ["count"]
[hosts.bench.sinks.ages]
plugin = "flow-latency"
inputs = ["pass"]
with = {{ path = "ages" }}
[hosts.bench.sinks.file]
plugin = "lines"
inputs = ["pass"]
with = {{ path = "out/lines.txt" }}
"#,
        RATE * RECORDS * SECONDS
    )
}
