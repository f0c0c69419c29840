//! Both processors through the real boundary.
#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, Outcome, batch_of};
use plugin_api::{BatchBuilder, ContentType, StageError};
use plugin_filter::ThisPlugin;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

fn run(options: &Value, input: ContentType, records: &[&str]) -> Outcome {
    let mut stage = Stage::processor("filter", options, &[input]).unwrap();
    stage.process(0, &batch_of(records)).unwrap()
}

fn kept(options: &Value, records: &[&str]) -> Vec<String> {
    run(options, ContentType::json(), records).texts()
}

fn error(name: &str, options: &Value, input: ContentType) -> StageError {
    Stage::plan("processor", name, options, &[input])
        .err()
        .unwrap()
}

#[test]
fn whole_payloads_are_searched() {
    let records = ["rust and kafka", "Rust", "KAFKA", "ÄRGER", ""];
    for (options, wanted) in [
        (json!({"contains": "kafka"}), vec!["rust and kafka"]),
        (
            json!({"contains": "kafka", "mode": "drop"}),
            vec!["Rust", "KAFKA", "ÄRGER", ""],
        ),
        (
            json!({"contains": ["Rust", "KAFKA"]}),
            vec!["Rust", "KAFKA"],
        ),
        (
            json!({"contains": ["ärger", "rust"], "ignore_case": true}),
            vec!["rust and kafka", "Rust", "ÄRGER"],
        ),
        (json!({"equals": "Rust"}), vec!["Rust"]),
        (json!({"equals": "rust", "ignore_case": true}), vec!["Rust"]),
        (json!({"equals": ["KAFKA", ""]}), vec!["KAFKA", ""]),
        (json!({"regex": "^[A-Z]+$"}), vec!["KAFKA"]),
        (
            json!({"regex": "^r", "contains": "kafka"}),
            vec!["rust and kafka"],
        ),
        (json!({"contains": "k.f"}), vec![]),
    ] {
        assert_eq!(
            run(&options, ContentType::text(), &records).texts(),
            wanted,
            "{options}"
        );
    }
}

#[test]
fn json_fields_are_compared() {
    let records = [
        r#"{"user":{"lang":"en","n":5},"t":"caf\u00e9"}"#,
        r#"{"user":{"lang":"de","n":5.0},"t":"x","tags":["a","b"]}"#,
        r#"{"user":{"lang":null,"n":"7"},"ok":true}"#,
    ];
    let pick = |indices: &[usize]| {
        indices
            .iter()
            .map(|&index| records[index])
            .collect::<Vec<_>>()
    };
    for (options, wanted) in [
        (json!({"field": "user.lang", "equals": "en"}), vec![0]),
        (
            json!({"field": "user.lang", "equals": ["en", "de"]}),
            vec![0, 1],
        ),
        (json!({"field": "user.lang", "exists": true}), vec![0, 1]),
        (json!({"field": "user.lang", "exists": false}), vec![2]),
        (json!({"field": "t", "contains": "café"}), vec![0]),
        (
            json!({"field": "t", "contains": "CAFÉ", "ignore_case": true}),
            vec![0],
        ),
        (json!({"field": "user.n", "equals": 5}), vec![0, 1]),
        (
            json!({"field": "user.n", "above": 4.5, "below": 6}),
            vec![0, 1],
        ),
        (json!({"field": "user.n", "above": 5}), vec![2]),
        (json!({"field": "ok", "equals": true}), vec![2]),
        (json!({"field": "/tags/1", "equals": "b"}), vec![1]),
        (json!({"field": "t", "regex": "^.$"}), vec![1]),
    ] {
        assert_eq!(kept(&options, &records), pick(&wanted), "{options}");
    }
}

#[test]
fn each_record_has_one_fate() {
    let options = json!({"field": "a", "equals": 1});
    let records = [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a""#, r#"{"b":1}"#];
    let outcome = run(&options, ContentType::json(), &records);
    assert_eq!(outcome.emitted(), 1);
    assert_eq!((outcome.consumed_count(), outcome.filtered_count()), (1, 2));
    let rejected: Vec<_> = outcome
        .rejected
        .iter()
        .map(|r| (r.1, r.2.as_str()))
        .collect();
    assert_eq!(rejected, [(2, "not JSON at byte 4")]);
}

#[test]
fn a_tombstone_has_no_field_and_no_text() {
    let mut batch = BatchBuilder::new();
    batch.push(None).push(Some(b"{}"));
    let batch = batch.finish();
    for options in [
        json!({"contains": "{"}),
        json!({"field": "a", "equals": 1, "mode": "drop"}),
    ] {
        let mut stage = Stage::processor("filter", &options, &[ContentType::json()]).unwrap();
        let outcome = stage.process(0, &batch).unwrap();
        let dropped = options["mode"] == "drop";
        assert_eq!(outcome.emitted(), if dropped { 2 } else { 1 });
    }
}

#[test]
fn records_keep_bytes_key_and_headers_without_a_copy() {
    let mut batch = BatchBuilder::new();
    for number in 0..10 {
        let text = format!("record {number}");
        batch
            .push(Some(text.as_bytes()))
            .key(Some(b"k"))
            .header("id", Some(&[number]));
    }
    let batch = batch.finish();
    let options = json!({"regex": "[02468]$"});
    let mut stage = Stage::processor("filter", &options, &[ContentType::text()]).unwrap();
    let outcome = stage.process(0, &batch).unwrap();
    let kept = &outcome.batches[0].1;
    assert_eq!(kept.len(), 5);
    for (record, from) in kept.iter().zip([0, 2, 4, 6, 8]) {
        assert_eq!(record.bytes().as_ptr(), batch.record(from).bytes().as_ptr());
        assert_eq!(record.key(), Some(&b"k"[..]));
        assert_eq!(record.header("id"), Some(&[from as u8][..]));
    }
}

#[test]
fn avro_fields_are_compared() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"t.id","type":"long"},{"name":"text","type":["null","string"]},
        {"name":"user","type":{"type":"record","name":"U","fields":[{"name":"lang","type":"string"}]}}]}"#;
    // id 2, text "hi", lang "en"; id -1, no text, lang "de"
    let records: [&[u8]; 3] = [b"\x04\x02\x04hi\x04en", b"\x01\x00\x04de", b"\x04\x02"];
    let run = |options: &Value| {
        let mut stage = Stage::processor("filter", options, &[ContentType::avro(schema)]).unwrap();
        stage.process(0, &batch_of(records)).unwrap()
    };
    for (options, wanted) in [
        (json!({"field": "t.id", "equals": 2}), vec![0]),
        (json!({"field": "t.id", "below": 0}), vec![1]),
        (json!({"field": "text", "contains": "h"}), vec![0]),
        (json!({"field": "text", "exists": false}), vec![1]),
        (json!({"field": "user.lang", "equals": "de"}), vec![1]),
    ] {
        let outcome = run(&options);
        let wanted: Vec<&[u8]> = wanted.iter().map(|&index| records[index]).collect();
        assert_eq!(outcome.values(), wanted, "{options}");
        assert_eq!(outcome.rejected.len(), 1, "{options}");
        assert_eq!(outcome.rejected[0].1, 2);
    }
    let error = error(
        "filter",
        &json!({"field": "lang", "equals": 1}),
        ContentType::avro(schema),
    );
    assert_eq!(error.pointer, "/field");
    assert_eq!(
        error.message,
        "the input has no field `lang`; it has: t.id, text, user"
    );
}

#[test]
fn a_route_parts_a_stream() {
    let options = json!({"contains": "a"});
    let mut stage = Stage::processor("route", &options, &[ContentType::text()]).unwrap();
    assert_eq!(stage.planned().outputs.len(), 10);
    let outcome = stage.process(0, &batch_of(["a", "b", "ab", "c"])).unwrap();
    let ports = |outcome: &Outcome| {
        let batches = outcome.batches.iter();
        let ports = batches.map(|(port, batch)| {
            let texts = batch.iter().map(|record| record.text().unwrap().to_owned());
            (*port, texts.collect::<Vec<_>>().join(" "))
        });
        ports.collect::<Vec<_>>()
    };
    assert_eq!(ports(&outcome), [(0, "a ab".into()), (1, "b c".into())]);
    assert_eq!((outcome.consumed_count(), outcome.filtered_count()), (4, 0));
    let options = json!({"cases": [{"contains": "a"}, {"regex": "B", "ignore_case": true}]});
    let mut stage = Stage::processor("route", &options, &[ContentType::text()]).unwrap();
    let outcome = stage.process(0, &batch_of(["a", "b", "ab", "c"])).unwrap();
    assert_eq!(
        ports(&outcome),
        [(1, "c".into()), (2, "a ab".into()), (3, "b".into())]
    );
}

#[test]
fn wrong_options_are_named() {
    for (name, options, pointer, start) in [
        ("filter", json!({}), "", "a condition needs at least one of"),
        (
            "filter",
            json!({"regex": "("}),
            "/regex",
            "regex parse error",
        ),
        (
            "filter",
            json!({"contains": ""}),
            "/contains",
            "an empty text",
        ),
        ("filter", json!({"equals": []}), "/equals", "an empty list"),
        (
            "filter",
            json!({"exists": true}),
            "/exists",
            "`exists` needs a `field`",
        ),
        (
            "filter",
            json!({"field": "a", "equals": 1}),
            "/field",
            "the input is text, which has no fields; if it holds JSON",
        ),
        (
            "route",
            json!({"cases": [{"contains": "a"}, {"regex": "("}]}),
            "/cases/1/regex",
            "regex parse error",
        ),
        (
            "route",
            json!({"contains": "a", "cases": [{"contains": "a"}]}),
            "/cases",
            "give either",
        ),
    ] {
        let error = error(name, &options, ContentType::text());
        assert_eq!(error.pointer, pointer, "{options}: {error}");
        assert!(error.message.starts_with(start), "{options}: {error}");
    }
    let inputs = [ContentType::text(), ContentType::json()];
    let error = Stage::plan("processor", "filter", &json!({"contains": "a"}), &inputs)
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "its inputs differ: text and json; give each a stage of its own"
    );
}
