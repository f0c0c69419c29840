//! Tweets of a real stream into datums and container files, against the original's way.

use std::{fs, hint::black_box, io::Read as _, path::PathBuf, process::Command};

use avro_data::{
    Extractor, Schema,
    container::{Codec, DEFAULT_BLOCK_SIZE, Writer},
};
use serde_json::Value;

use crate::{Error, report::Report};

const ROUNDS: usize = 7;
/// Times that ours goes over the lines in a round, so that it takes long enough to be measured.
const REPEATS: usize = 20;

/// The tweets, and what both sides are told about them.
struct Input {
    lines: Vec<u8>,
    extractor: Extractor,
    schema: Schema,
    folder: tempfile::TempDir,
    original_schema: PathBuf,
    python: PathBuf,
}

impl Input {
    fn load() -> Result<Self, Error> {
        let root = e2e::root();
        let data = root.join("../shared/data");
        let archive = data.join("archive-stream/2021-01-01-10-29.json.bz2");
        let compressed = fs::read(&archive)
            .map_err(|e| format!("the tweets to measure with: {}: {e}", archive.display()))?;
        let mut messages = Vec::new();
        bzip2::read::MultiBzDecoder::new(&*compressed).read_to_end(&mut messages)?;
        let schema = Schema::parse(&fs::read_to_string(root.join("schemas/tweet_full.avsc"))?)?;
        let mut extractor = Extractor::new(&schema)?;
        let (mut lines, mut datum) = (Vec::new(), Vec::new());
        for line in messages.split(|byte| *byte == b'\n') {
            datum.clear();
            if extractor.extract(line, &mut datum).is_ok() {
                lines.extend_from_slice(line.trim_ascii_end());
                lines.push(b'\n');
            }
        }
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("tweets.json"), &lines)?;
        let parts = Command::new(root.join("tests/parts.sh"))
            .arg("python")
            .status()?;
        if !parts.success() {
            return Err("no environment for Python".into());
        }
        Ok(Self {
            lines,
            extractor,
            schema,
            folder,
            original_schema: data.join("stream-mining/tweet_full.avsc"),
            python: needs::parts_dir().join("python/bin/python"),
        })
    }

    fn tweets(&self) -> impl Iterator<Item = &[u8]> {
        self.lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    }

    /// What the original's way took: microseconds a tweet by step, and bytes a tweet.
    fn original(&self) -> Result<Value, Error> {
        let out = Command::new(&self.python)
            .arg(e2e::root().join("benches/python/original.py"))
            .arg(&self.original_schema)
            .arg(self.folder.path().join("tweets.json"))
            .arg(self.folder.path().join("original.avro"))
            .output()?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
        }
        Ok(serde_json::from_slice(&out.stdout)?)
    }
}

fn step(took: &Value, name: &str) -> Result<f64, Error> {
    Ok(took[name]
        .as_f64()
        .ok_or_else(|| format!("no step {name}"))?)
}

/// JSON → extraction → datum.
pub fn extract(report: &mut Report) -> Result<(), Error> {
    let mut input = Input::load()?;
    let tweets = input.tweets().count() * REPEATS;
    let lines = std::mem::take(&mut input.lines);
    let mut datum = Vec::new();
    for _ in 0..ROUNDS {
        let start = cpu_us();
        for _ in 0..REPEATS {
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                datum.clear();
                input.extractor.extract(line, &mut datum)?;
                black_box(&datum);
            }
        }
        report.add("ours, µs a tweet", (cpu_us() - start) / tweets as f64);
        let took = input.original()?;
        report.add("json.loads", step(&took, "loads")?);
        report.add("+ picks", step(&took, "picks")?);
        report.add("+ datum", step(&took, "encode")?);
        let whole = step(&took, "loads")? + step(&took, "picks")? + step(&took, "encode")?;
        report.add("peer, µs a tweet", whole);
    }
    report.conclude(report.median("peer, µs a tweet") / report.median("ours, µs a tweet"));
    Ok(())
}

/// JSON → datum → container file. The original's consumer decodes the datum that its producer
/// encoded; ours appends it as it is.
pub fn container(report: &mut Report) -> Result<(), Error> {
    let mut input = Input::load()?;
    let tweets = input.tweets().count() * REPEATS;
    let lines = std::mem::take(&mut input.lines);
    let mut datum = Vec::new();
    for _ in 0..ROUNDS {
        let file = fs::File::create(input.folder.path().join("ours.avro"))?;
        let start = cpu_us();
        let mut writer = Writer::new(file, &input.schema, Codec::Deflate, DEFAULT_BLOCK_SIZE)?;
        for _ in 0..REPEATS {
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                datum.clear();
                input.extractor.extract(line, &mut datum)?;
                writer.append(&datum)?;
            }
        }
        let file = writer.finish()?;
        report.add("ours, µs a tweet", (cpu_us() - start) / tweets as f64);
        report.add("bytes", file.metadata()?.len() as f64 / tweets as f64);
        let took = input.original()?;
        let mut whole = 0.0;
        for (title, name) in [
            ("json.loads", "loads"),
            ("+ picks", "picks"),
            ("+ datum", "encode"),
            ("+ decode", "decode"),
            ("+ container", "append"),
        ] {
            let took = step(&took, name)?;
            report.add(title, took);
            whole += took;
        }
        report.add("peer, µs a tweet", whole);
        report.add("bytes of peer", step(&took, "bytes")?);
    }
    report.conclude(report.median("peer, µs a tweet") / report.median("ours, µs a tweet"));
    Ok(())
}

/// CPU time of this thread.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
