//! A real minute of Twitter's sample stream, parted and counted from scratch.
#![allow(clippy::unwrap_used)]

use plugin_api::ContentType;
use plugin_api::testing::{Harness, batch_of};
use plugin_filter::ThisPlugin;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

fn archive() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn a_real_archive_is_parted() {
    use std::io::Read;
    let (mut reader, _) = file_io::decoder(std::fs::File::open(archive().path()).unwrap()).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let batch = batch_of(&lines);
    let values: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    type Fits = &'static dyn Fn(&Value) -> bool;
    let fits: [(Value, Fits); 4] = [
        (json!({"field": "created_at", "exists": true}), &|tweet| {
            !tweet["created_at"].is_null()
        }),
        (
            json!({"field": "user.followers_count", "above": 10_000}),
            &|tweet| tweet["user"]["followers_count"].as_f64() > Some(10_000.0),
        ),
        (json!({"field": "lang", "equals": ["ja", "ko"]}), &|tweet| {
            tweet["lang"] == "ja" || tweet["lang"] == "ko"
        }),
        (
            json!({"field": "retweeted_status.text", "contains": "é"}),
            &|tweet| {
                tweet["retweeted_status"]["text"]
                    .as_str()
                    .is_some_and(|text| text.contains('é'))
            },
        ),
    ];
    for (options, fits) in fits {
        let mut stage = Stage::processor("route", &options, &[ContentType::json()]).unwrap();
        let outcome = stage.process(0, &batch).unwrap();
        let port = |port: u32| {
            let batches = outcome.batches.iter().filter(|(number, _)| *number == port);
            batches
                .flat_map(|(_, batch)| batch.iter().map(|record| record.bytes().to_vec()))
                .collect::<Vec<_>>()
        };
        let wanted = |matched: bool| {
            let pairs = lines
                .iter()
                .zip(&values)
                .filter(|(_, value)| fits(value) == matched);
            pairs
                .map(|(line, _)| line.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert!(!wanted(true).is_empty(), "{options}");
        assert_eq!(
            (port(0), port(1)),
            (wanted(true), wanted(false)),
            "{options}"
        );
    }
}

needs::tests! {
    a_real_archive_is_parted:
        archive();
}
