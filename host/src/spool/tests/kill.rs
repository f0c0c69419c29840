//! Both regions in a child process that is killed at random instants; what comes out is each
//! record once, in order, and none that was acknowledged is missing.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::*;

/// Names the folder to the child.
const FOLDER: &str = "SPOOL_KILL_FOLDER";
/// Names the number of the record that the stream ends with, where it is to end.
const LAST: &str = "SPOOL_KILL_LAST";
const RUNS: usize = 20;

/// The epoch file of a region: number, state of the buffer's end, position of the other end.
#[derive(serde::Serialize, serde::Deserialize, Default)]
struct Truth {
    epoch: u64,
    state: Option<Vec<u8>>,
    position: u64,
}

impl Truth {
    fn load(path: &Path) -> Self {
        fs::read(path).map_or_else(
            |_| Self::default(),
            |bytes| serde_json::from_slice(&bytes).unwrap(),
        )
    }
    fn store(&self, path: &Path) {
        let aside = path.with_extension("new");
        let mut file = File::create(&aside).unwrap();
        file.write_all(&serde_json::to_vec(self).unwrap()).unwrap();
        file.sync_all().unwrap();
        fs::rename(&aside, path).unwrap();
        File::open(path.parent().unwrap())
            .unwrap()
            .sync_all()
            .unwrap();
    }
    fn saved(&self) -> Saved {
        self.state.clone().map(|state| (self.epoch, state))
    }
}

fn value(number: u64) -> String {
    // From 20 bytes to some pages of the file.
    format!(
        "{number:020}{}",
        "x".repeat((number * 7919 % 9000) as usize)
    )
}

fn write_region(folder: &Path, last: Option<u64>) {
    let path = folder.join("writer");
    let mut truth = Truth::load(&path);
    let mut w = writer_of(&folder.join("buffer"), 1 << 20, "block", &truth.saved());
    loop {
        for _ in 0..truth.epoch % 5 {
            let to = truth.position + 1 + truth.position % 40;
            let to = last.map_or(to, |last| to.min(last));
            let batch = batch_of((truth.position..to).map(value));
            if batch.is_empty() || w.try_write(&batch).unwrap().0 == 0 {
                break;
            }
            truth.position = to;
        }
        let ended = Some(truth.position) == last;
        if ended {
            w.ends();
        }
        truth.epoch += 1;
        truth.state = Some(w.checkpoint(truth.epoch));
        truth.store(&path);
        println!("\nacknowledged {}", truth.position);
        w.commit(truth.epoch);
        if ended {
            return;
        }
    }
}

fn read_region(folder: &Path) {
    let path = folder.join("reader");
    let mut truth = Truth::load(&path);
    let mut r = reader(&folder.join("buffer"), &truth.saved());
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("out"))
        .unwrap();
    out.set_len(truth.position).unwrap();
    loop {
        let mut finished = false;
        for round in 0..5 {
            // A budget that cuts batches.
            let (poll, read) = r.try_poll(7 + round, 2).unwrap();
            for value in read.texts() {
                let line = format!("{value}\n");
                out.write_all(line.as_bytes()).unwrap();
                truth.position += line.len() as u64;
            }
            finished = poll == answer::FINISHED;
        }
        out.sync_all().unwrap();
        truth.epoch += 1;
        truth.state = Some(r.checkpoint(truth.epoch));
        truth.store(&path);
        r.commit(truth.epoch);
        if finished {
            return;
        }
    }
}

/// Only as a child process.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let last = std::env::var(LAST).ok().map(|last| last.parse().unwrap());
    let its = folder.clone();
    let reading = thread::spawn(move || {
        // A writer without a reader would wait for ever.
        let read = std::panic::catch_unwind(|| read_region(&its));
        if read.is_err() {
            std::process::exit(1);
        }
    });
    write_region(&folder, last);
    reading.join().unwrap();
}

fn command(folder: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "spool::tests::kill::child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    child
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut random = monotonic_ns();
    for run in 0..RUNS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut child = command(folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || {
            lines.find_map(|line| {
                let line = line.unwrap();
                line.strip_prefix("acknowledged ")
                    .map(|n| n.parse::<u64>().unwrap())
            })
        };
        for _ in 0..=(random >> 33) % 25 {
            acknowledged = next().unwrap_or_else(|| panic!("run {run} ended early"));
        }
        // Not to wait for anything: the instant shall be anywhere between two epochs.
        thread::sleep(Duration::from_micros((random >> 40) % 5_000));
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(later) = next() {
            acknowledged = later;
        }
        let position = Truth::load(&folder.path().join("writer")).position;
        assert!(position >= acknowledged, "run {run}");
    }
    let last = acknowledged + 1000;
    let done = command(folder.path())
        .env(LAST, last.to_string())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let out = fs::read_to_string(folder.path().join("out")).unwrap();
    let mut lines = out.lines();
    for number in 0..last {
        assert_eq!(lines.next(), Some(&*value(number)), "of {last}");
    }
    assert_eq!(lines.next(), None);
}
