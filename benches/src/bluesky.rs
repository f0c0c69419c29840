//! A post of Bluesky from frame to datum: at most twice a tweet's datum of the same size, and a
//! tenth of what Python takes.

use std::process::{Command, Stdio};

use crate::{Error, report::Report};

const ROUNDS: &str = "7";
/// How many times a tweet's datum a post may cost.
const TWEETS: f64 = 2.0;
/// How many times as much Python's way has to cost.
const PYTHON: f64 = 10.0;

/// The worse of two: each limit over what was measured.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let root = e2e::root();
    let parts = Command::new(root.join("tests/parts.sh"))
        .arg("python")
        .status()?;
    if !parts.success() {
        return Err("no environment for Python".into());
    }
    let child = Command::new(e2e::artifacts::folder().join("jetstream"))
        .arg(needs::parts_dir().join("python/bin/python"))
        .arg(&root)
        .arg(ROUNDS)
        .stderr(Stdio::inherit())
        .output()?;
    for line in String::from_utf8(child.stdout)?.lines() {
        let (title, value) = line.rsplit_once(' ').ok_or("a title and a value")?;
        report.add(title, value.parse()?);
    }
    if !child.status.success() {
        return Err(format!("jetstream: {}", child.status).into());
    }
    let [ours, tweet, peer] =
        ["ours, µs a post", "tweet's datum", "peer, µs a post"].map(|title| report.median(title));
    report.conclude((TWEETS * tweet / ours).min(peer / (PYTHON * ours)));
    Ok(())
}
