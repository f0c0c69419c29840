//! From the start of the process to the first record that has gone through three stages.

use std::{fs, io::Read as _, process::Stdio, time::Instant};

use crate::{Error, host, report::Report};

const ROUNDS: usize = 11;
const LIMIT_MS: f64 = 150.0;

const HOSTS: &str = r#"
version = 1
[hosts.bench.sources.in]
plugin = "lines"
with = { path = "in.txt" }
[hosts.bench.processors.keep]
plugin = "filter"
inputs = ["in"]
with = { contains = "first" }
[hosts.bench.sinks.out]
plugin = "lines"
inputs = ["keep"]
with = { path = "-" }
"#;

/// Limit over the median.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("in.txt"), "the first record\n")?;
    for _ in 0..ROUNDS {
        let mut host = host::command(folder.path(), HOSTS)?;
        let started = Instant::now();
        let mut host = host.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut out = host.stdout.take().ok_or("no standard output")?;
        out.read_exact(&mut [0])?;
        report.add(
            "ms to the first record",
            started.elapsed().as_secs_f64() * 1e3,
        );
        if !host.wait()?.success() {
            return Err("the host failed".into());
        }
        report.add("ms to the end", started.elapsed().as_secs_f64() * 1e3);
    }
    report.conclude(LIMIT_MS / report.median("ms to the first record"));
    Ok(())
}
