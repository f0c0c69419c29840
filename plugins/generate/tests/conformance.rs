//! The contract of every stage.

use plugin_api::testing::conformance;
use plugin_generate::ThisPlugin;
use serde_json::json;

#[test]
fn a_stream_keeps_the_contract() {
    let start = "2026-11-24T09:00:00Z";
    for (options, records) in [
        (json!({"count": 60, "start_time": start}), 100),
        (json!({"start_time": start, "deletes": 0.2}), 60),
        (
            json!({"count": 30, "start_time": start, "kind": "users"}),
            30,
        ),
    ] {
        conformance::source::<ThisPlugin>("generate", &options, records);
    }
}
