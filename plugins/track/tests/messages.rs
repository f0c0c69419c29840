//! The reader and the filter on real messages, and on made-up awkward ones.

#![allow(clippy::unwrap_used)]

use std::io::Read;

use needs::Need;
use track::{Controls, Detail, Filter, Kind, Message, Reader, Scratch};

fn archive() -> Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

fn traptor() -> Need {
    needs::data("traptor")
}

/// A file of the real cases.
fn data(path: &str) -> Vec<u8> {
    needs::data(path).read()
}

fn read<T>(json: &str, look: impl FnOnce(Message<'_>) -> T) -> T {
    look(Reader::new(Detail::Filter).read(json.as_bytes()).unwrap())
}

fn text(json: &str) -> String {
    read(json, |m| {
        let text = std::str::from_utf8(m.text).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

fn tracks(track: &str, json: &str) -> bool {
    let filter = Filter::from_params(Some(track), None, None).unwrap();
    read(json, |m| filter.matches(&m, &mut Scratch::default()))
}

fn the_archive_is_sorted_into_tweets_and_deletes() {
    let packed = archive().read();
    let mut lines = Vec::new();
    bzip2::read::MultiBzDecoder::new(&packed[..])
        .read_to_end(&mut lines)
        .unwrap();
    let mut reader = Reader::new(Detail::Envelope);
    let (mut tweets, mut deletes) = (0, 0);
    for line in lines.split(|b| *b == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let message = reader.read(line).unwrap();
        match message.kind {
            Kind::Tweet => {
                tweets += 1;
                let time = message.time_ms.unwrap();
                assert_eq!(track::snowflake_ms(message.id.unwrap()), Some(time));
            }
            Kind::Control => {
                deletes += 1;
                assert_eq!(message.controls, Controls::DELETE);
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
        }
    }
    assert_eq!((tweets, deletes), (2830, 355));
}

fn control_messages_of_three_projects() {
    let mut reader = Reader::new(Detail::Envelope);
    let one = [
        ("delete", "traptor/data/delete_message.json"),
        ("limit", "traptor/data/limit_message.json"),
        ("scrub_geo", "traptor/data/scrub_geo_message.json"),
        (
            "status_withheld",
            "traptor/data/status_withheld_message.json",
        ),
        ("user_withheld", "traptor/data/user_withheld_message.json"),
        ("warning", "traptor/data/warning_message.json"),
        ("disconnect", "traptor/data/disconnect_message.json"),
        ("warning", "twitter-stream-rs/falling_behind_1.json"),
    ];
    for (name, path) in one {
        let json = data(path);
        let message = reader.read(&json).unwrap();
        assert_eq!(message.kind, Kind::Control, "{path}");
        assert_eq!(
            message.controls.names().collect::<Vec<_>>(),
            [name],
            "{path}"
        );
        match name {
            "limit" => assert_eq!(message.notice.limit, Some(1234)),
            "disconnect" => assert_eq!(message.notice.code, Some(4)),
            "warning" => {
                assert_eq!(message.notice.percent_full, Some(60));
                assert!(
                    message
                        .notice
                        .text
                        .starts_with("Your connection is falling behind")
                );
            }
            _ => {}
        }
    }
    // Everything in one object, with a key that occurs twice, and an event.
    let json = data("traptor/data/other_tweet_messages.json");
    let message = reader.read(&json).unwrap();
    assert_eq!(message.kind, Kind::Control);
    assert_eq!(message.controls.names().count(), 7);

    let kinds = |path, reader: &mut Reader| -> Vec<Kind> {
        let lines = data(path);
        let lines = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        lines.map(|l| reader.read(l).unwrap().kind).collect()
    };
    use Kind::{Control, Event, Tweet};
    assert_eq!(
        kinds("twitter4j/streamingapi-testcase.jsonl", &mut reader),
        [Control, Tweet, Tweet, Control, Tweet, Control]
    );
    assert_eq!(
        kinds("twitter4j/streamingapi-event-testcase.jsonl", &mut reader),
        [Event, Control, Event, Event, Event]
    );
}

fn rule_cases_of_traptor() {
    let tweet = data("traptor/data/track_tweet.json");
    let tweet = String::from_utf8(tweet).unwrap();
    assert!(tracks("happy", &tweet));
    assert!(tracks("dannytaughtyou_", &tweet));
    assert!(!tracks("dannytaughtyou", &tweet));
    let no_match = data("traptor/data/no_match_tweet.json");
    assert!(!tracks("happy", &String::from_utf8(no_match).unwrap()));
    let follow = Filter::from_params(None, Some("17919972"), None).unwrap();
    let locations = Filter::from_params(None, None, Some("-122.75,36.8,-121.75,37.8")).unwrap();
    let mut reader = Reader::new(Detail::Filter);
    let mut passes = |filter: &Filter, path| {
        let json = data(path);
        filter.matches(&reader.read(&json).unwrap(), &mut Scratch::default())
    };
    assert!(passes(&follow, "traptor/data/follow_tweet.json"));
    assert!(!passes(&follow, "traptor/data/track_tweet.json"));
    assert!(passes(&locations, "traptor/data/locations_tweet.json"));
    assert!(!passes(&locations, "traptor/data/track_tweet.json"));
}

fn the_fullest_text_counts() {
    let extended = r#"{"id":1,"text":"all abou… https://t.co/x","truncated":true,
        "entities":{"urls":[{"expanded_url":"https://twitter.com/i/web/status/1","display_url":"twitter.com/i/web/st…"}]},
        "extended_tweet":{"full_text":"ALL about Kafka","entities":{"hashtags":[{"text":"Streams"}],
            "user_mentions":[{"screen_name":"Apache"}],"urls":[],
            "media":[{"expanded_url":"https://x.y/1","display_url":"pic.x.y/2"}]}}}"#;
    assert_eq!(
        text(extended),
        "all about kafka #streams @apache https://x.y/1 pic.x.y/2"
    );
    assert_eq!(text(r#"{"id":1,"full_text":"Long","text":"Lo"}"#), "long");
    let retweet = r#"{"id":1,"text":"RT @a: so lon…","retweeted_status":{"text":"so long, and thanks"},
        "quoted_status":{"text":"the QUOTED one","quoted_status":{"text":"never"}}}"#;
    assert_eq!(
        text(retweet),
        "rt @a: so so long, and thanks the quoted one"
    );
    assert!(tracks("thanks,never", retweet));
    assert!(!tracks("lon,never", retweet));
}

fn awkward_messages_are_read() {
    // The last of two keys counts, a cut emoji is U+FFFD, numbers may be text and the reverse.
    let awkward = r#" {"id":1,"text":"old","text":"cut \ud83d here","id":2,"id_str":"3",
        "timestamp_ms":"1500000000000","user":null,"entities":[],"place":"x","coordinates":[1]}"#;
    read(awkward, |m| {
        assert_eq!(
            (m.kind, m.id, m.time_ms),
            (Kind::Tweet, Some(2), Some(1_500_000_000_000))
        );
    });
    assert_eq!(text(awkward), "cut \u{fffd} here");
    assert!(tracks("cut here", awkward));
    assert!(!tracks("old", awkward));
    let id_str = r#"{"id_str":"1345059463120621570","text":"x"}"#;
    read(id_str, |m| {
        assert_eq!(m.id, Some(1_345_059_463_120_621_570));
        assert_eq!(m.time_ms, Some(1_609_522_140_661));
    });
    let old = r#"{"id":6832063504,"text":"x","created_at":"Sat Dec 19 16:01:35 +0000 2009"}"#;
    assert_eq!(read(old, |m| m.time_ms), Some(1_261_238_495_000));
    for (json, kind) in [
        ("{}", Kind::Unknown),
        ("[1,[2]]", Kind::Unknown),
        ("null", Kind::Unknown),
        (r#"{"text":"no id"}"#, Kind::Unknown),
        (r#"{"limit":null,"delete":1}"#, Kind::Unknown),
        (r#"{"friends":[1,2]}"#, Kind::Unknown),
        (r#"{"disconnect":{}}"#, Kind::Control),
        (r#"{"\ud83d":"\ud83d","id_str":"1","text":""}"#, Kind::Tweet),
        (r#"{"id":1,"text":null}"#, Kind::Unknown),
        (r#"{"id":1,"text":["x"]}"#, Kind::Unknown),
    ] {
        assert_eq!(read(json, |m| m.kind), kind, "{json}");
    }
}

fn what_is_no_json_is_refused_and_the_reader_goes_on() {
    let mut reader = Reader::new(Detail::Filter);
    let deep = "[".repeat(1 << 20);
    let deep_in_place = format!(r#"{{"id":1,"text":{}"#, "[".repeat(1 << 20));
    for wrong in [
        &b""[..],
        b"Exceeded connection limit for user",
        b"{\"id\":1",
        b"{} {}",
        b"\xff",
        b"{\"a\":\"\\u12\"}",
        deep.as_bytes(),
        deep_in_place.as_bytes(),
        b"{\"text\":\"\\ud83d",
    ] {
        assert!(reader.read(wrong).is_err());
    }
    assert_eq!(
        reader.read(br#"{"id":1,"text":"x"}"#).unwrap().kind,
        Kind::Tweet
    );
}

fn damaged_messages_never_panic_and_give_text_that_is_utf_8() {
    let tweet = data("traptor/data/extended_tweets/extended_hidden.json");
    let tweet = tweet.trim_ascii();
    let mut reader = Reader::new(Detail::Filter);
    assert_eq!(reader.read(tweet).unwrap().kind, Kind::Tweet);
    for end in 0..tweet.len() {
        assert!(reader.read(&tweet[..end]).is_err(), "cut at {end}");
    }
    let mut damaged = tweet.to_vec();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..3_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = (seed >> 8) as usize % damaged.len();
        let before = damaged[at];
        damaged[at] = seed as u8;
        if let Ok(message) = reader.read(&damaged) {
            assert!(std::str::from_utf8(message.text).is_ok());
        }
        if seed & 0x7000 != 0 {
            damaged[at] = before;
        }
        if seed & 0xF0000 == 0 {
            damaged.copy_from_slice(tweet);
        }
    }
}

needs::tests! {
    the_archive_is_sorted_into_tweets_and_deletes:
        archive();
    control_messages_of_three_projects:
        traptor(), needs::data("twitter-stream-rs"), needs::data("twitter4j");
    rule_cases_of_traptor:
        traptor();
    the_fullest_text_counts;
    awkward_messages_are_read;
    what_is_no_json_is_refused_and_the_reader_goes_on;
    damaged_messages_never_panic_and_give_text_that_is_utf_8:
        traptor();
}
