//! What of the contract needs no connection.

use plugin_api::{ContentType, testing::conformance};
use plugin_twitter::ThisPlugin;
use serde_json::json;

#[test]
fn plans_keep_the_contract() {
    let credentials = json!({
        "consumer_key": "k", "consumer_secret": "s", "token": "t", "token_secret": "ts"
    });
    let source = json!({"track": ["rust"], "credentials": credentials});
    conformance::plan::<ThisPlugin>("source", "twitter", &source, &[]);
    let sink = json!({"listen": "127.0.0.1:0", "credentials": credentials});
    let inputs = [ContentType::json()];
    conformance::plan::<ThisPlugin>("sink", "twitter-server", &sink, &inputs);
}
