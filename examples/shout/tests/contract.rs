use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use serde_json::json;

#[test]
fn shout_keeps_the_contract_of_every_stage() {
    conformance::processor::<shout::ThisPlugin>(
        "shout",
        &json!({"suffix": "!"}),
        &ContentType::text(),
        &[batch_of(["one", "two"]), batch_of([&b"three"[..], b"\xff"])],
    );
}
