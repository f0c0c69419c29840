//! The cases of `cases/`, whose README says what a line holds. A line more needs no code.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use serde_json::{Value, json};
use track::{Detail, Filter, Post, Reader, Scratch, Track};

#[test]
fn every_case_passes_or_does_not_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut cases, mut wrong) = (0, Vec::new());
    let mut post = Post::default();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let case: Value = serde_json::from_str(line).unwrap();
            let phrases: Vec<&str> = match &case["track"] {
                Value::Array(phrases) => phrases.iter().map(|p| p.as_str().unwrap()).collect(),
                parameter => parameter.as_str().unwrap().split(',').collect(),
            };
            let tweet = match &case["tweet"] {
                Value::Null => tweet(&case),
                tweet => tweet.clone(),
            };
            let by_reader = passes(&phrases, &tweet);
            post.clear();
            fill(&mut post, &tweet);
            let by_post = Track::new(&phrases)
                .unwrap()
                .finds(&post, &mut Scratch::default());
            if case["matches"] != by_reader || case["matches"] != by_post {
                wrong.push(format!(
                    "{name}, line {}: as a message {by_reader}, as a post {by_post}: {line}",
                    index + 1
                ));
            }
            cases += 1;
        }
    }
    assert!(cases > 0, "no cases");
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn passes(phrases: &[&str], tweet: &Value) -> bool {
    let filter = Filter::new(phrases, &[], &[]).unwrap();
    let tweet = tweet.to_string();
    let mut reader = Reader::new(Detail::Filter);
    let tweet = reader.read(tweet.as_bytes()).unwrap();
    filter.matches(&tweet, &mut Scratch::default())
}

/// Puts into `post` what the documentation of `track` names.
fn fill(post: &mut Post, tweet: &Value) {
    let retweeted = tweet.get("retweeted_status");
    for tweet in [retweeted, tweet.get("quoted_status")]
        .into_iter()
        .flatten()
    {
        fill(post, tweet);
    }
    let extended = &tweet["extended_tweet"];
    let fullest = if extended.is_object() {
        extended
    } else {
        tweet
    };
    if retweeted.is_none() {
        let text = [&fullest["full_text"], &fullest["text"]];
        post.escaped_text(text.iter().find_map(|t| t.as_str()).unwrap());
    }
    let entities = &fullest["entities"];
    let each = |list: &str| entities[list].as_array().cloned().unwrap_or_default();
    for link in each("urls") {
        post.link(link["expanded_url"].as_str().unwrap());
    }
    for hashtag in each("hashtags") {
        post.hashtag(hashtag["text"].as_str().unwrap());
    }
    for mention in each("user_mentions") {
        post.mention(mention["screen_name"].as_str().unwrap());
    }
}

/// A tweet as Twitter would send it of a line of `networks.jsonl`.
fn tweet(case: &Value) -> Value {
    let list = |key: &str| -> Vec<String> {
        let list = case[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v.as_str().unwrap().into()).collect()
    };
    let text = case["text"].as_str().unwrap();
    let mut text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut urls = Vec::new();
    for (index, address) in list("links").into_iter().enumerate() {
        let short = format!("https://t.co/{index:010}");
        let escaped = address.replace('&', "&amp;");
        assert!(text.contains(&escaped), "{address} is not in {text}");
        text = text.replacen(&escaped, &short, 1);
        urls.push(json!({"url": short, "expanded_url": address, "display_url": shown(&address)}));
    }
    let marked = |key: &str, mark: char, field: &str| -> Vec<Value> {
        let names = list(key).into_iter();
        names
            .map(|name| {
                assert!(
                    text.contains(&format!("{mark}{name}")),
                    "{name} is not in {text}"
                );
                json!({field: name})
            })
            .collect()
    };
    json!({"id": 1, "text": text, "entities": {
        "urls": urls,
        "hashtags": marked("hashtags", '#', "text"),
        "user_mentions": marked("mentions", '@', "screen_name"),
    }})
}

/// A link as Twitter shows it: without scheme and `www.`, 27 characters of it at most.
fn shown(address: &str) -> String {
    let bare = address.trim_start_matches("https://");
    let bare = bare.trim_start_matches("www.").trim_end_matches('/');
    match bare.char_indices().nth(27) {
        Some((end, _)) => format!("{}…", &bare[..end]),
        None => bare.into(),
    }
}
