//! `lines → filter → lines` on 1 GB, against the same job in Redpanda Connect's core (Benthos),
//! built from `benches/benthos`.

use std::{
    fs,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    process::Command,
};

use crate::{Error, host, report::Report};

/// Bytes of a line.
pub const LINE: usize = 300;
const LINES: u64 = 1_000_000_000 / LINE as u64;
const ROUNDS: usize = 3;

const OURS: &str = r#"
version = 1
[hosts.bench.sources.in]
plugin = "lines"
with = { path = "in.txt", ids = false }
[hosts.bench.processors.keep]
plugin = "filter"
inputs = ["in"]
with = { contains = "needle", mode = "drop" }
[hosts.bench.sinks.out]
plugin = "lines"
inputs = ["keep"]
with = { path = "ours.txt" }
"#;

const PEER: &str = r#"
input:
  file: { paths: [ in.txt ], scanner: { lines: {} } }
pipeline:
  processors:
    - mapping: 'root = if content().contains("needle") { deleted() }'
output:
  file: { path: peer.txt, codec: lines }
logger: { level: ERROR }
http: { enabled: false }
"#;

/// Both write what they keep; both must have kept the same.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let benthos = benthos()?;
    let folder = tempfile::Builder::new()
        .prefix("bench")
        .tempdir_in(needs::parts_dir())?;
    let at = |name: &str| folder.path().join(name);
    write_input(&at("in.txt"), LINES)?;
    fs::write(at("peer.yaml"), PEER)?;
    for _ in 0..ROUNDS {
        let ours = host::cost(&mut host::command(folder.path(), OURS)?)?;
        let peer = host::cost(
            Command::new(&benthos)
                .args(["run", "peer.yaml"])
                .current_dir(folder.path()),
        )?;
        let (kept, same) = (digest(&at("ours.txt"))?, digest(&at("peer.txt"))?);
        if kept != same || kept.0 != LINES / 2 {
            return Err(format!("not the same lines: ours {kept:?}, peer {same:?}").into());
        }
        for file in ["ours.txt", "peer.txt"] {
            fs::remove_file(at(file))?;
        }
        report.add("ours, s", ours.wall.as_secs_f64());
        report.add("ours, CPU s", ours.cpu.as_secs_f64());
        report.add("peer, s", peer.wall.as_secs_f64());
        report.add("peer, CPU s", peer.cpu.as_secs_f64());
    }
    report.conclude(report.median("peer, s") / report.median("ours, s"));
    Ok(())
}

fn benthos() -> Result<std::path::PathBuf, Error> {
    let program = needs::parts_dir().join("benthos");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(e2e::root().join("benches/benthos"))
        .status()?;
    if built.success() {
        Ok(program)
    } else {
        Err("the peer does not build".into())
    }
}

/// Lines of words, every other one with the word that is looked for.
pub fn write_input(path: &Path, lines: u64) -> Result<(), Error> {
    const WORDS: [&str; 8] = [
        "stream", "kafka", "avro", "tweet", "plugin", "window", "offset", "record",
    ];
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut line = Vec::with_capacity(2 * LINE);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..lines {
        line.clear();
        write!(line, "{number:010}")?;
        while line.len() < LINE - 8 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            line.push(b' ');
            line.extend_from_slice(WORDS[(random >> 61) as usize].as_bytes());
        }
        line.truncate(LINE - 8);
        line.extend_from_slice(if number % 2 == 0 {
            b" needle\n"
        } else {
            b" haystk\n"
        });
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(())
}

/// How many lines, and a sum over them that does not depend on their order.
fn digest(path: &Path) -> Result<(u64, u64), Error> {
    let mut file = BufReader::with_capacity(1 << 20, fs::File::open(path)?);
    let (mut lines, mut sum, mut line) = (0, 0_u64, Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        let hash = line.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        sum = sum.wrapping_add(hash);
        lines += 1;
        line.clear();
    }
    Ok((lines, sum))
}
