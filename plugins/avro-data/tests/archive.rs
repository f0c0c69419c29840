//! A minute of the real stream: every datum the same, byte by byte, as apache-avro makes it
//! from an extraction that shares nothing with ours but the field names.

#![allow(clippy::unwrap_used)]

mod common;

use apache_avro::types::Value as Avro;
use avro_data::{ExtractError, Extractor, datum};
use serde_json::Value;

/// The field of the original's schema, picked by hand.
fn pick(tweet: &Value, name: &str) -> Value {
    let full_text = |s: &Value| {
        [
            &s["extended_tweet"]["full_text"],
            &s["full_text"],
            &s["text"],
        ]
        .into_iter()
        .find(|v| !v.is_null())
        .cloned()
        .unwrap_or_default()
    };
    let (status, rest) = match name.split_once('_').unwrap() {
        ("t", rest) => (tweet, rest),
        ("q", rest) => (&tweet["quoted_status"], rest),
        ("r", rest) => (&tweet["retweeted_status"], rest),
        _ => panic!("{name}"),
    };
    match rest {
        "text" if name == "t_text" && tweet["retweeted_status"].is_object() => {
            full_text(&tweet["retweeted_status"])
        }
        "text" => full_text(status),
        "favourite_count" => status["favorite_count"].clone(),
        "timestamp_ms" if status["timestamp_ms"].is_null() => {
            let id = status["id"].as_i64().unwrap();
            Value::from(((id >> 22) + 1_288_834_974_657).to_string())
        }
        rest => match rest.strip_prefix("u_") {
            Some(rest) => status["user"][rest].clone(),
            None => status[rest].clone(),
        },
    }
}

/// The value as apache-avro wants it; the branch from the schema's own text.
fn avro(value: Value, kind: &Value) -> Avro {
    let plain = |value: Value| match value {
        Value::Null => Avro::Null,
        Value::Bool(b) => Avro::Boolean(b),
        Value::Number(n) => Avro::Long(n.as_i64().unwrap()),
        Value::String(s) => Avro::String(s),
        other => panic!("{other}"),
    };
    match kind {
        Value::Array(branches) => {
            let null = branches.iter().position(|b| b == "null").unwrap() as u32;
            let branch = if value.is_null() { null } else { 1 - null };
            Avro::Union(branch, Box::new(plain(value)))
        }
        _ => plain(value),
    }
}

fn every_tweet_gives_the_datum_of_apache_avro() {
    let lines = common::lines();
    let schema = common::shipped("tweet_full.avsc");
    let oracle = apache_avro::Schema::parse_str(schema.json()).unwrap();
    let kinds: Value = serde_json::from_str(schema.json()).unwrap();
    let mut extractor = Extractor::new(&schema).unwrap();
    let (mut tweets, mut others, mut datum, mut json) = (0, 0, Vec::new(), Vec::new());
    for line in &lines {
        let tweet: Value = serde_json::from_slice(line).unwrap();
        datum.clear();
        let result = extractor.extract(line, &mut datum);
        if tweet.get("delete").is_some() {
            let Err(ExtractError::Missing {
                field, null: false, ..
            }) = result
            else {
                panic!()
            };
            assert_eq!(field, "t_id");
            assert!(datum.is_empty());
            others += 1;
            continue;
        }
        result.unwrap();
        tweets += 1;
        let fields = kinds["fields"].as_array().unwrap().iter().map(|field| {
            let name = field["name"].as_str().unwrap();
            (name.to_owned(), avro(pick(&tweet, name), &field["type"]))
        });
        let expected = apache_avro::writer::datum::GenericDatumWriter::builder(&oracle)
            .build()
            .unwrap()
            .write_value_to_vec(Avro::Record(fields.collect()))
            .unwrap();
        assert_eq!(datum, expected, "{}", String::from_utf8_lossy(line));

        // And back: as JSON, and field by field.
        json.clear();
        datum::to_json(&schema, &datum, &mut json).unwrap();
        let back: Value = serde_json::from_slice(&json).unwrap();
        let mut seen = 0;
        datum::visit(&schema, &datum, |name, value| {
            seen += 1;
            let expected = pick(&tweet, name);
            assert_eq!(back[name], expected, "{name}");
            match value {
                datum::Value::Null => assert!(expected.is_null()),
                datum::Value::Boolean(b) => assert_eq!(expected, b),
                datum::Value::Long(n) => assert_eq!(expected, n),
                datum::Value::Text(s) => assert_eq!(expected, s),
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
        assert_eq!(seen, 56);
        assert_eq!(datum::length(&schema, &datum), Ok(datum.len()));
    }
    assert_eq!((tweets, others), (2830, 355));
}

fn the_user_and_cleaned_text_of_every_tweet() {
    let lines = common::lines();
    let schema = common::shipped("tweet.avsc");
    let mut extractor = Extractor::new(&schema).unwrap();
    let mut cleaned = 0;
    for line in &lines {
        let tweet: Value = serde_json::from_slice(line).unwrap();
        let mut datum = Vec::new();
        if extractor.extract(line, &mut datum).is_err() {
            assert!(tweet.get("delete").is_some());
            continue;
        }
        let (mut name, mut text) = (String::new(), String::new());
        datum::visit(&schema, &datum, |field, value| match (field, value) {
            ("name", datum::Value::Text(value)) => name = value.to_owned(),
            ("text", datum::Value::Text(value)) => text = value.to_owned(),
            other => panic!("{other:?}"),
        })
        .unwrap();
        assert_eq!(tweet["user"]["name"], name);
        let Value::String(full) = pick(&tweet, "t_text") else {
            panic!()
        };
        let mut expected = String::new();
        for c in full.chars() {
            match c {
                c if !c.is_whitespace() => expected.push(c),
                _ if expected.ends_with(' ') => {}
                _ => expected.push(' '),
            }
        }
        cleaned += usize::from(expected != full);
        assert_eq!(text, expected);
    }
    assert!(cleaned > 0, "the stream has texts of several lines");
}

fn no_truncation_of_a_tweet_panics_or_passes() {
    let lines = common::lines();
    let mut extractor = Extractor::new(&common::shipped("tweet_full.avsc")).unwrap();
    let mut out = Vec::new();
    for line in lines.iter().step_by(400) {
        let whole = line.len() - usize::from(line.ends_with(b"\r"));
        for cut in 0..whole {
            let result = extractor.extract(&line[..cut], &mut out);
            assert!(
                matches!(result, Err(ExtractError::Json { .. })),
                "{cut}: {result:?}"
            );
        }
    }
    assert!(out.is_empty());
}

needs::tests! {
    every_tweet_gives_the_datum_of_apache_avro:
        common::archive();
    the_user_and_cleaned_text_of_every_tweet:
        common::archive();
    no_truncation_of_a_tweet_panics_or_passes:
        common::archive();
}
