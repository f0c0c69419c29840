//! Posts and tweets that say the same, in as many bytes.

use serde_json::json;

pub struct Documents {
    pub posts: Vec<String>,
    pub tweets: Vec<String>,
}

impl Documents {
    /// `n` of each; the shorter ones have a longer text.
    pub fn of_one_size(n: usize) -> Self {
        let (mut posts, mut tweets) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for number in 0..n {
            let (post, tweet) = (post(number, ""), tweet(number, ""));
            let room = |short: usize, long: usize| "word ".repeat(long.saturating_sub(short) / 5);
            let (for_post, for_tweet) =
                (room(post.len(), tweet.len()), room(tweet.len(), post.len()));
            posts.push(self::post(number, &for_post));
            tweets.push(self::tweet(number, &for_tweet));
        }
        Self { posts, tweets }
    }

    /// Bytes of a document, on average.
    pub fn bytes(&self) -> usize {
        let all = self.posts.iter().chain(&self.tweets);
        all.map(String::len).sum::<usize>() / (self.posts.len() + self.tweets.len())
    }
}

const TEXT: &str = "A word about lighthouses: “the keeper’s log” is online, 800 pages of it 🌊 ";

/// A reply with a hashtag and a link card, as a server writes it.
fn post(number: usize, more: &str) -> String {
    let text = format!("{TEXT}{more}#lighthouse {number}");
    let start = text.find('#').unwrap_or(0);
    let record = json!({
        "$type": "app.bsky.feed.post",
        "createdAt": "2026-05-25T14:23:28.757Z",
        "embed": {
            "$type": "app.bsky.embed.external",
            "external": {
                "description": "Eight hundred pages, written between 1861 and 1903, now to be read and searched by everybody.",
                "thumb": {
                    "$type": "blob",
                    "ref": {"$link": "bafkreieajxclqzwk2mczx7hxmoboqpuiveqlbm35gsda5xlaqfmlryu4ri"},
                    "mimeType": "image/jpeg",
                    "size": 720_303
                },
                "title": "The keeper’s log",
                "uri": "https://lighthouses.example/logs/1861-1903?page=17"
            }
        },
        "facets": [{
            "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "lighthouse"}],
            "index": {"byteEnd": start + 11, "byteStart": start}
        }],
        "langs": ["en"],
        "reply": {
            "parent": {
                "cid": "bafyreiainko5un5pbcdosvxpbisjnjzemojnry6nsgtdftdgslbu37kxai",
                "uri": "at://did:plc:j76trmiofvaxxpvx2vnb2vwf/app.bsky.feed.post/3mmojbrjwbs26"
            },
            "root": {
                "cid": "bafyreiainko5un5pbcdosvxpbisjnjzemojnry6nsgtdftdgslbu37kxai",
                "uri": "at://did:plc:j76trmiofvaxxpvx2vnb2vwf/app.bsky.feed.post/3mmojbrjwbs26"
            }
        },
        "text": text
    });
    let time_us = 1_779_719_009_157_119 + 25_000 * number;
    let key = format!("3mmo{:2>9}", base32(number));
    format!(
        r#"{{"did":"did:plc:q235v55g5unth4zjjdpacfdr","time_us":{time_us},"kind":"commit","commit":{{"rev":"{key}","operation":"create","collection":"app.bsky.feed.post","rkey":"{key}","record":{record},"cid":"bafyreicl7rzkxdrm4zz2ehbx52kuk3mvfow6p3gzfys72r5grvskxoswy4"}}}}"#
    )
}

/// In the alphabet of record keys.
fn base32(mut number: usize) -> String {
    const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    while number > 0 {
        digits.insert(0, DIGITS[number % 32]);
        number /= 32;
    }
    digits.into_iter().map(char::from).collect()
}

/// The same of v1.1, with the user as streams had it.
fn tweet(number: usize, more: &str) -> String {
    let text = format!("{TEXT}{more}#lighthouse {number}");
    let id = 1_345_059_463_120_621_570 + number as u64;
    json!({
        "created_at": "Fri Jan 01 17:29:00 +0000 2021",
        "id": id,
        "id_str": id.to_string(),
        "text": text,
        "source": "<a href=\"https://mobile.twitter.com\" rel=\"nofollow\">Twitter Web App</a>",
        "truncated": false,
        "in_reply_to_status_id": id - 7,
        "in_reply_to_status_id_str": (id - 7).to_string(),
        "in_reply_to_user_id": 783_214,
        "in_reply_to_user_id_str": "783214",
        "in_reply_to_screen_name": "twitter",
        "user": {
            "id": 6_253_282,
            "id_str": "6253282",
            "name": "Ann Keeper",
            "screen_name": "annkeeper",
            "location": "by the sea",
            "url": null,
            "description": "I keep the light on.",
            "protected": false,
            "verified": false,
            "followers_count": 1_203,
            "friends_count": 310,
            "listed_count": 12,
            "favourites_count": 4_711,
            "statuses_count": 9_002,
            "created_at": "Wed May 23 06:01:13 +0000 2007",
            "geo_enabled": false,
            "lang": null
        },
        "geo": null,
        "place": null,
        "is_quote_status": false,
        "quote_count": 0,
        "reply_count": 0,
        "retweet_count": 0,
        "favorite_count": 0,
        "entities": {
            "hashtags": [{"text": "lighthouse", "indices": [70, 81]}],
            "urls": [],
            "user_mentions": [],
            "symbols": []
        },
        "favorited": false,
        "retweeted": false,
        "filter_level": "low",
        "lang": "en",
        "timestamp_ms": "1609522140661"
    })
    .to_string()
}
