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
    process::Process,
    thirdparty::{self, Compiler},
};
use serde_json::Value;

use crate::{
    frame::{Job, Run, Trial},
    secrets_hosts as hosts,
};

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
const KNOWN: [&str; 15] = [
    "sink kafka key_password",
    "sink kafka password",
    "sink twitter-server consumer_key",
    "sink twitter-server consumer_secret",
    "sink twitter-server token",
    "sink twitter-server token_secret",
    "sink websocket token",
    "source kafka key_password",
    "source kafka password",
    "source mastodon access_token",
    "source twitter consumer_key",
    "source twitter consumer_secret",
    "source twitter token",
    "source twitter token_secret",
    "source x bearer_token",
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

/// A canary by the name of a variable, of letters and digits only.
pub fn canary(name: &str) -> String {
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
        folder.write("run.toml", &hosts::run_toml());
        folder.write("crash.toml", &hosts::crash_toml());
        folder.write("die.toml", &hosts::die_toml());
        folder.write("literal.toml", &hosts::literal_toml());
        let broken = hosts::literal_toml().replace("track = []", "track = [");
        folder.write("broken.toml", &broken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_seen_wherever_it_is() {
        let folder = Folder::new();
        folder.write("state/a/epoch", "nothing");
        unseen(&folder.path("state")).unwrap();
        folder.write("state/a/b/letters", &format!("x{}", canary("C_TOKEN")));
        assert!(
            unseen(&folder.path("state"))
                .unwrap_err()
                .contains("letters")
        );
    }

    #[test]
    fn every_mark_is_found() {
        every_secret_has_a_canary().unwrap();
    }
}
