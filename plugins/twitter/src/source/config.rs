//! Options of the source, and what can be said of them without a connection.

use live::{http::OnClose, is_loopback};
use plugin_api::prelude::*;
use reqwest::Url;
use track::{BoundingBox, Filter, FilterError, Predicate};

use crate::config::{Credentials, meeting_place};
use crate::oauth::Param;

options! {
    /// Reads tweets from a v1.1 stream: of a compatible server, such as the sink `twitter-server`
    /// of this plugin. (Twitter's own streams of this kind ended in March 2023.) Emits one JSON
    /// record a tweet, with its id in the header `id` and its time as event time. Messages about
    /// the stream are counted as filtered; what is no JSON becomes a dead letter.
    ///
    /// Keeps Twitter's rules: signs with OAuth 1.0a, reconnects at once when a running stream
    /// breaks or falls silent, backs off otherwise, and stops with a reason when the server says
    /// that trying again is no use.
    pub struct Options {
        /// Where the server is: scheme, host and port. Default `https://stream.twitter.com`.
        #[serde(default = "twitter")]
        pub url: String,
        /// Which stream. Default `filter`.
        #[serde(default)]
        pub endpoint: Endpoint,
        /// Phrases to look for, at most 400 of 1 to 60 bytes. A tweet matches a phrase if it has
        /// all its words, in any order and case. Default: none.
        #[serde(default)]
        pub track: Vec<String>,
        /// Ids of users to follow, at most 5,000: their tweets, retweets and replies of and to
        /// these. Default: none.
        #[serde(default)]
        pub follow: Vec<u64>,
        /// Boxes on the map, at most 25, each `[west, south, east, north]` in degrees. Default:
        /// none. A tweet passes if any of `track`, `follow` and `locations` lets it through.
        #[serde(default)]
        pub locations: Vec<[f64; 4]>,
        /// `length`: ask for each message's length before it. Default `off`.
        #[serde(default)]
        pub delimited: Delimited,
        /// OAuth 1.0a credentials.
        pub credentials: Credentials,
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
        /// The longest message to take, 1 KiB to 64 MiB; of a longer one the beginning becomes a
        /// dead letter. Default 1 MiB.
        #[serde(default = "one_mib")]
        pub max_message_bytes: ByteSize,
        /// A stream that is silent for so long (it sends keep-alives each 30 s) is dead: connect
        /// again. Default 90 s.
        #[serde(default = "ninety_seconds")]
        pub stall_timeout: Span,
    }
}

options! {
    /// A v1.1 stream.
    #[derive(Copy, Default)]
    pub enum Endpoint {
        /// `statuses/filter`: tweets that match `track`, `follow` or `locations`.
        #[default]
        Filter,
        /// `statuses/sample`: a sample of all tweets.
        Sample,
    }
}

options! {
    /// How messages are told apart.
    #[derive(Copy, Default)]
    pub enum Delimited {
        /// By their line ends.
        #[default]
        Off,
        /// By a length before each.
        Length,
    }
}

fn twitter() -> String {
    "https://stream.twitter.com".into()
}

fn one_mib() -> ByteSize {
    ByteSize(1 << 20)
}

fn ninety_seconds() -> Span {
    Span::secs(90)
}

/// Checks the options against Twitter's limits.
pub(crate) fn plan(options: &Options) -> Result<Planned, StageError> {
    let url = base_url(options)?;
    check_predicates(options)?;
    if !(1 << 10..=64 << 20).contains(&options.max_message_bytes.0) {
        return Err(StageError::config(
            "/max_message_bytes",
            "max_message_bytes must be between 1 KiB and 64 MiB",
        ));
    }
    if options.stall_timeout.duration().is_zero() {
        return Err(StageError::config(
            "/stall_timeout",
            "stall_timeout must be longer than nothing; Twitter's rule is 90s",
        ));
    }
    // A message may wait whole, half read and inflated.
    let reading = 2 * options.max_message_bytes.0;
    let mut planned = Planned::new(ContentType::json())
        .live()
        .memory("messages read ahead", live::PARCEL_BYTES as u64 + reading);
    let host = url.host_str().unwrap_or_default();
    if is_twitter(host) {
        planned = planned.warn(format!(
            "{host}: Twitter ended its v1.1 streams (statuses/sample on 2022-10-29, statuses/filter \
             in March 2023). Read an archive with the source `lines`, or set `url` to a compatible \
             server such as the sink `twitter-server`"
        ));
    }
    if let Some(port) = url.port_or_known_default() {
        planned = planned.reads(meeting_place(host, port));
    }
    Ok(planned)
}

/// The server's address, checked.
pub(crate) fn base_url(options: &Options) -> Result<Url, StageError> {
    live::base_url(&options.url, "credentials")
}

/// Whether this server is on this machine, and so may end together with this host.
pub(crate) fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

fn is_twitter(host: &str) -> bool {
    ["twitter.com", "x.com"].iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    })
}

fn check_predicates(options: &Options) -> Result<(), StageError> {
    let boxes: Vec<BoundingBox> = options
        .locations
        .iter()
        .map(|&[west, south, east, north]| BoundingBox {
            west,
            south,
            east,
            north,
        })
        .collect();
    match options.endpoint {
        Endpoint::Filter => Filter::new(&options.track, &options.follow, &boxes)
            .map(drop)
            .map_err(at_fault),
        Endpoint::Sample => {
            let given = [
                ("/track", options.track.is_empty()),
                ("/follow", options.follow.is_empty()),
                ("/locations", boxes.is_empty()),
            ];
            match given.iter().find(|(_, empty)| !empty) {
                None => Ok(()),
                Some((pointer, _)) => Err(StageError::config(
                    pointer,
                    "the endpoint `sample` takes no filter; use `filter`, or leave this out",
                )),
            }
        }
    }
}

fn at_fault(error: FilterError) -> StageError {
    let option = match error.predicate {
        Predicate::Track | Predicate::Missing => "/track",
        Predicate::Follow => "/follow",
        Predicate::Locations => "/locations",
    };
    let pointer = match error.element {
        Some(at) => format!("{option}/{at}"),
        None => option.into(),
    };
    StageError::config(&pointer, error.message)
}

/// What is asked of the server.
pub(crate) fn params(options: &Options) -> Vec<Param> {
    let mut params: Vec<Param> = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            params.push((name.into(), value));
        }
    };
    if options.delimited == Delimited::Length {
        add("delimited", "length".into());
    }
    let joined = |numbers: Vec<String>| numbers.join(",");
    add(
        "follow",
        joined(options.follow.iter().map(u64::to_string).collect()),
    );
    add(
        "locations",
        joined(
            options
                .locations
                .iter()
                .flatten()
                .map(f64::to_string)
                .collect(),
        ),
    );
    add("stall_warnings", "true".into());
    add("track", options.track.join(","));
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(change: Value) -> Result<Planned, StageError> {
        let mut options = json!({
            "credentials": {"consumer_key": "a", "consumer_secret": "b", "token": "c", "token_secret": "d"},
            "track": ["rust"],
            "url": "http://127.0.0.1:8080",
        });
        for (key, value) in change.as_object().unwrap() {
            options[key] = value.clone();
        }
        plan(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn twitters_limits_are_checked_offline() {
        let wrong = |change: Value| planned(change).unwrap_err().pointer;
        assert_eq!(wrong(json!({"track": []})), "/track");
        assert_eq!(wrong(json!({"track": ["a", "b,c"]})), "/track/1");
        assert_eq!(wrong(json!({"track": ["a", "é".repeat(31)]})), "/track/1");
        assert_eq!(wrong(json!({"track": vec!["a"; 401]})), "/track");
        assert_eq!(wrong(json!({"follow": vec![1; 5001]})), "/follow");
        assert_eq!(wrong(json!({"locations": [[1, 2, 0, 3]]})), "/locations/0");
        assert_eq!(wrong(json!({"endpoint": "sample"})), "/track");
        assert_eq!(
            wrong(json!({"max_message_bytes": 10})),
            "/max_message_bytes"
        );
        assert_eq!(wrong(json!({"stall_timeout": "0s"})), "/stall_timeout");
        for url in [
            "nonsense",
            "ftp://a",
            "http://u:p@a",
            "http://a/1.1",
            "http://a?x=1",
        ] {
            assert_eq!(wrong(json!({"url": url})), "/url", "{url}");
        }
    }

    #[test]
    fn twitter_itself_gets_a_warning_that_says_what_to_use() {
        for url in [
            "https://stream.twitter.com",
            "https://api.x.com",
            "https://x.com",
        ] {
            let warnings = planned(json!({"url": url})).unwrap().warnings;
            assert!(
                warnings[0].contains("March 2023") && warnings[0].contains("`lines`"),
                "{url}"
            );
        }
        for url in [
            "https://nottwitter.com",
            "http://localhost:1",
            "https://example.org",
        ] {
            assert!(
                planned(json!({"url": url})).unwrap().warnings.is_empty(),
                "{url}"
            );
        }
    }

    #[test]
    fn the_meeting_place_is_that_of_the_server() {
        let place = planned(json!({"url": "http://localhost:8080"}))
            .unwrap()
            .reads;
        assert_eq!(place, ["twitter://127.0.0.1:8080"]);
    }

    #[test]
    fn secrets_are_never_shown() {
        let options: Options = serde_json::from_value(json!({
            "credentials": {"consumer_key": "CANARY1", "consumer_secret": "CANARY2", "token": "CANARY3", "token_secret": "CANARY4"},
        }))
        .unwrap();
        assert!(!format!("{options:?}").contains("CANARY"));
    }
}
