//! Source and sink through the real boundary.
#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, Outcome, batch_of};
use plugin_api::{ContentType, StageError};
use plugin_csv::ThisPlugin;
use serde_json::{Value, json};
use std::fs;

type Stage = Harness<ThisPlugin>;

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"id","type":"long"},{"name":"t.text","type":["null","string"]},
    {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
/// id 2, text `a "b",\n  c`, tags ["x"]; id -1, no text, no tags
const DATUMS: [&[u8]; 2] = [b"\x04\x02\x14a \"b\",\n  c\x02\x02x\x00", b"\x01\x00\x00"];

fn write(options: Value, input: ContentType, records: &[&[u8]]) -> (String, Outcome) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options;
    options["path"] = json!(folder.path().join("x.csv"));
    let mut stage = Stage::sink("csv-file", &options, &[input]).unwrap();
    let outcome = stage.write(&batch_of(records)).unwrap();
    stage.finish().unwrap();
    (
        fs::read_to_string(folder.path().join("x.csv")).unwrap(),
        outcome,
    )
}

fn read(content: impl AsRef<[u8]>, options: Value) -> Result<Outcome, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options;
    options["path"] = json!(folder.path().join("in.csv"));
    fs::write(folder.path().join("in.csv"), content).unwrap();
    if let Some(schema) = options.get("schema").and_then(Value::as_str) {
        fs::write(folder.path().join("s.avsc"), schema).unwrap();
        options["schema"] = json!(folder.path().join("s.avsc"));
    }
    Stage::source("csv-file", &options)?.poll_to_end()
}

fn objects(outcome: &Outcome) -> Vec<Value> {
    outcome
        .texts()
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[test]
fn avro_fields_become_columns() {
    let (text, outcome) = write(
        json!({}),
        ContentType::avro(SCHEMA),
        &[DATUMS[0], b"\x04", DATUMS[1]],
    );
    assert_eq!(
        text,
        "id,t.text,tags\r\n2,\"a \"\"b\"\",\n  c\",\"[\"\"x\"\"]\"\r\n-1,,[]\r\n"
    );
    assert_eq!(outcome.consumed_count(), 2);
    assert_eq!(outcome.rejected[0].1, 1);
    let options = json!({"columns": [{"name": "text", "path": "t.text"}, "id", "id"], "clean": true, "null": "NULL", "delimiter": ";"});
    let (text, _) = write(options, ContentType::avro(SCHEMA), &DATUMS);
    assert_eq!(
        text,
        "text;id;id\r\n\"a \"\"b\"\", c\";2;2\r\nNULL;-1;-1\r\n"
    );
}

#[test]
fn json_paths_become_columns() {
    let options =
        json!({"columns": ["id", {"name": "name", "path": "user.name"}, "tags"], "header": false});
    let records: [&[u8]; 4] = [
        br#"{"id":1,"user":{"name":"caf\u00e9, \"x\""},"tags":[1, "a"]}"#,
        br#"{"id":12345678901234567890,"user":null}"#,
        b"{torn",
        b"{\"id\":\"\xff\"}",
    ];
    let (text, outcome) = write(options, ContentType::json(), &records);
    assert_eq!(
        text,
        "1,\"café, \"\"x\"\"\",\"[1,\"\"a\"\"]\"\r\n12345678901234567890,,\r\n"
    );
    let rejected: Vec<_> = outcome
        .rejected
        .iter()
        .map(|r| (r.1, r.2.as_str(), r.3.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [(2, "not JSON at byte 5", ""), (3, "not UTF-8", "/id")]
    );
}

#[test]
fn a_file_goes_on_after_a_crash_and_ends_with_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let options = |columns: Value| json!({"path": folder.path().join("x.csv"), "columns": columns});
    let inputs = [ContentType::json()];
    let record = "{\"a\":1,\"b\":2}";
    let mut stage = Stage::sink("csv-file", &options(json!(["a"])), &inputs).unwrap();
    stage.write(&batch_of([record])).unwrap();
    let (mut state, _) = stage.checkpoint(1, false).unwrap();
    drop(stage);
    for columns in [json!(["a"]), json!(["a", "b"])] {
        let host = plugin_api::testing::TestHost::leaked();
        let restored = (1, Some(&state[..]));
        let mut stage = Stage::open_at(
            host,
            "sink",
            "csv-file",
            &options(columns),
            &inputs,
            restored,
        )
        .unwrap();
        stage.write(&batch_of([record])).unwrap();
        state = stage.checkpoint(2, false).unwrap().0;
        stage.commit(2).unwrap();
        stage.write(&batch_of(["{\"a\":\"lost\"}"])).unwrap();
    }
    let host = plugin_api::testing::TestHost::leaked();
    let options = options(json!(["a", "b"]));
    let restored = (2, Some(&state[..]));
    let stage = Stage::open_at(host, "sink", "csv-file", &options, &inputs, restored).unwrap();
    stage.finish().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("x.csv"), read("x-1.csv")),
        ("a\r\n1\r\n1\r\n".into(), "a,b\r\n1,2\r\n".into())
    );
}

#[test]
fn each_file_has_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        json!({"path": folder.path().join("x.csv"), "columns": ["a"], "roll": {"max_records": 2}});
    let mut stage = Stage::sink("csv-file", &options, &[ContentType::json()]).unwrap();
    stage
        .write(&batch_of(["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]))
        .unwrap();
    stage.finish().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("x.csv"), read("x-1.csv")),
        ("a\r\n1\r\n2\r\n".into(), "a\r\n3\r\n".into())
    );
}

#[test]
fn a_source_goes_on_from_each_checkpoint_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let long = "\"".to_owned() + &"x".repeat(300_000);
    let content = format!("\u{feff}a,b\r\n1,\"x\r\ny\"\r\n\r\n2,z\nwrong\n{long}\n3,w\n4,\"end\"");
    fs::write(folder.path().join("1.csv"), &content).unwrap();
    fs::write(folder.path().join("2.csv"), "b,a\nlast,5\n").unwrap();
    let options = json!({"path": folder.path(), "max_row_bytes": 100_000});
    let state_of = |outcome: &Outcome| {
        let batches = outcome.batches.iter();
        let ids = batches.flat_map(|(_, batch)| {
            let id = |r: plugin_api::Record<'_>| r.header("id").unwrap().to_vec();
            batch.iter().map(id).collect::<Vec<_>>()
        });
        (
            outcome.texts(),
            ids.collect::<Vec<_>>(),
            outcome.rejected_raw.clone(),
        )
    };
    let whole = Stage::source("csv-file", &options)
        .unwrap()
        .poll_to_end()
        .unwrap();
    let whole = state_of(&whole);
    assert_eq!((whole.0.len(), whole.2.len()), (5, 2));
    // A checkpoint after each poll of one record, and a restart from each.
    let mut all = Outcome::default();
    let mut stage = Stage::source("csv-file", &options).unwrap();
    loop {
        let (poll, outcome) = stage.poll(1, 1_000).unwrap();
        all.merge(outcome);
        let (state, _) = stage.checkpoint(1, false).unwrap();
        if poll == plugin_api::Poll::Finished {
            break;
        }
        let host = plugin_api::testing::TestHost::leaked();
        let restored = (1, Some(&state[..]));
        stage = Stage::open_at(host, "source", "csv-file", &options, &[], restored).unwrap();
    }
    assert_eq!(state_of(&all), whole);
}

#[test]
fn rows_become_objects_with_ids() {
    let content = "\u{feff}a, b ,\r\n1,\"x\"\"y\",\n\"two\nlines\",é,z\n";
    let outcome = read(content, json!({})).unwrap();
    assert_eq!(
        objects(&outcome),
        [
            json!({"a": "1", "b": "x\"y", "column3": ""}),
            json!({"a": "two\nlines", "b": "é", "column3": "z"})
        ]
    );
    let batch = &outcome.batches[0].1;
    let id = batch.record(0).header("id").unwrap();
    assert!(id.len() == 15 && id.ends_with(b":11"), "{id:?}");
    let outcome = read("1;2\n", json!({"columns": ["x", "y"], "delimiter": ";"})).unwrap();
    assert_eq!(objects(&outcome), [json!({"x": "1", "y": "2"})]);
}

#[test]
fn bad_rows_are_dead_letters_with_reason_and_bytes() {
    let content = b"a,b\n1\n2,3,4\nx,\xff\n5,6\n7,\"open\n8,9\n";
    let outcome = read(content, json!({})).unwrap();
    assert_eq!(
        objects(&outcome),
        [json!({"a": "5", "b": "6"}), json!({"a": "8", "b": "9"})]
    );
    let rejected: Vec<_> = outcome
        .rejected_raw
        .iter()
        .map(|(raw, why)| (&raw[..], why.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [
            (&b"1"[..], "the row has 1 fields, the header 2, at in.csv:4"),
            (b"2,3,4", "the row has 3 fields, the header 2, at in.csv:6"),
            (b"x,\xff", "`b` is not UTF-8, at in.csv:12"),
            (b"7,\"open", "a quote is never closed, at in.csv:20"),
        ]
    );
}

#[test]
fn a_schema_gives_types() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},
        {"name":"ok","type":["null","boolean"]},{"name":"name","type":["string","null"]},
        {"name":"x","type":"double"},{"name":"more","type":["null","int"]},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}]}"#;
    let content = "x,id,name,ok,e,extra\n1.5,2,n,True,B,z\n-1e3,-1,,,A,\n1,2.5,n,,A,\n1,2,n,,C,\n";
    let outcome = read(content, json!({"schema": schema, "format": "json"})).unwrap();
    assert_eq!(
        objects(&outcome),
        [
            json!({"id": 2, "ok": true, "name": "n", "x": 1.5, "more": null, "e": "B"}),
            json!({"id": -1, "ok": null, "name": null, "x": -1000, "more": null, "e": "A"}),
        ]
    );
    let why: Vec<_> = outcome
        .rejected_raw
        .iter()
        .map(|(_, why)| why.as_str())
        .collect();
    assert_eq!(
        why,
        [
            "`id` is `2.5`, no long, at in.csv:51",
            "`e` is `C`, no symbol of the enum, at in.csv:63"
        ]
    );
    let outcome = read(content, json!({"schema": schema})).unwrap();
    assert_eq!(
        outcome.values(),
        [
            b"\x04\x02\x01\x00\x02n\0\0\0\0\0\0\xf8\x3f\x00\x02".to_vec(),
            b"\x01\x00\x02\0\0\0\0\0\x40\x8f\xc0\x00\x00".to_vec(),
        ]
    );
    let error = read("id\n1\n", json!({"schema": schema})).err().unwrap();
    assert!(
        error
            .message
            .ends_with("in.csv: it has no column `x`, which the schema needs; it has: id"),
        "{error}"
    );
}

#[test]
fn what_was_written_reads_back() {
    let texts = [
        "plain",
        "a,b",
        "say \"hi\"",
        "two\r\nlines",
        " padded ",
        "",
        "😀 ünï",
    ];
    let records: Vec<String> = texts
        .iter()
        .map(|text| json!({"t": text, "u": text}).to_string())
        .collect();
    let records: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let (text, _) = write(
        json!({"columns": ["t", "u"]}),
        ContentType::json(),
        &records,
    );
    let outcome = read(text, json!({})).unwrap();
    let wanted: Vec<Value> = texts
        .iter()
        .map(|text| json!({"t": text, "u": text}))
        .collect();
    assert_eq!(objects(&outcome), wanted);
}

#[test]
fn a_budget_is_a_hard_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    fs::write(&path, format!("a\n{}", "1\n".repeat(2_500))).unwrap();
    let mut stage = Stage::source("csv-file", &json!({"path": path})).unwrap();
    let counts: Vec<_> = [1, 1_200, 5_000]
        .map(|budget| stage.poll(budget, 1_000).unwrap().1.emitted())
        .into();
    assert_eq!(counts, [1, 1_200, 1_299]);
}

#[test]
fn wrong_options_are_named() {
    let sink = |options: Value, input| {
        let mut options = options;
        options["path"] = json!("x.csv");
        Stage::plan("sink", "csv-file", &options, &[input])
            .err()
            .unwrap()
    };
    for (error, pointer, start) in [
        (
            sink(json!({}), ContentType::json()),
            "/columns",
            "the input is json, so say which",
        ),
        (
            sink(json!({}), ContentType::text()),
            "/inputs",
            "text has no columns",
        ),
        (
            sink(json!({"columns": ["nope"]}), ContentType::avro(SCHEMA)),
            "/columns/0",
            "the input has no field `nope`; it has: id, t.text, tags",
        ),
        (
            sink(json!({"columns": ["a..b"]}), ContentType::json()),
            "/columns/0",
            "`a..b` has an empty step",
        ),
        (
            sink(json!({"columns": []}), ContentType::json()),
            "/columns",
            "a row needs a column",
        ),
        (
            sink(json!({"delimiter": "ab"}), ContentType::avro(SCHEMA)),
            "/delimiter",
            "the delimiter is one",
        ),
        (read("a,a\n", json!({})).err().unwrap(), "", ""),
        (
            read("", json!({"format": "avro"})).err().unwrap(),
            "/format",
            "avro needs a `schema`",
        ),
        (
            read("", json!({"schema": SCHEMA})).err().unwrap(),
            "/schema",
            "field `tags` is ",
        ),
    ] {
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.message.starts_with(start), "{error}");
    }
}
