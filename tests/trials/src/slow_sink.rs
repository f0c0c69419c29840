//! A sink a hundred times slower than its source: the source waits, and memory stays bounded.

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use e2e::host::Folder;

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "slow-sink",
    about: "a sink 100 times slower than its source, 1 million records: at most 128 MiB",
    ci: 1,
    long: Some(1),
    begin: || Some(Box::new(SlowSink)),
};

const RECORDS: u64 = 1_000_000;
const SLOWER: u32 = 100;
const LIMIT_MIB: f64 = 128.0;

struct SlowSink;

const HOSTS: &str = r#"
version = 1
[hosts.flow.sources.in]
plugin = "lines"
with.path = "in.txt"
[hosts.flow.sinks.out]
plugin = "lines"
inputs = ["in"]
with.path = "-"
"#;

impl Job for SlowSink {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        write_input(&run.folder).map_err(|e| e.to_string())?;
        run.folder.write("hosts.toml", HOSTS);
        let fast = flowed(&run.folder, Duration::ZERO)?;
        let slow = flowed(&run.folder, fast.time * SLOWER)?;
        println!(
            "slow-sink: {:.1} s and {:.0} MiB with a fast reader, {:.1} s and {:.0} MiB with a slow one",
            fast.time.as_secs_f64(),
            fast.peak_mib,
            slow.time.as_secs_f64(),
            slow.peak_mib
        );
        if slow.peak_mib > LIMIT_MIB {
            return Err(format!("{:.0} MiB, more than {LIMIT_MIB}", slow.peak_mib));
        }
        Ok(1)
    }
}

fn write_input(folder: &Folder) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(folder.path("in.txt"))?);
    for n in 0..RECORDS {
        writeln!(file, "{n:010} {:089}", n * 31)?;
    }
    file.flush()
}

/// What a run came to.
struct Flowed {
    time: Duration,
    peak_mib: f64,
}

/// Runs the flow with a reader that takes `pace` for the whole; every line must come, in order.
fn flowed(folder: &Folder, pace: Duration) -> Result<Flowed, String> {
    let total = fs::metadata(folder.path("in.txt"))
        .map_err(|e| e.to_string())?
        .len();
    let mut host = Ended(
        folder
            .host(&["--config", "hosts.toml"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?,
    );
    let mut out = host.0.stdout.take().ok_or("no standard output")?;
    let mut expected = File::open(folder.path("in.txt")).map_err(|e| e.to_string())?;
    let started = Instant::now();
    let (mut read, mut peak_mib) = (0_u64, 0.0_f64);
    let (mut chunk, mut same) = (vec![0; 32 << 10], vec![0; 32 << 10]);
    loop {
        let n = out.read(&mut chunk).map_err(|e| e.to_string())?;
        if n == 0 {
            break;
        }
        expected
            .read_exact(&mut same[..n])
            .map_err(|_| "more came out than went in".to_owned())?;
        if chunk[..n] != same[..n] {
            return Err(format!("other bytes came out near byte {read}"));
        }
        read += n as u64;
        peak_mib = peak(host.0.id()).unwrap_or(peak_mib);
        let due = started + pace.mul_f64(read as f64 / total as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let time = started.elapsed();
    let status = host.0.wait().map_err(|e| e.to_string())?;
    if !status.success() || read != total {
        return Err(format!("{read} of {total} bytes came out; {status}"));
    }
    Ok(Flowed { time, peak_mib })
}

/// The most memory that a process ever held.
fn peak(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// A child that does not outlive its run.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
