//! What hosts.toml says, as data. Words of the file that plugins read stand here unread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use plugin_api::manifest::StageKind;

use super::value::Table;
use crate::diag::{SourceFile, Span};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A whole hosts.toml.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, for messages.
    pub file: Arc<SourceFile>,
    /// The absolute folder where relative paths start.
    pub folder: PathBuf,
    /// Folders searched for plugins besides the bundled ones, absolute.
    pub plugin_dirs: Vec<PathBuf>,
    /// Folder for checkpoints and dead letters, absolute.
    pub state_dir: PathBuf,
    /// Where metrics and health are served; always a loopback address.
    pub admin: Option<SocketAddr>,
    /// Plugins whose file must have a certain content.
    pub pins: Vec<Pin>,
    /// The hosts, in the order of the file.
    pub hosts: Vec<HostConfig>,
}

/// `[plugins.NAME] sha256`: the plugin's file must have this content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Name of the plugin, as in `host list`.
    pub plugin: Spanned<String>,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: Spanned<String>,
}

/// One host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Its name.
    pub name: Spanned<String>,
    /// Whether it runs when no host is named.
    pub autostart: bool,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Longest time that a call of a stage may take before it counts as hanging.
    pub call_timeout: Duration,
    /// What becomes of the host when a stage hangs.
    pub on_hang: OnHang,
    /// Its stages, in the order of the file.
    pub stages: Vec<StageConfig>,
}

impl HostConfig {
    /// The stage of a name; the first, where two bear it.
    pub fn stage(&self, name: &str) -> Option<&StageConfig> {
        self.stages.iter().find(|s| s.name.value == name)
    }
}

/// All kinds of stages, in the direction of the flow.
pub const KINDS: [StageKind; 3] = [StageKind::Source, StageKind::Processor, StageKind::Sink];

/// The table of a host in which stages of a kind stand: `sources` and so on.
pub fn table_of(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Source => "sources",
        StageKind::Processor => "processors",
        StageKind::Sink => "sinks",
    }
}

/// One stage.
#[derive(Debug, Clone)]
pub struct StageConfig {
    /// Its name, unique in its host.
    pub name: Spanned<String>,
    /// Source, processor or sink.
    pub kind: StageKind,
    /// The plugin's stage that it runs; absent where the file lacks it (an error was reported).
    pub plugin: Option<Spanned<String>>,
    /// Where its records come from.
    pub inputs: Vec<InputRef>,
    /// Where the inputs stand, for messages.
    pub inputs_span: Span,
    /// How many instances run side by side.
    pub workers: Spanned<u32>,
    /// How records are spread over the workers.
    pub ordering: Ordering,
    /// Sources: stop after so many records.
    pub limit: Option<u64>,
    /// Bounds of each edge into this stage.
    pub buffer: Buffer,
    /// What becomes of a rejected record.
    pub on_error: OnError,
    /// What becomes of the stage after a crash.
    pub on_crash: OnCrash,
    /// Whether it runs in a process of its own.
    pub isolate: Option<Spanned<Isolate>>,
    /// The plugin's own options.
    pub with: Table,
    /// Where `with` stands, if it does.
    pub with_span: Option<Span>,
}

/// One of a stage's inputs: `STAGE` or `STAGE.PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRef {
    /// Name of the stage that sends.
    pub stage: String,
    /// Name of its port, where one is named.
    pub port: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// How records are spread over the workers of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// Round robin; no order is kept.
    None,
    /// Records of the same key keep their order.
    #[default]
    Key,
    /// All records keep their order; only with one worker.
    Total,
}

/// Where the records of an edge wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BufferKind {
    /// In memory.
    #[default]
    Memory,
    /// On the disk, where they outlive the process. The edge ends a region.
    Disk,
}

/// Bounds of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Where records wait.
    pub kind: BufferKind,
    /// Most bytes that queued batches may pin.
    pub max_bytes: u64,
    /// Most records that may be queued.
    pub max_records: u64,
    /// What happens when either is reached.
    pub when_full: WhenFull,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            kind: BufferKind::Memory,
            max_bytes: 8 << 20,
            max_records: 16_384,
            when_full: WhenFull::Block,
        }
    }
}

/// What happens when an edge is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The sender waits.
    #[default]
    Block,
    /// The oldest batch makes room and is counted as dropped.
    DropOldest,
    /// The new batch is dropped and counted.
    DropNewest,
}

/// What becomes of a record that a stage rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is kept with its reason.
    #[default]
    DeadLetter,
    /// It is counted and forgotten.
    Drop,
    /// The host stops.
    Stop,
}

/// How a stage runs in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Isolate {
    /// Most bytes of memory that the process may map.
    pub memory: Option<u64>,
}

/// What becomes of a stage that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCrash {
    /// It is started again, with a back-off.
    #[default]
    Restart,
    /// The host stops.
    Stop,
}

/// What becomes of a host when one of its stages hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHang {
    /// It ends with exit code 70.
    #[default]
    Stop,
    /// It is said, and the host waits.
    Wait,
}
