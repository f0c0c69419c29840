//! From a plan to hosts with their regions: locks the state of each, finds what earlier runs left,
//! and says what becomes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use plugin_api::{
    StageError,
    files::{FileSystem, Os},
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    Options,
    build::{self, First},
    builtin,
    region::Region,
    shared::StageShared,
    supervisor::Message,
};
use crate::{
    checkpoint::{
        complete::Complete,
        coordinator::InstanceId,
        dead_letters::DeadLetters,
        inherit::{self, EPOCHS, InheritError},
        replay,
        shape::Shape,
        status,
    },
    config::OnHang,
    plan::{Plan, Registry, StageRef},
    spool::Spool,
};

/// A host that runs.
pub struct HostRun {
    pub name: String,
    pub stages: Vec<Arc<StageShared>>,
    /// Its regions, by number.
    pub regions: Vec<usize>,
    pub call_timeout: Duration,
    pub on_hang: OnHang,
    /// Its folder of state.
    folder: PathBuf,
    /// Held for as long as it runs.
    _lock: File,
    _buffers: Vec<Spool>,
}

impl HostRun {
    /// Marks the run as complete if all its regions came to their end: what waits in a disk buffer
    /// still belongs to it.
    pub fn mark_complete(&self, regions: &[Region]) {
        let own = self.regions.iter().map(|r| {
            let region = &regions[*r];
            Some((region.shared.name.clone(), region.completed()?))
        });
        let Some(complete) = own.collect::<Option<Complete>>() else {
            return;
        };
        if let Err(e) = complete.write(&Os, &self.folder) {
            tracing::error!(
                host = self.name,
                "the run is complete, which cannot be kept in {}: {e}; the next one has to find \
                 that out before another begins anew",
                self.folder.display()
            );
        }
    }
}

/// All hosts of a plan.
pub struct Built {
    pub hosts: Vec<HostRun>,
    pub regions: Vec<Region>,
    pub home: BTreeMap<InstanceId, (usize, usize)>,
    pub upstream: BTreeMap<InstanceId, Vec<StageRef>>,
}

/// Builds all hosts.
pub fn build(
    plan: &Plan,
    registry: &Registry,
    options: &Options,
    tell: &Sender<Message>,
) -> Result<Built, StageError> {
    let fs: Arc<dyn FileSystem> = Arc::new(Os);
    let mut all = Built {
        hosts: Vec::new(),
        regions: Vec::new(),
        home: BTreeMap::new(),
        upstream: BTreeMap::new(),
    };
    let mut unknown = options.drop_state.clone();
    for (index, host) in plan.hosts.iter().enumerate() {
        let folder = plan.state_dir.join(&host.name);
        let lock = lock(&folder, &host.name, options.replay.is_some())?;
        let buffers = host
            .stages
            .iter()
            .filter_map(|s| builtin::held(s).transpose());
        let buffers = buffers.collect::<Result<_, _>>()?;
        let own = host.stages.len();
        let extended = match &options.replay {
            Some(wanted) => Some(replay::extend(host, index, &folder, wanted)?),
            None => None,
        };
        let host = extended.as_ref().unwrap_or(host);
        let letters = |region: &str| {
            let letters = DeadLetters::new(fs.clone(), &folder, &host.name, region);
            Arc::new(letters)
        };
        let first = First {
            instance: all.home.len(),
            region: all.regions.len(),
        };
        let built = build::host(host, &letters, registry, own, first, tell)?;
        let shapes: Vec<Shape> = built.regions.iter().map(|r| r.shape.clone()).collect();
        let own: BTreeSet<String> = options
            .drop_state
            .iter()
            .filter_map(|s| own_stage(s, &host.name, plan.hosts.len() == 1))
            .collect();
        let folders = folders(&folder.join(EPOCHS)).map_err(|e| unusable(&host.name, &e.into()))?;
        let found = inherit::inherit(&fs, &folder, &shapes, &own, &folders)
            .map_err(|e| unusable(&host.name, &e))?;
        unknown.retain(|s| own_stage(s, &host.name, plan.hosts.len() == 1).is_none());
        let mut numbers = Vec::new();
        for (region, inherited) in built.regions.into_iter().zip(found) {
            for note in &inherited.notes {
                tracing::info!(host = host.name, "{note}");
            }
            let number = all.regions.len();
            numbers.push(number);
            for (stage, print) in &region.prints {
                all.home.insert(print.id, (index, number));
                let from = &host.stages[*stage].upstream;
                if !from.is_empty() {
                    all.upstream.insert(print.id, from.clone());
                }
            }
            let region = Region::new(
                number,
                &host.name,
                &built.stages,
                region,
                inherited,
                host.checkpoint_interval,
                tell.clone(),
            );
            all.regions
                .push(region.map_err(|e| unusable(&host.name, &e.into()))?);
        }
        all.hosts.push(HostRun {
            name: host.name.clone(),
            stages: built.stages,
            regions: numbers,
            call_timeout: host.call_timeout,
            on_hang: host.on_hang,
            folder,
            _lock: lock,
            _buffers: buffers,
        });
    }
    if let Some(stage) = unknown.first() {
        return Err(StageError::config(
            "",
            format!("--drop-state {stage}: say HOST/STAGE, of a host that runs"),
        ));
    }
    Ok(all)
}

/// The stage that `--drop-state` means, if it is of this host: `HOST/STAGE`, or `STAGE` where one
/// host runs.
fn own_stage(said: &str, host: &str, only: bool) -> Option<String> {
    match said.split_once('/') {
        Some((h, stage)) => (h == host).then(|| stage.to_owned()),
        None => only.then(|| said.to_owned()),
    }
}

fn unusable(host: &str, e: &InheritError) -> StageError {
    let message = format!("host {host} cannot go on from what its last run left: {e}");
    match e {
        InheritError::Io(_) => StageError::fatal(message),
        _ => StageError::config("", message),
    }
}

/// One process at a time: two would write over each other's epochs.
fn lock(folder: &Path, host: &str, replay: bool) -> Result<File, StageError> {
    let trouble = |e: io::Error| {
        StageError::fatal(format!(
            "the folder of state {} cannot be used: {e}",
            folder.display()
        ))
    };
    fs::create_dir_all(folder).map_err(trouble)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join(status::LOCK))
        .map_err(trouble)?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if status::is_locked(&file).map_err(trouble)? => {
                let advice = if replay {
                    "stop it, so that its dead letters can be replayed"
                } else {
                    "give each process a host or a state_dir of its own"
                };
                return Err(StageError::unavailable(format!(
                    "host {host} runs already in another process, with its state in {}; {advice}",
                    folder.display()
                )));
            }
            // `host status` looked whether it runs, which takes no time.
            Err(Errno::WOULDBLOCK) => std::thread::yield_now(),
            Err(e) => return Err(trouble(e.into())),
        }
    }
}

/// Names of the folders in a folder.
fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
