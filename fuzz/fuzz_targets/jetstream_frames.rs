//! What a Jetstream server sends: frames are cut the same however their bytes arrive, and never
//! grow; an event that becomes a record is it byte for byte, with an address and a time, and only
//! once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plugin_bluesky::{Converter, trimmed};

const MAX: usize = 200;
const OPTIONS: [&str; 3] = [
    "{}",
    r#"{"wanted_collections":[],"emit":["create","update","delete","identity","account"]}"#,
    r#"{"track":["rust","apache kafka","a.example"],"languages":["en","und"]}"#,
];

fn wire(piece: usize, bytes: &[u8]) {
    let whole = trimmed(bytes, bytes.len(), MAX);
    assert_eq!(trimmed(bytes, piece, MAX), whole);
    assert!(whole.is_none_or(|whole| whole.len() <= bytes.len()));
}

fn events(options: &str, frames: &[u8]) {
    let mut converter = Converter::new(options).expect("options of the source");
    let mut taken = Vec::new();
    for frame in frames.split(|byte| *byte == b'\n') {
        if converter.take(frame) {
            assert!(!converter.take(frame), "taken twice");
            taken.push(frame);
        }
    }
    let batch = converter.batch();
    assert_eq!(batch.len(), taken.len());
    for (record, frame) in batch.iter().zip(taken) {
        assert_eq!(record.bytes(), frame);
        assert!(record.ts_us().is_some_and(|us| us > 0));
        assert!(
            record
                .header("id")
                .is_some_and(|id| id.starts_with(b"at://"))
        );
    }
}

fuzz_target!(
    init: fuzz::begin_with(&[
        [
            &b"\x00\x03"[..],
            br#"{"did":"did:plc:a","time_us":1779719009157119,"kind":"commit","commit":{"rev":"3m","operation":"create","collection":"app.bsky.feed.post","rkey":"3k","record":{"text":"x"}}}"#,
        ]
        .concat(),
        [
            &b"\x02\x05"[..],
            br#"{"did":"a","time_us":5,"kind":"commit","commit":{"rev":"3","operation":"update","collection":"a.b.c","rkey":"k","record":{"langs":["en-GB"],"text":"see a.ex...","tags":["rust"],"facets":[{"index":{"byteStart":4,"byteEnd":11},"features":[{"uri":"https://a.example/"},{"did":"b"},{"tag":"t"}]}],"embed":{"media":{"external":{"uri":"http://b"}}}}}}"#,
            b"\n",
            br#"{"did":"a","time_us":6,"kind":"account","account":{"seq":7}}"#,
        ]
        .concat(),
        b"\x01\x01\x81\x05{\"a\":\x89\x00\x01\x7e\x01\x00xyz".to_vec(),
        [b"\x01\x02\x82\x7e\x01\x2c".to_vec(), vec![b'x'; 300], b"\x88\x02\x03\xe8".to_vec()].concat(),
    ]),
    |data: &[u8]| {
        let [options, piece, rest @ ..] = data else {
            return;
        };
        wire(usize::from(*piece).max(1), rest);
        events(OPTIONS[usize::from(*options) % OPTIONS.len()], rest);
    }
);
