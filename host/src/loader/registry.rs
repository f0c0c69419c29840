//! The plugins found, as the plan and the commands see them. The loader fills it.

use std::path::PathBuf;
use std::sync::Arc;

use plugin_api::abi::stage::StageBox;
use plugin_api::manifest::{StageKind, StageManifest};
use plugin_api::{ContentType, Planned, StageError};

/// All plugins found, and the files that were refused.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// The plugins in use, bundled ones first; each stage of a kind is in one of them only.
    pub plugins: Vec<Arc<PluginEntry>>,
    /// Files that look like plugins and are not used, each with the reason.
    pub refused: Vec<Refused>,
    /// Stages that a later file has as well; the earlier one is used.
    pub doubles: Vec<Double>,
}

/// A plugin.
#[derive(Clone)]
pub struct PluginEntry {
    /// Name of its package.
    pub name: String,
    /// Version of its package.
    pub version: String,
    /// Licence expression.
    pub license: String,
    /// One line on what it is for.
    pub description: String,
    /// The file that it was loaded from.
    pub file: PathBuf,
    /// SHA-256 of the file in hexadecimal digits.
    pub sha256: String,
    /// Whether it came with the host.
    pub bundled: bool,
    /// Its stages.
    pub stages: Vec<StageManifest>,
    /// Asks its stages for their plans.
    pub planner: Arc<dyn Planner>,
}

impl std::fmt::Debug for PluginEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginEntry")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl PluginEntry {
    /// Whether `name` means this plugin: its package, with or without `plugin-` before it.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.name.strip_prefix("plugin-") == Some(name)
    }
}

/// A file that is not used.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The file.
    pub file: PathBuf,
    /// One sentence.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A stage that two files have.
#[derive(Debug, Clone)]
pub struct Double {
    /// `source kafka` and the like.
    pub what: String,
    /// The file that is used.
    pub used: PathBuf,
    /// The file that is not.
    pub unused: PathBuf,
}

/// A plugin's pure `plan`.
pub trait Planner: Send + Sync {
    /// Asks a stage what it will put out, given its options as JSON and its input types.
    ///
    /// # Errors
    /// What is wrong; the pointer names the option.
    fn plan(
        &self,
        kind: StageKind,
        stage: &str,
        options: &[u8],
        inputs: &[ContentType],
    ) -> Result<Planned, StageError>;

    /// Makes a stage to run, not yet planned. Plugins that are only planned, as in tests, have
    /// none.
    ///
    /// # Errors
    /// The plugin has no such stage, or panicked.
    fn create(&self, kind: StageKind, stage: &str) -> Result<StageBox, StageError> {
        Err(StageError::fatal(format!("{kind} `{stage}` cannot be run")))
    }
}

impl Registry {
    /// The stage of a name and kind, and its plugin.
    pub fn stage(
        &self,
        kind: StageKind,
        name: &str,
    ) -> Option<(&Arc<PluginEntry>, &StageManifest)> {
        self.stages()
            .find(|(_, s)| s.kind == kind && s.name == name)
    }

    /// All stages.
    pub fn stages(&self) -> impl Iterator<Item = (&Arc<PluginEntry>, &StageManifest)> {
        self.plugins
            .iter()
            .flat_map(|p| p.stages.iter().map(move |s| (p, s)))
    }
}
