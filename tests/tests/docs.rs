//! What is generated from doc comments is as committed: the option tables of the plugins'
//! READMEs, the JSON Schema of hosts.toml, the list of every stage and option.
//!
//! `UPDATE_DOCS=1 cargo test -p e2e --test docs` writes them anew.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use e2e::host::Folder;
use serde_json::Value;

/// What the host prints for these arguments, run in an empty folder.
fn host(args: &[&str]) -> String {
    let output = Folder::new().host(args).output().expect("the host starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "host {args:?}:\n{stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn plugins() -> Vec<PathBuf> {
    let entries = fs::read_dir(e2e::root().join("plugins")).expect("plugins/");
    let mut dirs: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    dirs.retain(|d| fs::read_to_string(d.join("Cargo.toml")).is_ok_and(|t| t.contains("cdylib")));
    dirs.sort();
    dirs
}

fn stages(plugin: &Path) -> Vec<Value> {
    let name = plugin.file_name().expect("a name").to_string_lossy();
    let text = host(&["inspect", &format!("plugin-{name}"), "--format", "json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// The committed file is as it should be, or is made so.
fn as_committed(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(path, wanted).expect("a file can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    assert!(
        found == wanted,
        "{} is not up to date from line {}: run UPDATE_DOCS=1 cargo test -p e2e --test docs",
        path.display(),
        differs.map_or(found.lines().count().min(wanted.lines().count()), |l| l) + 1
    );
}

/// On one line of a table.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|")
}

fn table(stage: &Value) -> String {
    let options = stage["options"].as_array().expect("options");
    let mut table = String::from("| option | type | default | |\n|---|---|---|---|\n");
    for option in options {
        let text = |key: &str| option[key].as_str().unwrap_or_default();
        let default = match (&option["default"], option["required"] == true) {
            (_, true) => "required".to_owned(),
            (Value::Null, _) => String::new(),
            (value, _) => format!("`{}`", cell(&value.to_string())),
        };
        let (name, kind, doc) = (text("name"), cell(text("type")), cell(text("doc")));
        writeln!(table, "| `{name}` | {kind} | {default} | {doc} |").expect("a String takes it");
    }
    table
}

#[test]
fn the_option_tables_are_the_doc_comments() {
    for plugin in plugins() {
        let path = plugin.join("README.md");
        let mut readme = fs::read_to_string(&path).expect("each plugin has a README");
        for stage in stages(&plugin) {
            let what = format!(
                "{} {}",
                stage["kind"].as_str().expect("a kind"),
                stage["name"].as_str().expect("a name")
            );
            let (open, close) = (
                format!("<!-- options of {what} -->\n"),
                format!("<!-- end of {what} -->\n"),
            );
            let block = format!("{open}{}{close}", table(&stage));
            match (readme.find(&open), readme.find(&close)) {
                (Some(from), Some(to)) => readme.replace_range(from..to + close.len(), &block),
                _ => write!(readme, "\n## Options of {what}\n{block}").expect("a String takes it"),
            }
        }
        as_committed(&path, &readme);
    }
}

#[test]
fn the_schema_of_hosts_toml_is_as_committed() {
    as_committed(
        &e2e::root().join("schemas/hosts.schema.json"),
        &host(&["schema"]),
    );
}

#[test]
fn every_stage_and_option_is_as_committed() {
    let all: Vec<Value> = plugins().iter().flat_map(|p| stages(p)).collect();
    let text = format!("{:#}\n", Value::Array(all));
    as_committed(&e2e::root().join("tests/snapshots/stages.json"), &text);
}

#[test]
fn the_examples_are_valid() {
    for plugin in plugins() {
        let example = plugin.join("example.toml");
        let example = example.to_str().expect("UTF-8");
        host(&["validate", "-c", example, "--allow-missing-secrets"]);
    }
}
