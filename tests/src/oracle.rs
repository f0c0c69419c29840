//! Records as Python found them, to be held against records as we did.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::python::Python;

/// What an input holds.
#[derive(Debug)]
pub struct Expected {
    /// Records, in the order of the input.
    pub records: Vec<Value>,
    /// Tweets that lack a required field.
    pub dead: u64,
    /// Lines that are no tweets.
    pub other: u64,
}

/// Extracts the fields of the original's schema from messages, one a line.
///
/// # Panics
/// If the script fails.
#[must_use]
pub fn extract(python: &Python, original_schema: &Path, lines: &Path) -> Expected {
    let mut records = python.json_lines("extract.py", &[original_schema, lines]);
    let counts = records.pop().expect("the counts");
    let count = |name: &str| counts[name].as_u64().expect("a count");
    assert_eq!(count("records"), records.len() as u64);
    Expected {
        dead: count("dead"),
        other: count("other"),
        records,
    }
}

/// Both hold the same records, each once, in any order.
///
/// # Panics
/// Naming the ids that are missing, too much or double, or the first fields that differ.
pub fn assert_same_records(ours: &[Value], expected: &[Value], id: &str) {
    let (ours_by_id, expected_by_id) = (by_id(ours, id), by_id(expected, id));
    let missing: Vec<_> = expected_by_id
        .keys()
        .filter(|id| !ours_by_id.contains_key(*id))
        .collect();
    let extra: Vec<_> = ours_by_id
        .keys()
        .filter(|id| !expected_by_id.contains_key(*id))
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, too much {extra:?}"
    );
    for (id, expected) in &expected_by_id {
        let ours = &ours_by_id[id];
        assert_eq!(
            ours.len(),
            expected.len(),
            "record {id} is there that many times"
        );
        for (ours, expected) in ours.iter().zip(expected) {
            let fields = expected.as_object().expect("a record");
            for (name, value) in fields {
                assert_eq!(&ours[name], value, "field {name} of {id}");
            }
            assert_eq!(
                ours.as_object().map(serde_json::Map::len),
                Some(fields.len()),
                "{id}"
            );
        }
    }
}

/// Records by id; an archive may hold a tweet twice, then both are compared in order.
fn by_id<'a>(records: &'a [Value], id: &str) -> BTreeMap<String, Vec<&'a Value>> {
    let mut by_id: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for record in records {
        by_id
            .entry(record[id].to_string())
            .or_default()
            .push(record);
    }
    by_id
}
