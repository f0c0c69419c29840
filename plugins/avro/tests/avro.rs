//! All four stages through the real boundary.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use avro_data::container::{self, Reader, Writer};
use avro_data::{Extractor, Schema, datum};
use plugin_api::testing::{Harness, Outcome, TestHost, batch_of};
use plugin_api::{Batch, BatchBuilder, ContentType, Poll};
use plugin_avro::ThisPlugin;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

const USER: &str = r#"{"type":"record","name":"User","fields":[
    {"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}"#;

fn schema(name: &str) -> String {
    format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn user(id: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let json = format!(r#"{{"id":{id},"name":"user {id}"}}"#);
    Extractor::new(&Schema::parse(USER).unwrap())
        .unwrap()
        .extract(json.as_bytes(), &mut out)
        .unwrap();
    out
}

fn users(range: std::ops::Range<i64>) -> Batch {
    batch_of(range.map(user))
}

/// A container file of users.
fn write_users(path: &Path, range: std::ops::Range<i64>) {
    let file = fs::File::create(path).unwrap();
    let schema = Schema::parse(USER).unwrap();
    let mut writer = Writer::new(file, &schema, container::Codec::Deflate, 100).unwrap();
    for id in range {
        writer.append(&user(id)).unwrap();
    }
    writer.finish().unwrap();
}

/// The records of a container file as JSON.
fn read_file(path: &Path) -> (Schema, Vec<Value>) {
    let mut reader = Reader::new(fs::File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let mut values = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let mut json = Vec::new();
        datum::to_json(&schema, record, &mut json).unwrap();
        values.push(serde_json::from_slice(&json).unwrap());
    }
    (schema, values)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn ids(outcome: &Outcome) -> Vec<String> {
    let batches = outcome.batches.iter();
    batches
        .flat_map(|(_, batch)| {
            let ids = batch.iter().map(|r| r.header("id").unwrap().to_vec());
            ids.map(|id| String::from_utf8(id).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn json_becomes_datums_and_json_again() {
    let options = json!({ "schema": schema("user.avsc") });
    let mut encode = Stage::processor("avro-encode", &options, &[ContentType::json()]).unwrap();
    let planned = encode.planned().outputs[0].clone();
    assert_eq!(
        planned.schema,
        Some(
            Schema::parse(&fs::read_to_string(schema("user.avsc")).unwrap())
                .unwrap()
                .json()
                .to_owned()
        )
    );
    let mut input = BatchBuilder::new();
    input.push(Some(
        br#"{"id": 1, "name": "Ann", "address": "here", "more": [1]}"#,
    ));
    input
        .key(Some(b"k"))
        .ts_us(Some(7))
        .header("id", Some(b"x:1"));
    input.push(Some(br#"{"id": 2, "name": "Bob"}"#));
    input.push(Some(b"{"));
    input.push(None);
    let out = encode.process(0, &input.finish()).unwrap();
    let record = out.batches[0].1.record(0);
    assert_eq!((record.key(), record.ts_us()), (Some(&b"k"[..]), Some(7)));
    assert_eq!(record.header("id"), Some(&b"x:1"[..]));
    let rejected: Vec<_> = out
        .rejected
        .iter()
        .map(|(_, i, reason, at)| (*i, reason.as_str(), at.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [
            (
                1,
                "required field `address` is missing (looked at /address)",
                "/address"
            ),
            (2, "not valid JSON at byte 1: no key where one must be", ""),
            (3, "a record without a value", ""),
        ]
    );
    let mut decode = Stage::processor("avro-decode", &json!({}), &[planned]).unwrap();
    let back = decode.process(0, &out.batches[0].1).unwrap();
    assert_eq!(back.texts(), [r#"{"id":1,"name":"Ann","address":"here"}"#]);
    let bad = decode.process(0, &batch_of(["\u{2}"])).unwrap();
    assert_eq!(
        bad.rejected[0].2,
        "not a datum of the schema at byte 1: ends too early"
    );
}

#[test]
fn files_roll_and_never_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users-{date}.avro");
    let options = json!({ "path": path, "roll": { "max_records": 10 } });
    let input = ContentType::avro(USER);
    for _ in 0..2 {
        let host = TestHost::leaked();
        host.set_now_us(1);
        let inputs = std::slice::from_ref(&input);
        let mut sink = Stage::open_on(host, "sink", "avro-file", &options, inputs).unwrap();
        sink.write(&users(0..15)).unwrap();
        sink.checkpoint(1, false).unwrap();
        assert!(
            names(folder.path())
                .iter()
                .any(|name| name.ends_with(".inprogress"))
        );
        sink.write(&users(15..25)).unwrap();
        sink.finish().unwrap();
    }
    let names = names(folder.path());
    assert_eq!(
        names,
        [
            "users-1970-01-01-1.avro",
            "users-1970-01-01-2.avro",
            "users-1970-01-01-3.avro",
            "users-1970-01-01-4.avro",
            "users-1970-01-01-5.avro",
            "users-1970-01-01.avro"
        ]
    );
    let all: usize = names
        .iter()
        .map(|n| read_file(&folder.path().join(n)).1.len())
        .sum();
    assert_eq!(all, 50);
    let mut source = Stage::source(
        "avro-file",
        &json!({ "path": folder.path().join("*.avro") }),
    )
    .unwrap();
    assert_eq!(source.poll_to_end().unwrap().emitted(), 50);
}

#[test]
fn a_file_goes_on_after_a_crash_with_the_same_marker() {
    for codec in ["null", "deflate", "snappy", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.avro");
        let options = json!({ "path": path, "codec": codec });
        let inputs = [ContentType::avro(USER)];
        let mut sink = Stage::sink("avro-file", &options, &inputs).unwrap();
        sink.write(&users(0..7)).unwrap();
        let (state, _) = sink.checkpoint(1, false).unwrap();
        sink.write(&users(7..9)).unwrap();
        // Killed here: what the checkpoint covered is readable without the rest.
        let open = folder.path().join("u.avro.test.avro-file.0-1.inprogress");
        assert_eq!(read_file(&open).1.len(), 7);
        sink.checkpoint(2, false).unwrap();
        assert_eq!(read_file(&open).1.len(), 9);
        drop(sink);
        let host = TestHost::leaked();
        let restored = (1, Some(&state[..]));
        let mut sink =
            Stage::open_at(host, "sink", "avro-file", &options, &inputs, restored).unwrap();
        assert_eq!(read_file(&open).1.len(), 7);
        sink.write(&users(7..12)).unwrap();
        sink.finish().unwrap();
        let ids: Vec<_> = read_file(&path).1.iter().map(|r| r["id"].clone()).collect();
        assert_eq!(ids, (0..12).map(Value::from).collect::<Vec<_>>(), "{codec}");
    }
}

#[test]
fn a_file_of_another_schema_ends_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.avro");
    let options = json!({ "path": path });
    let inputs = [ContentType::avro(USER)];
    let mut sink = Stage::sink("avro-file", &options, &inputs).unwrap();
    sink.write(&users(0..7)).unwrap();
    let (state, _) = sink.checkpoint(1, false).unwrap();
    drop(sink);
    let host = TestHost::leaked();
    let restored = (1, Some(&state[..]));
    let inputs = [ContentType::avro("\"long\"")];
    let mut sink = Stage::open_at(host, "sink", "avro-file", &options, &inputs, restored).unwrap();
    sink.write(&batch_of([[2_u8]])).unwrap();
    sink.finish().unwrap();
    assert_eq!(read_file(&path).1.len(), 7);
    assert_eq!(read_file(&folder.path().join("u-1.avro")).1, [json!(1)]);
}

#[test]
fn a_datum_of_another_schema_is_kept_out_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.avro");
    let mut sink = Stage::sink(
        "avro-file",
        &json!({ "path": path }),
        &[ContentType::avro(USER)],
    )
    .unwrap();
    let mut long = user(2);
    long.push(0);
    let out = sink
        .write(&batch_of([user(1), long, b"\x02\x09".to_vec(), user(3)]))
        .unwrap();
    let rejected: Vec<_> = out.rejected.iter().map(|r| (r.1, r.2.as_str())).collect();
    assert_eq!(
        rejected,
        [
            (1, "bytes after the datum of the schema"),
            (
                2,
                "not a datum of the schema at byte 2: a union without such a type"
            ),
        ]
    );
    sink.finish().unwrap();
    let (_, records) = read_file(&path);
    assert_eq!(
        records,
        [
            json!({"id":1,"name":"user 1"}),
            json!({"id":3,"name":"user 3"})
        ]
    );
}

#[test]
fn files_are_read_in_order_with_ids_and_go_on_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    write_users(&folder.path().join("a.avro"), 0..30);
    write_users(&folder.path().join("b.avro"), 30..50);
    let options = json!({ "path": folder.path() });
    let mut source = Stage::source("avro-file", &options).unwrap();
    let all = source.poll_to_end().unwrap();
    assert_eq!(all.values(), (0..50).map(user).collect::<Vec<_>>());
    let all_ids = ids(&all);
    assert!(all_ids[0].ends_with(".0") && all_ids[0][..13] == all_ids[29][..13]);
    assert_ne!(all_ids[0][..13], all_ids[30][..13], "another file");
    let unique: std::collections::HashSet<_> = all_ids.iter().collect();
    assert_eq!(unique.len(), 50);
    for stop in 0..=50 {
        let mut first = Stage::source("avro-file", &options).unwrap();
        assert_eq!(first.poll_records(stop).unwrap().emitted(), stop);
        let (state, _) = first.checkpoint(1, false).unwrap();
        let host = TestHost::leaked();
        let restored = (1, Some(&state[..]));
        let mut second =
            Stage::open_at(host, "source", "avro-file", &options, &[], restored).unwrap();
        let rest = second.poll_to_end().unwrap();
        assert_eq!(
            rest.values(),
            (stop as i64..50).map(user).collect::<Vec<_>>(),
            "{stop}"
        );
        assert_eq!(ids(&rest), all_ids[stop..]);
    }
}

#[test]
fn a_file_that_shrank_or_vanished_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avro");
    write_users(&path, 0..30);
    write_users(&folder.path().join("b.avro"), 30..50);
    let options = json!({ "path": folder.path() });
    let mut first = Stage::source("avro-file", &options).unwrap();
    first.poll_records(29).unwrap();
    let (state, _) = first.checkpoint(1, false).unwrap();
    let error = || {
        let host = TestHost::leaked();
        let restored = (1, Some(&state[..]));
        let again = Stage::open_at(host, "source", "avro-file", &options, &[], restored);
        again.err().unwrap().message
    };
    let whole = std::fs::read(&path).unwrap();
    for len in [whole.len() / 2, whole.len() / 4] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let message = error();
        assert!(
            message.contains("a.avro has no record ") || message.contains("a.avro: "),
            "{message}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(error().starts_with("a.avro is gone, and the last checkpoint is in the middle of it"));
}

#[test]
fn a_poll_never_gives_more_than_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    write_users(&folder.path().join("a.avro"), 0..30);
    let mut source = Stage::source("avro-file", &json!({ "path": folder.path() })).unwrap();
    let (poll, out) = source.poll(7, 1000).unwrap();
    assert_eq!((poll, out.emitted()), (Poll::More, 7));
    assert_eq!(source.poll_to_end().unwrap().emitted(), 23);
}

#[test]
fn other_schemas_are_resolved_to_the_one_wanted() {
    let folder = tempfile::tempdir().unwrap();
    write_users(&folder.path().join("a.avro"), 0..3);
    let wanted = folder.path().join("wanted.avsc");
    fs::write(
        &wanted,
        r#"{"type":"record","name":"User","fields":[{"name":"name","type":["null","string"]},
            {"name":"id","type":"double"},{"name":"age","type":"int","default":7}]}"#,
    )
    .unwrap();
    let path = folder.path().join("*.avro");
    let options = json!({ "path": path, "schema": wanted });
    let mut source = Stage::source("avro-file", &options).unwrap();
    let planned = source.planned().outputs[0].clone();
    let out = source.poll_to_end().unwrap();
    let mut decode = Stage::processor("avro-decode", &json!({}), &[planned]).unwrap();
    assert_eq!(
        decode.process(0, &out.batches[0].1).unwrap().texts(),
        [
            r#"{"name":"user 0","id":0.0,"age":7}"#,
            r#"{"name":"user 1","id":1.0,"age":7}"#,
            r#"{"name":"user 2","id":2.0,"age":7}"#
        ]
    );
    fs::write(
        &wanted,
        r#"{"type":"record","name":"User","fields":[{"name":"email","type":"string"}]}"#,
    )
    .unwrap();
    let mut source = Stage::source("avro-file", &options).unwrap();
    let error = source.poll_to_end().unwrap_err().to_string();
    assert!(
        error.contains("a.avro: its records cannot be had in the schema wanted"),
        "{error}"
    );
}

#[test]
fn says_at_plan_time_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |kind: &str, name: &str, options: Value, inputs: &[ContentType]| {
        let error = Stage::plan(kind, name, &options, inputs)
            .map(|_| ())
            .unwrap_err();
        (error.pointer, error.message)
    };
    let user = schema("user.avsc");
    let (at, message) = plan(
        "processor",
        "avro-encode",
        json!({ "schema": "/no/such.avsc" }),
        &[ContentType::json()],
    );
    assert_eq!(at, "/schema");
    assert!(message.starts_with("cannot read /no/such.avsc"));
    let avro = ContentType::avro(USER);
    let (at, message) = plan(
        "processor",
        "avro-encode",
        json!({ "schema": user }),
        std::slice::from_ref(&avro),
    );
    assert_eq!(at, "/inputs");
    assert!(message.starts_with("the input is Avro already"));
    let (at, _) = plan(
        "processor",
        "avro-decode",
        json!({}),
        &[ContentType::json()],
    );
    assert_eq!(at, "/inputs");
    let (at, _) = plan(
        "processor",
        "avro-decode",
        json!({}),
        &[ContentType::bytes()],
    );
    assert_eq!(at, "/schema");
    let out = folder.path().join("x.avro");
    let (at, message) = plan(
        "sink",
        "avro-file",
        json!({ "path": out }),
        &[ContentType::json()],
    );
    assert_eq!(at, "/schema");
    assert!(message.contains("avro-encode"));
    let (at, _) = plan(
        "sink",
        "avro-file",
        json!({ "path": "x-{day}.avro" }),
        std::slice::from_ref(&avro),
    );
    assert_eq!(at, "/path");
    let (at, _) = plan(
        "sink",
        "avro-file",
        json!({ "path": out, "block_size": 0 }),
        std::slice::from_ref(&avro),
    );
    assert_eq!(at, "/block_size");
    let (at, _) = plan(
        "sink",
        "avro-file",
        json!({ "path": out }),
        &[avro, ContentType::json()],
    );
    assert_eq!(at, "/inputs");
    let (at, _) = plan(
        "source",
        "avro-file",
        json!({ "path": folder.path().join("no.avro") }),
        &[],
    );
    assert_eq!(at, "/path");
    fs::write(folder.path().join("text.avro"), "hello, this is text").unwrap();
    let (at, message) = plan(
        "source",
        "avro-file",
        json!({ "path": folder.path().join("text.avro") }),
        &[],
    );
    assert_eq!(at, "/path");
    assert!(message.ends_with("not an Avro container file"), "{message}");
    assert_eq!(
        names(folder.path()),
        ["text.avro"],
        "planning writes nothing"
    );
}
