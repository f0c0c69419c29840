//! From files to plugins: find candidates, vet each without running anything of it, open it.
//!
//! A file goes through [`vet`] (permissions, private copy, pin, tag) and then [`open`] (the
//! dynamic loader, the layout of the ABI). Whatever fails becomes one sentence in
//! [`Registry::refused`]. Invariant: no code of a file has run before its tag was read from the
//! copy that is opened.

mod open;
pub mod registry;
mod store;
mod tag;
mod vet;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

pub use open::{Opened, plan};
use plugin_api::{abi::tag::Tag, manifest::StageKind};
pub use registry::Registry;
use registry::{Double, PluginEntry, Refused};

/// Where to look, and for what.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Folder of the bundled plugins: that of the host's own file.
    pub bundled: Option<PathBuf>,
    /// Further folders, in order.
    pub dirs: Vec<PathBuf>,
    /// Plugins whose file must have a certain content: package name and SHA-256 in hex.
    pub pins: Vec<(String, String)>,
    /// Only plugins that have one of these stages are opened; `None`: all are.
    pub wanted: Option<BTreeSet<String>>,
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence without a full stop.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The folder where the bundled plugins lie: that of the running executable, or its parent when
/// that is cargo's `deps` folder (tests).
#[must_use]
pub fn bundled_dir() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    Some(exe.parent()?.to_owned())
}

/// Finds, vets and opens plugins.
#[must_use]
pub fn search(search: &Search) -> Registry {
    let mut registry = Registry::default();
    let mut seen = BTreeSet::new();
    let bundled = search.bundled.iter().map(|d| (d, true));
    for (dir, is_bundled) in bundled.chain(search.dirs.iter().map(|d| (d, false))) {
        for file in candidates(dir, is_bundled, &mut registry.refused) {
            if !seen.insert(file.clone()) {
                continue;
            }
            match load(&file, is_bundled, search) {
                Ok(Some(entry)) => add(&mut registry, entry),
                Ok(None) => {}
                Err(r) => registry.refused.push(Refused {
                    file,
                    reason: r.reason,
                    hint: r.hint,
                }),
            }
        }
    }
    // Now those of this run are in use. Without a folder there is nothing to clean.
    if let Ok(copies) = store::folder() {
        let before = SystemTime::now() - store::KEEP;
        store::clean(&copies, before, store::MOST_BYTES);
    }
    registry
}

/// Opens one file, wherever it lies.
///
/// # Errors
/// Why it is refused.
pub fn load_file(file: &Path) -> Result<PluginEntry, Refusal> {
    load(file, false, &Search::default())?.ok_or_else(|| Refusal::new("it is no plugin"))
}

/// Opens a file that was vetted before, by another process perhaps.
///
/// # Errors
/// Why it is refused; also when it is not the same file any more.
pub fn load_same(file: &Path, sha256: &str) -> Result<PluginEntry, Refusal> {
    let copy = vet::private_copy(file)?;
    if copy.sha256 != sha256 {
        return Err(
            Refusal::new("it is not the file any more that the host read at its start")
                .hint("start the host again to use the new file"),
        );
    }
    entry(file, false, copy)
}

/// Shared objects of a folder, sorted by name.
fn candidates(dir: &Path, bundled: bool, refused: &mut Vec<Refused>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        // A folder of plugin_dirs may not be there yet: a user creates it with the first plugin.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            let reason = format!("the folder cannot be read: {e}");
            refused.push(Refused {
                file: dir.to_owned(),
                reason,
                hint: None,
            });
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "so"))
        .filter(|p| !bundled || is_bundled_name(p))
        .collect();
    files.sort();
    files
}

/// The folder of the host's executable may hold other libraries; ours are named `libplugin_*`.
fn is_bundled_name(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .is_some_and(|n| n.starts_with("libplugin_"))
}

fn load(file: &Path, bundled: bool, search: &Search) -> Result<Option<PluginEntry>, Refusal> {
    if let Some(wanted) = &search.wanted {
        // Only to pass over what nobody asks for; what counts is read again from the copy.
        let peek = vet::peek(file);
        if peek.is_some_and(|tag| !tag.stages.iter().any(|s| wanted.contains(stage_name(s)))) {
            return Ok(None);
        }
    }
    let copy = vet::private_copy(file)?;
    let tag = copy.tag()?;
    // As everywhere, `kafka` names the package `plugin-kafka`.
    let is_named = |name: &str| tag.name == name || tag.name.strip_prefix("plugin-") == Some(name);
    if let Some((_, pin)) = search.pins.iter().find(|(name, _)| is_named(name))
        && !pin.eq_ignore_ascii_case(&copy.sha256)
    {
        return Err(Refusal::new(format!(
            "its SHA-256 is {}, but hosts.toml pins {pin}",
            copy.sha256
        ))
        .hint("if you built or installed it anew yourself, update the pin"));
    }
    entry(file, bundled, copy).map(Some)
}

/// Opens a copy that was vetted.
fn entry(file: &Path, bundled: bool, copy: vet::Copy) -> Result<PluginEntry, Refusal> {
    let (opened, manifest) = open::open(&copy.path)?;
    agree(&copy.tag()?, &manifest)?;
    Ok(PluginEntry {
        name: manifest.name,
        version: manifest.version,
        license: manifest.license,
        description: manifest.description,
        file: file.to_owned(),
        sha256: copy.sha256,
        bundled,
        stages: manifest.stages,
        planner: Arc::new(opened),
    })
}

fn stage_name(tagged: &str) -> &str {
    tagged.split_once(':').map_or(tagged, |(_, name)| name)
}

/// The tag decides what is opened, so it must not say something else than the manifest.
fn agree(tag: &Tag, manifest: &plugin_api::manifest::Manifest) -> Result<(), Refusal> {
    let said: BTreeSet<String> = manifest
        .stages
        .iter()
        .map(|s| format!("{}:{}", s.kind, s.name))
        .collect();
    let tagged: BTreeSet<String> = tag.stages.iter().cloned().collect();
    if said != tagged || tag.name != manifest.name {
        return Err(Refusal::new(
            "its tag and its manifest do not name the same stages",
        ));
    }
    Ok(())
}

/// Adds a plugin; stages that an earlier one has are reported and left out.
fn add(registry: &mut Registry, mut entry: PluginEntry) {
    let used =
        |kind: StageKind, name: &str| registry.stage(kind, name).map(|(p, _)| p.file.clone());
    let mut doubles = Vec::new();
    entry.stages.retain(|s| match used(s.kind, &s.name) {
        Some(used) => {
            doubles.push(Double {
                what: format!("{} {}", s.kind, s.name),
                used,
                unused: entry.file.clone(),
            });
            false
        }
        None => true,
    });
    registry.doubles.extend(doubles);
    if !entry.stages.is_empty() {
        registry.plugins.push(Arc::new(entry));
    }
}
