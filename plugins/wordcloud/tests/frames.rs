//! What frames say, and their schema, which is that of the types that are written.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use plugin_api::testing::{Harness, Outcome};
use plugin_api::{Batch, BatchBuilder, ContentType, schemars};
use plugin_wordcloud::ThisPlugin;
use plugin_wordcloud::frame::Frame;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

fn schema() -> Value {
    schemars::schema_for!(Frame<'_>).to_value()
}

#[test]
fn the_schema_of_frames_is_as_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("schemas/wordcloud.schema.json");
    let wanted = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "schemas/wordcloud.schema.json is not up to date: run UPDATE_DOCS=1 cargo test -p plugin-wordcloud --test frames"
    );
}

/// An object has all fields that it must have by the schema, and none that it must not.
fn fits(object: &Value, schema: &Value) {
    let known = schema["properties"].as_object().unwrap();
    for field in object.as_object().unwrap().keys() {
        assert!(known.contains_key(field), "`{field}` is not in the schema");
    }
    for field in schema["required"].as_array().unwrap() {
        let field = field.as_str().unwrap();
        assert!(object.get(field).is_some(), "no `{field}` in {object}");
    }
}

fn frames(outcome: &Outcome) -> Vec<Value> {
    let schema = schema();
    let frames: Vec<Value> = outcome
        .texts()
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    for frame in &frames {
        fits(frame, &schema);
        for word in frame["words"].as_array().unwrap() {
            fits(word, &schema["$defs"]["Item"]);
        }
    }
    frames
}

fn keyed(records: &[(&str, &str)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (key, text) in records {
        builder
            .push(Some(text.as_bytes()))
            .key(Some(key.as_bytes()));
    }
    builder.finish()
}

fn open(options: &Value) -> Stage {
    Stage::processor("wordcloud", options, &[ContentType::text()]).unwrap()
}

/// The frames of all groups that are due, in as many calls as they take.
fn due(stage: &mut Stage) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let outcome = stage.tick().unwrap().1;
        if outcome.emitted() == 0 {
            return all;
        }
        all.extend(frames(&outcome));
    }
}

/// Text, key, count and change of a word.
fn word(word: &Value) -> (&str, &str, u64, Option<i64>) {
    let text = word["text"].as_str().unwrap();
    let key = word["key"].as_str().unwrap_or(text);
    let count = word["count"].as_u64().unwrap();
    (text, key, count, word["change"].as_i64())
}

fn words(frame: &Value) -> Vec<(&str, &str, u64, Option<i64>)> {
    frame["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(word)
        .collect()
}

#[test]
fn a_frame_says_what_changed_since_the_last_of_its_group() {
    let mut stage = open(&json!({"group_by": "@key", "window": "2 records"}));
    let first = [("a", "Storm storm STORM Storm sun"), ("b", "calm")];
    stage.process(0, &keyed(&first)).unwrap();
    let came = due(&mut stage);
    assert_eq!(
        (&came[0]["group"], &came[1]["group"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(
        words(&came[0]),
        [("Storm", "storm", 4, None), ("sun", "sun", 1, None)]
    );
    stage.host().advance(1_000_000_000);
    let next = [("a", "rain storm"), ("a", "rain storm")];
    stage.process(0, &keyed(&next)).unwrap();
    let came = due(&mut stage);
    assert_eq!(came.len(), 1, "b has not changed");
    assert_eq!(
        words(&came[0]),
        [("rain", "rain", 2, None), ("storm", "storm", 2, Some(-2))]
    );
    assert_eq!(came[0]["gone"], json!(["sun"]));
    assert_eq!(came[0]["samples"], json!(["rain storm"]));
    assert_eq!(came[0]["words"][1]["samples"], json!([0]));
    assert_eq!(came[0]["seq"], 3);
}

#[test]
fn a_group_that_has_become_empty_says_so_once() {
    let mut stage = open(&json!({"group_by": "@key", "window": "10s"}));
    stage.process(0, &keyed(&[("a", "storm")])).unwrap();
    assert_eq!(stage.tick().unwrap().1.emitted(), 1);
    stage.host().advance(20_000_000_000);
    let outcome = stage.tick().unwrap().1;
    assert_eq!(words(&frames(&outcome)[0]), []);
    assert_eq!(frames(&outcome)[0]["gone"], json!(["storm"]));
    stage.host().advance(20_000_000_000);
    assert_eq!(stage.tick().unwrap().1.emitted(), 0);
    assert_eq!(stage.host().metric_value("wordcloud_groups"), 0.0);
}

#[test]
fn a_group_that_made_room_for_another_says_that_it_is_empty() {
    let mut stage = open(&json!({"group_by": "@key", "max_groups": 2}));
    let first = [("a", "storm"), ("b", "calm")];
    stage.process(0, &keyed(&first)).unwrap();
    assert_eq!(due(&mut stage).len(), 2);
    stage.host().advance(1_000_000_000);
    // Others take the place of both; one of them comes again before it has said so.
    let next = [
        ("c", "rain"),
        ("d", "sun"),
        ("b", "calm hail"),
        ("b", "calm"),
    ];
    stage.process(0, &keyed(&next)).unwrap();
    let (state, _) = stage.checkpoint(1, false).unwrap();
    let mut other = open(&json!({"group_by": "@key", "max_groups": 2}));
    other.restore(1, 4, Some(&state)).unwrap();
    other.host().advance(1_000_000_000);
    for stage in [&mut stage, &mut other] {
        let mut came = due(stage);
        came.sort_by_key(|frame| frame["group"].to_string());
        let said = |frame: &Value| (frame["group"].clone(), frame["gone"].clone());
        assert_eq!(
            came.iter().map(said).collect::<Vec<_>>(),
            [
                (json!("a"), json!(["storm"])),
                (json!("b"), Value::Null),
                (json!("d"), Value::Null)
            ]
        );
        assert_eq!(words(&came[0]), []);
        assert_eq!(words(&came[1])[0], ("calm", "calm", 2, Some(1)));
        assert_eq!(stage.host().metric_value("wordcloud_groups"), 2.0);
        stage.host().advance(1_000_000_000);
        assert_eq!(due(stage).len(), 0);
    }
}

#[test]
fn a_host_without_room_gets_the_other_frames_in_the_next_call() {
    let mut stage = open(&json!({"group_by": "@key"}));
    let keys = ["a", "b", "c", "d", "e"];
    stage
        .process(0, &keyed(&keys.map(|key| (key, "storm"))))
        .unwrap();
    stage.room(2);
    let mut calls = Vec::new();
    while calls.iter().sum::<usize>() < keys.len() {
        calls.push(stage.tick().unwrap().1.emitted());
        assert!(calls.len() < 10);
    }
    assert!(calls.iter().all(|frames| *frames <= 2), "{calls:?}");
}

#[test]
fn groups_by_another_field_begin_anew() {
    let mut stage = open(&json!({"group_by": "@key"}));
    stage.process(0, &keyed(&[("a", "storm")])).unwrap();
    due(&mut stage);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    let mut other = open(&json!({}));
    other.restore(1, 4, Some(&state)).unwrap();
    other.process(0, &keyed(&[("a", "rain")])).unwrap();
    let came = frames(&other.end(0).unwrap());
    assert_eq!(came.len(), 1);
    assert_eq!(words(&came[0]), [("rain", "rain", 1, None)]);
    assert_eq!(came[0]["seq"], 2);
    assert_eq!(other.host().log_lines().len(), 1);
}

#[test]
fn words_that_other_options_leave_out_do_not_come_back_from_a_checkpoint() {
    for window in ["all", "10 records"] {
        let options = json!({"window": window, "bigrams": true, "mentions": true});
        let mut stage = open(&options);
        let text = "Storm tide, #Storm for @ann and @bob: calm tide 2 Storm";
        stage.process(0, &keyed(&[("", text)])).unwrap();
        due(&mut stage);
        let (state, _) = stage.checkpoint(1, false).unwrap();
        let fewer = json!({"window": window, "stop": ["storm"]});
        for (options, known, tokens) in [(&options, 8, 10), (&fewer, 2, 3)] {
            let mut other = open(options);
            other.restore(1, 6, Some(&state)).unwrap();
            other.process(0, &keyed(&[("", "sun")])).unwrap();
            let frame = &frames(&other.end(0).unwrap())[0];
            assert_eq!(
                frame["words"].as_array().unwrap().len(),
                known + 1,
                "{frame}"
            );
            assert_eq!(frame["tokens"], tokens + 1, "{frame}");
        }
    }
}

#[test]
fn a_word_that_new_options_leave_out_leaves_with_a_frame_of_its_own() {
    let mut stage = open(&json!({}));
    stage.process(0, &keyed(&[("", "storm")])).unwrap();
    due(&mut stage);
    let (state, _) = stage.checkpoint(1, false).unwrap();
    let mut other = open(&json!({"stop": ["storm"]}));
    other.restore(1, 6, Some(&state)).unwrap();
    let frame = &frames(&other.end(0).unwrap())[0];
    assert_eq!(frame["gone"], json!(["storm"]));
}

#[test]
fn with_the_same_options_every_word_comes_back() {
    let text = "ﷺ 喜欢音乐喜欢 Straße ßßßßßß #️⃣ 😀 C'est U.S. l'été";
    // The first sign stands for 18 characters, and the key of the sixes has seven.
    for (max_length, distinct) in [(6, 17), (40, 19)] {
        let options = json!({
            "window": "all", "bigrams": true, "max_length": max_length, "emoji": true,
            "hashtags": false, "languages": ["en", "ar"],
        });
        let mut stage = open(&options);
        stage.process(0, &keyed(&[("", text)])).unwrap();
        let (state, _) = stage.checkpoint(1, false).unwrap();
        let mut other = open(&options);
        other.restore(1, 6, Some(&state)).unwrap();
        let came = [&mut stage, &mut other].map(|stage| {
            let frame = &frames(&stage.end(0).unwrap())[0];
            assert_eq!(frame["distinct"], distinct, "{frame}");
            frame["words"].clone()
        });
        assert_eq!(came[0], came[1]);
    }
}

#[test]
fn with_another_case_the_clouds_begin_anew() {
    let mut stage = open(&json!({}));
    stage.process(0, &keyed(&[("", "Storm")])).unwrap();
    let (state, _) = stage.checkpoint(1, false).unwrap();
    let mut other = open(&json!({"case": "keep"}));
    other.restore(1, 6, Some(&state)).unwrap();
    other.process(0, &keyed(&[("", "Storm storm")])).unwrap();
    let frame = &frames(&other.end(0).unwrap())[0];
    assert_eq!(
        words(frame),
        [("Storm", "Storm", 1, None), ("storm", "storm", 1, None)]
    );
}

#[test]
fn a_frame_in_a_million_years_is_one_at_the_end() {
    let mut stage = open(&json!({"fps": 1e-20}));
    stage.process(0, &keyed(&[("", "storm")])).unwrap();
    stage.tick().unwrap();
    stage.host().advance(1_000_000_000);
    stage.process(0, &keyed(&[("", "storm")])).unwrap();
    stage.tick().unwrap();
    assert_eq!(stage.end(0).unwrap().emitted(), 1);
}

#[test]
fn without_frames_a_second_there_is_one_at_the_end() {
    let mut stage = open(&json!({"fps": 0, "window": "all", "samples": 0}));
    for _ in 0..3 {
        assert_eq!(
            stage
                .process(0, &keyed(&[("", "storm")]))
                .unwrap()
                .emitted(),
            0
        );
        let (next, outcome) = stage.tick().unwrap();
        assert_eq!((next, outcome.emitted()), (None, 0));
        stage.host().advance(10_000_000_000);
    }
    let outcome = stage.end(0).unwrap();
    let came = frames(&outcome);
    assert_eq!(came.len(), 1);
    assert_eq!(
        (&came[0]["records"], &came[0]["tokens"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(words(&came[0]), [("storm", "storm", 3, None)]);
}

#[test]
fn a_restored_stage_goes_on_with_its_groups_and_what_they_showed() {
    let options = json!({"group_by": "@key", "window": "3 records", "retweets": "once"});
    let mut stage = open(&options);
    stage
        .process(
            0,
            &keyed(&[("a", "Storm"), ("b", "calm"), ("a", "RT @x: sun")]),
        )
        .unwrap();
    due(&mut stage);
    stage.process(0, &keyed(&[("a", "STORM Storm")])).unwrap();
    let (state, _) = stage.checkpoint(1, false).unwrap();
    let mut other = open(&options);
    other.restore(1, 4, Some(&state)).unwrap();
    let more = keyed(&[("a", "RT @x: sun"), ("a", "rain"), ("b", "calm")]);
    let mut ends = [&mut stage, &mut other].map(|stage| {
        stage.process(0, &more).unwrap();
        frames(&stage.end(0).unwrap())
    });
    for frame in ends.iter_mut().flatten() {
        let frame = frame.as_object_mut().unwrap();
        // Time passes.
        for time in ["time_ms", "newest_ms"] {
            assert!(frame.remove(time).is_some());
        }
        assert!(frame["words"][0]["x"].is_number());
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[1].len(), 2);
}
