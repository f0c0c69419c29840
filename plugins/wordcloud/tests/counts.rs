//! What is counted, case by case: each file of `counts/` has a `case`s array; to add one, add an
//! entry, or a file; no code is needed.
//!
//! * `name`;
//! * `input`, the content type: `text` (by default), or `json`; `with`, the stage's options;
//! * `records`: texts, JSON values, or `{"at": seconds, "key": "…", "value": …}`;
//! * `words`: what the last cloud has, each word with its count, most frequent first. With
//!   `group_by` instead `clouds`: the same for each group;
//! * `passed`: how many records count nowhere, by default none.
//!
//! Where the words stand is left to `cases/`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plugin_api::testing::Harness;
use plugin_api::{BatchBuilder, ContentType, Format};
use plugin_wordcloud::ThisPlugin;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const EPOCH_US: i64 = 1_600_000_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    input: Option<Format>,
    #[serde(default)]
    with: Map<String, Value>,
    records: Vec<Value>,
    #[serde(default)]
    words: Option<Value>,
    #[serde(default)]
    clouds: BTreeMap<String, Value>,
    #[serde(default)]
    passed: u64,
}

/// A JSON object with the words of a frame in their order.
fn words(frame: &Value) -> Value {
    let words = frame["words"].as_array().unwrap();
    let pair = |word: &Value| {
        (
            word["text"].as_str().unwrap().to_owned(),
            word["count"].clone(),
        )
    };
    Value::Array(
        words
            .iter()
            .map(pair)
            .map(|(text, count)| json!([text, count]))
            .collect(),
    )
}

fn expected(words: &Value) -> Value {
    match words {
        // `["a", "b"]`: each once, in the order of the alphabet.
        Value::Array(list) => list.iter().map(|word| json!([word, 1])).collect(),
        Value::Object(counts) => {
            let mut list: Vec<(&String, &Value)> = counts.iter().collect();
            list.sort_by_key(|(word, count)| (-count.as_i64().unwrap(), word.to_lowercase()));
            list.into_iter()
                .map(|(word, count)| json!([word, count]))
                .collect()
        }
        other => panic!("`words` is {other}"),
    }
}

fn run(case: &Case, folder: &Path) -> Result<(), String> {
    let mut with = case.with.clone();
    with.insert("fps".into(), json!(0));
    if let Some(Value::String(path)) = with.get_mut("stop_file") {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
    let format = case.input.unwrap_or(Format::Text);
    let input = ContentType::new(format);
    let mut stage =
        Harness::<ThisPlugin>::processor("wordcloud", &Value::Object(with), &[input]).unwrap();
    let mut builder = BatchBuilder::new();
    for record in &case.records {
        let wrapped = record.get("value");
        let value = wrapped.unwrap_or(record);
        let bytes = match value {
            Value::String(text) if format == Format::Text => text.clone(),
            other => other.to_string(),
        };
        let at = wrapped.and_then(|_| record["at"].as_i64());
        let key = wrapped.and_then(|_| record["key"].as_str());
        builder
            .push(Some(bytes.as_bytes()))
            .key(key.map(str::as_bytes))
            .ts_us(at.map(|at| EPOCH_US + at * 1_000_000));
    }
    let outcome = stage.process(0, &builder.finish()).unwrap();
    if outcome.filtered_count() != case.passed {
        return Err(format!("{} records passed over", outcome.filtered_count()));
    }
    if !outcome.rejected.is_empty() {
        return Err(format!("rejected: {:?}", outcome.rejected));
    }
    let frames = stage.end(0).unwrap().texts();
    let frames: Vec<Value> = frames
        .iter()
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect();
    let group = |frame: &Value| frame["group"].as_str().unwrap_or_default().to_owned();
    let came: BTreeMap<String, Value> = frames
        .iter()
        .map(|frame| (group(frame), words(frame)))
        .collect();
    let mut wanted: BTreeMap<String, Value> = case
        .clouds
        .iter()
        .map(|(group, words)| (group.clone(), expected(words)))
        .collect();
    if let Some(words) = &case.words {
        wanted.insert(String::new(), expected(words));
    }
    if came == wanted {
        return Ok(());
    }
    Err(format!("{}\n  instead of {}", json!(came), json!(wanted)))
}

#[test]
fn every_case_is_counted_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file: File =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for case in file.cases {
            count += 1;
            if let Err(why) = run(&case, &folder) {
                wrong.push(format!("{}: {why}", case.name));
            }
        }
    }
    println!("{count} cases");
    assert!(count > 40, "{count}");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
