//! What epochs cost in throughput: the same run with one each second and with none but the last, in
//! turn. Both end durable, so only what epochs add is measured; the input stays in the page cache.
//! Of the rounds the fastest counts: the others measure who else uses the machine.

use std::{fs, path::Path};

use crate::{Error, filter, host, report::Report};

const ROUNDS: usize = 5;
const LINES: u64 = 300_000_000 / filter::LINE as u64;
/// Names that the files have, lines and tweets, so that a run is long enough for several epochs.
const NAMES: [(&str, usize); 2] = [("in", 24), ("tweets", 16)];
const TWEETS: u64 = 60_000;

/// With and without.
const INTERVALS: [&str; 2] = ["1s", "1h"];

/// Titles, and the stages of each run. Every tenth line is kept: its number ends in 0.
const FLOWS: [(&str, &str); 2] = [
    (
        "lines",
        r#"
[hosts.bench.sources.in]
plugin = "lines"
with = { path = "in-*" }
[hosts.bench.processors.keep]
plugin = "filter"
inputs = ["in"]
with = { contains = "0 " }
[hosts.bench.sinks.out]
plugin = "lines"
inputs = ["keep"]
with = { path = "out/lines.txt" }
"#,
    ),
    (
        "avro",
        r#"
[hosts.bench.sources.in]
plugin = "lines"
with = { path = "tweets-*", format = "json" }
[hosts.bench.processors.encode]
plugin = "avro-encode"
inputs = ["in"]
with = { schema = "tweet_full.avsc" }
[hosts.bench.sinks.out]
plugin = "avro-file"
inputs = ["encode"]
with = { path = "out/tweets.avro" }
"#,
    ),
];

/// The worse of both flows counts.
pub fn run(report: &mut Report) -> Result<(), Error> {
    // Beside the other parts: a temporary folder may be in memory, where nothing is durable.
    let folder = tempfile::Builder::new()
        .prefix("bench")
        .tempdir_in(needs::parts_dir())?;
    let at = |name: &str| folder.path().join(name);
    filter::write_input(&at("in-0"), LINES)?;
    write_tweets(folder.path())?;
    for (file, names) in NAMES {
        for name in 1..names {
            fs::hard_link(at(&format!("{file}-0")), at(&format!("{file}-{name}")))?;
        }
    }
    fs::copy(
        e2e::root().join("schemas/tweet_full.avsc"),
        at("tweet_full.avsc"),
    )?;
    let mut fastest = [[f64::INFINITY; INTERVALS.len()]; FLOWS.len()];
    for _ in 0..ROUNDS {
        for (flow, (title, stages)) in FLOWS.iter().enumerate() {
            for (which, interval) in INTERVALS.iter().enumerate() {
                let hosts = format!(
                    "version = 1\nstate_dir = \"state\"\n\
                     [hosts.bench]\ncheckpoint_interval = \"{interval}\"\n{stages}"
                );
                let cost = host::cost(&mut host::command(folder.path(), &hosts)?)?;
                let seconds = cost.wall.as_secs_f64();
                fastest[flow][which] = fastest[flow][which].min(seconds);
                report.add(&format!("{title} {interval}, s"), seconds);
                report.add(
                    &format!("{title} {interval}, CPU s"),
                    cost.cpu.as_secs_f64(),
                );
                if *interval == INTERVALS[0] {
                    report.add(
                        &format!("{title} epochs"),
                        epochs(&at("state/bench/epochs"))?,
                    );
                }
                fs::remove_dir_all(at("out"))?;
                fs::remove_dir_all(at("state"))?;
            }
        }
    }
    let ratios = fastest.map(|[with, without]| without / with);
    report.conclude(ratios.into_iter().fold(f64::INFINITY, f64::min));
    Ok(())
}

fn write_tweets(folder: &Path) -> Result<(), Error> {
    let hosts = format!(
        "version = 1\nstate_dir = \"state\"\n\
         [hosts.make.sources.tweets]\nplugin = \"generate\"\n\
         with = {{ count = {TWEETS}, deletes = 0.0 }}\n\
         [hosts.make.sinks.file]\nplugin = \"lines\"\ninputs = [\"tweets\"]\n\
         with = {{ path = \"tweets-0\" }}\n"
    );
    host::cost(&mut host::command(folder, &hosts)?)?;
    fs::remove_dir_all(folder.join("state"))?;
    Ok(())
}

/// The number of the last epoch of the only region, from the name of its file: `REGION/NUMBER.epoch`.
fn epochs(state: &Path) -> Result<f64, Error> {
    let mut last = None;
    let region = fs::read_dir(state)?.next().ok_or("no region")??;
    for entry in fs::read_dir(region.path())? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if let Some(number) = name.strip_suffix(".epoch") {
            last = last.max(Some(number.parse::<u32>()?));
        }
    }
    Ok(f64::from(last.ok_or("no epoch in the state folder")?))
}
