//! Canaries in every option that is a secret: nothing that the host prints, keeps or starts with
//! shows one, whatever goes wrong.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{
    host::Folder,
    kafka::free_ports,
    process::Process,
    thirdparty::{self, Compiler},
};
use serde_json::Value;

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "secrets",
    about: "canaries in every secret option; commands, formats, crashes and wrong files show none",
    ci: u64::MAX,
    long: None,
    begin: || {
        let built = thirdparty::build(Compiler::Ours, false);
        Some(Box::new(Secrets { built }))
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
/// What every canary has in it.
const CANARY: &str = "kAnArY7Q";

/// Options that are secrets, by kind and name of their stage, as the manifests mark them.
const KNOWN: [&str; 12] = [
    "sink kafka key_password",
    "sink kafka password",
    "sink twitter-server consumer_key",
    "sink twitter-server consumer_secret",
    "sink twitter-server token",
    "sink twitter-server token_secret",
    "source kafka key_password",
    "source kafka password",
    "source twitter consumer_key",
    "source twitter consumer_secret",
    "source twitter token",
    "source twitter token_secret",
];

/// What is done, and a text without which it was not done.
struct Step {
    what: &'static str,
    args: &'static [&'static str],
    /// A word of what is printed.
    says: &'static str,
    /// Whether processes are looked at while it runs.
    children: bool,
}

const fn step(what: &'static str, args: &'static [&'static str], says: &'static str) -> Step {
    Step {
        what,
        args,
        says,
        children: false,
    }
}

const STEPS: [Step; 17] = [
    Step {
        what: "a stream that is served and read, beside brokers that are not there",
        args: &["--config", "run.toml", "--for", "4s", "--grace", "1s"],
        says: "host=\"kafka\"",
        children: true,
    },
    Step {
        what: "the same, told to programs",
        args: &[
            "--config",
            "run.toml",
            "--for",
            "4s",
            "--grace",
            "1s",
            "--log-format",
            "json",
            "--summary",
            "json",
        ],
        says: "\"hosts\"",
        children: true,
    },
    step(
        "panics and errors that show their options",
        &["--config", "crash.toml"],
        "it panics at 555 with Wrong",
    ),
    step(
        "the same, told to programs",
        &["--config", "crash.toml", "--log-format", "json"],
        "it will never do with Wrong",
    ),
    step(
        "isolated stages that die",
        &["--config", "die.toml"],
        "SIGSEGV",
    ),
    step("validate", &["validate", "--config", "run.toml"], ""),
    step(
        "validate for programs",
        &["validate", "--config", "run.toml", "--format", "json"],
        "{",
    ),
    step(
        "a secret in the file",
        &["validate", "--config", "literal.toml"],
        "error",
    ),
    step(
        "the same, for programs",
        &["validate", "--config", "literal.toml", "--format", "json"],
        "diagnostics",
    ),
    step(
        "a secret in the file, run",
        &["--config", "literal.toml"],
        "error",
    ),
    step(
        "broken TOML around a secret",
        &["validate", "--config", "broken.toml"],
        "error",
    ),
    step("list", &["list", "--config", "run.toml"], "twitter"),
    step(
        "list for programs",
        &["list", "--config", "run.toml", "--format", "json"],
        "twitter",
    ),
    step(
        "inspect",
        &["inspect", "twitter", "--config", "run.toml"],
        "consumer_secret",
    ),
    step(
        "inspect for programs",
        &[
            "inspect", "kafka", "--config", "run.toml", "--format", "json",
        ],
        "password",
    ),
    step("schema", &["schema", "--config", "run.toml"], "x-secret"),
    step("demo --print", &["demo", "--print"], "TWITTER_TOKEN_SECRET"),
];

/// Commands of which it is known how they are called, not whether this host has them.
const LATER: [&[&str]; 4] = [
    &["status", "--config", "run.toml"],
    &["dlq", "list", "--config", "run.toml"],
    &["dlq", "show", "--config", "run.toml"],
    &["dlq", "replay", "--config", "run.toml"],
];

struct Secrets {
    built: std::path::PathBuf,
}

impl Job for Secrets {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let number = usize::try_from(run.seed).unwrap_or(usize::MAX);
        if number > STEPS.len() {
            return Ok(0);
        }
        self.write(&run.folder)?;
        if number == STEPS.len() {
            every_secret_has_a_canary()?;
            for args in LATER {
                said(&run.folder, args, false)?;
            }
            return Ok(1);
        }
        let step = &STEPS[number];
        let told = said(&run.folder, step.args, step.children);
        let told = told.map_err(|why| format!("{}: {why}", step.what))?;
        if !told.contains(step.says) {
            return Err(format!(
                "{}: nobody said `{}`: {told}",
                step.what, step.says
            ));
        }
        Ok(1)
    }
}

/// The manifests mark as secret what is known here.
fn every_secret_has_a_canary() -> Result<(), String> {
    let stages = fs::read_to_string(e2e::root().join("tests/snapshots/stages.json"));
    let stages: Value =
        serde_json::from_str(&stages.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let mut found = BTreeSet::new();
    for stage in stages.as_array().ok_or("no stages")? {
        let text = |name: &str| stage[name].as_str().unwrap_or_default().to_owned();
        let who = format!("{} {}", text("kind"), text("name"));
        marked(&stage["schema"], "", &mut |option| {
            found.insert(format!("{who} {option}"));
        });
    }
    let known: BTreeSet<_> = KNOWN.iter().map(|&one| one.to_owned()).collect();
    if found != known {
        return Err(format!(
            "secrets without a canary, or gone: {:?}",
            found.symmetric_difference(&known)
        ));
    }
    Ok(())
}

fn marked(value: &Value, name: &str, tell: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) => {
            if map.get("x-secret") == Some(&Value::Bool(true)) {
                tell(name);
            }
            map.iter()
                .for_each(|(name, value)| marked(value, name, tell));
        }
        Value::Array(list) => list.iter().for_each(|value| marked(value, name, tell)),
        _ => {}
    }
}

/// Runs a command: what it printed, in which no canary is, nor in what it left.
fn said(folder: &Folder, args: &[&str], children: bool) -> Result<String, String> {
    let mut host = folder.host(args);
    for name in [
        "C_KEY",
        "C_SECRET",
        "C_TOKEN",
        "C_TOKEN_SECRET",
        "C_PASSWORD",
    ] {
        host.env(name, canary(name));
    }
    host.env("RUST_BACKTRACE", "full");
    let mut running = Process::start(&mut host);
    let mut looked = BTreeSet::new();
    while children && !running.ends(Duration::from_millis(100)) {
        look(running.pid(), &mut looked)?;
    }
    if children && looked.is_empty() {
        return Err("it started no process to look at".to_owned());
    }
    let ran = running.finish(PATIENCE);
    let told = ran.stdout.join("\n") + "\n" + &ran.stderr;
    if let Some(line) = told.lines().find(|line| line.contains(CANARY)) {
        return Err(format!("it printed {line}"));
    }
    if ran.code == Some(101) || ran.code.is_none() {
        return Err(format!("it fell over: {told}"));
    }
    unseen(&folder.path("state"))?;
    unseen(&folder.path("out"))?;
    unseen(&e2e::artifacts::folder().join("plugin-cache"))?;
    Ok(told)
}

/// Looks at the processes that this one started, and at itself: no secret among their arguments,
/// and none in their environment that did not come with it.
fn look(host: u32, looked: &mut BTreeSet<u32>) -> Result<(), String> {
    let mut pids = vec![host];
    let list = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &host.to_string()])
        .stderr(Stdio::null())
        .output();
    let list = list.map_err(|e| e.to_string())?;
    let children = String::from_utf8_lossy(&list.stdout).into_owned();
    pids.extend(
        children
            .lines()
            .filter_map(|line| line.trim().parse::<u32>().ok()),
    );
    for pid in pids {
        // It may have ended.
        let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        if memchr::memmem::find(&read("cmdline"), CANARY.as_bytes()).is_some() {
            return Err(format!("process {pid} has a secret among its arguments"));
        }
        for variable in read("environ").split(|byte| *byte == 0) {
            let own = variable.starts_with(b"C_");
            if !own && memchr::memmem::find(variable, CANARY.as_bytes()).is_some() {
                let shown = String::from_utf8_lossy(variable).into_owned();
                return Err(format!("process {pid} has {shown} in its environment"));
            }
        }
        if pid != host {
            looked.insert(pid);
        }
    }
    Ok(())
}

/// No file of a folder has a canary in it, apart from copies of plugins, which are known by their
/// bytes.
fn unseen(folder: &Path) -> Result<(), String> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            unseen(&path)?;
        } else if path.extension().is_none_or(|ending| ending != "so")
            && let Ok(bytes) = fs::read(&path)
            && memchr::memmem::find(&bytes, CANARY.as_bytes()).is_some()
        {
            return Err(format!("{} has a secret in it", path.display()));
        }
    }
    Ok(())
}

fn canary(name: &str) -> String {
    format!("{CANARY}{name}").replace('_', "9")
}

impl Secrets {
    fn write(&self, folder: &Folder) -> Result<(), String> {
        fs::create_dir(folder.path("plugins.d")).map_err(|e| e.to_string())?;
        for name in ["libmisbehaves.so", "libfaults.so"] {
            fs::copy(self.built.join(name), folder.path("plugins.d").join(name))
                .map_err(|e| e.to_string())?;
        }
        for name in [
            "C_KEY",
            "C_SECRET",
            "C_TOKEN",
            "C_TOKEN_SECRET",
            "C_PASSWORD",
        ] {
            folder.write(&format!("secret/{name}"), &(canary(name) + "\n"));
        }
        folder.write("key.pem", "no key\n");
        folder.write("run.toml", &run_toml());
        folder.write("crash.toml", &crash_toml());
        folder.write("die.toml", &die_toml());
        folder.write("literal.toml", &literal_toml());
        let broken = literal_toml().replace("track = []", "track = [");
        folder.write("broken.toml", &broken);
        Ok(())
    }
}

const BY_FILE: &str = r#"{ consumer_key = "file:secret/C_KEY", consumer_secret = "file:secret/C_SECRET", token = "file:secret/C_TOKEN", token_secret = "file:secret/C_TOKEN_SECRET" }"#;
const BY_ENV: &str = r#"{ consumer_key = "env:C_KEY", consumer_secret = "env:C_SECRET", token = "env:C_TOKEN", token_secret = "env:C_TOKEN_SECRET" }"#;

/// Each secret option, by variable and by file, isolated and not; with librdkafka as talkative as
/// it can be, a client that is refused, and brokers that are not there.
fn run_toml() -> String {
    let [port] = free_ports();
    let mut text = format!(
        r#"
version = 1
[hosts.serve.sources.tweets]
plugin = "generate"
with.rate = 50
[hosts.serve.sinks.stream]
plugin = "twitter-server"
inputs = ["tweets"]
isolate = true
with = {{ listen = "127.0.0.1:{port}", credentials = {BY_FILE} }}
[hosts.read.sources.env]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {BY_ENV} }}
[hosts.read.sources.file]
plugin = "twitter"
isolate = true
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {BY_FILE} }}
[hosts.read.sources.refused]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:{port}", endpoint = "sample", credentials = {{ consumer_key = "env:C_KEY", consumer_secret = "env:C_TOKEN", token = "env:C_TOKEN", token_secret = "env:C_KEY" }} }}
[hosts.read.sinks.out]
plugin = "lines"
inputs = ["env", "file", "refused"]
with.path = "out/t.jsonl"
"#
    );
    for (name, isolate, by) in [
        ("a", false, "env:C_PASSWORD"),
        ("b", true, "file:secret/C_PASSWORD"),
    ] {
        text.push_str(&format!(
            r#"
[hosts.kafka.sources.from-{name}]
plugin = "kafka"
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", properties = {{ debug = "all" }}, security = {{ protocol = "SASL_PLAINTEXT", username = "u", password = "{by}" }} }}
[hosts.kafka.sinks.to-{name}]
plugin = "kafka"
inputs = ["from-{name}"]
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t2", properties = {{ debug = "all" }}, security = {{ protocol = "SASL_PLAINTEXT", username = "u", password = "{by}" }} }}
[hosts.mtls-{name}.sources.from]
plugin = "kafka"
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", security = {{ key_file = "key.pem", cert_file = "key.pem", key_password = "{by}" }} }}
[hosts.mtls-{name}.sinks.to]
plugin = "kafka"
inputs = ["from"]
isolate = {isolate}
with = {{ brokers = "127.0.0.1:1", topic = "t2", security = {{ key_file = "key.pem", cert_file = "key.pem", key_password = "{by}" }} }}
"#
        ));
    }
    // One that cannot begin would end the others.
    text.replace(
        "[hosts.mtls-a.sources",
        "[hosts.mtls-a]\nautostart = false\n[hosts.mtls-a.sources",
    )
    .replace(
        "[hosts.mtls-b.sources",
        "[hosts.mtls-b]\nautostart = false\n[hosts.mtls-b.sources",
    )
}

/// Stages that panic and fail with their options in what they say.
fn crash_toml() -> String {
    let mut text = "version = 1\nplugin_dirs = [\"plugins.d\"]\n".to_owned();
    for (host, how, isolate) in [
        ("a", "panic", false),
        ("b", "panic", true),
        ("c", "fatal", false),
        ("d", "fatal", true),
    ] {
        let by = if isolate {
            "file:secret/C_TOKEN"
        } else {
            "env:C_TOKEN"
        };
        let with = format!("with = {{ how = \"{how}\", token = \"{by}\" }}");
        text.push_str(&format!(
            "[hosts.{host}.sources.in]\nplugin = \"wrong-source\"\non_crash = \"stop\"\nisolate = {isolate}\n{with}\n\
             [hosts.{host}.sinks.out]\nplugin = \"wrong-sink\"\ninputs = [\"in\"]\n"
        ));
        text.push_str(&format!(
            "[hosts.{host}2.sources.in]\nplugin = \"wrong-source\"\n\
             [hosts.{host}2.sinks.out]\nplugin = \"wrong-sink\"\non_crash = \"stop\"\nisolate = {isolate}\ninputs = [\"in\"]\n{with}\n"
        ));
    }
    text
}

/// Isolated stages whose process ends in each way.
fn die_toml() -> String {
    let mut text = "version = 1\nplugin_dirs = [\"plugins.d\"]\n".to_owned();
    for how in ["segfault", "abort", "overflow", "exit", "garbage"] {
        text.push_str(&format!(
            "[hosts.{how}.sources.in]\nplugin = \"fault-count\"\nisolate = true\non_crash = \"stop\"\n\
             with = {{ how = \"{how}\", at = \"555\", token = \"file:secret/C_TOKEN\" }}\n\
             [hosts.{how}.sinks.out]\nplugin = \"fault-discard\"\ninputs = [\"in\"]\n"
        ));
    }
    text
}

/// Secrets where none may stand, under the right key and beside it.
fn literal_toml() -> String {
    let c = canary("LITERAL");
    format!(
        r#"
version = 1
[hosts.a.sources.in]
plugin = "twitter"
with = {{ url = "http://127.0.0.1:1", track = [], credentials = {{ consumer_key = "{c}", consumer_secrets = "{c}", token = ["{c}"], token_secret = "env:C_KEY?{c}" }} }}
[hosts.a.sources.topic]
plugin = "kafka"
with = {{ brokers = "127.0.0.1:1", topic = "t", group = "g", format = "json", security = {{ username = "u", pasword = "{c}", key_password = {{ x = "{c}" }} }} }}
[hosts.a.sinks.out]
plugin = "lines"
inputs = ["in", "topic"]
with.path = "out/a"
"#
    )
}
