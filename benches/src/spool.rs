//! The disk buffer against a plain file with the same bytes: made durable after each batch, which
//! is the worst case, and once an epoch, which is how it runs.

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use host::{
    spool::{Appended, Bounds, Lease, Spool, WhenFull},
    wire,
};
use plugin_api::{Batch, BatchBuilder};

use crate::{Error, report::Report};

const ROUNDS: usize = 5;
/// Records in a batch, and batches.
const FLOWS: [(usize, u32); 3] = [(1, 400), (100, 400), (1000, 200)];
const RECORD: usize = 300;
/// Batches of 1,000 records in an epoch, and epochs.
const EPOCH: u32 = 100;
const EPOCHS: u32 = 4;
const BOUNDS: Bounds = Bounds {
    max_bytes: 1 << 30,
    when_full: WhenFull::Block,
};

/// Batches or megabytes a second, raw and ours; the worst ratio counts.
pub fn run(report: &mut Report) -> Result<(), Error> {
    // Where the target folder is: a temporary folder may be in memory, where nothing is durable.
    let folder = tempfile::tempdir_in(std::env::current_exe()?.parent().ok_or("a folder")?)?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        for (records, batches) in FLOWS {
            let batch = batch(records);
            let rate = |spent: Duration| f64::from(batches) / spent.as_secs_f64();
            let raw = raw(folder.path(), &batch, batches, 1)?;
            report.add(&format!("raw {records}/s"), rate(raw));
            let ours = ours(folder.path(), &batch, batches, 1)?;
            report.add(&format!("ours {records}/s"), rate(ours));
        }
        let batch = batch(1000);
        let mb = f64::from(EPOCH * EPOCHS) * (1000 * RECORD) as f64 / 1e6;
        let spent = raw(folder.path(), &batch, EPOCH * EPOCHS, EPOCH)?;
        report.add("raw MB/s", mb / spent.as_secs_f64());
        let spent = ours(folder.path(), &batch, EPOCH * EPOCHS, EPOCH)?;
        report.add("ours MB/s", mb / spent.as_secs_f64());
        report.add(
            "through MB/s",
            mb / through(folder.path(), &batch)?.as_secs_f64(),
        );
    }
    for (records, _) in FLOWS {
        let column = |who| report.median(&format!("{who} {records}/s"));
        ratios.push(column("ours") / column("raw"));
    }
    ratios.push(report.median("ours MB/s") / report.median("raw MB/s"));
    report.conclude(ratios.into_iter().fold(f64::INFINITY, f64::min));
    Ok(())
}

/// Records of bytes that do not compress.
fn batch(records: usize) -> Batch {
    let mut batch = BatchBuilder::new();
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..records {
        let record: Vec<u8> = (0..RECORD)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect();
        batch.push(Some(&record));
    }
    batch.finish()
}

fn raw(folder: &Path, batch: &Batch, batches: u32, each: u32) -> Result<Duration, Error> {
    let path = folder.join("raw");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut head = Vec::new();
    let start = Instant::now();
    for n in 1..=batches {
        head.clear();
        wire::head(batch, &mut head);
        file.write_all(&head)?;
        file.write_all(wire::payload(batch))?;
        if n % each == 0 {
            file.sync_data()?;
        }
    }
    let spent = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(spent)
}

fn ours(folder: &Path, batch: &Batch, batches: u32, each: u32) -> Result<Duration, Error> {
    let path = folder.join("ours");
    let spool = Spool::open(&path)?;
    let writer = spool.restore_writer(None, "bytes")?;
    let start = Instant::now();
    for n in 1..=batches {
        append(&spool, writer, batch)?;
        if n % each == 0 {
            spool.seal(writer)?;
        }
    }
    let spent = start.elapsed();
    drop(spool);
    std::fs::remove_dir_all(path)?;
    Ok(spent)
}

/// Written, published, read and trimmed, epoch by epoch.
fn through(folder: &Path, batch: &Batch) -> Result<Duration, Error> {
    let path = folder.join("through");
    let spool = Spool::open(&path)?;
    let writer = spool.restore_writer(None, "bytes")?;
    let (reader, mut at) = spool.restore_reader(None, "bytes")?;
    let mut entries = VecDeque::new();
    let start = Instant::now();
    for _ in 0..EPOCHS {
        for _ in 0..EPOCH {
            append(&spool, writer, batch)?;
        }
        let head = spool.extent().next;
        spool.seal(writer)?;
        spool.publish(writer, head, false)?;
        while at < head {
            spool.read(reader, at, 4, 0, &mut entries)?;
            at = entries.back().ok_or("nothing to read")?.next;
            entries.clear();
        }
        spool.trim(reader, at)?;
    }
    let spent = start.elapsed();
    drop(spool);
    std::fs::remove_dir_all(path)?;
    Ok(spent)
}

fn append(spool: &Spool, writer: Lease, batch: &Batch) -> Result<(), Error> {
    match spool.append(writer, batch, BOUNDS, false)? {
        Appended::Taken { .. } => Ok(()),
        other => Err(format!("a batch was not taken: {other:?}").into()),
    }
}
