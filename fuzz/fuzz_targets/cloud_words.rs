//! Texts of tweets: whatever is written, its words are cut out of it and counted as often as they
//! stand there, and all of them come back from a checkpoint; a state is read whole or not at all.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use plugin_api::{BatchBuilder, ContentType};
use plugin_wordcloud::{
    config::Options,
    input::{Item, Reader},
    token::Tokenizer,
    window::{
        Bounds,
        groups::{Admitted, Groups},
    },
};
use serde_json::json;

const BOUNDS: Bounds = Bounds {
    records: Some(10),
    span_us: None,
    lateness_us: None,
    words: 1 << 20,
    tokens: 1 << 20,
    samples: 1 << 10,
};

/// What a bit of the first byte switches on.
const SWITCHES: [&str; 4] = ["bigrams", "mentions", "numbers", "emoji"];

thread_local! {
    /// For each combination one: they keep their memory from text to text, as in a stage.
    static TOKENIZERS: RefCell<Vec<(Reader, Tokenizer)>> = RefCell::new(
        (0..64)
            .map(|bits| {
                let mut options = json!({
                    "languages": if bits & 16 == 0 { vec!["en"] } else { vec!["fr", "ja"] },
                    "case": if bits & 32 == 0 { "fold" } else { "keep" },
                });
                for (at, switch) in SWITCHES.iter().enumerate() {
                    options[*switch] = json!(bits >> at & 1 == 1);
                }
                let options: Options = serde_json::from_value(options).expect("options");
                let reader = Reader::new(&ContentType::json(), options.wanted()).expect("a reader");
                let rules = options.check().expect("rules").rules;
                (reader, Tokenizer::new(rules))
            })
            .collect(),
    );
}

fn counted(tokenizer: &mut Tokenizer, text: &str) {
    let mut groups: Groups<()> = Groups::new(BOUNDS, 1);
    let Admitted::Counted(slot) = groups.admit("", 0, None) else {
        unreachable!("nothing is late or repeated");
    };
    let mut keys = Vec::new();
    tokenizer.words(text, |word, key| {
        assert!(!word.is_empty() && !key.is_empty());
        groups.word(slot, word, key);
        keys.push(key.to_owned());
    });
    groups.end_record(slot, 0, None, text);
    for key in &keys {
        assert!(tokenizer.keeps(key), "{key} does not come back");
    }
    let counts = |groups: &mut Groups<()>| -> Vec<(String, String, u64)> {
        let window = &groups.group(slot).expect("the group").window;
        assert_eq!(window.tokens(), keys.len() as u64);
        let words = window.top(1 << 20, 1).into_iter();
        words
            .map(|word| (word.key.to_owned(), word.text.to_owned(), word.count))
            .collect()
    };
    let came = counts(&mut groups);
    let sum: u64 = came.iter().map(|word| word.2).sum();
    assert_eq!(sum, keys.len() as u64);
    let mut state = Vec::new();
    groups.save(10, 1, |(), _| {}, &mut state);
    let keeps = |key: &str| tokenizer.keeps(key);
    let again = Groups::load(BOUNDS, 1, keeps, |_| Some(()), &state);
    assert_eq!(counts(&mut again.expect("what was saved")), came);
}

fuzz_target!(
    init: fuzz::begin_with(&[
        "\u{0}The U.S. #Storm of 3,000 @people isn’t a.m … https://t.co/x".into(),
        "\u{f}Straße ﷺ 喜欢音乐 #️⃣😀 l’été tel·la สวัสดีครับ $TSLA a@b.cd".into(),
        [&b"\x40"[..], br#"{"text":"a \ud83d\ude00 b","timestamp_ms":"1609522140664","retweeted_status":{"id":7,"full_text":"whole"}}"#].concat(),
        b"\x80\0\0\0\0\0\0\0\x80".to_vec(),
    ]),
    |input: &[u8]| {
        let Some((&first, rest)) = input.split_first() else {
            return;
        };
        if first & 128 != 0 {
            let _ = Groups::<()>::load(BOUNDS, 4, |key| key.len() % 2 == 0, |_| None, rest);
            return;
        }
        TOKENIZERS.with_borrow_mut(|tokenizers| {
            let (reader, tokenizer) = &mut tokenizers[usize::from(first & 63)];
            if first & 64 == 0 {
                counted(tokenizer, &String::from_utf8_lossy(rest));
                return;
            }
            let mut batch = BatchBuilder::new();
            batch.push(Some(rest));
            let mut item = Item::default();
            for record in batch.finish().iter() {
                if reader.read(&record, &mut item).is_ok() {
                    counted(tokenizer, &item.text);
                }
            }
        });
    }
);
