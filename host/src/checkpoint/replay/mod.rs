//! Replay of dead letters: a run of the same host in which its own sources read nothing and each
//! stage that rejected records gets them again, from a source of the host's own.
//!
//! What was sent again is that source's state, so it is true in the same epoch as the effects. Its
//! snapshot stays in the epochs of later runs, so nothing is ever sent twice.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use plugin_api::{StageError, abi::root::Plugin, files::Os, manifest::StageKind};
use serde::{Deserialize, Serialize};

pub use self::source::ReplayPlugin;
use self::source::{Options, Portion};
use super::{
    complete::Complete,
    letters::{self, LetterFile, Letters, Newest},
};
use crate::{
    config::{Buffer, OnCrash, OnError, Ordering},
    plan::{
        self, EdgePlan, HostPlan, StagePlan, StageRef,
        disk::{DISK_IN, DISK_OUT},
    },
};

/// Name of the source, and what its stages' names begin with.
pub const NAME: &str = "dead-letters";

/// What is to be sent again.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Only letters of these stages; empty: of all.
    pub stages: BTreeSet<String>,
}

/// The stage whose letters this instance of a replay's source sends, if it is one.
pub fn stage_of(instance: &str) -> Option<&str> {
    let rest = instance.strip_prefix(NAME)?.strip_prefix(':')?;
    Some(rest.rsplit_once('#').map_or(rest, |(stage, _)| stage))
}

/// How many letters of each file are done with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Done(BTreeMap<String, u64>);

impl Done {
    fn read(state: &[u8]) -> Result<Self, StageError> {
        serde_json::from_slice(state)
            .map_err(|e| StageError::fatal(format!("the position of a replay does not read: {e}")))
    }

    /// How many letters of a file.
    pub fn of(&self, file: &str) -> u64 {
        self.0.get(file).copied().unwrap_or(0)
    }
}

/// Where the replay of each stage's letters stands, by the epochs of its host.
///
/// # Errors
/// A position does not read.
pub fn done(epochs: &[Newest]) -> Result<BTreeMap<String, Done>, StageError> {
    let instances = epochs.iter().flat_map(|e| &e.epoch.instances);
    let mut done = BTreeMap::new();
    for (name, snapshot) in instances {
        if let Some(stage) = stage_of(name) {
            done.insert(stage.to_owned(), Done::read(&snapshot.state)?);
        }
    }
    Ok(done)
}

/// Letters of one stage that are not done with.
#[derive(Debug, Default)]
struct Waiting {
    letters: u64,
    /// Bytes that are no record of an input.
    skipped: u64,
    /// Formats of the inputs that rejected them.
    formats: BTreeSet<(u32, String)>,
}

/// A host (number `index` of the plan) with a source for each stage whose letters are sent again;
/// its own stages stand first, where they were.
///
/// # Errors
/// What was left cannot be used, or does not fit the stages.
pub fn extend(
    host: &HostPlan,
    index: usize,
    folder: &Path,
    replay: &Replay,
) -> Result<HostPlan, StageError> {
    if let Some(unknown) = replay
        .stages
        .iter()
        .find(|s| !host.stages.iter().any(|own| own.name == **s))
    {
        let message = format!("--stage {unknown}: host {} has no such stage", host.name);
        return Err(StageError::config("", message));
    }
    let Found {
        files,
        waiting,
        complete,
    } = find(folder, replay)?;
    let mut extended = host.clone();
    if !complete {
        follow_writers(&mut extended, index);
    }
    for (stage, waiting) in waiting {
        let Some(at) = host.stages.iter().position(|s| s.name == stage) else {
            let n = waiting.letters + waiting.skipped;
            tracing::warn!(
                host = host.name,
                "{n} dead letters of {stage} stay, since there is no such stage"
            );
            continue;
        };
        if waiting.skipped > 0 {
            tracing::warn!(
                host = host.name,
                stage,
                "{} dead letters stay: they are what was read from outside, no records",
                waiting.skipped
            );
        }
        if waiting.letters > 0 {
            fits(&host.stages[at], &waiting)?;
            tracing::info!(
                host = host.name,
                stage,
                "{} dead letters are sent again",
                waiting.letters
            );
            add(&mut extended, at, &files);
        }
    }
    if extended.stages.len() == host.stages.len() {
        // So that its sources read nothing all the same.
        return Err(StageError::config("", NOTHING));
    }
    Ok(extended)
}

/// What reads a buffer on disk ends when what writes it has: without an end of the sources, which
/// the buffer would pass on, nothing else tells it.
fn follow_writers(host: &mut HostPlan, index: usize) {
    let writers: BTreeMap<String, usize> = (0..)
        .zip(&host.stages)
        .filter(|(_, s)| s.plugin == DISK_IN)
        .map(|(at, s)| (s.name.replacen('>', ">>", 1), at))
        .collect();
    for reader in host.stages.iter_mut().filter(|s| s.plugin == DISK_OUT) {
        let writer = writers.get(&reader.name);
        reader.upstream.extend(writer.map(|stage| StageRef {
            host: index,
            stage: *stage,
        }));
    }
}

/// What a replay says that has nothing to do.
pub const NOTHING: &str = "there is no dead letter that has not been sent again already";

/// Whether there is anything to be sent again.
///
/// # Errors
/// What was left cannot be used.
pub fn is_waiting(folder: &Path, replay: &Replay) -> Result<bool, StageError> {
    let found = find(folder, replay)?;
    Ok(found.waiting.values().any(|w| w.letters > 0))
}

/// What a host left, as far as a replay depends on it.
struct Found {
    files: Vec<LetterFile>,
    /// Letters that are not done with, by stage.
    waiting: BTreeMap<String, Waiting>,
    /// Whether the last run came to its end in all regions.
    complete: bool,
}

fn find(folder: &Path, replay: &Replay) -> Result<Found, StageError> {
    let trouble = |e: std::io::Error| {
        let folder = folder.display();
        StageError::fatal(format!("dead letters in {folder} cannot be used: {e}"))
    };
    let (epochs, damaged) = letters::newest_epochs(folder).map_err(trouble)?;
    if let Some(why) = damaged.first() {
        return Err(StageError::fatal(why.clone()));
    }
    let complete = Complete::read(&Os, folder).map_err(trouble)?;
    let files = letters::files(folder, &epochs).map_err(trouble)?;
    let done = done(&epochs)?;
    let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
    for file in &files {
        let letters = match Letters::open(&file.path, file.length) {
            Ok(letters) => letters,
            Err(e) => {
                tracing::error!("{e}");
                continue;
            }
        };
        for (index, letter) in (0..).zip(letters) {
            let letter = match letter {
                Ok(letter) => letter,
                Err(e) => {
                    tracing::error!("{e}");
                    break;
                }
            };
            let wanted = replay.stages.is_empty() || replay.stages.contains(&letter.stage);
            let before = done.get(&letter.stage).map_or(0, |d| d.of(&file.name));
            if !wanted || index < before {
                continue;
            }
            let of_stage = waiting.entry(letter.stage).or_default();
            match letter.input {
                None => of_stage.skipped += 1,
                Some(input) => {
                    of_stage.letters += 1;
                    of_stage.formats.insert((input, letter.content_type));
                }
            }
        }
    }
    Ok(Found {
        files,
        waiting,
        complete: epochs
            .iter()
            .filter(|e| !e.epoch.is_empty())
            .all(|e| complete.ended_with(&e.region, e.epoch.number)),
    })
}

/// Whether a stage can take its letters again.
fn fits(stage: &StagePlan, waiting: &Waiting) -> Result<(), StageError> {
    for (input, format) in &waiting.formats {
        let now = stage.input_types.get(*input as usize).map(|t| t.format);
        if now.is_none_or(|now| now.to_string() != *format) {
            let now = now.map_or_else(|| "not there any more".to_owned(), |now| now.to_string());
            return Err(StageError::config(
                "",
                format!(
                    "dead letters of {} are {format}, and its input is {now}; wire it as it was, \
                     or name the stages to be replayed with --stage",
                    stage.name
                ),
            ));
        }
    }
    Ok(())
}

/// Adds the source of a stage's letters.
fn add(host: &mut HostPlan, index: usize, files: &[LetterFile]) {
    let from = host.stages.len();
    let stage = &mut host.stages[index];
    let options = Options {
        stage: stage.name.clone(),
        files: files.iter().map(Portion::from).collect(),
    };
    let ports = 0..u32::try_from(stage.input_types.len()).unwrap_or(u32::MAX);
    stage.inputs.extend(ports.clone().map(|port| EdgePlan {
        from,
        from_port: port,
        to_port: port,
    }));
    let source = StagePlan {
        name: format!("{NAME}:{}", stage.name),
        kind: StageKind::Source,
        plugin: NAME.into(),
        package: ReplayPlugin::NAME.into(),
        options: plan::Options(
            serde_json::to_vec(&options).expect("names and numbers can be written"),
        ),
        inputs: Vec::new(),
        input_types: Vec::new(),
        ports: ports.map(|port| port.to_string()).collect(),
        outputs: stage.input_types.clone(),
        workers: 1,
        ordering: Ordering::Key,
        limit: None,
        buffer: Buffer::default(),
        on_error: OnError::DeadLetter,
        on_crash: OnCrash::Restart,
        state_version: 1,
        memory: Vec::new(),
        isolate: None,
        alone: false,
        live: false,
        reads: Vec::new(),
        writes: Vec::new(),
        upstream: Vec::new(),
    };
    host.stages.push(source);
}
