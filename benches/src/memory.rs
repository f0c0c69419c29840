//! The demo as it is shipped, for half a minute: the most memory that it ever held.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{Error, report::Report};

const ROUNDS: usize = 3;
const LIMIT_MIB: f64 = 150.0;

/// Limit over the largest of the rounds.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let mut worst: f64 = 0.0;
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let mut demo = Command::new(e2e::artifacts::host())
            .args(["demo", "--for", "30s"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut peak = 0.0;
        let status = loop {
            // The kernel keeps the peak, so the last look before the end suffices.
            peak = peak_mib(demo.id()).unwrap_or(peak);
            if let Some(status) = demo.try_wait()? {
                break status;
            }
            thread::sleep(Duration::from_millis(20));
        };
        if !status.success() {
            return Err(format!("the demo ended with {status}").into());
        }
        worst = worst.max(peak);
        report.add("peak, MiB", peak);
    }
    report.conclude(LIMIT_MIB / worst);
    Ok(())
}

fn peak_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
