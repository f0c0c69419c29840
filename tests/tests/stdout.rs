//! The host as one end of a pipe.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use e2e::{
    host::{Folder, PATIENCE},
    process::Process,
};

/// `host … | head -1`: the stream is endless and mostly quiet, so no failing write ends the run.
#[test]
fn a_reader_that_goes_ends_the_run_quietly_and_drains_it() {
    let folder = Folder::new();
    folder.write(
        "hosts.toml",
        r#"
version = 1
[hosts.pipe.sources.tweets]
plugin = "lines"
with = { path = "-" }
[hosts.pipe.sinks.screen]
plugin = "console"
inputs = ["tweets"]
[hosts.pipe.sinks.file]
plugin = "lines"
inputs = ["tweets"]
with.path = "kept.txt"
"#,
    );
    let (input, mut feed) = std::io::pipe().expect("a pipe");
    let (seen, output) = std::io::pipe().expect("a pipe");
    let mut host = folder.host(&["--config", "hosts.toml"]);
    host.stdin(input).stdout(output).stderr(Stdio::piped());
    let process = Process::spawn(&mut host);
    // Its ends of the pipes are the child's alone now.
    drop(host);
    std::io::Write::write_all(&mut feed, b"one\n").expect("the host reads");
    let mut line = String::new();
    let mut seen = BufReader::new(seen);
    seen.read_line(&mut line).expect("the host prints");
    assert_eq!(line, "one\n");
    drop(seen);
    let finished = process.finish(PATIENCE);
    assert_eq!(finished.code, Some(141), "{}", finished.stderr);
    assert!(!finished.stderr.contains("error"), "{}", finished.stderr);
    let kept = std::fs::read_to_string(folder.path("kept.txt")).expect("a finished file");
    assert_eq!(kept, "one\n");
    drop(feed);
}

/// Whoever collected the log is gone: that is no reason to stop, nor to hang.
#[test]
fn a_log_that_nobody_reads_ends_nothing() {
    let folder = Folder::new();
    folder.write("in.txt", "{\"n\": 1}\nno JSON\n{\"n\": 2}\n");
    folder.write(
        "hosts.toml",
        r#"
version = 1
[hosts.pipe.sources.lines]
plugin = "lines"
with = { path = "in.txt", format = "json" }
[hosts.pipe.processors.numbered]
plugin = "filter"
inputs = ["lines"]
with = { field = "n", above = 0 }
[hosts.pipe.sinks.file]
plugin = "lines"
inputs = ["numbered"]
with.path = "kept.txt"
"#,
    );
    let (nobody, log) = std::io::pipe().expect("a pipe");
    drop(nobody);
    let mut host = folder.host(&["--config", "hosts.toml"]);
    host.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let finished = Process::spawn(&mut host).finish(PATIENCE);
    assert_eq!(finished.code, Some(0), "{:?}", finished.stdout);
    let kept = std::fs::read_to_string(folder.path("kept.txt")).expect("a finished file");
    assert_eq!(kept, "{\"n\": 1}\n{\"n\": 2}\n");
    // What was said would have been the unusable line.
    let dead = folder
        .host(&["dlq", "list", "--config", "hosts.toml"])
        .output();
    let dead = String::from_utf8(dead.expect("it runs").stdout).expect("text");
    assert!(dead.contains("numbered"), "{dead}");
}
