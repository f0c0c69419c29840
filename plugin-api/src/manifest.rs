//! What a plugin says of itself: its stages with their options, as JSON.

use serde::{Deserialize, Serialize};

use crate::{abi::root::Plugin, stage::PortSpec, verbs::Verbs};

/// Kind of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Reads from outside.
    Source,
    /// Turns records into records.
    Processor,
    /// Writes to outside.
    Sink,
}

impl StageKind {
    /// As in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }
}

impl std::fmt::Display for StageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stage that a plugin offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageManifest {
    /// The name that `plugin = "…"` uses.
    pub name: String,
    /// Source, processor or sink.
    pub kind: StageKind,
    /// What it is for: the doc comment of its options.
    pub description: String,
    /// Input ports. A single one may be fed by several stages.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Output ports.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// JSON Schema of its options.
    pub options: serde_json::Value,
    /// Version of the state that its checkpoints hold.
    #[serde(default)]
    pub state_version: u32,
    /// Whether it may run as several workers. Processors and sinks always may: the host gives each
    /// its share.
    #[serde(default)]
    pub workers: bool,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Licence expression.
    #[serde(default)]
    pub license: String,
    /// One line on what it is for.
    #[serde(default)]
    pub description: String,
    /// Version of plugin-api that it was built with.
    #[serde(default)]
    pub plugin_api: String,
    /// Its stages.
    pub stages: Vec<StageManifest>,
}

impl Manifest {
    /// The manifest of a plugin in this binary.
    #[must_use]
    pub fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            license: P::LICENSE.into(),
            description: P::DESCRIPTION.into(),
            plugin_api: env!("CARGO_PKG_VERSION").into(),
            stages: P::stages().into_iter().map(|s| (s.manifest)()).collect(),
        }
    }

    /// As it crosses the boundary.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only strings for keys")
    }
}

/// A stage as [`export_plugin!`](crate::export_plugin) registers it.
pub struct StageEntry {
    pub(crate) kind: StageKind,
    pub(crate) name: &'static str,
    pub(crate) manifest: fn() -> StageManifest,
    pub(crate) create: fn() -> Box<dyn Verbs>,
}

pub(crate) fn describe<O: schemars::JsonSchema>(
    kind: StageKind,
    name: &str,
    inputs: &[PortSpec],
    outputs: &[PortSpec],
    (state_version, workers): (u32, bool),
) -> StageManifest {
    let schema = schemars::schema_for!(O).to_value();
    let description = schema
        .get("description")
        .and_then(|d| d.as_str())
        .unwrap_or_default()
        .to_owned();
    let names = |ports: &[PortSpec]| ports.iter().map(|p| p.name.to_owned()).collect();
    StageManifest {
        name: name.to_owned(),
        kind,
        description,
        inputs: names(inputs),
        outputs: names(outputs),
        options: schema,
        state_version,
        workers,
    }
}
