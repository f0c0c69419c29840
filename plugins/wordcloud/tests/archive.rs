//! One real minute of Twitter's sample stream through the stage, against a count from scratch.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::Read;

use plugin_api::ContentType;
use plugin_api::testing::{Harness, batch_of};
use plugin_wordcloud::ThisPlugin;
use plugin_wordcloud::config::Options;
use plugin_wordcloud::input::JSON_TEXTS;
use plugin_wordcloud::token::Tokenizer;
use serde_json::{Value, json};

fn minute() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn a_minute_of_tweets_is_counted_exactly_and_every_word_is_placed() {
    let mut archive = String::new();
    bzip2::read::MultiBzDecoder::new(&*minute().read())
        .read_to_string(&mut archive)
        .unwrap();
    let lines: Vec<&str> = archive.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3185);

    let options = json!({"window": "1000 records", "words": 200, "languages": ["en", "ja"]});
    let mut stage =
        Harness::<ThisPlugin>::processor("wordcloud", &options, &[ContentType::json()]).unwrap();
    let (mut rejected, mut consumed) = (0, 0);
    for lines in lines.chunks(100) {
        let outcome = stage.process(0, &batch_of(lines)).unwrap();
        rejected += outcome.rejected.len();
        consumed += outcome.consumed_count();
    }
    assert_eq!((rejected, consumed), (355, 2830));
    let frame = stage.end(0).unwrap();
    let frame: Value = serde_json::from_str(&frame.texts()[0]).unwrap();

    let checked = serde_json::from_value::<Options>(options)
        .unwrap()
        .check()
        .unwrap();
    let mut tokenizer = Tokenizer::new(checked.rules);
    let mut texts: Vec<String> = Vec::new();
    for line in lines {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |path: &&str| {
            let pointer = format!("/{}", path.replace('.', "/"));
            record.pointer(&pointer)?.as_str().map(str::to_owned)
        };
        texts.extend(JSON_TEXTS.iter().find_map(text));
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in &texts[texts.len() - 1000..] {
        tokenizer.words(text, |_, key| {
            *counts.entry(key.to_owned()).or_default() += 1
        });
    }
    assert_eq!(frame["records"], 1000);
    assert_eq!(frame["distinct"], counts.len());
    assert_eq!(frame["tokens"], counts.values().sum::<u64>());
    let mut wanted: Vec<(String, u64)> = counts.into_iter().collect();
    wanted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    wanted.truncate(200);
    let words = frame["words"].as_array().unwrap();
    let shown: Vec<(String, u64)> = words
        .iter()
        .map(|word| {
            (
                word.get("key")
                    .unwrap_or(&word["text"])
                    .as_str()
                    .unwrap()
                    .to_owned(),
                word["count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, wanted);
    println!("{:?}", &shown[..40]);
}

needs::tests! {
    a_minute_of_tweets_is_counted_exactly_and_every_word_is_placed:
        minute();
}
