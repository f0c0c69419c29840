//! `host list`: the plugins found, and what was refused and why.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{Format, ListArgs, PluginArgs, Plugins, output};
use crate::config::{ConfigSource, DEFAULT_PLUGIN_DIR};
use crate::plan::Registry;

/// The plugins of a hosts.toml, or of this folder; the exit code if the file has errors.
pub(super) fn registry(args: &PluginArgs, plugins: &dyn Plugins) -> Result<Registry, u8> {
    let Some(path) = &args.config else {
        let dir =
            std::path::absolute(DEFAULT_PLUGIN_DIR).unwrap_or_else(|_| DEFAULT_PLUGIN_DIR.into());
        return Ok(plugins.find(&[dir], &[]));
    };
    let (config, report) = ConfigSource::File(path.clone()).load();
    // Whatever else is wrong with the file does not hinder a look at its plugins.
    config
        .map(|c| plugins.find(&c.plugin_dirs, &c.pins))
        .ok_or_else(|| {
            output::show(&report);
            report.exit()
        })
}

pub(super) fn list(args: &ListArgs, plugins: &dyn Plugins) -> u8 {
    match registry(&args.plugins, plugins) {
        Err(exit) => exit,
        Ok(registry) => match args.format {
            Format::Text => output::data(&text(&registry)),
            Format::Json => output::json(&as_json(&registry)),
        },
    }
}

/// The first sentence of a description, on one line, without what follows a colon.
pub(super) fn first_sentence(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line
        .find(". ")
        .or_else(|| line.strip_suffix('.').map(str::len));
    let sentence = &line[..end.unwrap_or(line.len())];
    match sentence.find(": ") {
        // A word and a colon say nothing yet.
        Some(colon) if colon >= 20 => sentence[..colon].to_owned(),
        _ => sentence.to_owned(),
    }
}

/// The registry for people.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    for plugin in &registry.plugins {
        let bundled = if plugin.bundled { " (bundled)" } else { "" };
        let _ = writeln!(
            text,
            "{} {}{bundled}  {}\n  sha256 {}",
            plugin.name,
            plugin.version,
            plugin.file.display(),
            plugin.sha256
        );
        for stage in &plugin.stages {
            let line = format!(
                "  {:<9} {:<14}  {}",
                stage.kind.as_str(),
                stage.name,
                first_sentence(&stage.description)
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    if registry.plugins.is_empty() {
        text.push_str("no plugins found\n");
    }
    for refused in &registry.refused {
        let _ = writeln!(
            text,
            "refused {}: {}",
            refused.file.display(),
            refused.reason
        );
        if let Some(hint) = &refused.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    for double in &registry.doubles {
        let _ = writeln!(
            text,
            "double {}: {} is used, {} is not",
            double.what,
            double.used.display(),
            double.unused.display()
        );
    }
    text
}

fn as_json(registry: &Registry) -> Json {
    let plugins: Vec<Json> = registry
        .plugins
        .iter()
        .map(|plugin| {
            let stages: Vec<Json> = plugin
                .stages
                .iter()
                .map(|s| {
                    json!({
                        "kind": s.kind.as_str(),
                        "name": s.name,
                        "description": first_sentence(&s.description),
                    })
                })
                .collect();
            json!({
                "name": plugin.name,
                "version": plugin.version,
                "license": plugin.license,
                "description": plugin.description,
                "file": plugin.file,
                "sha256": plugin.sha256,
                "bundled": plugin.bundled,
                "stages": stages,
            })
        })
        .collect();
    let refused: Vec<Json> = registry
        .refused
        .iter()
        .map(|r| json!({"file": r.file, "reason": r.reason, "hint": r.hint}))
        .collect();
    let doubles: Vec<Json> = registry
        .doubles
        .iter()
        .map(|d| json!({"what": d.what, "used": d.used, "unused": d.unused}))
        .collect();
    json!({"plugins": plugins, "refused": refused, "doubles": doubles})
}
