//! 10,000 readers of the page's feed at two frames a second, against a plain server on tungstenite
//! with default settings; what a reader costs while nothing comes and once frames have come;
//! readers that never read and strangers that never end their request beside the others.

use std::process::{Command, Stdio};

use crate::{Error, report::Report};

const READERS: &str = "10000";
const ROUNDS: &str = "5";
/// How much of the peer's p99 ours may be.
const LIMIT: f64 = 0.75;
/// What a reader may take, once it has been sent frames.
const KIB: f64 = 12.0;
/// What 20 readers that never read may take: nothing to speak of, and the rest is noise.
const STUCK_MIB: f64 = 4.0;
/// How many times the p99 beside stuck readers may be that without; it is the same but for noise.
const BESIDE_STUCK: f64 = 1.5;
/// How long a handshake may take beside a hundred that never end.
const HANDSHAKE_MS: f64 = 250.0;

/// The worst of five: each limit over what was measured.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let child = Command::new(e2e::artifacts::folder().join("fanout"))
        .args([READERS, ROUNDS])
        .stderr(Stdio::inherit())
        .output()?;
    for line in String::from_utf8(child.stdout)?.lines() {
        let (title, value) = line.rsplit_once(' ').ok_or("a title and a value")?;
        report.add(title, value.parse()?);
    }
    if !child.status.success() {
        return Err(format!("fanout: {}", child.status).into());
    }
    let [peer, ours, kib, stuck, stuck_mib, handshake] = [
        "peer p99 ms",
        "ours p99 ms",
        "ours KiB/reader",
        "p99 beside 20 stuck ms",
        "MiB for 20 stuck",
        "among 100 slow ms",
    ]
    .map(|title| report.median(title));
    let parts = [
        LIMIT * peer / ours,
        KIB / kib,
        BESIDE_STUCK * ours / stuck,
        STUCK_MIB / stuck_mib,
        HANDSHAKE_MS / handshake,
    ];
    report.conclude(parts.into_iter().fold(f64::INFINITY, f64::min));
    Ok(())
}
