//! Posts of all networks: what X sends becomes one document of bounded size that is JSON still;
//! documents become whole datums or one error; HTML becomes text that is no longer than it.
#![no_main]

use std::{cell::RefCell, str::from_utf8};

use avro_data::{Extractor, Schema, datum};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

// The file itself, which uses nothing of its crate.
#[allow(dead_code)]
#[path = "../../plugins/x/src/document.rs"]
mod document;

use document::{GROWTH, Message};

const SCHEMAS: [&str; 6] = [
    include_str!("../../schemas/bluesky/tweet.avsc"),
    include_str!("../../schemas/bluesky/tweet_full.avsc"),
    include_str!("../../schemas/mastodon/tweet.avsc"),
    include_str!("../../schemas/mastodon/tweet_full.avsc"),
    include_str!("../../schemas/x/tweet.avsc"),
    include_str!("../../schemas/x/tweet_full.avsc"),
];

thread_local! {
    /// Made once: they keep their memory from post to post, as in a stage.
    static EXTRACTORS: RefCell<Vec<Extractor>> = RefCell::new(
        SCHEMAS
            .iter()
            .map(|text| {
                let schema = Schema::parse(text).expect("a schema");
                Extractor::new(&schema).expect("its paths")
            })
            .collect(),
    );
}

fn joined(message: &[u8]) {
    let Ok(read) = Message::read(message) else {
        return;
    };
    let Some(post) = read.post() else {
        return;
    };
    let mut document = Vec::new();
    read.write(post, &mut document);
    assert!(document.len() <= GROWTH * message.len());
    serde_json::from_slice::<IgnoredAny>(&document).expect("JSON as before");
    extracted(&document, 4);
    extracted(&document, 5);
}

fn extracted(json: &[u8], which: usize) {
    EXTRACTORS.with_borrow_mut(|extractors| {
        let extractor = &mut extractors[which];
        let mut bytes = Vec::new();
        if extractor.extract(json, &mut bytes).is_ok() {
            let mut back = Vec::new();
            datum::to_json(extractor.schema(), &bytes, &mut back).expect("a whole datum");
        }
    });
}

fn text(html: &[u8]) {
    if let Ok(html) = from_utf8(html) {
        let (mut text, mut longest) = (String::new(), 0);
        html_text::to_text_and_links(html, &mut text, |link| longest = longest.max(link.len()));
        // A named character may take a byte more than its name, a blank line stands for a tag, and a
        // NUL of an attribute is by the standard U+FFFD, of three bytes.
        let nuls = html.bytes().filter(|byte| *byte == 0).count();
        let most = 2 * html.len() + nuls;
        assert!(text.len() <= most && longest <= most);
    }
}

fuzz_target!(
    init: fuzz::begin_with(&[
        [
            &b"\x00"[..],
            br#"{"data":{"id":"3","text":"RT","author_id":"7","created_at":"2026-05-25T14:23:28.000Z","note_tweet":{"text":"whole"},"referenced_tweets":[{"type":"quoted","id":"2"},{"type":"replied_to","id":"1"}]},"includes":{"users":[{"id":"7","name":"A","username":"a","public_metrics":{"post_count":1}}],"tweets":[{"id":"2","text":"q","author_id":"7","referenced_tweets":[{"type":"quoted","id":"2"}]}]},"matching_rules":[{"id":"1"}]}"#,
        ]
        .concat(),
        [
            &b"\x02"[..],
            br#"{"did":"did:plc:a","time_us":1779719009157119,"kind":"commit","commit":{"rkey":"3mmojbrjwbs26","record":{"createdAt":"2026-05-25T14:23:28.757Z","text":"x","reply":{"parent":{"uri":"at://did:plc:b/app.bsky.feed.post/3mmojbrjwbs26"}},"embed":{"record":{"uri":"at://did:plc:b/app.bsky.feed.post/3mmojbrjwbs26"}}}}}"#,
        ]
        .concat(),
        [
            &b"\x04"[..],
            br#"{"id":"01J5","created_at":"2026-05-25T14:23:28.778Z","content":"<p>a &amp; <a href=\"https://b/\">c</a></p>","account":{"id":"1","acct":"a","display_name":"","username":"a","created_at":"2017-04-05T00:00:00.000Z"},"reblog":null,"quote":{"quoted_status":{"id":"2"}}}"#,
        ]
        .concat(),
        b"\x07<p>a<br>&lt;b <span class=\"invisible\">https://</span></p><ul><li>c</ul><blockquote>&nGt;".to_vec(),
    ]),
    |data: &[u8]| {
        let [what, rest @ ..] = data else {
            return;
        };
        match what % 8 {
            0 => joined(rest),
            7 => text(rest),
            which => extracted(rest, usize::from(which) - 1),
        }
    }
);
