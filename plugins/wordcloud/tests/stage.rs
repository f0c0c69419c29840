//! The stage through the real boundary: content types, fates, frames, bounds.
#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, Outcome, batch_of};
use plugin_api::{Batch, BatchBuilder, ContentType, Format};
use plugin_wordcloud::ThisPlugin;
use serde_json::{Value, json};

type Stage = Harness<ThisPlugin>;

const SCHEMA: &str = r#"{"type":"record","name":"Tweet","fields":[
    {"name":"t_id","type":"long"},{"name":"t_text","type":"string"},{"name":"r_text","type":["string","null"]}]}"#;

fn open(options: &Value, input: ContentType) -> Stage {
    Stage::processor("wordcloud", options, &[input]).unwrap()
}

fn frames(outcome: &Outcome) -> Vec<Value> {
    outcome
        .texts()
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

fn counts(frame: &Value) -> Vec<(&str, u64)> {
    let words = frame["words"].as_array().unwrap();
    words
        .iter()
        .map(|word| {
            (
                word["text"].as_str().unwrap(),
                word["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn plan_error(options: &Value, input: ContentType) -> (String, String) {
    let error = Stage::plan("processor", "wordcloud", options, &[input])
        .err()
        .unwrap();
    (error.pointer, error.message)
}

#[test]
fn json_avro_and_text_give_the_same_cloud() {
    let texts = ["rust and kafka", "kafka rust", "rust"];
    let json: Batch = batch_of(texts.map(|text| json!({"id": 1, "text": text}).to_string()));
    let avro: Batch = batch_of(texts.map(|text| {
        let mut datum = vec![2, text.len() as u8 * 2];
        datum.extend(text.as_bytes());
        datum.push(2);
        datum
    }));
    for (input, batch) in [
        (ContentType::json(), json),
        (ContentType::avro(SCHEMA), avro),
        (ContentType::text(), batch_of(texts)),
    ] {
        let mut stage = open(&json!({}), input);
        let outcome = stage.process(0, &batch).unwrap();
        assert_eq!((outcome.emitted(), outcome.rejected.len()), (0, 0));
        let (next, outcome) = stage.tick().unwrap();
        assert!(next.is_some());
        let frames = frames(&outcome);
        assert_eq!(frames.len(), 1);
        assert_eq!(counts(&frames[0]), [("rust", 3), ("kafka", 2)]);
        assert_eq!(
            (
                &frames[0]["seq"],
                &frames[0]["records"],
                &frames[0]["tokens"]
            ),
            (&json!(1), &json!(3), &json!(5))
        );
    }
}

#[test]
fn a_frame_goes_out_once_an_interval_and_only_when_counts_changed() {
    let mut stage = open(&json!({"fps": 0.5}), ContentType::text());
    assert_eq!(stage.tick().unwrap().1.emitted(), 0);
    stage.process(0, &batch_of(["one"])).unwrap();
    assert_eq!(
        stage.tick().unwrap().1.emitted(),
        0,
        "the interval since the first tick has not passed"
    );
    stage.host().advance(2_000_000_000);
    assert_eq!(stage.tick().unwrap().1.emitted(), 1);
    stage.host().advance(2_000_000_000);
    assert_eq!(stage.tick().unwrap().1.emitted(), 0);
    stage.process(0, &batch_of(["two"])).unwrap();
    let last = stage.end(0).unwrap();
    assert_eq!(frames(&last)[0]["seq"], 2);
    assert_eq!(stage.end(0).unwrap().emitted(), 0);
}

#[test]
fn records_without_a_text_are_rejected_with_a_reason() {
    let mut stage = open(&json!({"text": ["body.text"]}), ContentType::json());
    let batch = batch_of([
        r#"{"body":{"text":"storm"}}"#,
        "{",
        r#"{"delete":{}}"#,
        r#"{"body":{"text":7}}"#,
    ]);
    let outcome = stage.process(0, &batch).unwrap();
    let reasons: Vec<_> = outcome
        .rejected
        .iter()
        .map(|(_, index, reason, _)| (*index, reason.as_str()))
        .collect();
    assert_eq!(
        reasons.iter().map(|reason| reason.0).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        reasons[0].1.starts_with("not JSON at byte "),
        "{}",
        reasons[0].1
    );
    assert!(reasons[1].1.starts_with("no text at "), "{}", reasons[1].1);
    assert_eq!(outcome.consumed_count(), 1);
    let mut stage = open(&json!({}), ContentType::avro(SCHEMA));
    let outcome = stage
        .process(0, &batch_of([vec![2, 200, 1], vec![2, 2, b'x', 2]]))
        .unwrap();
    assert_eq!((outcome.rejected.len(), outcome.consumed_count()), (1, 1));
}

#[test]
fn a_window_of_time_goes_by_the_time_of_the_records() {
    let mut stage = open(&json!({"window": "10s"}), ContentType::text());
    let timed = |records: &[(&str, i64)]| {
        let mut builder = BatchBuilder::new();
        for (text, seconds) in records {
            builder
                .push(Some(text.as_bytes()))
                .ts_us(Some(1_600_000_000_000_000 + seconds * 1_000_000));
        }
        builder.finish()
    };
    let outcome = stage
        .process(
            0,
            &timed(&[
                ("early", 0),
                ("later", 9),
                ("fresh", 10),
                ("stale", 0),
                ("held", 5),
            ]),
        )
        .unwrap();
    assert_eq!((outcome.filtered_count(), outcome.consumed_count()), (1, 4));
    let outcome = stage.tick().unwrap().1;
    assert_eq!(
        counts(&frames(&outcome)[0]),
        [("fresh", 1), ("held", 1), ("later", 1)]
    );
    // The stream goes quiet: the clock takes over.
    stage.host().advance(6_000_000_000);
    let outcome = stage.tick().unwrap().1;
    assert_eq!(counts(&frames(&outcome)[0]), [("fresh", 1), ("later", 1)]);
    stage.host().advance(60_000_000_000);
    let outcome = stage.tick().unwrap().1;
    assert_eq!(counts(&frames(&outcome)[0]), []);
    stage.host().advance(60_000_000_000);
    assert_eq!(stage.tick().unwrap().1.emitted(), 0);
}

#[test]
fn records_of_a_file_say_their_time_themselves() {
    let at = |seconds: i64| 1_600_000_000 + seconds;
    let tweets = [
        json!({"text": "gone", "timestamp_ms": (at(0) * 1000).to_string()}),
        json!({"text": "first", "created_at": "Sun Sep 13 12:26:45 +0000 2020"}),
        json!({"text": "second", "created_at": "2020-09-13T12:26:50Z"}),
        // Without a time it counts as of the newest, and empties nothing.
        json!({"text": "third", "created_at": "soon"}),
        json!({"text": "fourth", "time_us": at(12) * 1_000_000}),
        json!({"text": "late", "timestamp_ms": at(1) * 1000}),
    ];
    let mut stage = open(&json!({"window": "10s"}), ContentType::json());
    let batch = batch_of(tweets.map(|tweet| tweet.to_string()));
    let outcome = stage.process(0, &batch).unwrap();
    assert_eq!((outcome.filtered_count(), outcome.consumed_count()), (1, 5));
    let frame = &frames(&stage.end(0).unwrap())[0];
    assert_eq!(frame["newest_ms"], at(12) * 1000);
    let shown = [("first", 1), ("fourth", 1), ("second", 1), ("third", 1)];
    assert_eq!(counts(frame), shown);

    // The number of a tweet tells when it was written: 664 ms apart.
    let tweet = |id: u64, text: &str| {
        let mut datum = Vec::new();
        let mut zigzag = id << 1;
        while zigzag > 0x7f {
            datum.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        datum.extend([zigzag as u8, text.len() as u8 * 2]);
        datum.extend(text.as_bytes());
        datum.push(2);
        datum
    };
    let id = 1_345_059_463_120_621_570;
    let mut stage = open(&json!({"window": "0.5s"}), ContentType::avro(SCHEMA));
    let batch = batch_of([tweet(id, "storm"), tweet(id + (664 << 22), "calm")]);
    stage.process(0, &batch).unwrap();
    let frame = &frames(&stage.end(0).unwrap())[0];
    assert_eq!(counts(frame), [("calm", 1)]);
}

/// A record of the past sets the clock, which goes on from there; what came before without a time
/// was never of now.
#[test]
fn records_without_a_time_go_by_the_clock_of_the_others() {
    let mut stage = open(&json!({"window": "10s"}), ContentType::json());
    let old = |text: &str| json!({"text": text, "created_at": "2020-09-13T12:26:40Z"}).to_string();
    let new = |text: &str| json!({"text": text}).to_string();
    let batch = batch_of([new("untold"), old("storm"), new("rain")]);
    let outcome = stage.process(0, &batch).unwrap();
    assert_eq!((outcome.filtered_count(), outcome.consumed_count()), (0, 3));
    for (text, shown) in [
        ("sun", &["rain", "storm", "sun", "untold"][..]),
        ("snow", &["snow", "sun"]),
        ("fog", &["fog", "snow"]),
    ] {
        stage.host().advance(6_000_000_000);
        stage.process(0, &batch_of([new(text)])).unwrap();
        let outcome = stage.tick().unwrap().1;
        let frame = &frames(&outcome)[0];
        let words: Vec<&str> = counts(frame).iter().map(|count| count.0).collect();
        assert_eq!(words, shown);
    }
}

/// A clock that is ahead of the host's by more than is believed.
#[test]
fn a_window_is_not_emptied_by_times_that_are_not_believed() {
    let mut stage = open(&json!({"window": "10s"}), ContentType::text());
    for turn in 0..4 {
        let now_us = 1_600_000_000_000_000 + turn * 6_000_000;
        stage.host().set_now_us(now_us);
        let mut builder = BatchBuilder::new();
        let ahead = now_us + 2_000_000;
        builder.push(Some(b"storm")).ts_us(Some(ahead));
        stage.process(0, &builder.finish()).unwrap();
        let outcome = stage.tick().unwrap().1;
        assert_eq!(counts(&frames(&outcome)[0]).len(), 1);
        stage.host().advance(6_000_000_000);
    }
}

#[test]
fn the_option_time_goes_before_the_time_that_a_record_came_with() {
    let mut stage = open(&json!({"time": ["seen", "at"]}), ContentType::json());
    let mut builder = BatchBuilder::new();
    let record = json!({"text": "storm", "at": 1_600_000_000, "timestamp_ms": "7"}).to_string();
    builder.push(Some(record.as_bytes())).ts_us(Some(7));
    stage.process(0, &builder.finish()).unwrap();
    let frame = &frames(&stage.end(0).unwrap())[0];
    assert_eq!(frame["newest_ms"], 1_600_000_000_000_i64);

    // The first that holds a time, and the number of a tweet by the last name of its path.
    let places = json!({"time": ["edited", "/data/id"]});
    let mut stage = open(&places, ContentType::json());
    let record = json!({"text": "storm", "edited": false, "data": {"id": "1345059463120621570"}});
    stage.process(0, &batch_of([record.to_string()])).unwrap();
    let frame = &frames(&stage.end(0).unwrap())[0];
    assert_eq!(frame["newest_ms"], 1_609_522_140_661_i64);

    let time = json!({"time": ["when"]});
    let (pointer, why) = plan_error(&time, ContentType::avro(SCHEMA));
    assert_eq!(pointer, "/time/0");
    assert!(
        why.starts_with("the schema has no field `when`: it has t_id,"),
        "{why}"
    );
    assert_eq!(plan_error(&time, ContentType::text()).0, "/time");
    let many = json!({"time": vec!["at"; 9]});
    assert_eq!(plan_error(&many, ContentType::json()).0, "/time");
}

#[test]
fn one_timestamp_from_the_future_does_not_empty_the_window() {
    for options in [
        json!({"window": "10m"}),
        json!({"window": "30s"}),
        json!({"window": "10m", "late": "drop", "lateness": "20s"}),
        json!({"late": "drop", "lateness": "20s"}),
    ] {
        let mut stage = open(&options, ContentType::text());
        let mut builder = BatchBuilder::new();
        builder.push(Some(b"first"));
        builder
            .push(Some(b"second"))
            .ts_us(Some(4_000_000_000_000_000));
        builder.push(Some(b"third"));
        let outcome = stage.process(0, &builder.finish()).unwrap();
        assert_eq!(outcome.consumed_count(), 3, "{options}");
        assert_eq!(outcome.filtered_count(), 0, "{options}");
        let outcome = stage.end(0).unwrap();
        assert_eq!(counts(&frames(&outcome)[0]).len(), 3, "{options}");
    }
}

#[test]
fn svg_comes_out_as_svg() {
    let mut stage = open(
        &json!({"format": "svg", "width": 320, "height": 200, "words": 20}),
        ContentType::text(),
    );
    assert_eq!(stage.planned().outputs, [ContentType::new(Format::Svg)]);
    stage.process(0, &batch_of(["storm & thunder"])).unwrap();
    let outcome = stage.end(0).unwrap();
    assert!(outcome.texts()[0].starts_with("<svg ") && outcome.texts()[0].ends_with("</svg>"));
}

#[test]
fn what_no_font_has_is_logged_once_and_its_picture_still_comes() {
    let options = json!({"format": "png", "width": 320, "height": 200, "words": 20,
        "system_fonts": false, "window": "1 records"});
    let mut stage = open(&options, ContentType::text());
    assert_eq!(stage.planned().outputs, [ContentType::new(Format::Png)]);
    for text in ["東京 storm", "東京 thunder"] {
        stage.process(0, &batch_of([text])).unwrap();
        let outcome = stage.end(0).unwrap();
        assert_eq!(outcome.emitted(), 1);
    }
    let said = stage.host().log_lines();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].message.contains("no font has 京東"), "{said:?}");
}

#[test]
fn bounds_on_memory_are_said_once() {
    let mut stage = open(
        &json!({"max_words": 2, "max_tokens": 1000}),
        ContentType::text(),
    );
    stage.process(0, &batch_of(["storm thunder rain"])).unwrap();
    stage.tick().unwrap();
    stage
        .process(0, &batch_of((0..200).map(|_| "storm thunder hail")))
        .unwrap();
    stage.end(0).unwrap();
    let warnings = stage.host().log_lines();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(stage.host().metric_value("wordcloud_words_refused"), 201.0);
    assert_eq!(stage.host().metric_value("wordcloud_records"), 100.0);
    assert_eq!(stage.host().metric_value("wordcloud_records_cut"), 101.0);
}

#[test]
fn padding_that_gives_way_is_said_once() {
    let options =
        json!({"width": 100, "height": 100, "words": 100, "padding": 20, "languages": []});
    let mut stage = open(&options, ContentType::text());
    let text: String = (0..100).map(|n| format!("word{n} ")).collect();
    for _ in 0..2 {
        stage.process(0, &batch_of([text.as_str()])).unwrap();
        let outcome = stage.end(0).unwrap();
        assert_eq!(counts(&frames(&outcome)[0]).len(), 100);
    }
    let said = stage.host().log_lines();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].message.contains("padding"), "{said:?}");
}

#[test]
fn wrong_wiring_and_options_are_refused_at_their_place() {
    for format in [Format::Png, Format::Svg, Format::Bytes, Format::Csv] {
        let (pointer, message) = plan_error(&json!({}), ContentType::new(format));
        assert_eq!(pointer, "/inputs/0");
        assert_eq!(
            message,
            format!("a word cloud needs json, avro or text, and this sends {format}")
        );
    }
    let text = ContentType::text;
    for (options, input, at) in [
        (
            json!({"text": ["t_test"]}),
            ContentType::avro(SCHEMA),
            "/text/0",
        ),
        (
            json!({"text": ["t_id"]}),
            ContentType::avro(SCHEMA),
            "/text/0",
        ),
        (
            json!({}),
            ContentType::avro(
                r#"{"type":"record","name":"r","fields":[{"name":"x","type":"string"}]}"#,
            ),
            "/text",
        ),
        (json!({"text": ["a", "a"]}), ContentType::json(), "/text/1"),
        (
            json!({"text": ["a", "b..c"]}),
            ContentType::json(),
            "/text/1",
        ),
        (json!({"window": "soon"}), text(), "/window"),
        (json!({"words": 0}), text(), "/words"),
        (
            json!({"words": 2000, "width": 200, "height": 200}),
            text(),
            "/words",
        ),
        (json!({"height": 9000}), text(), "/height"),
        (json!({"vertical": 1.5}), text(), "/vertical"),
        (json!({"fps": 61}), text(), "/fps"),
        (json!({"fps": -1}), text(), "/fps"),
        (json!({"max_groups": 0}), text(), "/max_groups"),
        (json!({"group_by": "lang"}), text(), "/group_by"),
        (
            json!({"group_by": "lang"}),
            ContentType::avro(SCHEMA),
            "/group_by",
        ),
        (
            json!({"group_by": "a..b"}),
            ContentType::json(),
            "/group_by",
        ),
        (json!({"stop_file": "/no/such/file"}), text(), "/stop_file"),
        (json!({"padding": 21}), text(), "/padding"),
        (json!({"legible": 0}), text(), "/legible"),
        (json!({"shape": "no/such.png"}), text(), "/shape"),
        (json!({"languages": ["en", "xx"]}), text(), "/languages/1"),
        (json!({"max_length": 1}), text(), "/max_length"),
    ] {
        assert_eq!(plan_error(&options, input).0, at, "{options}");
    }
    let (_, message) = plan_error(&json!({"text": ["t_test"]}), ContentType::avro(SCHEMA));
    assert_eq!(
        message,
        "the schema has no text field `t_test`: it has t_text, r_text"
    );
}
