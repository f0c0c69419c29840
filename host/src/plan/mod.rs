//! Config × [`Registry`] → [`Plan`]: stages found among the plugins, options checked, edges typed,
//! all of it without a connection to anything.
//!
//! The plan is plain data in the order in which the engine opens and closes stages. Whatever is
//! wrong is reported at its place in hosts.toml, and planning goes on with the next stage.

pub mod disk;
mod host;
mod hosts_schema;
pub mod meeting;
pub mod memory;
pub mod options;
pub mod regions;
pub mod registry;
pub mod schema;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use plugin_api::{ContentType, Memory};

pub use hosts_schema::hosts_schema;
pub use registry::{Double, Planner, PluginEntry, Refused, Registry};

pub use crate::config::Isolate;
use crate::config::reference::Environment;
use crate::config::{Buffer, Config, HostConfig, OnCrash, OnError, OnHang, Ordering, StageKind};
use crate::diag::{Diagnostic, EXIT_USAGE, Report, did_you_mean};

/// What is to be planned.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The hosts to run; without any, those with `autostart`.
    pub hosts: &'a [String],
    /// Where `env:` is looked up.
    pub environment: &'a dyn Environment,
    /// Whether missing secrets and variables are passed over.
    pub allow_missing: bool,
    /// Whether hosts that would not run are checked as well, apart from their secrets.
    pub check_all: bool,
}

/// What runs in this process.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder where relative paths of hosts.toml start.
    pub folder: PathBuf,
    /// Folder for checkpoints and dead letters.
    pub state_dir: PathBuf,
    /// Where metrics and health are served, a loopback address.
    pub admin: Option<SocketAddr>,
    /// The hosts, in the order of the file.
    pub hosts: Vec<HostPlan>,
    /// The order in which hosts drain, as indices into `hosts`: upstream first. Hosts of one group
    /// feed each other in a circle and drain together.
    pub drain_order: Vec<Vec<usize>>,
}

/// A host.
#[derive(Debug, Clone)]
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Longest time that a call of a stage may take before it counts as hanging.
    pub call_timeout: Duration,
    /// What becomes of the host when a stage hangs.
    pub on_hang: OnHang,
    /// Its stages, each behind all that feed it.
    pub stages: Vec<StagePlan>,
}

/// A stage.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// Source, processor or sink.
    pub kind: StageKind,
    /// The plugin's stage that it runs, as after `plugin =`.
    pub plugin: String,
    /// The package of that plugin.
    pub package: String,
    /// Options for the plugin.
    pub options: Options,
    /// The edges into it.
    pub inputs: Vec<EdgePlan>,
    /// Content type of each input port.
    pub input_types: Vec<ContentType>,
    /// Names of the output ports; empty for a sink.
    pub ports: Vec<String>,
    /// Content type of each output port.
    pub outputs: Vec<ContentType>,
    /// How many instances.
    pub workers: u32,
    /// How records are spread over them.
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
    pub isolate: Option<Isolate>,
    /// Version of the state that its checkpoints hold.
    pub state_version: u32,
    /// What an instance may hold in memory, as the stage says.
    pub memory: Vec<Memory>,
    /// What it reads cannot be read again.
    pub live: bool,
    /// It must be the only sink of its region.
    pub alone: bool,
    /// Places where it meets other stages of this process as a reader.
    pub reads: Vec<String>,
    /// Places where it meets other stages of this process as a writer.
    pub writes: Vec<String>,
    /// Sources: the stages that write what it reads. It has read to the end only when they are
    /// closed. Those that it feeds itself are left out.
    pub upstream: Vec<StageRef>,
}

/// An edge into a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgePlan {
    /// Index of the stage that sends, in the same host.
    pub from: usize,
    /// Number of its output port.
    pub from_port: u32,
    /// Number of the input port that receives.
    pub to_port: u32,
}

/// A stage of a plan, by indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StageRef {
    /// Index of the host.
    pub host: usize,
    /// Index of the stage in its host.
    pub stage: usize,
}

/// Options as JSON. They may hold secrets, so they are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Options(pub Vec<u8>);

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Plans. There is no plan where the report has an error.
pub fn plan(config: &Config, registry: &Registry, request: &Request<'_>) -> (Option<Plan>, Report) {
    let mut report = Report::about(config.file.clone());
    let selected = select(config, request.hosts, &mut report);
    if request.check_all {
        // A run looks only for the plugins that it needs, and passes over pinned ones too.
        pins(config, registry, &mut report);
    }
    let mut running: Vec<host::Draft> = Vec::new();
    let mut idle = Vec::new();
    for host in &config.hosts {
        let runs = selected.iter().any(|n| *n == host.name.value);
        let planner = host::Planning {
            config,
            registry,
            context: options::Context {
                folder: &config.folder,
                environment: request.environment,
                lenient: request.allow_missing || !runs,
            },
        };
        if runs {
            running.push(planner.host(host, &mut report));
        } else {
            // What does not run is still worth knowing: it may write what a running host reads.
            let mut aside = Report::about(config.file.clone());
            let drafted = planner.host(host, &mut aside);
            if request.check_all {
                report.extend(aside);
            }
            idle.push(drafted);
        }
    }
    meeting::warn(&running, &idle, &mut report);
    if !report.has_errors() {
        for draft in &mut running {
            let folder = config.state_dir.join(&draft.plan.name).join("buffers");
            disk::cut(&mut draft.plan, &folder);
            regions::check(draft, &mut report);
        }
    }
    if report.has_errors() {
        return (None, report);
    }
    let mut hosts: Vec<HostPlan> = running.into_iter().map(|d| d.plan).collect();
    let drain_order = meeting::join(&mut hosts);
    let plan = Plan {
        folder: config.folder.clone(),
        state_dir: config.state_dir.clone(),
        admin: config.admin,
        hosts,
        drain_order,
    };
    (Some(plan), report)
}

/// Names of the hosts that run.
fn select<'c>(config: &'c Config, wanted: &[String], report: &mut Report) -> Vec<&'c str> {
    let names = |h: &'c HostConfig| h.name.value.as_str();
    if wanted.is_empty() {
        let selected: Vec<&str> = config
            .hosts
            .iter()
            .filter(|h| h.autostart)
            .map(names)
            .collect();
        if let (true, Some(first)) = (selected.is_empty(), config.hosts.first()) {
            report.push(
                Diagnostic::error("no host of this file starts by itself")
                    .at(first.name.span)
                    .hint(format!("name one: -n {}", first.name.value)),
            );
        }
        return selected;
    }
    for name in wanted {
        if !config.hosts.iter().any(|h| h.name.value == *name) {
            let known = config.hosts.iter().map(names);
            let all: Vec<&str> = config.hosts.iter().map(names).collect();
            let hint = did_you_mean(name, known)
                .unwrap_or_else(|| format!("it has {}", crate::diag::listed(&all, "and")));
            report.push(
                Diagnostic::error(format!("{} has no host `{name}`", config.file.name()))
                    .hint(hint)
                    .exit(EXIT_USAGE),
            );
        }
    }
    config
        .hosts
        .iter()
        .map(names)
        .filter(|n| wanted.iter().any(|w| w == n))
        .collect()
}

/// A pin for a plugin that is not there protects nothing.
fn pins(config: &Config, registry: &Registry, report: &mut Report) {
    for pin in &config.pins {
        let name = &pin.plugin.value;
        if !registry.plugins.iter().any(|p| p.is_named(name)) {
            let refused = registry
                .refused
                .iter()
                .find(|r| r.file.to_string_lossy().contains(name.as_str()))
                .map(|r| format!("{} was refused: {}", r.file.display(), r.reason));
            let known = registry.plugins.iter().map(|p| p.name.as_str());
            report.push(
                Diagnostic::warning(format!("there is no plugin `{name}` to pin"))
                    .at(pin.plugin.span)
                    .hint(
                        refused
                            .or_else(|| did_you_mean(name, known))
                            .unwrap_or_else(|| "`host list` shows the plugins".to_owned()),
                    ),
            );
        }
    }
}
