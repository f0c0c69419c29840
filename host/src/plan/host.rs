//! One host: each of its stages resolved and typed, in the direction of the flow.

use plugin_api::manifest::StageManifest;
use plugin_api::{Code, ContentType, StageError};

use super::meeting;
use super::options::{self, Context, Resolved};
use super::registry::Registry;
use super::{EdgePlan, HostPlan, Options, StagePlan};
use crate::config::{Config, HostConfig, InputRef, Spanned, StageConfig, StageKind};
use crate::diag::{
    Diagnostic, EXIT_CONFIG, EXIT_PLUGIN, EXIT_UNAVAILABLE, Report, Span, counted, did_you_mean,
    listed, nearest,
};

/// What planning a host needs.
pub(super) struct Planning<'a> {
    pub config: &'a Config,
    pub registry: &'a Registry,
    pub context: Context<'a>,
}

/// A planned host and what is to be said about its stages later on.
pub(super) struct Draft {
    /// Whole only if no error was reported.
    pub plan: HostPlan,
    /// One for each stage of the plan.
    pub places: Vec<Places>,
}

/// Where a planned stage stands in the file.
pub(super) struct Places {
    /// The plugin's name there.
    pub plugin: Span,
    /// Variables that are not set, with the default that was taken.
    pub defaulted: Vec<(String, String)>,
}

impl Planning<'_> {
    pub(super) fn host(&self, host: &HostConfig, report: &mut Report) -> Draft {
        let mut draft = Draft {
            plan: HostPlan {
                name: host.name.value.clone(),
                checkpoint_interval: host.checkpoint_interval,
                call_timeout: host.call_timeout,
                on_hang: host.on_hang,
                stages: Vec::new(),
            },
            places: Vec::new(),
        };
        for stage in in_order(host) {
            let Some(plugin) = &stage.plugin else {
                continue;
            };
            let Some((entry, manifest)) = self.registry.stage(stage.kind, &plugin.value) else {
                report.push(self.no_such_stage(stage, plugin));
                continue;
            };
            let before = report.items.len();
            if stage.kind == StageKind::Source && stage.workers.value > 1 && !manifest.workers {
                report.push(self.no_workers(stage, plugin));
            }
            let resolved = options::resolve(stage, &manifest.options, self.context, report);
            let wires = wires(stage, manifest, &draft.plan.stages, report);
            let sound = report.items.len() == before && !resolved.incomplete;
            let Some((inputs, input_types)) = wires.filter(|_| sound) else {
                continue;
            };
            let bytes = serde_json::to_vec(&resolved.json).expect("JSON values can be written");
            match entry
                .planner
                .plan(stage.kind, &manifest.name, &bytes, &input_types)
            {
                Err(error) => report.push(trouble(stage, plugin, &resolved, &error)),
                Ok(planned) if planned.outputs.len() != manifest.outputs.len() => {
                    report.push(
                        Diagnostic::error(format!(
                            "the plugin `{}` plans {} outputs for `{}`, which has {}",
                            entry.name,
                            planned.outputs.len(),
                            plugin.value,
                            manifest.outputs.len()
                        ))
                        .at(plugin.span)
                        .exit(EXIT_PLUGIN),
                    );
                }
                Ok(planned) => {
                    for warning in &planned.warnings {
                        report.push(Diagnostic::warning(warning.as_str()).at(plugin.span));
                    }
                    if let Some(isolate) = &stage.isolate {
                        let places = planned.reads.iter().chain(&planned.writes);
                        for place in places {
                            if let Some(error) = meeting::alone(stage, isolate.span, place) {
                                report.push(error);
                            }
                        }
                    }
                    draft.places.push(Places {
                        plugin: plugin.span,
                        defaulted: resolved.defaulted,
                    });
                    draft.plan.stages.push(StagePlan {
                        name: stage.name.value.clone(),
                        kind: stage.kind,
                        plugin: plugin.value.clone(),
                        package: entry.name.clone(),
                        options: Options(bytes),
                        inputs,
                        input_types,
                        ports: manifest.outputs.clone(),
                        outputs: planned.outputs,
                        workers: stage.workers.value,
                        ordering: stage.ordering,
                        limit: stage.limit,
                        buffer: stage.buffer,
                        on_error: stage.on_error,
                        on_crash: stage.on_crash,
                        isolate: stage.isolate.as_ref().map(|i| i.value),
                        state_version: manifest.state_version,
                        memory: planned.memory,
                        live: planned.live,
                        alone: planned.alone,
                        reads: planned.reads,
                        writes: planned.writes,
                        upstream: Vec::new(),
                    });
                }
            }
        }
        draft
    }

    fn no_workers(&self, stage: &StageConfig, plugin: &Spanned<String>) -> Diagnostic {
        let sources = self.registry.stages().map(|(_, s)| s);
        let able = sources.filter(|s| s.kind == StageKind::Source && s.workers);
        let able: Vec<&str> = able.map(|s| s.name.as_str()).collect();
        let error = Diagnostic::error(format!(
            "the source `{}` cannot be shared among {} workers",
            plugin.value, stage.workers.value
        ));
        error.at(stage.workers.span).hint(match able.as_slice() {
            [] => "write one source for each".to_owned(),
            able => format!(
                "write one source for each; of the sources only {} can be shared",
                able.join(", ")
            ),
        })
    }

    fn no_such_stage(&self, stage: &StageConfig, plugin: &Spanned<String>) -> Diagnostic {
        let name = plugin.value.as_str();
        let kind = stage.kind;
        let of_kind = || {
            self.registry
                .stages()
                .filter(|(_, s)| s.kind == kind)
                .map(|(_, s)| s.name.as_str())
        };
        let other_kinds: Vec<&str> = self
            .registry
            .stages()
            .filter(|(_, s)| s.name == name)
            .map(|(_, s)| s.kind.as_str())
            .collect();
        if !other_kinds.is_empty() {
            let all: Vec<&str> = of_kind().collect();
            return Diagnostic::error(format!(
                "`{name}` is a {}, not a {kind}",
                other_kinds.join(" and a ")
            ))
            .at(plugin.span)
            .hint(if nearest(name, of_kind()).is_some() {
                did_you_mean(name, of_kind()).unwrap_or_default()
            } else {
                format!("the {kind}s are {}", listed(&all, "and"))
            });
        }
        let diagnostic = Diagnostic::error(format!("there is no {kind} `{name}`")).at(plugin.span);
        if let Some(package) = self.registry.plugins.iter().find(|p| p.is_named(name)) {
            let stages: Vec<&str> = package
                .stages
                .iter()
                .filter(|s| s.kind == kind)
                .map(|s| s.name.as_str())
                .collect();
            return diagnostic.hint(match stages[..] {
                [] => format!("the plugin `{name}` has no {kind}"),
                _ => format!(
                    "the plugin `{name}` has the {kind} {}",
                    listed(&stages, "and")
                ),
            });
        }
        let refused = self.registry.refused.iter().find(|r| {
            r.file
                .file_stem()
                .is_some_and(|f| f.to_string_lossy().contains(name))
        });
        if let Some(refused) = refused {
            return diagnostic.hint(format!(
                "{} was refused: {}",
                refused.file.display(),
                refused.reason
            ));
        }
        let dirs: Vec<String> = self
            .config
            .plugin_dirs
            .iter()
            .map(|d| {
                let shown = d.strip_prefix(&self.config.folder).unwrap_or(d);
                shown.display().to_string()
            })
            .collect();
        diagnostic.hint(did_you_mean(name, of_kind()).unwrap_or_else(|| {
            let searched = if dirs.is_empty() {
                String::new()
            } else {
                format!(" and {}", listed(&dirs, "and"))
            };
            format!("the bundled plugins{searched} were searched; `host list` shows what is there")
        }))
    }
}

/// The stages, each behind those that feed it; what is in a circle comes last.
fn in_order(host: &HostConfig) -> Vec<&StageConfig> {
    let mut order: Vec<&StageConfig> = Vec::with_capacity(host.stages.len());
    let mut rest: Vec<&StageConfig> = host.stages.iter().collect();
    while !rest.is_empty() {
        let waits = |stage: &StageConfig| {
            stage
                .inputs
                .iter()
                .any(|i| rest.iter().any(|r| r.name.value == i.stage))
        };
        let (ready, blocked): (Vec<_>, Vec<_>) = rest.iter().partition(|s| !waits(s));
        if ready.is_empty() {
            order.extend(blocked);
            break;
        }
        order.extend(ready);
        rest = blocked;
    }
    order
}

/// The edges into a stage and the types on its input ports. Nothing where one is unknown: then
/// something was reported here or earlier.
fn wires(
    stage: &StageConfig,
    manifest: &StageManifest,
    planned: &[StagePlan],
    report: &mut Report,
) -> Option<(Vec<EdgePlan>, Vec<ContentType>)> {
    let several = manifest.inputs.len() > 1;
    // A plugin counts on its inputs; that they are missing was reported with the stage.
    let mut sound = stage.kind == StageKind::Source || !stage.inputs.is_empty();
    if several && manifest.inputs.len() != stage.inputs.len() {
        report.push(
            Diagnostic::error(format!(
                "`{}` has {} inputs, and this names {}",
                manifest.name,
                manifest.inputs.len(),
                counted(stage.inputs.len(), "stage")
            ))
            .at(stage.inputs_span)
            .hint(format!(
                "name one stage for each: {}",
                listed(&manifest.inputs, "and")
            )),
        );
        sound = false;
    }
    let mut edges = Vec::with_capacity(stage.inputs.len());
    let mut types: Vec<(ContentType, &InputRef)> = Vec::new();
    for (i, input) in stage.inputs.iter().enumerate() {
        let found = planned.iter().position(|p| p.name == input.stage);
        let Some(from) = found else {
            sound = false;
            continue;
        };
        let Some(port) = port(&planned[from], input, report) else {
            sound = false;
            continue;
        };
        let content = &planned[from].outputs[port];
        if several {
            types.push((content.clone(), input));
        } else if let Some((first, first_input)) = types.first() {
            if first != content {
                report.push(
                    Diagnostic::error(format!(
                        "`{}` sends {} here, and `{}` sends {}",
                        input.stage,
                        spelled(content, first),
                        first_input.stage,
                        spelled(first, content)
                    ))
                    .at(input.span)
                    .hint("what feeds one input must be of one content type"),
                );
                sound = false;
            }
        } else {
            types.push((content.clone(), input));
        }
        edges.push(EdgePlan {
            from,
            from_port: u32::try_from(port).expect("a manifest has few ports"),
            to_port: if several {
                u32::try_from(i).expect("a stage has few inputs")
            } else {
                0
            },
        });
    }
    let types = types.into_iter().map(|t| t.0).collect();
    sound.then_some((edges, types))
}

/// A content type, so that it differs from `other` in words as well.
fn spelled(content: &ContentType, other: &ContentType) -> String {
    if content.format == other.format {
        let name = content
            .schema
            .as_deref()
            .and_then(|s| serde_json::from_str::<serde_json::Value>(s).ok())
            .and_then(|s| s.get("name").and_then(|n| n.as_str()).map(str::to_owned));
        return match name {
            Some(name) => format!("{content} of the schema `{name}`"),
            None => format!("{content} of another schema"),
        };
    }
    content.to_string()
}

fn port(from: &StagePlan, input: &InputRef, report: &mut Report) -> Option<usize> {
    let wired = |port: &str| format!("{}.{port}", from.name);
    let all: Vec<String> = from.ports.iter().map(|p| wired(p)).collect();
    match &input.port {
        // A sink has no port; that it is an input was reported with the graph.
        None if from.ports.is_empty() => None,
        None if from.ports.len() == 1 => Some(0),
        None => {
            report.push(
                Diagnostic::error(format!("`{}` has several outputs", from.name))
                    .at(input.span)
                    .hint(format!("name one of {}", listed(&all, "and"))),
            );
            None
        }
        Some(name) => {
            let found = from.ports.iter().position(|p| p == name);
            if found.is_none() && from.kind != StageKind::Sink {
                let ports = from.ports.iter().map(String::as_str);
                let hint = did_you_mean(name, ports)
                    .unwrap_or_else(|| format!("there is {}", listed(&all, "and")));
                report.push(
                    Diagnostic::error(format!("`{}` has no output `{name}`", from.name))
                        .at(input.span)
                        .hint(hint),
                );
            }
            found
        }
    }
}

/// A plugin's refusal, at the place that its pointer names.
fn trouble(
    stage: &StageConfig,
    plugin: &Spanned<String>,
    resolved: &Resolved,
    error: &StageError,
) -> Diagnostic {
    let exit = match error.code {
        Code::CONFIG => EXIT_CONFIG,
        Code::TRANSIENT | Code::UNAVAILABLE => EXIT_UNAVAILABLE,
        _ => EXIT_PLUGIN,
    };
    let message = error.message.trim_end_matches('.');
    let input = error.pointer.strip_prefix("/inputs");
    if let Some(rest) = input.filter(|_| !stage.inputs.is_empty()) {
        let span = rest
            .strip_prefix('/')
            .and_then(|n| n.parse::<usize>().ok())
            .and_then(|n| stage.inputs.get(n))
            .map_or(stage.inputs_span, |i| i.span);
        return Diagnostic::error(message).at(span).exit(exit);
    }
    if error.pointer.is_empty() {
        return Diagnostic::error(message).at(plugin.span).exit(exit);
    }
    let name = error.pointer.trim_start_matches('/').replace('/', ".");
    match resolved.place(&error.pointer) {
        Some((span, true)) => Diagnostic::error(message).at(span),
        Some((span, false)) => Diagnostic::error(format!("`{name}`: {message}")).at(span),
        None => Diagnostic::error(format!("`{name}`: {message}")).at(plugin.span),
    }
    .exit(exit)
}

impl Draft {
    /// Whether a stage writes to `place`.
    pub(super) fn writes(&self, place: &str) -> bool {
        self.plan
            .stages
            .iter()
            .any(|s| s.writes.iter().any(|w| w == place))
    }

    /// Whether a stage reads from `place`.
    pub(super) fn reads(&self, place: &str) -> bool {
        self.plan
            .stages
            .iter()
            .any(|s| s.reads.iter().any(|r| r == place))
    }
}
