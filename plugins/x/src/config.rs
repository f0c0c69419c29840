//! Options of the source, and what can be said of them without a connection.

use live::{http::OnClose, is_loopback};
use plugin_api::prelude::*;
use reqwest::Url;

use crate::document::GROWTH;
use crate::posts::SPILL_BYTES;
use crate::rules::{self, Wanted};
use crate::window::Window;

options! {
    /// Reads posts from the filtered stream of X (API v2), with a bearer token. Emits one JSON
    /// record a post: the post with its author and the posts that it repeats, quotes or answers
    /// set in, its id in the header `id` and its time as event time.
    ///
    /// Keeps the account's rules in step with `track` and `rules`, leaves others' rules alone,
    /// and reads no more than `max_posts`, since X charges for each post read. Reconnects and
    /// waits by X's rules.
    pub struct Options {
        /// Where the API is: scheme, host and port. Default `https://api.x.com`.
        #[serde(default = "x")]
        pub url: String,
        /// The app's bearer token, of X's developer console.
        pub bearer_token: Secret,
        /// Phrases to look for, at most 400 of 1 to 60 bytes. A post matches a phrase if it has
        /// all its words, in any order and case, by the same rules on every network. X matches
        /// more loosely: what it sends beyond them is counted as filtered, and paid for all the
        /// same. Default: none.
        #[serde(default)]
        pub track: Vec<String>,
        /// Rules of X's own, besides: what they bring is not matched once more. Default: none.
        #[serde(default)]
        pub rules: Vec<Rule>,
        /// Begins the tags of the rules that this source makes. Rules with another tag are never
        /// touched. Sources that share an account need different ones. Default: the stage's name.
        #[serde(default)]
        pub tag: Option<String>,
        /// The longest rule that X takes, 64 to 4,096 characters: 1,024 where one pays by use,
        /// 2,048 with an enterprise contract. Default 1,024.
        #[serde(default = "rule_length")]
        pub max_rule_length: u64,
        /// After a break, ask for what was missed, up to so many minutes, 0 to 5. Only with an
        /// enterprise contract. Default 0.
        #[serde(default)]
        pub backfill_minutes: u8,
        /// What X shall send along besides the users and posts that a document is made of, such
        /// as `attachments.media_keys`; it comes under `includes`. Default: nothing.
        #[serde(default)]
        pub expansions: Vec<String>,
        /// Fields of objects to ask for besides those that the schemas of this project need.
        #[serde(default)]
        pub fields: Fields,
        /// How many posts may be read. Default: any number.
        #[serde(default)]
        pub max_posts: Option<MaxPosts>,
        /// What to do when no more posts may be read. Default `wait`.
        #[serde(default)]
        pub when_spent: WhenSpent,
        /// A PEM file of the certificates to trust, in place of the system's. Default: the
        /// system's.
        #[serde(default)]
        pub ca_file: Option<FilePath>,
        /// Ask for a compressed stream. Default: true, but false for a server on this machine.
        #[serde(default)]
        pub gzip: Option<bool>,
        /// What to do when the server ends the stream in good order. Default `reconnect`. A
        /// connection that breaks is always made again.
        #[serde(default)]
        pub on_close: OnClose,
        /// The longest message to take, 1 KiB to 4 MiB; of a longer one the beginning becomes a
        /// dead letter. Default 1 MiB.
        #[serde(default = "one_mib")]
        pub max_message_bytes: ByteSize,
        /// A stream that is silent for so long (it sends keep-alives each 20 s) is dead: connect
        /// again. Default 60 s.
        #[serde(default = "a_minute")]
        pub stall_timeout: Span,
    }
}

options! {
    /// A rule of X.
    pub struct Rule {
        /// What to match, in X's language, such as `from:rustlang -is:retweet`.
        pub value: String,
        /// Stands in the tag of the rule, behind that of this source: `matching_rules` of a post
        /// has it. Default: none.
        #[serde(default)]
        pub tag: Option<String>,
    }
}

options! {
    /// Fields to ask for, by kind of object.
    #[derive(Default)]
    pub struct Fields {
        /// Of posts, such as `context_annotations`. Default: none more.
        #[serde(default)]
        pub tweet: Vec<String>,
        /// Of users, such as `verified_type`. Default: none more.
        #[serde(default)]
        pub user: Vec<String>,
        /// Of media. Default: X's own choice.
        #[serde(default)]
        pub media: Vec<String>,
        /// Of places. Default: X's own choice.
        #[serde(default)]
        pub place: Vec<String>,
        /// Of polls. Default: X's own choice.
        #[serde(default)]
        pub poll: Vec<String>,
    }
}

options! {
    /// A budget. Days are those of UTC, by this machine's clock.
    pub struct MaxPosts {
        /// Posts a day. Default: any number.
        #[serde(default)]
        pub day: Option<u64>,
        /// Posts a calendar month. Default: any number.
        #[serde(default)]
        pub month: Option<u64>,
        /// The file that keeps account, made if there is none: it outlives runs and crashes. A
        /// source each.
        pub file: FilePath,
        /// Posts that may be under way, sent and charged but not read, when a connection ends: so
        /// many are kept back, and counted for each connection that breaks or is left. Raise it
        /// for a stream of many posts a second, or with `backfill_minutes`. Default 20.
        #[serde(default = "twenty")]
        pub in_flight: u64,
    }
}

options! {
    /// What to do when the budget is spent.
    #[derive(Copy, Default)]
    pub enum WhenSpent {
        /// Disconnect, and come again when the next day or month begins.
        #[default]
        Wait,
        /// Be finished.
        Finish,
    }
}

fn x() -> String {
    "https://api.x.com".into()
}

fn rule_length() -> u64 {
    1_024
}

fn twenty() -> u64 {
    20
}

fn one_mib() -> ByteSize {
    ByteSize(1 << 20)
}

fn a_minute() -> Span {
    Span::secs(60)
}

/// Checks the options.
pub(crate) fn plan(options: &Options) -> Result<Planned, StageError> {
    let wrong = |pointer: &str, why: &str| Err(StageError::config(pointer, why));
    let url = base_url(options)?;
    wanted(options, "")?;
    live::track(&options.track)?;
    if let Some(tag) = &options.tag
        && (tag.is_empty() || tag.contains(':'))
    {
        return wrong("/tag", "a tag is a word without a colon");
    }
    if options.backfill_minutes > 5 {
        return wrong("/backfill_minutes", "X keeps no more than 5 minutes");
    }
    if let Some(max) = &options.max_posts {
        check_budget(max)?;
    }
    if !(1 << 10..=4 << 20).contains(&options.max_message_bytes.0) {
        return wrong(
            "/max_message_bytes",
            "max_message_bytes must be between 1 KiB and 4 MiB",
        );
    }
    if options.stall_timeout.duration().is_zero() {
        return wrong(
            "/stall_timeout",
            "stall_timeout must be longer than nothing; X sends keep-alives each 20s",
        );
    }
    let message = options.max_message_bytes.0;
    let reading = (2 + GROWTH as u64) * message + SPILL_BYTES as u64;
    let window = Window::new(options.backfill_minutes > 0).bytes();
    let mut planned = Planned::new(ContentType::json())
        .live()
        .memory("messages read ahead", live::PARCEL_BYTES as u64 + reading)
        .memory("ids of posts", 2 * window);
    if options.max_posts.is_none() && !is_local(&url) {
        planned = planned
            .warn("X charges for each post read, and nothing limits how many are: set `max_posts`");
    }
    Ok(planned)
}

fn check_budget(max: &MaxPosts) -> Result<(), StageError> {
    if max.day.is_none() && max.month.is_none() {
        let why = "it limits nothing; give `day`, `month` or both";
        return Err(StageError::config("/max_posts", why));
    }
    for (pointer, limit) in [("/max_posts/day", max.day), ("/max_posts/month", max.month)] {
        if let Some(limit) = limit
            && limit <= max.in_flight
        {
            let why = format!(
                "no post could be read: {} of the {limit} are kept back (`in_flight`)",
                max.in_flight
            );
            return Err(StageError::config(pointer, why));
        }
    }
    Ok(())
}

/// The API's address, checked.
pub(crate) fn base_url(options: &Options) -> Result<Url, StageError> {
    let url = live::base_url(&options.url, "bearer_token")?;
    live::keeps_secrets(&url, "bearer_token")?;
    Ok(url)
}

/// Whether this server is on this machine, and so may end together with this host.
pub(crate) fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// The rules that the account shall have of this source.
pub(crate) fn wanted(options: &Options, tag: &str) -> Result<Vec<Wanted>, StageError> {
    rules::wanted(&options.track, &options.rules, tag, options.max_rule_length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(change: Value) -> Result<Planned, StageError> {
        let mut options = json!({
            "bearer_token": "t", "track": ["rust"], "url": "http://127.0.0.1:8080",
        });
        for (key, value) in change.as_object().unwrap() {
            options[key] = value.clone();
        }
        plan(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn a_wrong_option_is_named() {
        let budget = |day: u64, in_flight: u64| json!({"max_posts": {"day": day, "file": "f", "in_flight": in_flight}});
        for (change, pointer) in [
            (json!({"track": []}), "/track"),
            (json!({"track": ["a", "b,c"]}), "/track/1"),
            (json!({"track": ["a", "?!"]}), "/track/1"),
            (json!({"track": vec!["a"; 401]}), "/track"),
            (
                json!({"rules": [{"value": "a"}, {"value": ""}]}),
                "/rules/1/value",
            ),
            (
                json!({"rules": [{"value": "a".repeat(1025)}]}),
                "/rules/0/value",
            ),
            (
                json!({"rules": [{"value": "a"}, {"value": "a"}]}),
                "/rules/1/value",
            ),
            (json!({"max_rule_length": 5}), "/max_rule_length"),
            (json!({"tag": "a:b"}), "/tag"),
            (json!({"backfill_minutes": 6}), "/backfill_minutes"),
            (json!({"max_posts": {"file": "f"}}), "/max_posts"),
            (budget(20, 20), "/max_posts/day"),
            (json!({"max_message_bytes": "5 MiB"}), "/max_message_bytes"),
            (json!({"stall_timeout": "0s"}), "/stall_timeout"),
            (json!({"url": "http://api.x.com"}), "/url"),
            (json!({"url": "https://u:p@api.x.com"}), "/url"),
            (json!({"url": "https://api.x.com/2"}), "/url"),
            (json!({"url": "ftp://a"}), "/url"),
            (json!({"url": "nonsense"}), "/url"),
        ] {
            let error = planned(change.clone()).expect_err(&change.to_string());
            assert_eq!(error.pointer, pointer, "{change}: {error}");
        }
        planned(budget(21, 20)).unwrap();
    }

    #[test]
    fn reading_without_a_budget_is_warned_of() {
        let warnings = planned(json!({"url": "https://api.x.com"}))
            .unwrap()
            .warnings;
        assert!(warnings[0].contains("max_posts"), "{warnings:?}");
        assert!(planned(json!({})).unwrap().warnings.is_empty());
    }

    #[test]
    fn what_a_wrong_url_holds_is_never_shown() {
        for url in [
            "https://u:CANARY@host:99999",
            "https://CANARY@",
            "CANARY",
            "u:CANARY@host",
            "https://u:CANARY@api.x.com",
            "https://CANARY@api.x.com",
            "https://api.x.com/?token=CANARY",
            "https://api.x.com:99999/?token=CANARY",
            "https://api.x.com/#CANARY",
            "https://api.x.com/CANARY",
            "ftp://u:CANARY@a/",
            "x://u:CANARY@a?CANARY",
        ] {
            let error = planned(json!({"url": url})).expect_err(url);
            assert_eq!(error.pointer, "/url");
            assert!(!error.to_string().contains("CANARY"), "{url}: {error}");
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let options: Options = serde_json::from_value(json!({"bearer_token": "CANARY"})).unwrap();
        assert!(!format!("{options:?}").contains("CANARY"));
    }
}
