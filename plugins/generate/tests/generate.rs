//! The source through the real boundary.
#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, Outcome, TestHost};
use plugin_api::{ID_HEADER, Poll, StageError};
use plugin_generate::ThisPlugin;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

type Stage = Harness<ThisPlugin>;

const START: &str = "2026-11-24T09:00:00Z";
const START_MS: i64 = 1_795_510_800_000;

fn make(options: Value) -> Outcome {
    Stage::source("generate", &options)
        .unwrap()
        .poll_to_end()
        .unwrap()
}

fn objects(outcome: &Outcome) -> Vec<Value> {
    let texts = outcome.texts();
    texts
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// The tweet and those inside it.
fn nested(tweet: &Value) -> Vec<&Value> {
    let inner = ["retweeted_status", "quoted_status"]
        .iter()
        .filter_map(|key| tweet.get(key));
    std::iter::once(tweet).chain(inner).collect()
}

fn chars(text: &Value) -> Vec<char> {
    text.as_str().unwrap().chars().collect()
}

#[test]
fn the_same_options_make_the_same_stream() {
    let options = |seed: u64| json!({"count": 500, "start_time": START, "seed": seed});
    assert_eq!(make(options(1)).values(), make(options(1)).values());
    let (one, two) = (make(options(1)).values(), make(options(2)).values());
    assert!(one.iter().zip(&two).all(|(one, two)| one != two));
}

#[test]
fn a_stream_goes_on_from_a_checkpoint_as_if_nothing_had_been() {
    for kind in ["tweets", "users"] {
        let options = json!({"kind": kind, "count": 34_000});
        let host = |hour: i64| {
            let host = TestHost::leaked();
            host.set_now_us(START_MS * 1_000 + hour * 3_600_000_000);
            host
        };
        let open = |hour, restored: (u64, Option<&[u8]>)| {
            Stage::open_at(host(hour), "source", "generate", &options, &[], restored).unwrap()
        };
        let whole = open(0, (0, None)).poll_to_end().unwrap();
        let records = |outcome: &Outcome| {
            let batches = outcome.batches.iter();
            let records = batches.flat_map(|(_, batch)| {
                let record = |r: plugin_api::Record<'_>| {
                    (
                        r.header(ID_HEADER).unwrap().to_vec(),
                        r.ts_us(),
                        r.bytes().to_vec(),
                    )
                };
                batch.iter().map(record).collect::<Vec<_>>()
            });
            records.collect::<Vec<_>>()
        };
        let whole = records(&whole);
        let ids: HashSet<_> = whole.iter().map(|(id, ..)| id).collect();
        assert_eq!(ids.len(), whole.len(), "{kind}: an id is one record's");
        let mut stage = open(0, (0, None));
        let mut made = 0;
        // Around the bounds of the segments within, and twice at one place.
        for (hour, stop) in [1, 1, 16_383, 16_384, 16_385, 32_768, 33_000]
            .into_iter()
            .enumerate()
        {
            let outcome = stage.poll_records(stop - made).unwrap();
            assert_eq!(records(&outcome), whole[made..stop], "{kind} {stop}");
            made = stop;
            let (state, _) = stage.checkpoint(1, false).unwrap();
            stage.poll_records(10).unwrap();
            stage = open(hour as i64, (1, Some(&state)));
        }
        let rest = stage.poll_to_end().unwrap();
        assert_eq!(records(&rest), whole[made..], "{kind}");
    }
}

#[test]
fn workers_share_the_count_and_no_id() {
    for kind in ["tweets", "users"] {
        let options = json!({"kind": kind, "count": 1_001, "deletes": 0, "start_time": START});
        let mut ids = HashSet::new();
        for worker in 0..3 {
            let host = TestHost::leaked();
            let (none, place) = ((0, None), (worker, 3));
            let mut stage =
                Stage::open_as(host, "source", "generate", &options, &[], none, place).unwrap();
            for (_, batch) in stage.poll_to_end().unwrap().batches {
                ids.extend(batch.iter().map(|r| r.header(ID_HEADER).unwrap().to_vec()));
            }
        }
        assert_eq!(ids.len(), 1_001, "{kind}");
    }
}

#[test]
fn tweets_are_what_a_v11_stream_sends() {
    let outcome = make(json!({"count": 3_000, "start_time": START, "deletes": 0.1}));
    let all = objects(&outcome);
    assert_eq!(all.len(), 3_000);
    let (deletes, tweets): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|line| line.get("delete").is_some());
    let mut last_id = 0;
    for tweet in &tweets {
        let id = tweet["id"].as_i64().unwrap();
        assert!(id > last_id, "ids rise");
        last_id = id;
        let ms: i64 = tweet["timestamp_ms"].as_str().unwrap().parse().unwrap();
        assert_eq!((id >> 22) + 1_288_834_974_657, ms);
        assert!((START_MS..START_MS + 60_001).contains(&ms));
        for part in nested(tweet) {
            assert_eq!(part["id"].to_string(), part["id_str"].as_str().unwrap());
            assert!(part["created_at"].as_str().unwrap().ends_with("+0000 2026"));
            assert!(part["user"]["screen_name"].as_str().unwrap().len() <= 15);
            assert_eq!(
                part["user"]["id"].to_string(),
                part["user"]["id_str"].as_str().unwrap()
            );
            let text = chars(&part["text"]);
            assert!(text.len() <= 140, "{}", part["text"]);
            let retweet = part.get("retweeted_status").is_some();
            assert_eq!(
                part["truncated"] == true,
                part.get("extended_tweet").is_some()
            );
            assert_eq!(retweet, part["text"].as_str().unwrap().starts_with("RT @"));
            entities_are_where_they_say(&part["text"], &part["entities"]);
            if let Some(extended) = part.get("extended_tweet") {
                assert!((141..=280).contains(&chars(&extended["full_text"]).len()));
                entities_are_where_they_say(&extended["full_text"], &extended["entities"]);
            }
            assert_eq!(
                part["is_quote_status"] == true,
                part.get("quoted_status").is_some()
            );
        }
        assert!(
            tweet
                .get("retweeted_status")
                .is_none_or(|inner| inner.get("timestamp_ms").is_none())
        );
    }
    let count = |has: &dyn Fn(&Value) -> bool| tweets.iter().filter(|tweet| has(tweet)).count();
    let counts = [
        deletes.len(),
        count(&|tweet| tweet.get("retweeted_status").is_some()),
        count(&|tweet| tweet.get("quoted_status").is_some()),
        count(&|tweet| !tweet["in_reply_to_status_id"].is_null()),
        count(&|tweet| tweet.get("extended_tweet").is_some()),
        count(&|tweet| tweet["lang"] != "en"),
    ];
    // The stream is the same each time: 29 % retweets, 8 % quotes, 13 % replies, 10 % long.
    assert_eq!(counts, [306, 792, 215, 347, 264, 1_221]);
    let known: HashSet<&Value> = tweets.iter().map(|tweet| &tweet["id"]).collect();
    assert!(
        deletes
            .iter()
            .all(|delete| known.contains(&delete["delete"]["status"]["id"]))
    );
}

fn entities_are_where_they_say(text: &Value, entities: &Value) {
    let text = chars(text);
    let at = |entity: &Value| {
        let index = |number: usize| entity["indices"][number].as_u64().unwrap() as usize;
        text[index(0)..index(1)].iter().collect::<String>()
    };
    for tag in entities["hashtags"].as_array().unwrap() {
        assert_eq!(at(tag), format!("#{}", tag["text"].as_str().unwrap()));
    }
    for url in entities["urls"].as_array().unwrap() {
        assert_eq!(at(url), url["url"].as_str().unwrap());
    }
    for mention in entities["user_mentions"].as_array().unwrap() {
        assert_eq!(
            at(mention),
            format!("@{}", mention["screen_name"].as_str().unwrap())
        );
    }
}

#[test]
fn records_carry_id_and_time() {
    let outcome = make(json!({"count": 300, "start_time": START, "deletes": 0.3}));
    let mut ids = HashSet::new();
    for (_, batch) in &outcome.batches {
        for record in batch.iter() {
            let line: Value = serde_json::from_slice(record.bytes()).unwrap();
            let id = String::from_utf8(record.header("id").unwrap().to_vec()).unwrap();
            let (wanted, ms) = match line.get("delete") {
                Some(delete) => (
                    format!("delete/{}", delete["status"]["id"]),
                    &delete["timestamp_ms"],
                ),
                None => (line["id"].to_string(), &line["timestamp_ms"]),
            };
            assert_eq!(id, wanted);
            let ms: i64 = ms.as_str().unwrap().parse().unwrap();
            assert_eq!(record.ts_us(), Some(ms * 1_000));
            ids.insert(id);
        }
    }
    assert!(ids.len() > 200);
}

#[test]
fn words_are_many_skewed_and_burst() {
    let all = objects(&make(
        json!({"count": 10_000, "start_time": START, "languages": ["en"]}),
    ));
    let mut words: HashMap<String, usize> = HashMap::new();
    let mut by_burst: BTreeMap<i64, HashMap<String, usize>> = BTreeMap::new();
    for tweet in all.iter().filter(|tweet| tweet.get("text").is_some()) {
        let ms: i64 = tweet["timestamp_ms"].as_str().unwrap().parse().unwrap();
        for word in tweet["text"]
            .as_str()
            .unwrap()
            .split(|c: char| !c.is_alphanumeric() && c != '-')
        {
            if word.len() > 4 && word != "https" {
                *words.entry(word.to_lowercase()).or_default() += 1;
                let burst = by_burst.entry((ms - START_MS) / 40_000).or_default();
                *burst.entry(word.to_lowercase()).or_default() += 1;
            }
        }
    }
    assert!(words.len() > 600, "{}", words.len());
    let tops: HashSet<String> = by_burst
        .values()
        .map(|burst| {
            burst
                .iter()
                .max_by_key(|(word, count)| (**count, word.as_str()))
                .unwrap()
                .0
                .clone()
        })
        .collect();
    assert!(tops.len() >= 3, "each burst has words of its own: {tops:?}");
}

#[test]
fn a_rate_is_kept_on_the_hosts_clock() {
    let mut stage = Stage::source(
        "generate",
        &json!({"rate": 10, "count": 25, "start_time": START}),
    )
    .unwrap();
    let (poll, first) = stage.poll(100, 0).unwrap();
    assert_eq!(
        (poll, first.emitted()),
        (Poll::More, 1),
        "the first is due at once"
    );
    let mut emitted = 1;
    while emitted < 25 {
        let (_, outcome) = stage.poll(100, 60_000).unwrap();
        emitted += outcome.emitted();
    }
    assert_eq!(emitted, 25);
    let slept: u64 = stage.host().sleeps_ns().iter().sum();
    assert!(
        (2_000_000_000..=2_400_000_000).contains(&slept),
        "24 intervals of 100 ms: {slept}"
    );
}

#[test]
fn a_cancelled_source_stops_waiting() {
    let mut stage = Stage::source("generate", &json!({"rate": 0.001})).unwrap();
    assert_eq!(stage.poll(1, 1_000).unwrap().1.emitted(), 1);
    stage.host().cancel();
    assert_eq!(stage.poll(1, 60_000).unwrap().0, Poll::Idle);
}

#[test]
fn a_budget_is_a_hard_cap() {
    let mut stage = Stage::source("generate", &json!({"count": 2_000})).unwrap();
    let counts: Vec<_> = [1, 1_300, 5_000]
        .map(|budget| {
            let mut emitted = 0;
            while emitted < budget {
                let (poll, outcome) = stage.poll(budget - emitted, 1_000).unwrap();
                emitted += outcome.emitted();
                if poll == Poll::Finished {
                    break;
                }
            }
            emitted
        })
        .into();
    assert_eq!(counts, [1, 1_300, 699]);
}

#[test]
fn users_fit_their_schema() {
    let all = objects(&make(json!({"kind": "users", "count": 100})));
    for (index, user) in all.iter().enumerate() {
        assert_eq!(user["id"], index + 1);
        assert!(
            user["name"].as_str().unwrap().len() > 3 && user["address"].as_str().unwrap().len() > 5
        );
        assert_eq!(user.as_object().unwrap().len(), 3);
    }
}

#[test]
fn languages_are_chosen() {
    let all = objects(&make(
        json!({"count": 300, "languages": ["ja", "el"], "deletes": 0}),
    ));
    let languages: HashSet<&str> = all
        .iter()
        .map(|tweet| tweet["lang"].as_str().unwrap())
        .collect();
    assert_eq!(languages, HashSet::from(["ja", "el"]));
}

#[test]
fn wrong_options_are_named() {
    let error = |options: Value| -> StageError {
        Stage::plan("source", "generate", &options, &[])
            .err()
            .unwrap()
    };
    for (options, pointer) in [
        (json!({"rate": 0}), "/rate"),
        (json!({"deletes": 2}), "/deletes"),
        (json!({"languages": ["en", "xx"]}), "/languages/1"),
        (json!({"languages": []}), "/languages"),
        (json!({"start_time": "yesterday"}), "/start_time"),
        (json!({"start_time": "2026-02-30T00:00:00Z"}), "/start_time"),
        (json!({"kind": "cats"}), "/kind"),
    ] {
        assert_eq!(error(options.clone()).pointer, pointer, "{options}");
    }
}
