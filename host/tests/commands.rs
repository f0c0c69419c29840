//! What the commands print: `commands/NAME.txt`. `UPDATE_SNAPSHOTS=1` writes them anew.

mod common;

use std::path::PathBuf;

use host::cli::{inspect, list, validate};

fn check(name: &str, shown: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/commands")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, shown).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == shown,
        "{}:\n{shown}--- expected\n{expected}",
        path.display()
    );
}

#[test]
fn list_shows_plugins_refusals_and_doubles() {
    check("list", &list::text(&common::registry()));
}

#[test]
fn inspect_shows_each_option_with_type_default_and_doc() {
    let registry = common::registry();
    let shown: Vec<String> = registry
        .stages()
        .filter(|(_, s)| ["twitter", "kafka", "route"].contains(&s.name.as_str()))
        .map(|(plugin, stage)| inspect::text(plugin, stage))
        .collect();
    check("inspect", &shown.join("\n"));
}

const GRAPH: &str = r#"
version = 1
[hosts.a.sources.tweets]
plugin = "generate"
[hosts.a.processors.split]
plugin = "route"
inputs = ["tweets"]
with.contains = "rust"
[hosts.a.sinks.print]
plugin = "console"
inputs = ["split.matched"]
"#;

#[test]
fn validate_shows_the_graph() {
    let prepared = common::plan(GRAPH, &[], false);
    check(
        "validate",
        &validate::as_text(&prepared).expect("there is a plan"),
    );
}

#[test]
fn validate_for_programs_gives_places_and_hints() {
    let prepared = common::plan(&GRAPH.replace("contains", "contain"), &[], false);
    check(
        "validate_json",
        &format!("{:#}\n", validate::as_json(&prepared)),
    );
}
