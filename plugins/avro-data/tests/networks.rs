//! Posts of other networks: the documents that their sources emit, and the records that the
//! shipped schemas make of them. See `cases/README.md`; a case more needs no code.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use avro_data::{Extractor, datum};
use serde_json::{Map, Value};

const NETWORKS: [&str; 3] = ["bluesky", "mastodon", "x"];
const SCHEMAS: [&str; 2] = ["tweet.avsc", "tweet_full.avsc"];

struct Case {
    path: PathBuf,
    json: Value,
}

/// All cases, or those that take their document from a file of real cases.
fn cases(real: bool) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = Vec::new();
    for network in NETWORKS {
        for entry in std::fs::read_dir(root.join(network)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let json: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if json["line"].is_object() == real {
                cases.push(Case { path, json });
            }
        }
    }
    assert!(!cases.is_empty(), "no cases");
    cases
}

fn document(case: &Case) -> Vec<u8> {
    let Value::Object(line) = &case.json["line"] else {
        assert!(case.json["document"].is_object(), "{}", case.path.display());
        return case.json["document"].to_string().into_bytes();
    };
    let file = needs::data(line["file"].as_str().unwrap()).read();
    let number = line["number"].as_u64().unwrap() as usize;
    file.split(|b| *b == b'\n')
        .nth(number - 1)
        .unwrap()
        .to_vec()
}

/// The record without its nulls, or why there is none.
fn extracted(schema: &str, document: &[u8]) -> Value {
    let schema = common::shipped(schema);
    let mut out = Vec::new();
    if let Err(error) = Extractor::new(&schema).unwrap().extract(document, &mut out) {
        return Value::String(error.to_string());
    }
    let mut json = Vec::new();
    datum::to_json(&schema, &out, &mut json).unwrap();
    let mut record: Map<String, Value> = serde_json::from_slice(&json).unwrap();
    record.retain(|_, value| !value.is_null());
    Value::Object(record)
}

fn check(cases: &[Case]) {
    let mut wrong = String::new();
    for case in cases {
        let network = case.path.parent().and_then(Path::file_name).unwrap();
        let document = document(case);
        for name in SCHEMAS {
            let schema = format!("{}/{name}", network.display());
            let got = extracted(&schema, &document);
            let wanted = &case.json[name];
            if *wanted != got {
                let path = case.path.display();
                wrong += &format!("\n{path}, {name}: wanted {wanted:#}\ngot {got:#}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn every_document_gives_the_record_as_written() {
    check(&cases(false));
}

fn every_line_of_real_streams_gives_the_record_as_written() {
    check(&cases(true));
}

/// A record of one network is, byte for byte, one of any other.
fn the_schemas_of_all_networks_differ_in_nothing_but_where_fields_come_from() {
    for name in SCHEMAS {
        let ours = stripped(name);
        for network in NETWORKS {
            assert_eq!(stripped(&format!("{network}/{name}")), ours, "{network}");
            let schema = common::shipped(&format!("{network}/{name}"));
            assert!(schema.same_datums(&common::shipped(name)), "{network}");
        }
    }
}

/// A schema file without `from` and `doc`.
fn stripped(name: &str) -> Value {
    let path = format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema.as_object_mut().unwrap().remove("doc");
    for field in schema["fields"].as_array_mut().unwrap() {
        let from = field.as_object_mut().unwrap().remove("from");
        assert!(
            from.is_some(),
            "{name} does not say where {field} comes from"
        );
    }
    schema
}

fn goldens() -> needs::Need {
    needs::data("jetstream/golden_v1.jsonl")
}

needs::tests! {
    every_document_gives_the_record_as_written;
    every_line_of_real_streams_gives_the_record_as_written:
        goldens();
    the_schemas_of_all_networks_differ_in_nothing_but_where_fields_come_from;
}
