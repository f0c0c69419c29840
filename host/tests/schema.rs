//! `host schema`: it is a JSON Schema, and it agrees with the host on what is right.

mod common;

use host::plan::hosts_schema;
use serde_json::Value;

fn validator() -> jsonschema::Validator {
    let schema = hosts_schema(&common::registry());
    jsonschema::meta::validate(&schema).expect("it is a JSON Schema");
    jsonschema::validator_for(&schema).expect("its references lead somewhere")
}

fn value(toml: &str) -> Value {
    let table: toml::Table = toml.parse().expect("the test is TOML");
    serde_json::to_value(table).expect("TOML is JSON")
}

const GOOD: &str = r#"
version = 1
[hosts.a]
autostart = false
[hosts.a.sources.tweets]
plugin = "twitter"
limit = 5
with = { track = ["x"], credentials = { consumer_key = "env:A", consumer_secret = "file:b" }, endpoint = { kind = "url", url = "http://x", port = "env:PORT" } }
[hosts.a.sinks.out]
plugin = "kafka"
inputs = ["tweets"]
buffer.max_bytes = "1 MiB"
isolate = { memory = "512 MiB" }
with = { brokers = "b:9092", topic = "t", compression = "gzip", batch_bytes = 5 }
"#;

#[test]
fn a_good_file_passes_and_each_mistake_does_not() {
    let validator = validator();
    let errors: Vec<String> = validator
        .iter_errors(&value(GOOD))
        .map(|e| e.to_string())
        .collect();
    assert_eq!(errors, [""; 0]);
    for (right, wrong) in [
        ("version = 1", "version = 2"),
        ("plugin = \"kafka\"", "plugin = \"kafkaesque\""),
        ("consumer_key = \"env:A\"", "consumer_key = \"literal\""),
        ("limit = 5", "limits = 5"),
        ("{ memory = ", "{ memmory = "),
        ("{ memory = \"512 MiB\" }", "\"yes\""),
        ("track = [\"x\"]", "trak = [\"x\"]"),
        ("topic = \"t\", ", ""),
        ("inputs = [\"tweets\"]", "inputs = []"),
        ("\"gzip\"", "\"gzp\""),
        ("port = \"env:PORT\"", "port = \"http\""),
    ] {
        let text = GOOD.replace(right, wrong);
        assert_ne!(text, GOOD);
        assert!(!validator.is_valid(&value(&text)), "{wrong} passes");
    }
}

#[test]
fn the_shipped_file_passes_the_committed_schema() {
    let schema = serde_json::from_str(include_str!("../../schemas/hosts.schema.json"))
        .expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("its references lead somewhere");
    let shipped = value(include_str!("../../hosts.toml"));
    let errors: Vec<String> = validator
        .iter_errors(&shipped)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert_eq!(errors, [""; 0]);
}
