//! How the stages of a host are joined: names, inputs, cycles, ends that lead nowhere.

use super::model::{HostConfig, InputRef, StageConfig, StageKind};
use crate::diag::{Diagnostic, Report, did_you_mean};

pub(super) fn check(host: &HostConfig, all: &[HostConfig], report: &mut Report) {
    let before = report.items.len();
    doubles(host, report);
    for stage in &host.stages {
        for input in &stage.inputs {
            if let Some(diagnostic) = wrong_input(stage, input, host, all) {
                report.push(diagnostic);
            }
        }
    }
    cycles(host, report);
    let unfed = |s: &StageConfig| s.kind != StageKind::Source && s.inputs.is_empty();
    if report.items.len() > before || host.stages.iter().any(unfed) {
        // What seems unread may be what a wrong input means.
        return;
    }
    for stage in &host.stages {
        let read = host
            .stages
            .iter()
            .any(|s| s.inputs.iter().any(|i| i.stage == stage.name.value));
        if stage.kind != StageKind::Sink && !read {
            report.push(
                Diagnostic::warning(format!(
                    "nothing reads from {} `{}`: its records go nowhere",
                    stage.kind, stage.name.value
                ))
                .at(stage.name.span),
            );
        }
    }
}

/// Inputs and accounts name a stage without its kind, so a name stands once in a host.
fn doubles(host: &HostConfig, report: &mut Report) {
    for (i, stage) in host.stages.iter().enumerate() {
        let first = host.stages[..i]
            .iter()
            .find(|s| s.name.value == stage.name.value);
        if let Some(first) = first {
            report.push(
                Diagnostic::error(format!(
                    "two stages of host `{}` are named `{}`",
                    host.name.value, stage.name.value
                ))
                .at(stage.name.span)
                .note(format!("the {} of this name", first.kind), first.name.span),
            );
        }
    }
}

fn wrong_input(
    stage: &StageConfig,
    input: &InputRef,
    host: &HostConfig,
    all: &[HostConfig],
) -> Option<Diagnostic> {
    let at = |message: String| Some(Diagnostic::error(message).at(input.span));
    match host.stage(&input.stage) {
        Some(from) if from.kind == StageKind::Sink => at(format!(
            "`{}` is a sink: nothing can be read from it",
            input.stage
        ))
        .map(|d| d.note("the sink", from.name.span)),
        Some(_) => None,
        None => {
            let names = host
                .stages
                .iter()
                .filter(|s| s.kind != StageKind::Sink && s.name.value != stage.name.value)
                .map(|s| s.name.value.as_str());
            let elsewhere = all
                .iter()
                .find(|h| h.name.value != host.name.value && h.stage(&input.stage).is_some())
                .map(|h| {
                    format!(
                        "host `{}` has one, but inputs refer within one host; hosts meet through a topic",
                        h.name.value
                    )
                });
            at(format!(
                "host `{}` has no stage `{}`",
                host.name.value, input.stage
            ))
            .map(|d| d.maybe_hint(did_you_mean(&input.stage, names).or(elsewhere)))
        }
    }
}

/// Reports each cycle once, at the input that closes it.
fn cycles(host: &HostConfig, report: &mut Report) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    fn visit(
        at: usize,
        host: &HostConfig,
        marks: &mut [Mark],
        path: &mut Vec<usize>,
        report: &mut Report,
    ) {
        marks[at] = Mark::Open;
        path.push(at);
        for input in &host.stages[at].inputs {
            let Some(from) = host.stages.iter().position(|s| s.name.value == input.stage) else {
                continue;
            };
            match marks[from] {
                Mark::New => visit(from, host, marks, path, report),
                Mark::Done => {}
                Mark::Open => {
                    let start = path.iter().position(|p| *p == from).unwrap_or(0);
                    // The path was walked against the flow.
                    let mut names: Vec<&str> = path[start..]
                        .iter()
                        .rev()
                        .map(|i| host.stages[*i].name.value.as_str())
                        .collect();
                    names.push(names[0]);
                    report.push(
                        Diagnostic::error(format!(
                            "these stages feed each other in a circle: {}",
                            names.join(" → ")
                        ))
                        .at(input.span)
                        .hint("a circle has no first stage to stop; let it run through a topic instead"),
                    );
                }
            }
        }
        path.pop();
        marks[at] = Mark::Done;
    }
    let mut marks = vec![Mark::New; host.stages.len()];
    for at in 0..host.stages.len() {
        if marks[at] == Mark::New {
            visit(at, host, &mut marks, &mut Vec::new(), report);
        }
    }
}
