//! The host as it is released, run in a folder with a hosts.toml of its own.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::Error;

/// What a finished child took.
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// Of all its threads, user and system.
    pub cpu: Duration,
}

/// A command that runs the hosts of a file written into `folder`.
pub fn command(folder: &Path, hosts: &str) -> Result<Command, Error> {
    fs::write(folder.join("hosts.toml"), hosts)?;
    let mut host = Command::new(e2e::artifacts::host());
    host.args(["--config", "hosts.toml"])
        .current_dir(folder)
        .stdin(Stdio::null());
    Ok(host)
}

/// Runs a command to its end, quietly.
pub fn cost(command: &mut Command) -> Result<Cost, Error> {
    let (cpu, started) = (children_cpu()?, Instant::now());
    let out = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let wall = started.elapsed();
    if !out.status.success() {
        return Err(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(Cost {
        wall,
        cpu: children_cpu()? - cpu,
    })
}

/// CPU time of all children that have ended, in steps of 10 ms.
fn children_cpu() -> Result<Duration, Error> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process state")?;
    let ticks = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
