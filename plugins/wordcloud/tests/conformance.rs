//! The contract of every stage.

use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use plugin_wordcloud::ThisPlugin;
use serde_json::json;

#[test]
fn a_word_cloud_keeps_the_contract() {
    let sample = [
        batch_of(["rust and kafka", "kafka rust", ""]),
        batch_of(["rust"]),
        batch_of(["avro avro avro", "a window of four records", "rust"]),
    ];
    // One frame, at the end: where the words of later frames stand depends on earlier ones.
    for options in [
        json!({"fps": 0, "window": "4 records"}),
        json!({"fps": 0, "window": "1h", "format": "svg"}),
    ] {
        let input = ContentType::text();
        conformance::processor::<ThisPlugin>("wordcloud", &options, &input, &sample);
    }
}
