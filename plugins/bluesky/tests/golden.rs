//! Events as servers send them, plain and compressed: those of `cases/`, and those of Jetstream's
//! own tests.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::server::Setup;
use common::{Server, merged, options, poll_until, posts, read};
use plugin_api::testing::{Harness, Outcome, TestHost};
use plugin_bluesky::ThisPlugin;
use serde_json::{Value, json};

fn golden() -> needs::Need {
    needs::data("jetstream/golden_v1.jsonl")
}

fn published() -> needs::Need {
    needs::data("jetstream/legacy_subscribe.zdict")
}

/// The records of these frames, from a server that compresses with this dictionary.
fn through(
    frames: Vec<String>,
    change: Value,
    dictionary: Option<&Path>,
) -> (Outcome, &'static TestHost) {
    let n = frames.len();
    let server = Server::start(Setup {
        log: frames,
        dictionary: dictionary.map(|path| fs::read(path).unwrap()),
        ..Setup::default()
    });
    let mut options = merged(options(&[&server], json!({})), change);
    if let Some(path) = dictionary {
        options["dictionary"] = path.to_str().unwrap().into();
    }
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &options).unwrap();
    let fates =
        |all: &Outcome| all.emitted() + all.filtered_count() as usize + all.rejected_raw.len();
    let (got, error) = poll_until(&mut stage, |all, _| fates(all) >= n);
    assert_eq!((error, fates(&got)), (None, n));
    let is_compressed = server.asked()[0].all("compress") == ["true"];
    assert_eq!(is_compressed, dictionary.is_some());
    let host = stage.host();
    stage.close().unwrap();
    (got, host)
}

/// A dictionary that is made here, of the posts of tests.
fn trained(folder: &Path) -> std::path::PathBuf {
    let samples: Vec<_> = posts(2_000).into_iter().map(String::into_bytes).collect();
    let path = folder.join("trained.zdict");
    fs::write(&path, zstd::dict::from_samples(&samples, 8_192).unwrap()).unwrap();
    path
}

fn every_case_has_its_fate() {
    let folder = tempfile::tempdir().unwrap();
    let trained = trained(folder.path());
    let cases = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/events.jsonl"));
    let mut wrong = Vec::new();
    for line in cases.unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let frame = match &case["frame"] {
            Value::String(text) => text.clone(),
            // As it stands, not as this library would order it.
            _ => member(line, "frame").to_owned(),
        };
        let with = case.get("with").cloned().unwrap_or(json!({}));
        for dictionary in [None, Some(&trained)] {
            let dictionary = dictionary.map(|path| path.as_path());
            let (got, host) = through(vec![frame.clone()], with.clone(), dictionary);
            let is_right = if let Some(record) = case.get("record") {
                let seen = got.seen();
                seen.len() == 1
                    && seen[0].value.as_deref() == Some(frame.as_bytes())
                    && seen[0].ts_us == record["ts_us"].as_i64()
                    && seen[0].headers
                        == [("id".to_owned(), Some(record["id"].as_str().unwrap().into()))]
            } else if let Some(counter) = case["counted"].as_str() {
                got.filtered_count() == 1 && host.metric_value(counter) == 1.0
            } else {
                let reason = case["rejected"].as_str().unwrap();
                got.rejected_raw.len() == 1 && got.rejected_raw[0].1.contains(reason)
            };
            if !is_right {
                wrong.push(format!("{}: {:?} {got:?}", case["name"], got.seen()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The text of a member of an object of one line.
fn member<'a>(line: &'a str, name: &str) -> &'a str {
    let value = json_walk::parse(line.as_bytes()).unwrap();
    let found = json_walk::members(value).find_map(|member| {
        let (key, value) = member.unwrap();
        (key == name.as_bytes()).then(|| value.raw())
    });
    std::str::from_utf8(found.unwrap()).unwrap()
}

fn jetstreams_own_events_pass_byte_for_byte() {
    let text = String::from_utf8(golden().read()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 10);
    let path = published().path().to_owned();
    let everything = json!({
        "wanted_collections": [],
        "emit": ["create", "update", "delete", "identity", "account"],
    });
    for dictionary in [None, Some(&*path)] {
        let (got, _) = through(lines.clone(), everything.clone(), dictionary);
        assert_eq!(got.texts(), lines);
        for record in got.seen() {
            let event: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let commit = &event["commit"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let id = match commit.is_object() {
                true => format!(
                    "at://{}/{}/{}",
                    text(&event["did"]),
                    text(&commit["collection"]),
                    text(&commit["rkey"])
                ),
                false => format!("at://{}", text(&event["did"])),
            };
            assert_eq!(record.headers, [("id".to_owned(), Some(id.into_bytes()))]);
            assert_eq!(record.ts_us, event["time_us"].as_i64());
        }
        // Without a wish beyond the default: what is written, of posts. Who comes and goes is
        // told to everybody.
        let server = lines.iter().filter(|line| {
            line.contains("app.bsky.feed.post\",\"rkey") || !line.contains("\"commit\":")
        });
        let (got, host) = through(server.cloned().collect(), json!({}), dictionary);
        assert_eq!(got.texts(), [lines[1].clone()]);
        assert_eq!(host.metric_value("bluesky_identity"), 1.0);
        assert_eq!(host.metric_value("bluesky_account"), 1.0);
    }
}

fn a_server_with_another_dictionary_is_left_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (trained, published) = (trained(folder.path()), published().path().to_owned());
    let server = |dictionary: &Path| {
        Server::start(Setup {
            log: posts(3),
            dictionary: Some(fs::read(dictionary).unwrap()),
            ..Setup::default()
        })
    };
    let (wrong, right) = (server(&published), server(&trained));
    let change = json!({"dictionary": trained});
    let two = options(&[&wrong, &right], change.clone());
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &two).unwrap();
    assert_eq!(read(&mut stage, 3).texts(), posts(3));
    let one = options(&[&wrong], change);
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &one).unwrap();
    let (got, error) = poll_until(&mut stage, |_, _| false);
    let error = error.unwrap();
    assert_eq!((got.emitted(), error.pointer.as_str()), (0, "/dictionary"));
    assert!(error.message.contains("1612007021"), "{error}");
}

fn what_does_not_inflate_is_a_dead_letter_and_never_larger_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let trained = trained(folder.path());
    // 60 MB of one letter are 5 kB on the wire.
    let bomb = posts(1)[0].replace("post number", &"x".repeat(60_000_000));
    let mut frames = posts(3);
    frames[1] = bomb;
    let (got, _) = through(
        frames,
        json!({"max_message_bytes": "100 kB"}),
        Some(&trained),
    );
    assert_eq!(got.texts(), [posts(3)[0].clone(), posts(3)[2].clone()]);
    let (bytes, why) = &got.rejected_raw[0];
    assert!(bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) && bytes.len() < 60_000);
    assert!(
        why.contains("more than max_message_bytes = 100000"),
        "{why}"
    );
}

/// A post as Bluesky's own apps write it of a line of `networks.jsonl`.
fn document(case: &Value) -> String {
    let list = |key: &str| -> Vec<String> {
        let list = case[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v.as_str().unwrap().into()).collect()
    };
    let mut text = case["text"].as_str().unwrap().to_owned();
    let mut facets = Vec::new();
    let mut facet = |text: &str, from: usize, shown: &str, feature: Value| {
        let start = from + text[from..].find(shown).unwrap();
        let end = start + shown.len();
        facets.push(json!({
            "index": {"byteStart": start, "byteEnd": end},
            "features": [feature],
        }));
        end
    };
    for address in list("links") {
        assert!(text.contains(&address), "{address} is not in {text}");
        text = text.replacen(&address, &shown(&address), 1);
    }
    let mut from = 0;
    for address in list("links") {
        let feature = json!({"$type": "app.bsky.richtext.facet#link", "uri": address});
        from = facet(&text, from, &shown(&address), feature);
    }
    let mut from = 0;
    for tag in list("hashtags") {
        let feature = json!({"$type": "app.bsky.richtext.facet#tag", "tag": tag});
        from = facet(&text, from, &format!("#{tag}"), feature);
    }
    let mut from = 0;
    for name in list("mentions") {
        let did = format!("did:plc:{name}");
        let feature = json!({"$type": "app.bsky.richtext.facet#mention", "did": did});
        from = facet(&text, from, &format!("@{name}"), feature);
    }
    let mut record = common::written(&text);
    record["facets"] = facets.into();
    common::commit(7, "create", &record)
}

/// A link as those apps show it: without scheme, and of its path 13 bytes, if it is longer than 15.
fn shown(address: &str) -> String {
    let bare = address.trim_start_matches("https://");
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let bare = match path {
        "/" => host.to_owned(),
        path if path.len() > 15 => format!("{host}{}...", &path[..13]),
        path => format!("{host}{path}"),
    };
    bare.trim_start_matches("www.").to_owned()
}

fn track_decides_as_on_every_network() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../track/cases/networks.jsonl");
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let frame = document(&case);
        let (got, _) = through(vec![frame.clone()], json!({"track": case["track"]}), None);
        if case["matches"] != (got.emitted() == 1) {
            wrong.push(format!("{line}\n{frame}"));
        }
        cases += 1;
    }
    assert!(cases > 50, "{cases} cases");
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

needs::tests! {
    every_case_has_its_fate;
    jetstreams_own_events_pass_byte_for_byte: golden(), published();
    a_server_with_another_dictionary_is_left_and_named: published();
    what_does_not_inflate_is_a_dead_letter_and_never_larger_than_allowed;
    track_decides_as_on_every_network;
}
