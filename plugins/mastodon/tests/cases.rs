//! The cases of `cases/`, whose README says what a file holds, and those of `track` that every
//! network must decide alike.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::server::Server;
use common::{Run, id, status};
use plugin_api::time::Civil;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "about")]
    _about: String,
    with: Value,
    events: Vec<Event>,
    records: Vec<Value>,
    #[serde(default)]
    filtered: u64,
    #[serde(default)]
    dead: Vec<String>,
    #[serde(default)]
    counted: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    event: String,
    #[serde(default)]
    payload: Option<Value>,
}

impl Event {
    /// The payload as it is sent: a document in a string.
    fn payload(&self) -> Option<String> {
        self.payload.as_ref().map(|payload| match payload {
            Value::String(text) => text.clone(),
            document => document.to_string(),
        })
    }
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_case_comes_out_as_written() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder("cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).unwrap();
        let case: Case = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        wrong.extend(
            differences(&case)
                .into_iter()
                .map(|d| format!("{name}: {d}")),
        );
        cases += 1;
    }
    assert!(cases > 0, "no cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What comes out otherwise.
fn differences(case: &Case) -> Vec<String> {
    let server = Server::start();
    let mut run = Run::start(&server, &case.with);
    run.until_caught_up();
    for event in &case.events {
        let mut message = json!({"stream": ["public"], "event": event.event});
        if let Some(payload) = event.payload() {
            message["payload"] = json!(payload);
        }
        server.say(&message.to_string());
    }
    run.until("all events", |run| {
        run.received() >= case.events.len() as u64
    });
    let mut wrong = Vec::new();
    let mut compare = |what: &str, wanted: Value, came: Value| {
        if wanted != came {
            wrong.push(format!("{what}: {came}\n  instead of: {wanted}"));
        }
    };
    compare("records", json!(case.records), json!(records(case, &run)));
    compare(
        "filtered",
        json!(case.filtered),
        json!(run.got.filtered_count()),
    );
    let dead: Vec<&str> = run.got.rejected_raw.iter().map(|dead| &*dead.1).collect();
    compare("dead", json!(case.dead), json!(dead));
    for (name, count) in &case.counted {
        compare(name, json!(count), json!(run.metric(name)));
    }
    wrong
}

fn records(case: &Case, run: &Run) -> Vec<Value> {
    let payloads: Vec<_> = case.events.iter().map(Event::payload).collect();
    let records = run.got.batches.iter().flat_map(|(_, batch)| batch.iter());
    let mut from = 0;
    records
        .map(|record| {
            let header = |name| Some(String::from_utf8_lossy(record.header(name)?).into_owned());
            let is_it =
                |payload: &Option<String>| payload.as_ref().map(String::as_bytes) == record.value();
            let of = payloads[from..].iter().position(is_it).map(|at| at + from);
            from = of.map_or(from, |of| of + 1);
            json!({
                "of": of,
                "id": header("id"),
                "edit": header("edit"),
                "time": record.ts_us().map(|us| Civil::from_us(us).to_string()),
            })
        })
        .collect()
}

#[test]
fn track_decides_as_on_every_network() {
    let text = fs::read_to_string(folder("../track/cases/networks.jsonl")).unwrap();
    let mut by_track: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        by_track
            .entry(case["track"].to_string())
            .or_default()
            .push(case);
    }
    assert!(!by_track.is_empty());
    let mut wrong = Vec::new();
    for cases in by_track.values() {
        let server = Server::start();
        let with = json!({"timeline": "public", "track": cases[0]["track"]});
        let mut run = Run::start(&server, &with);
        run.until_caught_up();
        for (n, case) in cases.iter().enumerate() {
            // As a server shows it, and as other servers write it.
            for is_remote in [false, true] {
                let id = id(2 * n as u64 + u64::from(is_remote));
                let status = document(id, case, is_remote).to_string();
                server.event(&["public"], "update", &status);
            }
        }
        run.until_received(2 * cases.len() as u64);
        let came = run.counts();
        for (n, case) in cases.iter().enumerate() {
            let passes = |at: u64| came.contains_key(&id(2 * n as u64 + at));
            for (at, way) in [(0, "here"), (1, "remote")] {
                if case["matches"] != passes(at) {
                    wrong.push(format!("{way}: {} for {case}", passes(at)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The status that a server would send of a line.
fn document(id: u64, case: &Value, is_remote: bool) -> Value {
    let list = |key: &str| -> Vec<String> {
        let list = case[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v.as_str().unwrap().into()).collect()
    };
    // Links, hashtags and mentions are put in by their numbers, so that no text is replaced twice.
    let mut text = case["text"].as_str().unwrap().to_owned();
    let mut marks: Vec<String> = Vec::new();
    let mut mark = |text: &mut String, plain: &str, html: String| {
        assert!(text.contains(plain), "{plain} is not in {text}");
        *text = text.replacen(plain, &format!("\u{1}{}\u{2}", marks.len()), 1);
        marks.push(html);
    };
    for address in list("links") {
        mark(&mut text, &address, link(&address));
    }
    for tag in list("hashtags") {
        let html = format!(
            "<a href=\"https://example.social/tags/{tag}\" class=\"mention hashtag\" rel=\"tag\">\
             #<span>{tag}</span></a>"
        );
        mark(&mut text, &format!("#{tag}"), html);
    }
    for name in list("mentions") {
        let html = format!(
            "<span class=\"h-card\"><a href=\"https://example.social/@{name}\" class=\"u-url \
             mention\">@<span>{name}</span></a></span>"
        );
        mark(&mut text, &format!("@{name}"), html);
    }
    let mut html = escaped(&text)
        .replace("\n\n", "</p><p>")
        .replace('\n', "<br />");
    for (n, mark) in marks.iter().enumerate() {
        html = html.replace(&format!("\u{1}{n}\u{2}"), mark);
    }
    let mut status = status(id, "");
    status["content"] = json!(format!("<p>{html}</p>"));
    let lowered = |tag: &String| json!({"name": tag.to_lowercase(), "url": "https://e.social"});
    status["tags"] = list("hashtags").iter().map(lowered).collect();
    let account = |name: &String| {
        let host = if is_remote { "@elsewhere.example" } else { "" };
        json!({"id": "1", "username": name, "acct": format!("{name}{host}"), "url": ""})
    };
    status["mentions"] = list("mentions").iter().map(account).collect();
    status
}

/// A link as Mastodon shows it.
fn link(address: &str) -> String {
    let bare = address.strip_prefix("https://").unwrap();
    let (www, bare) = match bare.strip_prefix("www.") {
        Some(bare) => ("www.", bare),
        None => ("", bare),
    };
    let end = bare.char_indices().nth(30).map_or(bare.len(), |(at, _)| at);
    let class = if end < bare.len() { "ellipsis" } else { "" };
    format!(
        "<a href=\"{}\" target=\"_blank\" rel=\"nofollow noopener\"><span class=\"invisible\">\
         https://{www}</span><span class=\"{class}\">{}</span><span class=\"invisible\">{}</span></a>",
        escaped(address),
        escaped(&bare[..end]),
        escaped(&bare[end..])
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
