//! What of the contract can be shown without printing.

use plugin_api::{ContentType, testing::conformance};
use plugin_console::ThisPlugin;
use serde_json::json;

#[test]
fn plans_keep_the_contract() {
    let inputs = [ContentType::json()];
    conformance::plan::<ThisPlugin>("sink", "console", &json!({"format": "json"}), &inputs);
}
