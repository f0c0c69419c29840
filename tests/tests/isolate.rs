//! Stages in processes of their own: what ends such a process does not end the host.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    host::{Folder, PATIENCE},
    process::Process,
    thirdparty::{Compiler, build},
};

/// A folder with the plugins that go wrong and that do as little as they can.
fn folder() -> Folder {
    let built = build(Compiler::Ours, false);
    let folder = Folder::new();
    fs::create_dir(folder.path("plugins.d")).expect("a folder");
    for name in ["libfaults.so", "libflow.so"] {
        let to = folder.path("plugins.d").join(name);
        fs::copy(built.join(name), to).expect("it was built");
    }
    folder
}

const HEAD: &str = "version = 1\nplugin_dirs = [\"plugins.d\"]\n";

/// A graph of stages that can go wrong, of which one of a kind is isolated and does.
fn graph(host: &str, kind: &str, isolate: &str, with: &str, on_crash: &str) -> String {
    let keys = |this: &str| {
        if this == kind {
            format!("isolate = {isolate}\non_crash = \"{on_crash}\"\nwith = {with}\n")
        } else {
            String::new()
        }
    };
    format!(
        "[hosts.{host}.sources.count]\nplugin = \"fault-count\"\n{}\
         [hosts.{host}.processors.pass]\nplugin = \"fault-pass\"\ninputs = [\"count\"]\n{}\
         [hosts.{host}.sinks.discard]\nplugin = \"fault-discard\"\ninputs = [\"pass\"]\n{}",
        keys("source"),
        keys("processor"),
        keys("sink"),
    )
}

/// What goes wrong, how the stage is isolated, and what is said about it.
const FAULTS: [(&str, &str, &[&str]); 6] = [
    ("segfault", "true", &["killed by signal 11 (SIGSEGV)"]),
    ("abort", "true", &["killed by signal 6 (SIGABRT)"]),
    ("overflow", "true", &["SIGABRT", "has overflowed its stack"]),
    (
        "memory",
        "{ memory = \"1 GiB\" }",
        &["SIGABRT", "memory allocation of 16777216 bytes failed"],
    ),
    ("exit", "true", &["ended by itself with exit code 0"]),
    ("garbage", "true", &["was ended: it sent a frame"]),
];

#[test]
fn whatever_ends_its_process_is_told_in_words_and_other_hosts_go_on() {
    for (how, isolate, words) in FAULTS {
        let folder = folder();
        let with = format!("{{ how = \"{how}\", at = \"555\" }}");
        let mut hosts = format!(
            "{HEAD}[hosts.good.sources.count]\nplugin = \"flow-count\"\nwith.records = 100000\n\
             [hosts.good.sinks.out]\nplugin = \"lines\"\ninputs = [\"count\"]\n\
             with.path = \"good.txt\"\n"
        );
        let kinds = [
            ("source", "count", "poll"),
            ("processor", "pass", "process"),
            ("sink", "discard", "write"),
        ];
        for (kind, ..) in kinds {
            hosts.push_str(&graph(kind, kind, isolate, &with, "stop"));
        }
        let ran = folder.run(&hosts, &[]);
        assert_eq!(ran.code, Some(70), "{how}: {}", ran.stderr);
        for (host, stage, call) in kinds {
            let error = format!("error: {host}/{stage}: ");
            let said = ran.stderr.lines().find(|line| line.starts_with(&error));
            let said = said.unwrap_or_else(|| panic!("{how}, {host}: {}", ran.stderr));
            let call = format!("(in `{call}`)");
            for word in words.iter().chain(&[&*call, "it goes wrong at 555"]) {
                assert!(said.contains(word), "{how}, {host}: no `{word}`: {said}");
            }
        }
        let good = fs::read_to_string(folder.path("good.txt")).expect("the other host's file");
        assert_eq!(good.lines().count(), 100_000, "{how}");
    }
}

#[test]
fn a_stage_that_fell_once_is_started_anew_and_every_record_is_accounted_for() {
    for kind in ["processor", "sink"] {
        let folder = folder();
        let once = folder.path("fell");
        let with = format!("{{ how = \"segfault\", at = \"555\", once = {once:?} }}");
        let hosts = HEAD.to_owned() + &graph("a", kind, "true", &with, "restart");
        let ran = folder.run(&hosts, &[]);
        let account = ran.account();
        assert!(once.exists(), "{kind}: it never fell");
        assert!(ran.stderr.contains("SIGSEGV"), "{kind}: {}", ran.stderr);
        let fell = account.stage(if kind == "sink" {
            "a/discard"
        } else {
            "a/pass"
        });
        assert!(fell.consumed >= 990, "{kind}: {fell:?}");
    }
}

/// With rejected records, filtered ones and dead letters on the way.
#[test]
fn an_isolated_graph_writes_what_it_writes_without() {
    let folder = folder();
    let mut input = String::new();
    for number in 0..20_000 {
        match number % 100 {
            7 => input.push_str("no JSON\n"),
            8 => input.push('\n'),
            _ => input.push_str(&format!(
                "{{\"n\": {number}, \"text\": \"{number:0300}\"}}\n"
            )),
        }
    }
    folder.write("in.txt", &input);
    let hosts = |isolate: &str, out: &str| {
        format!(
            "version = 1\n[hosts.a.sources.read]\nplugin = \"lines\"\n{isolate}\
             with = {{ path = \"in.txt\", format = \"json\" }}\n\
             [hosts.a.processors.odd]\nplugin = \"filter\"\ninputs = [\"read\"]\n{isolate}\
             with = {{ field = \"n\", above = 5000 }}\n\
             [hosts.a.sinks.out]\nplugin = \"lines\"\ninputs = [\"odd\"]\n{isolate}\
             with.path = \"{out}\"\n"
        )
    };
    let plain = folder.account(&hosts("", "plain.txt"), &[]);
    let isolated = folder.account(&hosts("isolate = true\n", "isolated.txt"), &[]);
    assert_eq!(plain, isolated);
    let odd = plain.stage("a/odd");
    assert_eq!((odd.dead_lettered, odd.consumed), (200, 14_699));
    let read = |name: &str| fs::read(folder.path(name)).expect("what was written");
    assert!(read("plain.txt") == read("isolated.txt"), "they differ");
}

const ENDLESS: &str = "{ records = 1000000000, token = \"file:token\" }";

/// An endless graph, all of it isolated, and the processes of its stages.
fn running(folder: &Folder) -> (Process, Vec<u32>) {
    folder.write("token", "hunter2-open-sesame");
    let mut hosts = HEAD.to_owned();
    for (table, name, inputs) in [
        ("sources", "fault-count", ""),
        ("processors", "fault-pass", "inputs = [\"fault-count\"]\n"),
        ("sinks", "fault-discard", "inputs = [\"fault-pass\"]\n"),
    ] {
        hosts.push_str(&format!(
            "[hosts.a.{table}.{name}]\nplugin = \"{name}\"\n{inputs}isolate = true\n\
             with = {ENDLESS}\n"
        ));
    }
    folder.write("hosts.toml", &hosts);
    let args = ["--config", "hosts.toml", "--summary", "json"];
    let host = Process::start(&mut folder.host(&args));
    let mut stages = Vec::new();
    until("three processes of stages", || {
        stages = children(host.pid());
        // Before it has become a host it is still a copy of its parent.
        stages.len() == 3 && stages.iter().all(|pid| cmdline(*pid).contains("isolated"))
    });
    (host, stages)
}

/// Waits for something outside that does not tell.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "no {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn cmdline(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|l| l == format!("PPid:\t{parent}"))
    })
    .collect()
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn kill(name: &str, target: &str) {
    let status = Command::new("kill").args([name, "--", target]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn signals_are_the_hosts_which_drains_and_leaves_nothing_behind() {
    let folder = folder();
    let (mut host, stages) = running(&folder);
    for pid in &stages {
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        let seen = cmdline(*pid) + &String::from_utf8_lossy(&environment);
        assert!(!seen.contains("hunter2"), "a secret is seen: {seen}");
        let group = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
        let group = group.rsplit(')').next().and_then(|s| s.split(' ').nth(3));
        assert_eq!(group, Some(&*pid.to_string()), "it is in the host's group");
        // As a service's end reaches every process of it.
        for signal in ["-TERM", "-INT", "-HUP"] {
            kill(signal, &pid.to_string());
        }
    }
    host.signal("INT");
    let ran = host.finish(PATIENCE);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(!ran.stderr.contains("killed"), "{}", ran.stderr);
    let account = e2e::summary::Summary::read(&ran.stdout);
    account.assert_balanced();
    let sent = account.stage("a/fault-count").emitted;
    assert_eq!(account.stage("a/fault-discard").consumed, sent);
    let left: Vec<_> = stages.iter().filter(|pid| is_there(**pid)).collect();
    assert!(left.is_empty(), "{left:?} are left behind");
}

#[test]
fn a_host_that_is_killed_takes_its_stages_with_it() {
    let folder = folder();
    let (host, stages) = running(&folder);
    kill("-KILL", &host.pid().to_string());
    until("end of the stages", || {
        !stages.iter().any(|pid| is_there(*pid))
    });
    assert_eq!(host.finish(PATIENCE).code, None);
}

/// Cancellation comes in the middle of the call that waits for it.
#[test]
fn a_stage_that_sleeps_in_a_call_is_woken_and_its_words_are_heard() {
    let folder = folder();
    let with = "{ how = \"sleep\", at = \"55\" }";
    let hosts = HEAD.to_owned() + &graph("a", "processor", "true", with, "stop");
    folder.write("hosts.toml", &hosts);
    let args = ["--config", "hosts.toml", "--summary", "json"];
    let mut host = Process::start(&mut folder.host(&args));
    host.wait_for("word of its sleep", PATIENCE, |_, line| {
        line.contains("it sleeps").then_some(())
    });
    host.signal("TERM");
    let ran = host.finish(PATIENCE);
    assert_eq!(ran.code, Some(143), "{}", ran.stderr);
    for words in ["it was woken, cancelled: true", "and prints so"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert_eq!(
        ran.stdout.len(),
        1,
        "more than the summary: {:?}",
        ran.stdout
    );
    e2e::summary::Summary::read(&ran.stdout).assert_balanced();
}
