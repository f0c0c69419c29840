//! Real files: a minute of Twitter's sample stream, and what the original wrote.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;

use avro_data::container::Reader;
use avro_data::datum;
use plugin_api::ContentType;
use plugin_api::testing::{Harness, batch_of};
use plugin_avro::ThisPlugin;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

fn schema(name: &str) -> String {
    format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn archive() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn original() -> needs::Need {
    needs::data("stream-mining/tweet_full.avro")
}

fn a_whole_minute_of_the_stream_into_a_file() {
    let path = archive().path();
    let mut bytes = Vec::new();
    bzip2::read::MultiBzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let lines: Vec<&[u8]> = bytes
        .split(|b| *b == b'\n')
        .filter(|l| l.len() > 1)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for codec in ["null", "deflate", "snappy", "zstd"] {
        let path = folder.path().join(format!("{codec}.avro"));
        let options = json!({ "path": path, "codec": codec, "schema": schema("tweet_full.avsc") });
        let mut sink = Stage::sink("avro-file", &options, &[ContentType::json()]).unwrap();
        let mut rejected = 0;
        for lines in lines.chunks(1000) {
            let out = sink.write(&batch_of(lines)).unwrap();
            rejected += out.rejected.len();
            assert!(
                out.rejected
                    .iter()
                    .all(|r| r.2.contains("`t_id` is missing"))
            );
        }
        sink.checkpoint(1, true).unwrap();
        sink.commit(1).unwrap();
        sink.close().unwrap();
        assert_eq!(rejected, 355);
        let mut reader = Reader::new(fs::File::open(&path).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let mut records: Vec<Value> = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            let mut json = Vec::new();
            datum::to_json(&schema, record, &mut json).unwrap();
            records.push(serde_json::from_slice(&json).unwrap());
        }
        assert_eq!(records.len(), 2830);
        let tweets = lines
            .iter()
            .map(|l| serde_json::from_slice::<Value>(l).unwrap());
        let tweets = tweets.filter(|tweet| tweet.get("delete").is_none());
        for (record, tweet) in records.iter().zip(tweets) {
            assert_eq!(record["t_id"], tweet["id"]);
            assert_eq!(record["t_u_name"], tweet["user"]["name"]);
        }
    }
}

fn the_originals_torn_file_and_one_cut_in_the_middle() {
    let path = original().path();
    let mut source = Stage::source("avro-file", &json!({ "path": path })).unwrap();
    let all = source.poll_to_end().unwrap();
    assert_eq!(all.emitted(), 61);
    assert!(all.rejected_raw.is_empty(), "nothing was lost");
    let errors: Vec<_> = source
        .host()
        .log_lines()
        .into_iter()
        .map(|l| l.message)
        .collect();
    let errors: Vec<_> = errors
        .iter()
        .filter(|m| m.contains("torn after 27444 bytes"))
        .collect();
    assert_eq!(errors.len(), 1);
    // As the shipped schema has it: dots are underscores.
    let options = json!({ "path": path, "schema": schema("tweet_full.avsc") });
    let mut renamed = Stage::source("avro-file", &options).unwrap();
    let planned = renamed.planned().outputs[0].schema.clone().unwrap();
    assert!(planned.contains("\"t_created_at\""));
    assert_eq!(renamed.poll_to_end().unwrap().values(), all.values());

    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(folder.path().join("a.avro"), &bytes[..20_000]).unwrap();
    fs::write(folder.path().join("b.avro"), &bytes).unwrap();
    let mut source = Stage::source("avro-file", &json!({ "path": folder.path() })).unwrap();
    let out = source.poll_to_end().unwrap();
    assert_eq!(
        out.rejected_raw.len(),
        1,
        "one dead letter for what was lost"
    );
    assert!(
        out.rejected_raw[0].1.contains("of which could be read"),
        "{}",
        out.rejected_raw[0].1
    );
    let whole = out.emitted() - 61;
    assert!((39..61).contains(&whole), "{whole}");
    let values = out.values();
    assert_eq!(values[..whole], all.values()[..whole]);
    assert_eq!(values[whole..], all.values()[..]);
}

needs::tests! {
    a_whole_minute_of_the_stream_into_a_file:
        archive();
    the_originals_torn_file_and_one_cut_in_the_middle:
        original();
}
