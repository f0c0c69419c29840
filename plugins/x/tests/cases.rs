//! What X sends and what comes out, by tables: to add a case, add a file or a line; no code is
//! needed.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use avro_data::{Extractor, Schema, datum};
use common::{Answer, Api, Part, merged, read_all, source};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A file of `cases`: a message as X sends it, and what becomes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows.
    about: String,
    /// Options of the source.
    #[serde(default)]
    with: Value,
    /// The message, or its text.
    sent: Value,
    /// The record; none: the message is filtered.
    emitted: Option<Value>,
    /// What `tweet_full.avsc` makes of it, field by field, without its nulls.
    record: Option<Value>,
    /// The header `id`.
    id: Option<String>,
    /// The event time.
    at: Option<String>,
    /// A counter that says what was filtered.
    counted: Option<String>,
    /// The beginning of the reason of a dead letter.
    rejected: Option<String>,
}

#[test]
fn each_kind_of_message_becomes_its_record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let case = serde_json::from_slice(&fs::read(&path).unwrap());
            check(&name, &case.unwrap_or_else(|e| panic!("{name}: {e}")));
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} cases");
}

fn check(name: &str, case: &Case) {
    let part = match &case.sent {
        Value::String(text) => Part::Bytes(format!("{text}\r\n").into_bytes()),
        sent => Part::Post(sent.clone()),
    };
    let api = Api::start([Answer::Stream(vec![part])]);
    // Its id is the one in `matching_rules` of the cases.
    let rule = json!({"id": "1166916266197536768", "value": "all", "tag": "x:rule"});
    api.state().rules = vec![rule];
    let mut with = json!({"on_close": "finish", "track": [], "rules": [{"value": "all"}]});
    if case.with.is_object() {
        with = merged(with, case.with.clone());
    }
    let mut stage = source(&api, with);
    let (got, error) = read_all(&mut stage);
    let context = format!("{name} ({})", case.about);
    assert_eq!(error, None, "{context}");
    if let Some(reason) = &case.rejected {
        assert!(
            got.rejected_raw[0].1.starts_with(reason),
            "{context}: {:?}",
            got.rejected_raw
        );
        return;
    }
    assert!(
        got.rejected_raw.is_empty(),
        "{context}: {:?}",
        got.rejected_raw
    );
    let Some(emitted) = &case.emitted else {
        assert_eq!((got.emitted(), got.filtered_count()), (0, 1), "{context}");
        let counted = case.counted.as_ref().unwrap();
        assert_eq!(
            stage.host().metric_value(counted),
            1.0,
            "{context}: {counted}"
        );
        return;
    };
    let record = got.batches[0].1.record(0);
    let document: Value = serde_json::from_slice(record.value().unwrap()).unwrap();
    assert_eq!(
        document,
        *emitted,
        "{context}:\n{}",
        serde_json::to_string_pretty(&document).unwrap()
    );
    if let Some(wanted) = &case.record {
        assert_eq!(extracted(record.value().unwrap()), *wanted, "{context}");
    }
    let id = record
        .header("id")
        .map(|id| String::from_utf8_lossy(id).into_owned());
    assert_eq!(id, case.id, "{context}");
    let at = record
        .ts_us()
        .map(|us| jiff::Timestamp::from_microsecond(us).unwrap().to_string());
    assert_eq!(at, case.at, "{context}");
}

/// The record of a document, without its nulls.
fn extracted(document: &[u8]) -> Value {
    let schema = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../schemas/x/tweet_full.avsc"
    );
    let schema = Schema::parse(&fs::read_to_string(schema).unwrap()).unwrap();
    let (mut datum, mut json) = (Vec::new(), Vec::new());
    let mut extractor = Extractor::new(&schema).unwrap();
    extractor.extract(document, &mut datum).unwrap();
    datum::to_json(&schema, &datum, &mut json).unwrap();
    let mut record: Map<String, Value> = serde_json::from_slice(&json).unwrap();
    record.retain(|_, value| !value.is_null());
    Value::Object(record)
}

/// A line of `track`'s table of what every network must decide alike.
#[derive(Deserialize)]
struct Decision {
    track: Vec<String>,
    text: String,
    #[serde(default)]
    hashtags: Vec<String>,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    links: Vec<String>,
    matches: bool,
}

impl Decision {
    /// The post that X would send of it.
    fn post(&self) -> Value {
        let mut text = self
            .text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let mut urls = Vec::new();
        for (at, address) in self.links.iter().enumerate() {
            let short = format!("https://t.co/{at:010}");
            text = text.replacen(&address.replace('&', "&amp;"), &short, 1);
            urls.push(json!({"url": short, "expanded_url": address, "display_url": "shown…"}));
        }
        let named = |names: &[String], key: &str| -> Vec<Value> {
            names.iter().map(|name| json!({key: name})).collect()
        };
        json!({"id": "1", "text": text, "entities": {
            "urls": urls,
            "hashtags": named(&self.hashtags, "tag"),
            "mentions": named(&self.mentions, "username"),
        }})
    }
}

#[test]
fn track_decides_as_on_every_network() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../track/cases/networks.jsonl");
    let table = fs::read_to_string(table).unwrap();
    let mut seen = 0;
    for line in table.lines() {
        let case: Decision = serde_json::from_str(line).unwrap();
        let own = case.post();
        // In its own text, in a long one, in what it repeats and in what it quotes.
        let note = json!({"text": own["text"], "entities": own["entities"]});
        let within = |kind: &str| {
            let mut other = own.clone();
            other["id"] = "2".into();
            let outer =
                json!({"id": "1", "text": "…", "referenced_tweets": [{"type": kind, "id": "2"}]});
            json!({"data": outer, "includes": {"tweets": [other]}})
        };
        for (how, message) in [
            ("text", json!({"data": own})),
            (
                "note",
                json!({"data": {"id": "1", "text": "cut", "note_tweet": note}}),
            ),
            ("retweet", within("retweeted")),
            ("quote", within("quoted")),
        ] {
            let api = Api::start([Answer::Stream(vec![Part::Post(message)])]);
            let with = json!({"track": case.track, "on_close": "finish"});
            let (got, error) = read_all(&mut source(&api, with));
            assert_eq!(error, None);
            let expected = usize::from(case.matches);
            assert_eq!(got.emitted(), expected, "{how}: {line}");
            assert_eq!(got.filtered_count() as usize, 1 - expected, "{how}: {line}");
        }
        seen += 1;
    }
    assert!(seen >= 50, "{seen} lines");
}
