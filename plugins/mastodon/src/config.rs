//! Options of the source, and what can be said of them without a connection.

use plugin_api::prelude::*;
use reqwest::Url;

use crate::timeline::{Feed, Timeline};
use crate::window::{REMEMBERED, REMEMBERED_BYTES};

/// Most streams of one source: each costs a request or two whenever it is connected again, and
/// Mastodon allows 300 in five minutes.
const MAX_STREAMS: usize = 100;
/// A page of a timeline is read up to so many of the longest messages.
pub(crate) const PAGE_MESSAGES: u64 = 8;

options! {
    /// Reads posts of a Mastodon server as they are written: its public timelines, hashtags and
    /// lists, over one websocket of its streaming API. Emits one JSON record a post, as the server
    /// sent it, with its `uri` in the header `id` and its time as event time. Each post comes once,
    /// however many streams carry it. What is no post is counted as filtered; what is no JSON
    /// becomes a dead letter.
    ///
    /// What was missed while there was no connection, or no process, is fetched from the server's
    /// timelines. Reads other servers, too, if they speak the API as Mastodon does; a subscription
    /// that such a server does not answer cannot be told from a quiet stream.
    pub struct Options {
        /// The server: scheme, host and port, such as `https://mastodon.social`.
        pub url: String,
        /// A token of a user's application with the scope `read:statuses`, and `read:lists` for
        /// `lists`. Mastodon asks for one since version 4.2. Default: none.
        #[serde(default)]
        pub access_token: Option<Secret>,
        /// A public timeline to read. Default: none.
        #[serde(default)]
        pub timeline: Option<Public>,
        /// Hashtags to read, without `#`, in any case. Default: none.
        #[serde(default)]
        pub hashtags: Vec<String>,
        /// Hashtags to read, of posts written on this server only. Default: none.
        #[serde(default)]
        pub local_hashtags: Vec<String>,
        /// Lists to read, by the number in their address. They carry boosts, and what is written
        /// for followers only; servers keep their last few hundred posts, and what is missed beyond
        /// them is not seen to be missing. Default: none. With `timeline` and the hashtags at most 100, and at
        /// least one of them all.
        #[serde(default)]
        pub lists: Vec<String>,
        /// Phrases to look for, at most 400 of 1 to 60 bytes. A post passes if it has all words of
        /// one of them, in any order and case. Default: none, everything passes.
        #[serde(default)]
        pub track: Vec<String>,
        /// Let only posts in these languages pass, such as `en` (`pt-BR` is `pt`, too). `und`
        /// stands for posts that name none. Default: none, everything passes.
        #[serde(default)]
        pub languages: Vec<String>,
        /// Let only posts with pictures, videos or sound pass. Default: false.
        #[serde(default)]
        pub only_media: bool,
        /// Whether boosts pass, which only `lists` carry. Default: true.
        #[serde(default = "yes")]
        pub reblogs: bool,
        /// What becomes of a post that was edited. Default `emit`.
        #[serde(default)]
        pub edits: Edits,
        /// Fetch what was missed from the server's timelines. Default: true. Without it, what is
        /// written while there is no connection is lost, and the loss is counted.
        #[serde(default = "yes")]
        pub catch_up: bool,
        /// After a break, the most pages (of 40 posts) with something new to fetch for each stream,
        /// 1 to 10,000; what is left is lost, and counted. Default 100.
        #[serde(default = "a_hundred")]
        pub catch_up_pages: u32,
        /// After a break, look back so much further than the newest post, up to 6 h and the last
        /// 32,768 posts: posts of other servers may arrive late. Default 2 min.
        #[serde(default = "two_minutes")]
        pub rewind: Span,
        /// A PEM file of the certificates to trust, in place of the system's. Default: the
        /// system's.
        #[serde(default)]
        pub ca_file: Option<FilePath>,
        /// The longest message to take, 1 KiB to 64 MiB; a longer one becomes a dead letter.
        /// Default 1 MiB.
        #[serde(default = "one_mib")]
        pub max_message_bytes: ByteSize,
        /// A stream that is silent for so long (servers give a sign each 30 s) is dead: connect
        /// again. Default 90 s.
        #[serde(default = "ninety_seconds")]
        pub stall_timeout: Span,
    }
}

options! {
    /// A public timeline.
    #[derive(Copy)]
    pub enum Public {
        /// All public posts that the server knows.
        Public,
        /// Those written on this server.
        Local,
        /// Those of other servers.
        Remote,
    }
}

options! {
    /// What becomes of a post that was edited.
    #[derive(Copy, Default)]
    pub enum Edits {
        /// It is emitted again, with the same header `id`, and a header `edit` with the time.
        #[default]
        Emit,
        /// It is counted as filtered.
        Drop,
    }
}

fn yes() -> bool {
    true
}

fn a_hundred() -> u32 {
    100
}

fn two_minutes() -> Span {
    Span::secs(120)
}

fn one_mib() -> ByteSize {
    ByteSize(1 << 20)
}

fn ninety_seconds() -> Span {
    Span::secs(90)
}

/// Checks the options.
pub(crate) fn plan(options: &Options) -> Result<Planned, StageError> {
    base_url(options)?;
    timelines(options)?;
    live::track(&options.track)?;
    live::check_languages(&options.languages)?;
    let within = |pointer: &str, fits: bool, why: &str| match fits {
        true => Ok(()),
        false => Err(StageError::config(pointer, why)),
    };
    within(
        "/catch_up_pages",
        (1..=10_000).contains(&options.catch_up_pages),
        "catch_up_pages must be between 1 and 10,000; to fetch nothing set `catch_up = false`",
    )?;
    within(
        "/rewind",
        options.rewind <= Span::secs(6 * 3600),
        "rewind must be at most 6h: Mastodon streams no post that arrives later",
    )?;
    within(
        "/max_message_bytes",
        (1 << 10..=64 << 20).contains(&options.max_message_bytes.0),
        "max_message_bytes must be between 1 KiB and 64 MiB",
    )?;
    within(
        "/stall_timeout",
        options.stall_timeout >= Span::secs(1),
        "stall_timeout must be at least 1s; servers give a sign each 30s, so 90s is well",
    )?;
    within(
        "/access_token",
        options.access_token.as_ref().is_none_or(is_a_token),
        "the token must be one line of visible ASCII characters, as the application's page shows it",
    )?;
    let message = options.max_message_bytes.0;
    let mut planned = Planned::new(ContentType::json())
        .live()
        .memory(
            "messages read ahead",
            live::PARCEL_BYTES as u64 + 2 * message,
        )
        // Once where posts are read, once for those that have gone on.
        .memory("posts remembered", 2 * REMEMBERED as u64 * REMEMBERED_BYTES);
    if options.catch_up {
        planned = planned.memory("a page of a timeline", PAGE_MESSAGES * message);
    }
    if options.access_token.is_none() {
        planned = planned.warn(
            "no access_token: Mastodon streams to nobody without one since version 4.2 (Preferences \
             > Development > New application, scope read:statuses)",
        );
    }
    Ok(planned)
}

/// The server's address, checked.
pub(crate) fn base_url(options: &Options) -> Result<Url, StageError> {
    let url = live::base_url(&options.url, "access_token")?;
    if options.access_token.is_some() {
        live::keeps_secrets(&url, "access_token")?;
    }
    Ok(url)
}

fn is_a_token(token: &Secret) -> bool {
    let text = token.expose();
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What to subscribe to, each once.
pub(crate) fn timelines(options: &Options) -> Result<Vec<Timeline>, StageError> {
    let mut timelines: Vec<Timeline> = Vec::new();
    let mut add = |feed: Feed, pointer: String| {
        if timelines.iter().all(|known| known.feed != feed) {
            let only_media = options.only_media;
            timelines.push(Timeline {
                feed,
                only_media,
                pointer,
            });
        }
    };
    if let Some(public) = options.timeline {
        add(Feed::Public(public), "/timeline".into());
    }
    let lists = [
        ("/hashtags", &options.hashtags),
        ("/local_hashtags", &options.local_hashtags),
    ];
    for (option, tags) in lists {
        for (index, tag) in tags.iter().enumerate() {
            let pointer = format!("{option}/{index}");
            let tag = hashtag(tag).map_err(|why| StageError::config(&pointer, why))?;
            let is_local = option == "/local_hashtags";
            add(Feed::Hashtag { tag, is_local }, pointer);
        }
    }
    for (index, list) in options.lists.iter().enumerate() {
        let pointer = format!("/lists/{index}");
        let is_id = !list.is_empty() && list.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_id {
            return Err(StageError::config(
                &pointer,
                format!("`{list}` is no list: give the number at the end of its address"),
            ));
        }
        add(Feed::List(list.clone()), pointer);
    }
    match timelines.len() {
        0 => Err(StageError::config(
            "/timeline",
            "there is nothing to read: set at least one of timeline, hashtags, local_hashtags and \
             lists",
        )),
        1..=MAX_STREAMS => Ok(timelines),
        n => Err(StageError::config(
            "/hashtags",
            format!("{n} streams are too many; at most {MAX_STREAMS} in all"),
        )),
    }
}

/// A hashtag as servers keep it.
fn hashtag(tag: &str) -> Result<String, String> {
    if let Some(bare) = tag.strip_prefix('#') {
        return Err(format!("write it without `#`: `{bare}`"));
    }
    // Mastodon: letters, digits and marks of any script, underscores, and middle dots.
    let fits = |c: char| c.is_alphanumeric() || !c.is_ascii() || c == '_';
    let is_tag = !tag.is_empty()
        && tag.len() <= 400
        && tag
            .chars()
            .all(|c| fits(c) && !c.is_whitespace() && !c.is_control())
        && !tag.bytes().all(|b| b.is_ascii_digit());
    if !is_tag {
        return Err(format!(
            "`{tag}` is no hashtag: it is letters, digits and `_`, and not digits alone"
        ));
    }
    Ok(tag.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_address_that_may_be_secret_is_shown() {
        for (url, shown) in [
            (
                "wss://a.example/api/v1/streaming?access_token=CANARY",
                "`wss://a.example` must begin with https://",
            ),
            (
                "https://a.example/?access_token=CANARY",
                "`https://a.example` must have nothing behind",
            ),
            ("https://a.example/CANARY", "nothing behind host and port"),
            ("https://a.example#CANARY", "nothing behind host and port"),
            (
                "https://ann:CANARY@a.example",
                "credentials do not belong into the url; use the option `access_token`",
            ),
            (
                "https://CANARY@a.example",
                "credentials do not belong into the url; use the option `access_token`",
            ),
            ("wss://CANARY@a.example", "`wss://a.example` must begin"),
            ("ann:CANARY@a.example", "it must begin with https://"),
            ("https://a.example:CANARY/", "no address: invalid port"),
            ("https://ann:CANARY@a.example:x", "no address: invalid port"),
            ("a.example?access_token=CANARY", "this is no address"),
        ] {
            let options = serde_json::json!({"url": url, "timeline": "public"});
            let options: Options = serde_json::from_value(options).unwrap();
            let error = plan(&options).unwrap_err();
            assert_eq!(error.pointer, "/url");
            assert!(error.message.contains(shown), "{error}");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }
}
