//! `host inspect`: what a stage or plugin does, and its options.

use std::fmt::Write as _;
use std::path::Path;

use plugin_api::manifest::StageManifest;
use serde_json::{Value as Json, json};

use super::{Format, InspectArgs, Plugins, list, output};
use crate::diag::{Diagnostic, EXIT_PLUGIN, EXIT_USAGE, Report, did_you_mean};
use crate::plan::PluginEntry;
use crate::plan::schema::Node;

pub(super) fn inspect(args: &InspectArgs, plugins: &dyn Plugins) -> u8 {
    let found = if Path::new(&args.what).is_file() {
        of_file(Path::new(&args.what), plugins)
    } else {
        of_name(args, plugins)
    };
    match (found, args.format) {
        (Err(exit), _) => exit,
        (Ok(found), Format::Text) => {
            let texts: Vec<String> = found.iter().map(|(p, s)| text(p, s)).collect();
            output::data(&texts.join("\n"))
        }
        (Ok(found), Format::Json) => output::json(&Json::Array(
            found.iter().map(|(p, s)| as_json(p, s)).collect(),
        )),
    }
}

type Found = Vec<(PluginEntry, StageManifest)>;

fn all_of(plugin: &PluginEntry) -> Found {
    let stages = plugin.stages.iter().cloned();
    stages.map(|s| (plugin.clone(), s)).collect()
}

fn of_file(file: &Path, plugins: &dyn Plugins) -> Result<Found, u8> {
    plugins.open(file).map(|p| all_of(&p)).map_err(|refused| {
        let message = format!("{} was refused: {}", refused.file.display(), refused.reason);
        let diagnostic = Diagnostic::error(message).exit(EXIT_PLUGIN);
        output::show(&Report::of(diagnostic.maybe_hint(refused.hint)));
        EXIT_PLUGIN
    })
}

fn of_name(args: &InspectArgs, plugins: &dyn Plugins) -> Result<Found, u8> {
    let registry = list::registry(&args.plugins, plugins)?;
    let name = args.what.as_str();
    let stages: Found = registry
        .stages()
        .filter(|(_, s)| s.name == name)
        .map(|(p, s)| (PluginEntry::clone(p), s.clone()))
        .collect();
    if !stages.is_empty() {
        return Ok(stages);
    }
    if let Some(plugin) = registry.plugins.iter().find(|p| p.is_named(name)) {
        return Ok(all_of(plugin));
    }
    let known = registry.stages().map(|(_, s)| s.name.as_str());
    let hint = did_you_mean(name, known)
        .unwrap_or_else(|| "`host list` shows the plugins and their stages".to_owned());
    let message = format!("there is no stage, plugin or file `{name}`");
    output::show(&Report::of(
        Diagnostic::error(message).hint(hint).exit(EXIT_USAGE),
    ));
    Err(EXIT_USAGE)
}

/// An option as it is shown.
struct Row {
    name: String,
    kind: String,
    required: bool,
    secret: bool,
    default: Option<Json>,
    doc: String,
}

/// The options of a schema; those of an inner table as `table.option`.
fn rows(stage: &StageManifest) -> Vec<Row> {
    fn add(node: Node<'_>, prefix: &str, rows: &mut Vec<Row>) {
        let object = node.single().object();
        for (key, property) in &object.properties {
            let name = format!("{prefix}{key}");
            rows.push(Row {
                kind: property.describe(),
                required: object.required.contains(key),
                secret: property.is_secret(),
                default: property.get("default").filter(|d| !d.is_null()).cloned(),
                doc: property.text("description").unwrap_or_default().to_owned(),
                name: name.clone(),
            });
            // A table in a table in a table has no end only if a schema refers to itself.
            if !property.single().object().properties.is_empty() && name.matches('.').count() < 3 {
                add(*property, &format!("{name}."), rows);
            }
        }
    }
    let mut rows = Vec::new();
    add(Node::root(&stage.options), "", &mut rows);
    rows
}

/// A stage for people.
pub fn text(plugin: &PluginEntry, stage: &StageManifest) -> String {
    let mut text = format!(
        "{} {}  ({} {}, {})\n",
        stage.kind, stage.name, plugin.name, plugin.version, plugin.license
    );
    for line in stage.description.lines() {
        let _ = writeln!(text, "{}", format!("  {line}").trim_end());
    }
    for (what, ports) in [("inputs", &stage.inputs), ("outputs", &stage.outputs)] {
        if ports.len() > 1 {
            let _ = writeln!(text, "  {what}: {}", ports.join(", "));
        }
    }
    let rows = rows(stage);
    if rows.is_empty() {
        text.push_str("  no options\n");
        return text;
    }
    text.push_str("\noptions\n");
    for row in rows {
        let state = match (&row.default, row.required) {
            (_, true) => ", required".to_owned(),
            (Some(default), false) => format!(", default {default}"),
            (None, false) => String::new(),
        };
        let _ = writeln!(text, "  {}: {}{state}", row.name, row.kind);
        for line in row.doc.lines() {
            let _ = writeln!(text, "{}", format!("      {line}").trim_end());
        }
    }
    text
}

fn as_json(plugin: &PluginEntry, stage: &StageManifest) -> Json {
    let options: Vec<Json> = rows(stage)
        .into_iter()
        .map(|row| {
            json!({
                "name": row.name,
                "type": row.kind,
                "required": row.required,
                "secret": row.secret,
                "default": row.default,
                "doc": row.doc,
            })
        })
        .collect();
    json!({
        "plugin": plugin.name,
        "version": plugin.version,
        "license": plugin.license,
        "kind": stage.kind.as_str(),
        "name": stage.name,
        "description": stage.description,
        "inputs": stage.inputs,
        "outputs": stage.outputs,
        "options": options,
        "schema": stage.options,
    })
}
