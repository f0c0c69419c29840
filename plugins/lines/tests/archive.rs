//! A real minute of Twitter's sample stream.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use plugin_api::testing::Harness;
use plugin_lines::ThisPlugin;
use serde_json::{Value, json};

fn archives() -> needs::Need {
    needs::data("archive-stream")
}

fn a_real_archive_is_read_whole() {
    let path = archives().path().join("*.bz2");
    let outcome =
        Harness::<ThisPlugin>::source("lines", &json!({ "path": path, "format": "json" }))
            .unwrap()
            .poll_to_end()
            .unwrap();
    let texts = outcome.texts();
    let tweets = texts
        .iter()
        .filter(|line| line.starts_with("{\"created_at\":"));
    assert_eq!((texts.len(), tweets.count()), (3_185, 2_830));
    assert!(
        texts
            .iter()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    let ids: HashSet<_> = outcome
        .seen()
        .into_iter()
        .map(|r| r.headers[0].clone())
        .collect();
    assert_eq!(ids.len(), 3_185);
}

needs::tests! {
    a_real_archive_is_read_whole:
        archives();
}
