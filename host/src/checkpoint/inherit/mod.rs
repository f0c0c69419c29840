//! Which state a run starts from: what a region of the same shape left, or, after the graph was
//! changed, what can be taken over stage by stage. Nothing is dropped without being told to.

mod left;

use std::{collections::BTreeSet, fmt, io, path::Path, sync::Arc};

use plugin_api::files::FileSystem;

use self::left::Left;
use super::{
    complete::Complete, dead_letters::DeadLetters, epoch::Epoch, shape::Shape, store::Store,
};

/// Folder of a host's epochs within its folder of state.
pub const EPOCHS: &str = "epochs";

/// Why a run cannot start from what was left.
#[derive(Debug)]
pub enum InheritError {
    /// The file system's trouble, or a damaged file, in words.
    Io(io::Error),
    /// The state of these stages would be lost.
    WouldDrop(Vec<String>),
    /// The graph was changed behind a run that did not end cleanly.
    NotFinal(Vec<String>),
    /// `--drop-state` names a stage without state.
    NoSuchState(String),
}

impl From<io::Error> for InheritError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::WouldDrop(stages) => write!(
                f,
                "the state of {} would be lost, since the graph has changed; {}",
                stages.join(", "),
                drop_hint(stages)
            ),
            Self::NotFinal(stages) => write!(
                f,
                "the graph of {} has changed, but the last run did not end cleanly: run it once \
                 more as it was and let it drain; or {}",
                stages.join(", "),
                drop_hint(stages)
            ),
            Self::NoSuchState(stage) => {
                write!(
                    f,
                    "--drop-state {stage}: no stage of that name has left any state"
                )
            }
        }
    }
}

fn drop_hint(stages: &[String]) -> String {
    let flags: Vec<String> = stages.iter().map(|s| format!("--drop-state {s}")).collect();
    format!("to give it up, say {}", flags.join(" "))
}

/// Where a region starts.
pub struct Inherited {
    /// Its store.
    pub store: Store,
    /// The epoch with which the host's last run came to its end, if it did: this one begins anew.
    pub complete: Option<u64>,
    /// What was said about stages whose graph changed: for the log.
    pub notes: Vec<String>,
}

/// Finds the stores of a host's regions in `folder`, after changes of the graph.
///
/// # Errors
/// See [`InheritError`]. Nothing was changed then.
pub fn inherit(
    fs: &Arc<dyn FileSystem>,
    folder: &Path,
    shapes: &[Shape],
    drop_state: &BTreeSet<String>,
    folders: &[String],
) -> Result<Vec<Inherited>, InheritError> {
    let at = |name: &str| folder.join(EPOCHS).join(name);
    let open = |name: &str| Store::open(fs.clone(), at(name));
    let complete = Complete::read(&**fs, folder)?;
    // It may have been named by a process that died before it synced the folder.
    fs.create_folders(folder)?;
    fs.sync_folder(folder)?;
    let mut left = Left::default();
    let mut found = Vec::new();
    let mut dropped = BTreeSet::new();
    for shape in shapes {
        let store = open(&shape.folder())?;
        let newest = newest(&store)?;
        if let Some((epoch, _)) = &newest {
            let stages = epoch.instances.keys().map(|i| stage_of(i).to_owned());
            left.present.extend(stages.map(|s| (s, epoch.number)));
        }
        found.push((shape, store, newest));
    }
    let wanted: BTreeSet<String> = shapes.iter().map(Shape::folder).collect();
    for name in folders.iter().filter(|name| !wanted.contains(*name)) {
        let store = open(name)?;
        let newest = newest(&store)?;
        left.take(name, store, newest, &complete)?;
    }
    // What regions that are as they were are told to forget.
    let mut forget = Vec::new();
    for (index, (shape, _, epoch)) in found.iter().enumerate() {
        let Some((epoch, _)) = epoch else { continue };
        let stages: BTreeSet<&str> = epoch.instances.keys().map(|i| stage_of(i)).collect();
        let given_up: Vec<&str> = stages
            .into_iter()
            .filter(|s| drop_state.contains(*s))
            .collect();
        if !given_up.is_empty() {
            dropped.extend(given_up.iter().map(|s| (*s).to_owned()));
            if !complete.ended_with(&shape.folder(), epoch.number) {
                forget.push(index);
            }
        }
    }
    let mut plans = Vec::new();
    for (shape, _, newest) in &found {
        let own = newest.as_ref().map(|(epoch, _)| epoch);
        let new = own.is_none_or(Epoch::is_empty);
        plans.push(new.then(|| left.plan(shape, shapes, own)));
    }
    let lost = left.lost();
    let kept: Vec<String> = lost.difference(drop_state).cloned().collect();
    if !left.not_final.is_empty() {
        let stages: BTreeSet<String> = left.not_final.clone();
        let open: Vec<String> = stages.difference(drop_state).cloned().collect();
        if !open.is_empty() {
            return Err(InheritError::NotFinal(open));
        }
    }
    if !kept.is_empty() {
        return Err(InheritError::WouldDrop(kept));
    }
    dropped.extend(lost);
    dropped.extend(left.not_final.iter().cloned());
    if let Some(nobody) = drop_state.iter().find(|s| !dropped.contains(*s)) {
        return Err(InheritError::NoSuchState(nobody.clone()));
    }

    let mut all = Vec::new();
    let mut holds = Vec::new();
    for (index, ((shape, store, newest), plan)) in found.into_iter().zip(plans).enumerate() {
        let mut notes = Vec::new();
        let region = shape.folder();
        // It may not be the newest, and still be the one that a sink stands by.
        let numbers = store.numbers()?;
        let ended = complete
            .of(&region)
            .filter(|number| numbers.contains(number));
        holds.extend(ended.map(|number| (region, number)));
        if forget.contains(&index)
            && let Some((mut epoch, is_final)) = newest
        {
            epoch
                .instances
                .retain(|i, _| !drop_state.contains(stage_of(i)));
            epoch.number += 1;
            keep(&store, &epoch, is_final)?;
            notes.push(format!("the state of {} is given up", listed(drop_state)));
        }
        if let Some((epoch, said)) = plan.flatten() {
            keep(&store, &epoch, true)?;
            notes.extend(said);
        }
        all.push(Inherited {
            store,
            complete: ended,
            notes,
        });
    }
    // A run that came behind the epoch taken over may have left letters of records that are read
    // again.
    for (region, mark) in &left.marks {
        DeadLetters::new(fs.clone(), folder, "", region).restore(mark)?;
    }
    // A start that died may have taken over what is not on the disk yet.
    for inherited in all.iter().filter(|_| !left.stores.is_empty()) {
        inherited.store.restore(None)?;
    }
    // Only now is what was taken over on the disk under its new name.
    for (store, epoch) in left.stores {
        store
            .empty(epoch)
            .map_err(|e| io::Error::other(e.to_string()))?;
    }
    complete
        .keep_only(&holds.into_iter().collect(), &**fs, folder)
        .map_err(|e| io::Error::other(e.to_string()))?;
    Ok(all)
}

fn keep(store: &Store, epoch: &Epoch, is_final: bool) -> io::Result<()> {
    store
        .write(epoch)
        .map_err(|e| io::Error::other(e.to_string()))?;
    store.committed(epoch.number, is_final)
}

fn newest(store: &Store) -> io::Result<Option<(Epoch, bool)>> {
    let Some(number) = store.numbers()?.first().copied() else {
        return Ok(None);
    };
    Ok(Some((store.read(number)?, store.is_final(number)?)))
}

fn stage_of(instance: &str) -> &str {
    instance
        .rsplit_once('#')
        .map_or(instance, |(stage, _)| stage)
}

fn listed(stages: &BTreeSet<String>) -> String {
    stages.iter().cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
