//! What a Mastodon server sends over a websocket: a message says the same whatever came before it,
//! and nothing in it grows.
#![no_main]

use std::str::from_utf8;

use libfuzzer_sys::fuzz_target;
use plugin_mastodon::fuzzed::{Reader, Said};

const OPTIONS: [&str; 3] = [
    r#"{"url":"https://a.example"}"#,
    r#"{"url":"https://a.example","track":["rust","apache kafka","a.example"]}"#,
    r#"{"url":"https://a.example","languages":["en","und"],"reblogs":false,"only_media":true}"#,
];

fn messages(options: &str, lines: &str) {
    let reader = || Reader::new(options).expect("options of the source");
    let mut all = reader();
    for message in lines.split('\n') {
        let said = all.read(message);
        assert_eq!(said, reader().read(message));
        if let Said::Post { json, uri, .. } = said {
            assert!(json.len() <= message.len() && uri.len() <= json.len());
        }
    }
}

fuzz_target!(
    init: fuzz::begin_with(&[
        [
            &b"\x01"[..],
            br#"{"stream":["hashtag","rust"],"event":"update","payload":"{\"id\":\"109\",\"uri\":\"https://a/1\",\"created_at\":\"2026-05-25T14:23:28.778Z\",\"language\":\"en\",\"spoiler_text\":\"\",\"content\":\"<p>apache <b>kafka</b> <a href=\\\"https://b/\\\">c</a></p>\",\"tags\":[{\"name\":\"rust\"}],\"mentions\":[{\"username\":\"a\"}],\"poll\":{\"options\":[{\"title\":\"x\"}]},\"quote\":{\"quoted_status\":{\"id\":\"2\"}},\"reblog\":null}"}"#,
            b"\n",
            br#"{"event":"delete","payload":"109","stream":["public"]}"#,
            b"\n",
            br#"{"event":"update","payload":{"id":"1"}}"#,
        ]
        .concat(),
        [
            &b"\x02"[..],
            br#"{"event":"status.update","payload":"{\"id\":\"1\",\"edited_at\":\"2026-05-25T14:23:28Z\",\"reblog\":{\"id\":\"2\",\"media_attachments\":[{}],\"language\":null}}"}"#,
            b"\n",
            br#"{"error":"No","status":401}"#,
            b"\n",
            br#"{"event":"pleroma:respond","payload":"{\"result\":\"error\",\"error\":\"bad_topic\"}"}"#,
        ]
        .concat(),
    ]),
    |data: &[u8]| {
        let [options, rest @ ..] = data else {
            return;
        };
        if let Ok(lines) = from_utf8(rest) {
            messages(OPTIONS[usize::from(*options) % OPTIONS.len()], lines);
        }
    }
);
