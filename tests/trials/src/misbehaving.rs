//! Plugins that break the contract, in the process and outside of it: the host says who did what,
//! heals what can be healed, ends as documented where nothing helps, and loses no record.

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use e2e::{
    host::Folder,
    process::{Finished, Process},
    summary::Summary,
    thirdparty::{self, Compiler},
};

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "misbehaving",
    about: "a stage of each kind goes wrong in each way, once and always, isolated and not",
    ci: u64::MAX,
    long: None,
    begin: || {
        let built = thirdparty::build(Compiler::Ours, false);
        Some(Box::new(Misbehaving {
            built,
            cases: cases(),
        }))
    },
};

/// Records of the source of a host with a stage that goes wrong, and of the one that is well.
const RECORDS: u64 = 2000;
const WELL: u64 = 20_000;
/// The record at which a stage goes wrong.
const AT: &str = "555";
/// Cases at a time: they wait more than they work.
const LANES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);

/// A kind of stage, the name of the stage of that kind, and how its plugin is called.
type Kind = (&'static str, &'static str, &'static str);

const KINDS: [Kind; 3] = [
    ("source", "count", "wrong-source"),
    ("processor", "pass", "wrong-processor"),
    ("sink", "note", "wrong-sink"),
];

/// A way to go wrong, and what is said of it where that does not depend on the kind.
const FAULTS: [(&str, &str); 11] = [
    ("panic", "it panics at 555"),
    ("segfault", "SIGSEGV"),
    ("counts", ""),
    ("ranges", ""),
    ("giant", "giant batch"),
    ("text", "it promises text, and record 0"),
    ("flood", "it goes on emitting in one call"),
    ("endless", "it hangs: its call `"),
    ("fatal", "it will never do"),
    ("transient", "it may do later; waiting, and trying again"),
    ("hang", "it hangs: its call `"),
];

/// What is to become of a host with a stage that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It delivers every record.
    Healed,
    /// It delivers every record but the one at which a stage crashes, which is a dead letter.
    Poison,
    /// It does not come to its end; a later run, in which nothing goes wrong, does.
    Ended,
}

#[derive(Clone, Copy)]
struct Case {
    fault: &'static str,
    words: &'static str,
    once: bool,
    isolate: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (fault, words) in FAULTS {
        for (once, isolate) in [(true, false), (false, false), (true, true), (false, true)] {
            // What ends the process is for stages that have one of their own; whoever hangs once
            // hangs for good.
            let never = matches!(fault, "hang" | "endless") && once;
            if (fault != "segfault" || isolate) && !never {
                cases.push(Case {
                    fault,
                    words,
                    once,
                    isolate,
                });
            }
        }
    }
    cases
}

struct Misbehaving {
    built: std::path::PathBuf,
    cases: Vec<Case>,
}

impl Job for Misbehaving {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let start = usize::try_from(run.seed)
            .unwrap_or(usize::MAX)
            .min(self.cases.len());
        let most = usize::try_from(run.most).unwrap_or(LANES).min(LANES);
        let cases = &self.cases[start..(start + most).min(self.cases.len())];
        let tried: Vec<_> = thread::scope(|scope| {
            let begin = |case: &'static str, one: Case| {
                let folder = run.folder.path(case);
                let built = &self.built;
                scope.spawn(move || one.attempt(&folder, built))
            };
            let names = ["0", "1", "2", "3"];
            let running: Vec<_> = cases
                .iter()
                .zip(names)
                .map(|(one, n)| begin(n, *one))
                .collect();
            running
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        let mut wrong = Vec::new();
        for (number, (case, tried)) in cases.iter().zip(tried).enumerate() {
            let tried = tried.unwrap_or_else(|_| Err("see what was said".to_owned()));
            if let Err(why) = tried {
                wrong.push(format!("{} (in {number}/): {why}", case.shown()));
            }
        }
        if wrong.is_empty() {
            Ok(cases.len() as u64)
        } else {
            Err(wrong.join("\n"))
        }
    }
}

impl Case {
    fn shown(&self) -> String {
        let often = if self.once { "once" } else { "always" };
        let place = if self.isolate {
            "isolated"
        } else {
            "in the process"
        };
        format!("{} {often}, {place}", self.fault)
    }

    fn kinds(&self) -> &'static [Kind] {
        // A sink emits nothing.
        let emits = ["giant", "text", "flood", "endless"].contains(&self.fault);
        &KINDS[..if emits { 2 } else { 3 }]
    }

    fn hangs(&self) -> bool {
        ["hang", "endless"].contains(&self.fault)
    }

    fn end(&self, kind: &str) -> End {
        let crash = ["panic", "segfault"].contains(&self.fault);
        if self.once {
            End::Healed
        } else if crash && kind != "source" {
            End::Poison
        } else {
            End::Ended
        }
    }

    /// What the host says of a stage of this kind.
    fn words(&self, kind: &str) -> &'static str {
        match (self.fault, kind) {
            ("counts", "source") => "records where 1",
            ("counts", "processor") => "as filtered, which has not so many left",
            ("counts", _) => "as consumed, which has not so many left",
            ("ranges", "sink") => "it rejected record 4294967295",
            ("ranges", _) => "points outside its batch of 3 bytes",
            _ => self.words,
        }
    }

    fn attempt(&self, folder: &Path, built: &Path) -> Result<(), String> {
        let plugins = folder.join("plugins.d");
        fs::create_dir_all(&plugins).map_err(|e| e.to_string())?;
        for name in ["libmisbehaves.so", "libflow.so"] {
            fs::copy(built.join(name), plugins.join(name)).map_err(|e| e.to_string())?;
        }
        let ran = self.host(folder, "first.toml", self.fault, true)?;
        self.first(folder, &ran)?;
        if self
            .kinds()
            .iter()
            .all(|kind| self.end(kind.0) != End::Ended)
        {
            return Ok(());
        }
        // The same hosts, mended: they go on where the last epoch left them.
        let again = self.host(folder, "again.toml", "nothing", false)?;
        if again.code != Some(0) {
            return Err(format!(
                "mended, it ended with {:?}: {}",
                again.code, again.stderr
            ));
        }
        for (kind, ..) in self.kinds() {
            if self.end(kind) == End::Ended {
                delivered(folder, kind, None).map_err(|why| format!("{kind}, mended: {why}"))?;
            }
        }
        Ok(())
    }

    fn first(&self, folder: &Path, ran: &Finished) -> Result<(), String> {
        let ends = |end| self.kinds().iter().any(|kind| self.end(kind.0) == end);
        let code = if ends(End::Ended) { 70 } else { 0 };
        let said = || {
            let lines: Vec<_> = ran.stderr.lines().collect();
            lines[lines.len().saturating_sub(60)..].join("\n    ")
        };
        if ran.code != Some(code) {
            return Err(format!(
                "exit code {:?} and not {code}:\n    {}",
                ran.code,
                said()
            ));
        }
        let summary = Summary::read(&ran.stdout);
        for (name, c) in summary.stages() {
            let fates = c.consumed + c.filtered + c.dead_lettered + c.dropped + c.in_flight;
            if c.received != fates {
                return Err(format!("{name} does not balance: {c:?}\n    {}", said()));
            }
        }
        lines_of(&folder.join("well.txt"), WELL, None).map_err(|why| format!("well: {why}"))?;
        for &(kind, stage, _) in self.kinds() {
            let context = |why: String| format!("{kind}: {why}\n    {}", said());
            let who = format!("host=\"{kind}\" stage=\"{stage}\"");
            let mut words = vec![self.words(kind)];
            if self.fault == "endless" {
                // A fast machine takes the most bytes of a call from it before its time is over.
                words.push("it goes on emitting in one call");
            }
            let is_told = |l: &str| l.contains(&who) && words.iter().any(|w| l.contains(w));
            if !ran.stderr.lines().any(is_told) {
                return Err(context(format!("nobody said any of {words:?} of {who}")));
            }
            let counts = summary.stage(&format!("{kind}/{stage}"));
            match self.end(kind) {
                End::Healed => delivered(folder, kind, None).map_err(context)?,
                End::Poison => {
                    if counts.dead_lettered != 1 || counts.received != RECORDS {
                        return Err(context(format!("one dead letter of {RECORDS}: {counts:?}")));
                    }
                    delivered(folder, kind, Some(AT)).map_err(context)?;
                }
                End::Ended => {}
            }
        }
        Ok(())
    }

    /// Runs the hosts to their end.
    fn host(&self, folder: &Path, file: &str, how: &str, first: bool) -> Result<Finished, String> {
        let timeout = if self.hangs() { "2s" } else { "30s" };
        let mut hosts = format!(
            "version = 1\nplugin_dirs = [\"plugins.d\"]\n\
             [hosts.well.sources.count]\nplugin = \"flow-count\"\nwith.records = {WELL}\n\
             [hosts.well.sinks.out]\nplugin = \"lines\"\ninputs = [\"count\"]\n\
             with.path = \"well{}.txt\"\n",
            if first { "" } else { "-again" }
        );
        for &(kind, ..) in self.kinds() {
            hosts.push_str(&self.graph(kind, how, timeout));
        }
        fs::write(folder.join(file), hosts).map_err(|e| e.to_string())?;
        let any = Folder::new();
        let mut args = vec!["--config", file, "--summary", "json"];
        if first && self.fault == "transient" && !self.once {
            args.extend(["--for", "2s", "--grace", "1s"]);
        }
        let mut host = any.host(&args);
        Ok(Process::start(host.current_dir(folder)).finish(PATIENCE))
    }

    /// A host in which the stage of this kind goes wrong.
    fn graph(&self, wrong: &str, how: &str, timeout: &str) -> String {
        let mut text = format!(
            "[hosts.{wrong}]\ncheckpoint_interval = \"50ms\"\ncall_timeout = \"{timeout}\"\n\
             [hosts.{wrong}.sinks.out]\nplugin = \"lines\"\ninputs = [\"pass\"]\n\
             with.path = \"{wrong}.txt\"\n"
        );
        let inputs = BTreeMap::from([("processor", "count"), ("sink", "pass")]);
        for (kind, stage, plugin) in KINDS {
            text.push_str(&format!(
                "[hosts.{wrong}.{kind}s.{stage}]\nplugin = \"{plugin}\"\n"
            ));
            if let Some(input) = inputs.get(kind) {
                text.push_str(&format!("inputs = [\"{input}\"]\n"));
            }
            if kind == wrong {
                text.push_str(&format!(
                    "isolate = {}\nwith.how = \"{how}\"\n",
                    self.isolate
                ));
                if self.once {
                    text.push_str(&format!("with.once = \"{wrong}.once\"\n"));
                }
            }
            if kind == "sink" {
                text.push_str(&format!("with.seen = \"{wrong}.seen\"\n"));
            }
        }
        text
    }
}

/// The host of this kind has delivered each record: once to the file, to the noting sink at least
/// once. `but`: the stage that went wrong, and what is behind it, has not seen this one.
fn delivered(folder: &Path, kind: &str, but: Option<&str>) -> Result<(), String> {
    let behind = but.filter(|_| kind != "sink");
    lines_of(&folder.join(format!("{kind}.txt")), RECORDS, behind)?;
    let seen = fs::read_to_string(folder.join(format!("{kind}.seen")));
    let seen = seen.map_err(|e| format!("{kind}.seen: {e}"))?;
    let seen: std::collections::HashSet<_> = seen.lines().collect();
    for number in (0..RECORDS).map(|n| n.to_string()) {
        if but != Some(&*number) && !seen.contains(&*number) {
            return Err(format!("{number} never came to the noting sink"));
        }
    }
    Ok(())
}

/// A file, with those that go on where it was finished by a stop, holds the numbers below `count`
/// in their order, but for one.
fn lines_of(file: &Path, count: u64, but: Option<&str>) -> Result<(), String> {
    let mut text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    for number in 1.. {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        match fs::read_to_string(file.with_file_name(format!("{stem}-{number}.txt"))) {
            Ok(more) => text.push_str(&more),
            Err(_) => break,
        }
    }
    let expected = (0..count).map(|n| n.to_string());
    let mut expected = expected.filter(|n| but != Some(n));
    let mut lines = text.lines();
    loop {
        match (lines.next(), expected.next()) {
            (None, None) => return Ok(()),
            (line, number) if line == number.as_deref() => {}
            (line, number) => {
                let file = file.display();
                return Err(format!("{file}: {line:?} stands where {number:?} should"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_strange_is_seen() {
        let folder = Folder::new();
        let file = folder.write("a.txt", "0\n1\n");
        lines_of(&file, 2, None).unwrap();
        lines_of(&file, 3, Some("2")).unwrap();
        lines_of(&file, 3, None).unwrap_err();
        lines_of(&file, 2, Some("1")).unwrap_err();
        folder.write("a-1.txt", "2\n");
        lines_of(&file, 3, None).unwrap();
        folder.write("a-1.txt", "1\n");
        lines_of(&file, 2, None).unwrap_err();
    }
}
