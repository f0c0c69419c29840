//! What of the contract needs no connection.

use plugin_api::testing::conformance;
use plugin_x::ThisPlugin;
use serde_json::json;

#[test]
fn plans_keep_the_contract() {
    let options = json!({
        "track": ["rust"],
        "rules": [{"value": "from:rustlang", "tag": "news"}],
        "bearer_token": "t",
        "max_posts": {"day": 100, "month": 1_000, "file": "posts.json"},
    });
    conformance::plan::<ThisPlugin>("source", "x", &options, &[]);
}
