//! The contract of every stage.

use std::{fs, path::Path};

use avro_data::{
    Extractor, Schema,
    container::{Codec, Reader, Writer},
};
use plugin_api::{
    Batch, ContentType,
    testing::{batch_of, conformance},
};
use plugin_avro::ThisPlugin;
use serde_json::json;

const USER: &str = r#"{"type":"record","name":"User","fields":[
    {"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}"#;

fn user(id: u32) -> Vec<u8> {
    let mut datum = Vec::new();
    let schema = Schema::parse(USER).expect("a schema");
    let mut extractor = Extractor::new(&schema).expect("a schema");
    let json = format!(r#"{{"id":{id},"name":"user {id}"}}"#);
    let made = extractor.extract(json.as_bytes(), &mut datum);
    made.expect("a datum");
    datum
}

fn sample() -> [Batch; 3] {
    [
        batch_of([user(1), user(2)]),
        batch_of([b"\x04".to_vec(), user(3)]),
        batch_of([user(4)]),
    ]
}

#[test]
fn the_processors_keep_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = folder.path().join("user.avsc");
    fs::write(&schema, USER).expect("a file");
    conformance::processor::<ThisPlugin>(
        "avro-encode",
        &json!({"schema": schema}),
        &ContentType::json(),
        &[
            batch_of([r#"{"id":1,"name":"Ann"}"#, r#"{"name":"Bo"}"#]),
            batch_of(["{torn", r#"{"id":2}"#]),
        ],
    );
    let input = ContentType::avro(USER);
    conformance::processor::<ThisPlugin>("avro-decode", &json!({}), &input, &sample());
}

#[test]
fn the_source_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = Schema::parse(USER).expect("a schema");
    for (name, ids) in [("a.avro", 1..12), ("b.avro", 12..13)] {
        let file = fs::File::create(folder.path().join(name)).expect("a file");
        // Several blocks.
        let mut writer = Writer::new(file, &schema, Codec::Deflate, 30).expect("a header");
        for id in ids {
            writer.append(&user(id)).expect("a record");
        }
        writer.finish().expect("a file");
    }
    let options = json!({"path": folder.path()});
    conformance::source::<ThisPlugin>("avro-file", &options, 100);
}

/// Names and records: the markers between blocks are random.
fn records(folder: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let file = fs::File::open(&path).expect("a file");
            let mut reader = Reader::new(file).expect("a header");
            let mut records = Vec::new();
            while let Some(record) = reader.next().expect("a whole file") {
                records.push(record.to_vec());
            }
            (path.display().to_string(), records)
        })
        .map(|(path, records)| {
            (
                path.rsplit('/').next().unwrap_or_default().to_owned(),
                records,
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_sink_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    conformance::sink::<ThisPlugin, _>(
        "avro-file",
        &ContentType::avro(USER),
        &sample(),
        folder.path(),
        |dir: &Path| json!({"path": dir.join("out.avro"), "roll": {"max_records": 3}}),
        records,
    );
}
