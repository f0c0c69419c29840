//! What of the contract needs no connection.
#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, conformance};
use plugin_api::{Planned, StageError};
use plugin_mastodon::ThisPlugin;
use serde_json::{Value, json};

fn plan(change: Value) -> Result<Planned, StageError> {
    let mut options = json!({"url": "https://mastodon.social", "access_token": "t"});
    for (key, value) in change.as_object().unwrap() {
        options[key] = value.clone();
    }
    Harness::<ThisPlugin>::plan("source", "mastodon", &options, &[]).map(|(_, planned)| planned)
}

#[test]
fn plans_keep_the_contract() {
    let source = json!({"url": "https://mastodon.social", "hashtags": ["rust"]});
    conformance::plan::<ThisPlugin>("source", "mastodon", &source, &[]);
}

#[test]
fn options_are_checked_offline_and_the_one_at_fault_is_named() {
    let tags = |n: usize| -> Vec<String> { (0..n).map(|n| format!("tag{n}")).collect() };
    for (change, pointer) in [
        (json!({}), "/timeline"),
        (json!({"hashtags": ["rust", "#go"]}), "/hashtags/1"),
        (json!({"hashtags": ["two words"]}), "/hashtags/0"),
        (json!({"hashtags": ["2024"]}), "/hashtags/0"),
        (json!({"hashtags": [""]}), "/hashtags/0"),
        (json!({"local_hashtags": ["a/b"]}), "/local_hashtags/0"),
        (json!({"lists": ["../1"]}), "/lists/0"),
        (json!({"lists": [""]}), "/lists/0"),
        (json!({"hashtags": tags(101)}), "/hashtags"),
        (
            json!({"timeline": "public", "track": ["a", "b,c"]}),
            "/track/1",
        ),
        (
            json!({"timeline": "public", "track": vec!["a"; 401]}),
            "/track",
        ),
        (
            json!({"timeline": "public", "languages": ["en", "e"]}),
            "/languages/1",
        ),
        (
            json!({"timeline": "public", "catch_up_pages": 0}),
            "/catch_up_pages",
        ),
        (json!({"timeline": "public", "rewind": "7h"}), "/rewind"),
        (
            json!({"timeline": "public", "max_message_bytes": 10}),
            "/max_message_bytes",
        ),
        (
            json!({"timeline": "public", "stall_timeout": "0s"}),
            "/stall_timeout",
        ),
        (
            json!({"timeline": "public", "access_token": "a b"}),
            "/access_token",
        ),
        (
            json!({"timeline": "public", "access_token": ""}),
            "/access_token",
        ),
    ] {
        let error = plan(change.clone()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{change}: {error}");
    }
    for url in [
        "nonsense",
        "ftp://a",
        "https://u:p@a",
        "https://a/api",
        "https://a?x=1",
    ] {
        let error = plan(json!({"timeline": "public", "url": url})).unwrap_err();
        assert_eq!(error.pointer, "/url", "{url}");
    }
}

#[test]
fn the_plan_says_what_is_to_be_known() {
    let planned = plan(json!({"hashtags": tags_of_all_sorts()})).unwrap();
    assert!(planned.live && planned.warnings.is_empty());
    let bytes: u64 = planned.memory.iter().map(|memory| memory.bytes).sum();
    assert!(bytes < 32 << 20, "{bytes}");
    let less = plan(json!({"timeline": "local", "catch_up": false})).unwrap();
    assert!(less.memory.len() < planned.memory.len());
    let options = json!({"url": "https://a.example", "timeline": "public"});
    let (_, without) = Harness::<ThisPlugin>::plan("source", "mastodon", &options, &[]).unwrap();
    assert!(without.warnings[0].contains("since version 4.2"));
}

/// Each once, whatever its case.
fn tags_of_all_sorts() -> Vec<&'static str> {
    vec!["rust", "RUST", "日本", "été_2024", "rust"]
}
