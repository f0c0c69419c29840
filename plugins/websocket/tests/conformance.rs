//! The contract of every stage.

use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use plugin_websocket::ThisPlugin;
use serde_json::json;

#[test]
fn the_sink_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    conformance::sink::<ThisPlugin, _>(
        "websocket",
        &ContentType::json(),
        &[batch_of([r#"{"a":1}"#, "{torn"]), batch_of([r#"{"a":2}"#])],
        folder.path(),
        |_| json!({"listen": "127.0.0.1:0"}),
        conformance::files,
    );
}
