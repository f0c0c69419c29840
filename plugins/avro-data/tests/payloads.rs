//! Payloads that others published: how many give a record, and what the rest lack.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use avro_data::{ExtractError, Extractor, datum};
use serde_json::Value;

/// What control messages lack, and tweets of 2009, whose ids hold no time.
const LACKED: [&str; 2] = ["t_id", "t_timestamp_ms"];

const FOLDERS: [&str; 5] = [
    "tweet-updates",
    "egg-mode",
    "traptor",
    "twitter4j",
    "twitter-stream-rs",
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path
            .extension()
            .is_some_and(|e| e == "json" || e == "jsonl")
        {
            out.push(path);
        }
    }
}

fn each_folder_gives_its_records_and_dead_letters() {
    let schema = common::shipped("tweet_full.avsc");
    let mut extractor = Extractor::new(&schema).unwrap();
    // Folder: records, not a tweet (a required field is missing), not JSON.
    let mut seen = Vec::new();
    for folder in FOLDERS {
        let path = needs::data(folder).path();
        let mut paths = Vec::new();
        files(&path, &mut paths);
        let (mut records, mut missing, mut broken) = (0, 0, 0);
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            let documents: Vec<&[u8]> = if path.extension().is_some_and(|e| e == "jsonl") {
                bytes
                    .split(|b| *b == b'\n')
                    .filter(|l| !l.is_empty())
                    .collect()
            } else {
                vec![&bytes]
            };
            for document in documents {
                let mut out = Vec::new();
                let strict: Option<Value> = serde_json::from_slice(document).ok();
                match extractor.extract(document, &mut out) {
                    Ok(()) => {
                        records += 1;
                        let mut json = Vec::new();
                        datum::to_json(&schema, &out, &mut json).unwrap();
                        let record: Value = serde_json::from_slice(&json).unwrap();
                        let tweet = strict.unwrap();
                        assert_eq!(record["t_id"], tweet["id"]);
                        assert_eq!(record["t_favourite_count"], tweet["favorite_count"]);
                        let ms = (tweet["id"].as_i64().unwrap() >> 22) + 1_288_834_974_657;
                        let ms = tweet["timestamp_ms"]
                            .as_str()
                            .map_or(ms.to_string(), Into::into);
                        assert_eq!(record["t_timestamp_ms"], ms);
                    }
                    Err(ExtractError::Missing { field, .. }) => {
                        assert!(LACKED.contains(&field.as_str()), "{field}");
                        missing += 1;
                    }
                    Err(ExtractError::Json { .. }) => {
                        assert!(!strict.is_some_and(|v| v.is_object()), "{}", path.display());
                        broken += 1;
                    }
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
        seen.push((folder, records, missing, broken));
    }
    assert_eq!(
        seen,
        [
            ("tweet-updates", 29, 0, 2),
            ("egg-mode", 12, 0, 0),
            ("traptor", 7, 13, 0),
            ("twitter4j", 0, 11, 0),
            ("twitter-stream-rs", 1, 1, 0),
        ]
    );
}

needs::tests! {
    each_folder_gives_its_records_and_dead_letters:
        needs::data(FOLDERS[0]), needs::data(FOLDERS[1]), needs::data(FOLDERS[2]), needs::data(FOLDERS[3]), needs::data(FOLDERS[4]);
}
