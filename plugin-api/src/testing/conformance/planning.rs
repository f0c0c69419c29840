//! Manifest and plan: pure, and helpful about what is wrong.

use serde_json::{Value, json};

use super::{Subject, must};
use crate::{Code, ContentType, abi::root::Plugin, manifest::Manifest, testing::Harness};

/// Checks what is known of a stage before it is opened: the manifest tells every option in words,
/// manifest and plan say the same each time, and a wrong option is named by its pointer. Part of
/// the other checks; alone for stages that need a service to be opened.
///
/// # Panics
/// If one of these is not so.
pub fn plan<P: Plugin>(kind: &'static str, name: &str, options: &Value, inputs: &[ContentType]) {
    planned::<P>(&Subject::new::<P>(kind, name, options, inputs));
}

pub(super) fn planned<P: Plugin>(subject: &Subject<'_>) {
    let (kind, name) = (subject.kind, subject.name);
    let manifest = Manifest::of::<P>();
    assert_eq!(
        manifest,
        Manifest::of::<P>(),
        "the manifest differs from call to call"
    );
    let stage = manifest
        .stages
        .iter()
        .find(|s| s.name == name && s.kind.as_str() == kind);
    let stage = stage.unwrap_or_else(|| panic!("the manifest has no {kind} `{name}`"));
    assert!(
        !stage.description.is_empty(),
        "the options of `{name}` have no doc comment"
    );
    let try_plan =
        |options: &Value| Harness::<P>::plan(kind, name, options, subject.inputs).map(|p| p.1);
    let first = must("plan", try_plan(subject.options));
    let again = must("plan", try_plan(subject.options));
    assert_eq!(
        json!(first),
        json!(again),
        "the plan differs from call to call"
    );

    let wrong = |name: &str, value: Value| {
        let mut options = subject.options.clone();
        options[name] = value;
        let error = try_plan(&options).err();
        let error = error.unwrap_or_else(|| panic!("plan takes {options}"));
        assert_eq!(error.code, Code::CONFIG, "of {options}: {error}");
        error
    };
    let error = wrong("no_such_option", json!(1));
    assert!(
        error.message.contains("no_such_option") || error.pointer.contains("no_such_option"),
        "an unknown option is not named: {error}"
    );
    let none = serde_json::Map::new();
    let properties = stage.options["properties"].as_object().unwrap_or(&none);
    for (option, schema) in properties {
        let described = schema["description"].is_string() || schema["$ref"].is_string();
        assert!(described, "the option `{option}` has no doc comment");
        if takes_no_table(schema) {
            let error = wrong(option, json!({"no": "such"}));
            let at = format!("/{option}");
            assert!(
                error.pointer.starts_with(&at),
                "a wrong `{option}` is not named by the pointer {at}, but by `{}`: {error}",
                error.pointer
            );
        }
    }
}

/// Whether a table is a wrong value by its schema.
fn takes_no_table(schema: &Value) -> bool {
    let scalar = |t: &Value| {
        let known = ["string", "integer", "number", "boolean", "null", "array"];
        t.as_str().is_some_and(|t| known.contains(&t))
    };
    match &schema["type"] {
        Value::Array(types) => types.iter().all(scalar),
        one => scalar(one),
    }
}
