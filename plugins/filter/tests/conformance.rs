//! The contract of every stage, held by both processors.

use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use plugin_filter::ThisPlugin;
use serde_json::json;

#[test]
fn filter_and_route_keep_the_contract() {
    let sample = [
        batch_of([r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a""#]),
        batch_of([r#"{"b":1}"#, r#"{"a":1,"b":"a"}"#]),
    ];
    let field = json!({"field": "a", "equals": 1});
    let cases = json!({"cases": [{"contains": "b"}, {"regex": "a.*1", "ignore_case": true}]});
    for (name, options) in [
        ("filter", &field),
        ("filter", &json!({"contains": "b", "mode": "drop"})),
        ("route", &field),
        ("route", &cases),
    ] {
        let input = ContentType::json();
        conformance::processor::<ThisPlugin>(name, options, &input, &sample);
    }
}
