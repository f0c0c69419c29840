//! `host validate`: everything that can be known without a connection.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::prepare::{Prepared, prepare};
use super::state::size;
use super::{Format, Plugins, ValidateArgs, output};
use crate::config::ConfigSource;
use crate::config::reference::ProcessEnvironment;
use crate::diag;
use crate::plan::{HostPlan, Request, StagePlan, memory};

pub(super) fn validate(args: &ValidateArgs, plugins: &dyn Plugins) -> u8 {
    let source = ConfigSource::File(args.config.clone().unwrap_or_else(super::default_config));
    let request = Request {
        hosts: &args.hosts,
        environment: &ProcessEnvironment,
        allow_missing: args.allow_missing_secrets,
        check_all: args.hosts.is_empty(),
    };
    let prepared = prepare(&source, &|dirs, pins| plugins.find(dirs, pins), &request);
    let exit = prepared.report.exit();
    let printed = match args.format {
        Format::Json => output::json(&as_json(&prepared)),
        Format::Text => {
            output::show(&prepared.report);
            as_text(&prepared).map_or(diag::EXIT_OK, |text| output::data(&text))
        }
    };
    if exit == diag::EXIT_OK { printed } else { exit }
}

fn hosts(prepared: &Prepared) -> &[HostPlan] {
    prepared.plan.as_ref().map_or(&[], |p| &p.hosts)
}

/// What feeds a stage, as the file writes it.
fn inputs(host: &HostPlan, stage: &StagePlan) -> Vec<String> {
    stage
        .inputs
        .iter()
        .map(|edge| {
            let from = &host.stages[edge.from];
            match from.ports.get(edge.from_port as usize) {
                Some(port) if from.ports.len() > 1 => format!("{}.{port}", from.name),
                _ => from.name.clone(),
            }
        })
        .collect()
}

fn outputs(stage: &StagePlan) -> Vec<String> {
    stage.outputs.iter().map(ToString::to_string).collect()
}

/// The graph for people, if there is a plan.
pub fn as_text(prepared: &Prepared) -> Option<String> {
    let plan = prepared.plan.as_ref()?;
    let name = prepared.config.as_ref().map_or("", |c| c.file.name());
    let mut text = format!("{name} is valid\n");
    for host in &plan.hosts {
        let _ = writeln!(text, "host {}", host.name);
        let width = host.stages.iter().map(|s| s.name.len()).max().unwrap_or(0);
        for stage in &host.stages {
            let what = format!("{} {}", stage.kind, stage.plugin);
            let mut line = format!("  {:width$}  {what:<24}", stage.name);
            let inputs = inputs(host, stage);
            if !inputs.is_empty() {
                let _ = write!(line, "  from {}", inputs.join(", "));
            }
            let mut outputs = outputs(stage);
            // Several ports mostly give the same.
            outputs.dedup();
            if !outputs.is_empty() {
                let _ = write!(line, "  gives {}", outputs.join(", "));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        memory_text(&mut text, host);
    }
    Some(text)
}

/// What a host may take of memory, part by part.
fn memory_text(text: &mut String, host: &HostPlan) {
    let parts = memory::parts(host);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  memory: at most {}", size(memory::sum(&parts)));
    for part in &parts {
        let of = part
            .stage
            .as_deref()
            .map_or_else(String::new, |s| format!("{s}, "));
        let each = match part.times {
            1 => size(part.bytes),
            n => format!("{n} × {}", size(part.bytes)),
        };
        let _ = writeln!(text, "    {of}{}: {each}", part.what);
    }
}

fn memory_json(host: &HostPlan) -> Json {
    let parts = memory::parts(host);
    let listed: Vec<Json> = parts
        .iter()
        .map(|p| json!({"stage": p.stage, "what": p.what, "times": p.times, "bytes": p.bytes}))
        .collect();
    json!({"bytes": memory::sum(&parts), "parts": listed})
}

/// The report and the graph for programs.
pub fn as_json(prepared: &Prepared) -> Json {
    let mut value = diag::json::json(&prepared.report);
    let hosts: Vec<Json> = hosts(prepared)
        .iter()
        .map(|host| {
            let stages: Vec<Json> = host
                .stages
                .iter()
                .map(|stage| {
                    json!({
                        "name": stage.name,
                        "kind": stage.kind.as_str(),
                        "plugin": stage.plugin,
                        "inputs": inputs(host, stage),
                        "outputs": outputs(stage),
                    })
                })
                .collect();
            json!({"name": host.name, "stages": stages, "memory": memory_json(host)})
        })
        .collect();
    value["hosts"] = Json::Array(hosts);
    value
}
