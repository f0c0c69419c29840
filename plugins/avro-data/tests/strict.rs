//! Against a strict parser: what serde_json takes, ours takes, with the same values; what it
//! refuses, ours refuses, wherever ours looks.

#![allow(clippy::unwrap_used)]

mod common;

use avro_data::{ExtractError, Extractor, Schema, datum};
use common::Random;
use serde_json::Value;

const SCHEMA: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "a", "type": ["null", "string"], "from": "a"},
    {"name": "n", "type": ["null", "long"], "from": ["n", "key.n"]},
    {"name": "f", "type": ["null", "double"], "from": "key.fraction_of_it_all"},
    {"name": "b", "type": ["null", "boolean"], "from": "key.inner.b"},
    {"name": "l", "type": ["null", {"type": "array", "items": "long"}], "from": "key.l"},
    {"name": "s", "type": ["null", "string"], "from": "key.inner.s"}]}"#;

/// A document of the keys that the schema asks for and some others.
fn document(random: &mut Random, depth: usize, out: &mut String) {
    const KEYS: [&str; 10] = [
        "a",
        "n",
        "key",
        "fraction_of_it_all",
        "inner",
        "b",
        "s",
        "other",
        "fraction_of_it_alm",
        "",
    ];
    const SPACE: [&str; 4] = ["", "", " ", "\r\n\t "];
    out.push('{');
    for i in 0..random.below(6) {
        if i > 0 {
            out.push(',');
        }
        let key = KEYS[random.below(KEYS.len())];
        let space = SPACE[random.below(4)];
        out.push_str(&format!("{space}\"{key}\"{space}:{space}"));
        match random.below(8) {
            // Only where the schema goes too, so that all is looked at.
            0..3 if depth < 2 && (key == "key" && depth == 0 || key == "inner" && depth == 1) => {
                document(random, depth + 1, out);
            }
            0 => out.push_str("null"),
            1 => out.push_str(["true", "false"][random.below(2)]),
            2 => out.push_str(&format!("-{}", random.below(1 << 30))),
            3 => out.push_str(&format!("{}.{}", random.below(100), random.below(100))),
            4 => out.push_str("\"\""),
            _ => {
                let text = "lorem ipsum é ❤ 😄 [{}]:, ".repeat(random.below(4));
                out.push_str(&format!("\"{text}\""));
            }
        }
        out.push_str(space);
    }
    out.push('}');
}

fn last<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |at, key| &at[*key])
}

#[test]
fn agrees_with_serde_json_on_what_it_looks_at() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let mut extractor = Extractor::new(&schema).unwrap();
    let mut random = Random(42);
    let (mut taken, mut refused, mut unfit) = (0, 0, 0);
    for round in 0..60_000 {
        let mut text = String::new();
        document(&mut random, 0, &mut text);
        let mut json = text.into_bytes();
        for _ in 0..round % 3 {
            let at = random.below(json.len());
            match random.below(4) {
                0 => json.truncate(at.max(1)),
                1 => json[at] = b"{}[]\",:-0129.ntf \n\x01ae\xff"[random.below(22)],
                2 => drop(json.remove(at)),
                _ => json.insert(at, b"{}[]\",:-0129.ntf \n\x01ae\xff"[random.below(22)]),
            }
            if json.is_empty() {
                json.push(b'x');
            }
        }
        let strict: Result<Value, _> = serde_json::from_slice(&json);
        let mut out = Vec::new();
        let ours = extractor.extract(&json, &mut out);
        let shown = String::from_utf8_lossy(&json);
        match (strict, ours) {
            (Ok(value), Ok(())) => {
                taken += 1;
                let mut back = Vec::new();
                datum::to_json(&schema, &out, &mut back).unwrap();
                let back: Value = serde_json::from_slice(&back).unwrap();
                if let Value::String(s) = last(&value, &["a"]) {
                    assert_eq!(back["a"], *s, "{shown}");
                }
                assert_eq!(&back["b"], last(&value, &["key", "inner", "b"]), "{shown}");
                if let Some(s) = last(&value, &["key", "inner", "s"]).as_str() {
                    assert_eq!(back["s"], s, "{shown}");
                }
            }
            // A list, say, or a text where the schema wants a number.
            (Ok(_), Err(ExtractError::Unfit { .. })) => unfit += 1,
            // Only objects give records.
            (Ok(value), Err(ExtractError::Json { .. })) => {
                assert!(!value.is_object(), "{shown}");
                refused += 1;
            }
            (Err(error), Ok(())) => {
                // Nobody asked for what is in that container or how large that number is.
                let braces = json.iter().filter(|b| matches!(b, b'{' | b'[')).count();
                let too_large = error.to_string().starts_with("number out of range");
                assert!(too_large || braces > 1, "{error}: {shown}");
            }
            (Err(_), Err(_)) => refused += 1,
            (Ok(_), Err(error)) => panic!("{error}: {shown}"),
        }
    }
    assert!(
        taken > 10_000 && refused > 10_000 && unfit > 1_000,
        "{taken} {refused} {unfit}"
    );
}

#[test]
fn takes_what_strict_parsers_refuse_but_streams_hold() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let mut extractor = Extractor::new(&schema).unwrap();
    let mut json = |text: &str| {
        let (mut out, mut json) = (Vec::new(), Vec::new());
        extractor.extract(text.as_bytes(), &mut out).unwrap();
        datum::to_json(&schema, &out, &mut json).unwrap();
        String::from_utf8(json).unwrap()
    };
    // Half an emoji.
    assert!(json(r#"{"a":"cut \ud83d"}"#).contains("\"a\":\"cut \u{fffd}\""));
    // The last of two, for values and for objects; what the first object had is forgotten.
    assert!(json(r#"{"a":"1","a":"2"}"#).contains(r#""a":"2""#));
    let twice = json(r#"{"key":{"n":1,"inner":{"b":true}},"key":{"inner":{"s":"x"}}}"#);
    assert_eq!(
        twice,
        r#"{"a":null,"n":null,"f":null,"b":null,"l":null,"s":"x"}"#
    );
    assert!(json(r#"{"key":{"n":1},"key":null}"#).contains(r#""n":null"#));
    // Keys written with escapes.
    assert!(json(r#"{"\u0061":"x"}"#).contains(r#""a":"x""#));
}

#[test]
fn random_bytes_never_panic() {
    let mut extractor = Extractor::new(&Schema::parse(SCHEMA).unwrap()).unwrap();
    let mut random = Random(7);
    let mut out = Vec::new();
    for _ in 0..50_000 {
        let len = random.below(200);
        let alphabet = b"{}[]\"\\\":,ankeyinrbsl0123456789.-+eEtruefalsn ud83 \n\xc3\xa9";
        let json: Vec<u8> = std::iter::once(b'{')
            .chain((0..len).map(|_| alphabet[random.below(alphabet.len())]))
            .collect();
        let _ = extractor.extract(&json, &mut out);
    }
}
