//! What counting costs, a tweet at a time, with windows of several sizes that are full: each tweet
//! that comes makes the oldest go. The texts are those of the archive's minute; a third of their
//! words get another ending in each round, as rare words are different ones, too.

use std::io::Read;

use plugin_wordcloud::{
    config::Options,
    input::JSON_TEXTS,
    token::Tokenizer,
    window::{
        Recent,
        groups::{Admitted, Groups},
    },
};
use serde_json::{Value, json};

use crate::{Error, cloud::cpu_us, report::Report};

const ROUNDS: usize = 3;
/// Records in the window.
const SIZES: [usize; 3] = [1000, 30_000, 300_000];
/// Tweets that are measured at a time.
const TWEETS: usize = 30_000;
/// Microseconds that a tweet may take when it has been cut into words, and with that.
const COUNTED_US: f64 = 3.0;
const WHOLE_US: f64 = 6.0;

type Words = Vec<(String, String)>;

/// The worst of all sizes and both limits counts.
pub fn run(report: &mut Report) -> Result<(), Error> {
    let texts = texts()?;
    let mut tokenizer = Tokenizer::new(options(1)?.check().map_err(said)?.rules);
    let mut tweets: Vec<(String, Words)> = Vec::new();
    for at in 0..TWEETS {
        let text = vary(&texts[at % texts.len()], at / texts.len());
        let mut words = Vec::new();
        tokenizer.words(&text, |text, key| {
            words.push((text.to_owned(), key.to_owned()));
        });
        tweets.push((text, words));
    }
    let words: usize = tweets.iter().map(|tweet| tweet.1.len()).sum();
    println!(
        "{:.1} words a tweet are counted",
        words as f64 / TWEETS as f64
    );
    let mut ratio = f64::MAX;
    for size in SIZES {
        let bounds = options(size)?.check().map_err(said)?.bounds;
        let mut groups: Groups<()> = Groups::new(bounds, 1);
        let mut recent = Recent::default();
        let mut round = TWEETS / texts.len() + 1;
        for at in 0..size {
            let text = vary(&texts[at % texts.len()], round + at / texts.len());
            whole(&mut groups, &mut tokenizer, &text);
        }
        round += size / texts.len() + 1;
        let counted = format!("counted of {size}");
        let cut = format!("cut+counted of {size}");
        let top = format!("a frame of {size}");
        for _ in 0..ROUNDS {
            // The words of before come again in the next round only if the window is small.
            let began = cpu_us();
            for (text, words) in &tweets {
                if let Admitted::Counted(slot) = groups.admit("", 0, None) {
                    for (text, key) in words {
                        groups.word(slot, text, key);
                    }
                    groups.end_record(slot, 0, None, text);
                }
            }
            report.add(&counted, (cpu_us() - began) / TWEETS as f64);
            let fresh: Vec<String> = (0..TWEETS)
                .map(|at| vary(&texts[at % texts.len()], round + at / texts.len()))
                .collect();
            round += TWEETS / texts.len() + 1;
            let began = cpu_us();
            for text in &fresh {
                whole(&mut groups, &mut tokenizer, text);
            }
            report.add(&cut, (cpu_us() - began) / TWEETS as f64);
            let began = cpu_us();
            let group = groups.named("").ok_or("there is no group")?;
            let top_words = group.window.top(200, 1);
            std::hint::black_box(recent.samples(&group.window, &top_words, 1));
            report.add(&top, cpu_us() - began);
        }
        let group = groups.named("").ok_or("there is no group")?;
        println!(
            "a window of {size}: {} different words",
            group.window.distinct()
        );
        ratio = ratio
            .min(COUNTED_US / report.median(&counted))
            .min(WHOLE_US / report.median(&cut));
    }
    println!("in µs a tweet (limits {COUNTED_US} counted, {WHOLE_US} cut+counted), and a frame:");
    report.conclude(ratio);
    Ok(())
}

fn whole(groups: &mut Groups<()>, tokenizer: &mut Tokenizer, text: &str) {
    if let Admitted::Counted(slot) = groups.admit("", 0, None) {
        tokenizer.words(text, |text, key| groups.word(slot, text, key));
        groups.end_record(slot, 0, None, text);
    }
}

fn said(error: plugin_api::StageError) -> Error {
    error.message.into()
}

fn options(records: usize) -> Result<Options, Error> {
    Ok(serde_json::from_value(json!({
        "window": format!("{records} records"),
        "languages": ["en", "ja", "es", "ar"],
        "max_words": 5_000_000,
        "max_tokens": 100_000_000,
    }))?)
}

fn texts() -> Result<Vec<String>, Error> {
    let minute = needs::data("archive-stream/2021-01-01-10-29.json.bz2").read();
    let mut archive = String::new();
    bzip2::read::MultiBzDecoder::new(&*minute).read_to_string(&mut archive)?;
    let mut texts = Vec::new();
    for line in archive.lines() {
        let record: Value = serde_json::from_str(line)?;
        let text = |path: &&str| {
            let pointer = format!("/{}", path.replace('.', "/"));
            record.pointer(&pointer)?.as_str().map(str::to_owned)
        };
        texts.extend(JSON_TEXTS.iter().find_map(text));
    }
    Ok(texts)
}

/// The text with another ending at a third of its words.
fn vary(text: &str, round: usize) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(word);
        let plain = word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if plain && word.bytes().map(usize::from).sum::<usize>() % 3 == 0 {
            let mut round = round;
            while round > 0 {
                out.push(char::from(b'a' + (round % 26) as u8));
                round /= 26;
            }
        }
    }
    out
}
