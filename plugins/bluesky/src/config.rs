//! Options of the source, and what can be said of them without a connection.

use std::time::Duration;

use plugin_api::prelude::*;
use reqwest::Url;

use crate::inflate::Inflate;
use crate::ledger;
use crate::selection::Selection;

/// The servers that Bluesky runs for the public.
const PUBLIC: [&str; 4] = [
    "wss://jetstream1.us-west.bsky.network",
    "wss://jetstream2.us-west.bsky.network",
    "wss://jetstream1.us-east.bsky.network",
    "wss://jetstream2.us-east.bsky.network",
];
/// What a server takes, by its documentation.
const MAX_COLLECTIONS: usize = 100;
const MAX_DIDS: usize = 10_000;
/// Silence after which a stream of the whole network is dead: it brings several events a second.
const STALL: Duration = Duration::from_secs(60);

options! {
    /// Reads what people write on Bluesky, from its public stream (Jetstream). No account and no
    /// key is needed. Emits one JSON record an event, byte for byte as the server sent it, with
    /// `at://DID/COLLECTION/RKEY` in the header `id` and the time at which the server saw it as
    /// event time. Deletions and news about accounts are counted as filtered; what is no event
    /// becomes a dead letter.
    ///
    /// After a break it goes on where it was, at the next of several servers. Where it is, and
    /// which events it had there, is part of each checkpoint: nothing that the server still has is
    /// lost, and nothing is there twice.
    pub struct Options {
        /// Servers to read from, `wss://` or `ws://`. The first is used; one that fails or falls
        /// silent comes last. The path is `/subscribe`, if none is given. Default: the four that
        /// Bluesky runs for the public, in the east and the west of the USA.
        #[serde(default = "public")]
        pub endpoints: Vec<String>,
        /// Kinds of records, by their names (NSID), at most 100; `app.bsky.graph.*` is all that
        /// begin so. An empty list: all, of every application. Default `["app.bsky.feed.post"]`.
        #[serde(default = "posts")]
        pub wanted_collections: Vec<String>,
        /// Accounts to read, by their ids (`did:plc:…`), at most 10,000. Default: all.
        #[serde(default)]
        pub wanted_dids: Vec<String>,
        /// Phrases to look for, at most 400 of 1 to 60 bytes. A post matches a phrase if it has
        /// all its words, in any order and case: in its text, hashtags, mentions and links.
        /// Default: none, all posts pass.
        #[serde(default)]
        pub track: Vec<String>,
        /// Languages that posts may be in, as in `en` or `pt-BR`; `en` includes `en-GB`. A post says
        /// itself in which it is; `und` stands for those that do not. Default: all.
        #[serde(default)]
        pub languages: Vec<String>,
        /// What goes on. `track` and `languages` are asked of `create` and `update` only. Default
        /// `["create", "update"]`.
        #[serde(default = "written")]
        pub emit: Vec<Emit>,
        /// Where the first run begins: `now`; a time ago, such as `-10m`; or a place, in
        /// microseconds since 1970. A server keeps about a day. Later runs go on where the last one
        /// was. Default `now`.
        #[serde(default = "now")]
        pub start: String,
        /// How far a new connection goes back behind the last event, 1 s to 10 min: so far may
        /// servers' clocks differ, and events come out of order. What was had before is known and
        /// left out. Default 5 s.
        #[serde(default = "five_seconds")]
        pub rewind: Span,
        /// A server that sends no event for so long has stalled: the next one is asked. One that
        /// gives no sign of life at all for 60 s, not even an answer to a ping, is left in any case.
        /// Default 60 s; with `wanted_dids`, where silence is no sign: never.
        #[serde(default)]
        pub stall_timeout: Option<Span>,
        /// The longest event to take, 1 KiB to 32 MiB; of a longer one the beginning becomes a dead
        /// letter. Default 2 MiB: the network's records have at most 1 MiB before they become JSON.
        #[serde(default = "two_mib")]
        pub max_message_bytes: ByteSize,
        /// The file of Jetstream's compression dictionary (`zstd_dictionary` in the source of
        /// Jetstream). With it events are sent compressed, to less than half. Default: none, not
        /// compressed.
        #[serde(default)]
        pub dictionary: Option<FilePath>,
        /// A PEM file of the certificates to trust, in place of the system's, for a server of one's
        /// own. Default: the system's.
        #[serde(default)]
        pub ca_file: Option<FilePath>,
    }
}

options! {
    /// A kind of event.
    #[derive(Copy, Eq)]
    pub enum Emit {
        /// A record was written.
        Create,
        /// A record was written anew: an edit.
        Update,
        /// A record was deleted.
        Delete,
        /// A name or key of an account may have changed.
        Identity,
        /// An account became active, was deactivated, suspended or deleted.
        Account,
    }
}

fn public() -> Vec<String> {
    PUBLIC.map(str::to_owned).to_vec()
}

fn posts() -> Vec<String> {
    vec!["app.bsky.feed.post".into()]
}

fn written() -> Vec<Emit> {
    vec![Emit::Create, Emit::Update]
}

fn now() -> String {
    "now".into()
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn two_mib() -> ByteSize {
    ByteSize(2 << 20)
}

/// Where a first run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    /// So many microseconds before now.
    Ago(i64),
    /// At this time.
    At(i64),
}

impl Options {
    /// The rewind in microseconds.
    pub(crate) fn rewind_us(&self) -> i64 {
        i64::try_from(self.rewind.duration().as_micros()).unwrap_or(i64::MAX)
    }

    /// Silence of events after which a server has stalled, if that is a sign.
    pub(crate) fn stall(&self) -> Option<Duration> {
        let unless_asked = || self.wanted_dids.is_empty().then_some(STALL);
        self.stall_timeout.map(Span::duration).or_else(unless_asked)
    }

    /// The servers, with `http` for `ws`: the addresses that are asked to change over.
    pub(crate) fn urls(&self) -> Result<Vec<Url>, StageError> {
        let endpoints = self.endpoints.iter().enumerate();
        let urls: Result<Vec<_>, _> = endpoints
            .map(|(at, endpoint)| {
                url(endpoint).map_err(|why| StageError::config(&format!("/endpoints/{at}"), why))
            })
            .collect();
        match urls?.as_slice() {
            [] => Err(StageError::config(
                "/endpoints",
                "there is no server; leave `endpoints` out for the public ones",
            )),
            urls => Ok(urls.to_vec()),
        }
    }

    pub(crate) fn start(&self) -> Result<Start, StageError> {
        let wrong = || {
            StageError::config(
                "/start",
                format!(
                    "`{}` is no start: expected `now`, a time ago such as `-10m`, or microseconds \
                     since 1970",
                    self.start
                ),
            )
        };
        match self.start.trim() {
            "now" => Ok(Start::Now),
            text => match text.strip_prefix('-') {
                Some(ago) => {
                    let ago = Span::parse(ago).map_err(|_| wrong())?;
                    i64::try_from(ago.duration().as_micros())
                        .map(Start::Ago)
                        .map_err(|_| wrong())
                }
                None => match text.parse() {
                    Ok(us) if us > 0 => Ok(Start::At(us)),
                    _ => Err(wrong()),
                },
            },
        }
    }
}

/// What a message may show of an endpoint: people put passwords and keys everywhere else.
fn shown(endpoint: &str) -> String {
    let url = Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(|url| Some((url, url.host_str()?)));
    host.map_or("this".into(), |(url, host)| {
        format!("`{}://{host}`", url.scheme())
    })
}

/// An endpoint's address.
fn url(endpoint: &str) -> Result<Url, String> {
    let web = match endpoint.split_once("://") {
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(("ws", rest)) => format!("http://{rest}"),
        _ => {
            return Err(format!(
                "{} must begin with wss:// or ws://",
                shown(endpoint)
            ));
        }
    };
    let mut url = Url::parse(&web).map_err(|e| format!("this is no address: {e}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an endpoint has no user and no password: nobody logs in".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{} has parameters: they are made of the other options",
            shown(endpoint)
        ));
    }
    if url.path() == "/" {
        url.set_path("/subscribe");
    }
    Ok(url)
}

/// Checks the options, as a server would.
pub(crate) fn plan(options: &Options) -> Result<Planned, StageError> {
    options.urls()?;
    options.start()?;
    check_names(options)?;
    Selection::new(options)?;
    if options.emit.is_empty() {
        return Err(StageError::config("/emit", "nothing would ever go on"));
    }
    if !(1..=600).contains(&options.rewind.duration().as_secs()) {
        return Err(StageError::config(
            "/rewind",
            "rewind must be between 1s and 10m",
        ));
    }
    if options
        .stall_timeout
        .is_some_and(|s| s.duration().is_zero())
    {
        return Err(StageError::config(
            "/stall_timeout",
            "stall_timeout must be longer than nothing",
        ));
    }
    if !(1 << 10..=32 << 20).contains(&options.max_message_bytes.0) {
        return Err(StageError::config(
            "/max_message_bytes",
            "max_message_bytes must be between 1 KiB and 32 MiB",
        ));
    }
    if let Some(path) = &options.dictionary {
        Inflate::open(path, 0)?;
    }
    // A message may wait half read, whole, and inflated.
    let reading = 3 * options.max_message_bytes.0;
    let known = 80 * ledger::MOST as u64;
    Ok(Planned::new(ContentType::json())
        .memory("events read ahead", live::PARCEL_BYTES as u64 + reading)
        .memory("events known", known))
}

fn check_names(options: &Options) -> Result<(), StageError> {
    for (list, option, most) in [
        (
            &options.wanted_collections,
            "wanted_collections",
            MAX_COLLECTIONS,
        ),
        (&options.wanted_dids, "wanted_dids", MAX_DIDS),
    ] {
        if list.len() > most {
            let why = format!("{} of them; at most {most} are possible", list.len());
            return Err(StageError::config(&format!("/{option}"), why));
        }
    }
    let wrong = |option: &str, at: usize, name: &str, expected: &str| {
        let why = format!("`{name}` is none: expected {expected}");
        Err(StageError::config(&format!("/{option}/{at}"), why))
    };
    for (at, name) in options.wanted_collections.iter().enumerate() {
        if !is_collection(name) {
            let expected = "a name such as app.bsky.feed.post, or a beginning, app.bsky.graph.*";
            return wrong("wanted_collections", at, name, expected);
        }
    }
    for (at, did) in options.wanted_dids.iter().enumerate() {
        if !is_did(did) {
            let expected = "an id such as did:plc:z72i7hdynmk6r22z27h6tvur (a handle has one: see \
                            https://HANDLE/.well-known/atproto-did)";
            return wrong("wanted_dids", at, did, expected);
        }
    }
    live::check_languages(&options.languages)
}

/// As the specification of NSIDs has it; with `.*` behind, two parts are enough.
fn is_collection(name: &str) -> bool {
    let (name, least) = match name.strip_suffix(".*") {
        Some(beginning) => (beginning, 2),
        None => (name, 3),
    };
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 317 && name.split('.').count() >= least && name.split('.').all(is_part)
}

/// As the specification of DIDs has it.
fn is_did(did: &str) -> bool {
    let mut parts = did.splitn(3, ':');
    let (scheme, method, id) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    let is_id_byte = |b: u8| b.is_ascii_alphanumeric() || b"._:%-".contains(&b);
    scheme == Some("did")
        && method.is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_lowercase()))
        && (1..=2_048).contains(&id.len())
        && id.bytes().all(is_id_byte)
        && !id.ends_with([':', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn options(change: Value) -> Options {
        serde_json::from_value(change).unwrap()
    }

    #[test]
    fn nothing_need_be_said() {
        let options = options(json!({}));
        plan(&options).unwrap();
        let urls = options.urls().unwrap();
        assert_eq!(urls.len(), 4);
        assert!(urls.iter().all(|url| url.scheme() == "https"));
        assert!(urls.iter().all(|url| url.path() == "/subscribe"));
        assert_eq!(options.stall(), Some(STALL));
    }

    #[test]
    fn what_a_server_would_refuse_is_refused_offline() {
        for (change, pointer) in [
            (json!({"endpoints": []}), "/endpoints"),
            (
                json!({"endpoints": ["wss://a", "https://b"]}),
                "/endpoints/1",
            ),
            (json!({"endpoints": ["wss://u:p@a"]}), "/endpoints/0"),
            (json!({"endpoints": ["wss://a/x?cursor=1"]}), "/endpoints/0"),
            (json!({"endpoints": ["wss://"]}), "/endpoints/0"),
            (
                json!({"wanted_collections": ["app.bsky"]}),
                "/wanted_collections/0",
            ),
            (
                json!({"wanted_collections": ["app.bsky.fo*"]}),
                "/wanted_collections/0",
            ),
            (
                json!({"wanted_collections": vec!["a.b.c"; 101]}),
                "/wanted_collections",
            ),
            (
                json!({"wanted_dids": ["did:plc:a", "alice.bsky.social"]}),
                "/wanted_dids/1",
            ),
            (json!({"wanted_dids": ["did:plc:a&x=1"]}), "/wanted_dids/0"),
            (
                json!({"languages": ["en", "english language"]}),
                "/languages/1",
            ),
            (json!({"track": ["a", "b,c"]}), "/track/1"),
            (json!({"track": vec!["a"; 401]}), "/track"),
            (json!({"emit": []}), "/emit"),
            (json!({"start": "yesterday"}), "/start"),
            (json!({"start": "-3"}), "/start"),
            (json!({"start": "0"}), "/start"),
            (json!({"rewind": "10ms"}), "/rewind"),
            (json!({"rewind": "11m"}), "/rewind"),
            (json!({"stall_timeout": "0s"}), "/stall_timeout"),
            (json!({"max_message_bytes": 10}), "/max_message_bytes"),
            (json!({"max_message_bytes": "33 MiB"}), "/max_message_bytes"),
            (json!({"dictionary": "/nowhere"}), "/dictionary"),
            (json!({"dictionary": "/proc/self/cmdline"}), "/dictionary"),
        ] {
            let error = plan(&options(change.clone())).unwrap_err();
            assert_eq!(error.pointer, pointer, "{change}: {error}");
        }
    }

    #[test]
    fn what_an_endpoint_hides_is_not_shown() {
        for (endpoint, said) in [
            ("https://canary:canary@a.example/x", "`https://a.example`"),
            (
                "https://a.example/canary?apiKey=canary",
                "`https://a.example`",
            ),
            ("wss://a.example/x?apiKey=canary", "`wss://a.example`"),
            ("wss://a.example/x#canary", "`wss://a.example`"),
            ("WSS://canary@a.example", "`wss://a.example`"),
            ("wss://canary:canary@a.example", "no password"),
            ("wss://canary:ca/nary@a.example:77777/", "port"),
            ("wss://canary:canary@a.example:canary", "port"),
            ("wss://canary:canary@[a.example", "no address"),
            ("canary:canary@a.example", "begin with wss://"),
            ("canary", "begin with wss://"),
        ] {
            let error = plan(&options(json!({"endpoints": [endpoint]}))).unwrap_err();
            assert!(error.message.contains(said), "{endpoint}: {error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn what_servers_take_is_taken() {
        let ids = [
            "did:plc:z72i7hdynmk6r22z27h6tvur",
            "did:web:example.com%3A8080",
        ];
        let names = [
            "app.bsky.*",
            "app.bsky.graph.*",
            "place.stream.chat.message",
        ];
        plan(&options(json!({
            "endpoints": ["ws://localhost:6008/subscribe", "wss://[::1]:7"],
            "wanted_dids": ids,
            "wanted_collections": names,
            "languages": ["en", "pt-BR", "zh-Hant-TW", "und"],
            "emit": ["create", "update", "delete", "identity", "account"],
        })))
        .unwrap();
    }

    #[test]
    fn starts_are_read() {
        let start = |text: &str| options(json!({"start": text})).start().unwrap();
        assert_eq!(start("now"), Start::Now);
        assert_eq!(start("-10m"), Start::Ago(600_000_000));
        assert_eq!(start("1725911162329308"), Start::At(1_725_911_162_329_308));
    }

    #[test]
    fn silence_is_no_sign_where_few_are_read() {
        let few = json!({"wanted_dids": ["did:plc:a"]});
        assert_eq!(options(few.clone()).stall(), None);
        let mut asked = few;
        asked["stall_timeout"] = "1h".into();
        assert_eq!(options(asked).stall().unwrap().as_secs(), 3_600);
    }
}
