//! Requests to the server: where it streams, and pages of its timelines.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use live::{End, Refusal, Setup, reason};
use plugin_api::{Context, StageError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{self, Options};
use crate::id::Id;
use crate::status::time_us;
use crate::timeline::Timeline;

/// Mastodon's longest page.
pub(crate) const PAGE: u32 = 40;
/// What a server says of itself is some 50 kB.
const INSTANCE_BYTES: usize = 4 << 20;
/// The longest that a server's own limit is believed.
const LONGEST_RESET: Duration = Duration::from_secs(60 * 60);
/// Where the websocket is on the server that streams.
const STREAMING: &str = "/api/v1/streaming";

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Unreachable(String),
    Refused(Refusal),
    /// The answer is longer than it may be.
    TooLong,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(reason(&error))
    }
}

/// What a timeline's request brought.
#[derive(Debug)]
pub(crate) struct Page {
    /// A list of posts.
    pub body: Vec<u8>,
    /// The server wants no further request for so long.
    pub pause: Option<Duration>,
}

/// What stays the same from request to request.
#[derive(Clone)]
pub(crate) struct Rest {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    /// The token, where it can be the name of a websocket's protocol.
    protocol: Option<HeaderValue>,
    page_bytes: usize,
}

impl Rest {
    pub fn new(options: &Options) -> Result<Self, StageError> {
        let base = config::base_url(options)?;
        let client = live::client(&Setup {
            base: &base,
            ca_file: options.ca_file.as_deref(),
            user_agent: concat!("plugin-mastodon/", env!("CARGO_PKG_VERSION")),
        })?;
        let token = options.access_token.as_ref();
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| StageError::config("/access_token", "it cannot be sent"))?;
            value.set_sensitive(true);
            Ok::<_, StageError>(value)
        };
        let authorization = token.map(|token| secret(&format!("Bearer {}", token.expose())));
        let protocol = token.filter(|token| is_name(token.expose()));
        let protocol = protocol.map(|token| secret(token.expose()));
        Ok(Self {
            client,
            base,
            authorization: authorization.transpose()?,
            protocol: protocol.transpose()?,
            page_bytes: usize::try_from(config::PAGE_MESSAGES * options.max_message_bytes.0)
                .unwrap_or(usize::MAX),
        })
    }

    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// A request with the token.
    pub fn get(&self, url: Url) -> RequestBuilder {
        let request = self.client.get(url);
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// The same for a websocket. Some servers look for the token only where a browser can put it.
    pub fn websocket(&self, url: Url) -> RequestBuilder {
        let request = self.get(url);
        match &self.protocol {
            Some(protocol) => request.header(SEC_WEBSOCKET_PROTOCOL, protocol),
            None => request,
        }
    }

    /// So many posts of a timeline: those next above an id, else the newest.
    pub async fn page(
        self,
        timeline: Timeline,
        above: Option<Id>,
        limit: u32,
        ctx: Context,
    ) -> Result<Page, Failure> {
        let mut url = timeline.address(&self.base);
        url.query_pairs_mut()
            .append_pair("limit", &limit.to_string());
        if let Some(id) = above {
            url.query_pairs_mut().append_pair("min_id", id.as_str());
        }
        let response = self.get(url).send().await?;
        let (remaining, reset) = rate_limit(response.headers(), ctx.now_us());
        if response.status() != StatusCode::OK {
            return Err(Failure::Refused(refusal(response, &ctx).await));
        }
        Ok(Page {
            body: body(response, self.page_bytes).await?,
            pause: reset.filter(|_| remaining == Some(0)),
        })
    }

    /// Where the server streams, as it says itself; older ones say it in another place.
    pub async fn streaming(&self, ctx: &Context) -> Result<Url, End> {
        for (path, pointer) in [
            ("/api/v2/instance", "/configuration/urls/streaming"),
            ("/api/v1/instance", "/urls/streaming_api"),
        ] {
            let mut url = self.base.clone();
            url.set_path(path);
            let answer = async {
                let response = self.get(url).send().await?;
                if response.status() != StatusCode::OK {
                    return Err(Failure::Refused(refusal(response, ctx).await));
                }
                body(response, INSTANCE_BYTES).await
            };
            match answer.await {
                Ok(body) => {
                    let instance: Value = serde_json::from_slice(&body).unwrap_or_default();
                    if let Some(address) = instance.pointer(pointer).and_then(Value::as_str) {
                        return streaming_url(&self.base, address).map_err(End::Failed);
                    }
                }
                Err(Failure::Unreachable(why)) => return Err(End::Unreachable(why)),
                Err(Failure::Refused(refusal)) if refusal.status != 404 => {
                    return Err(End::Refused(refusal));
                }
                Err(Failure::Refused(_) | Failure::TooLong) => {}
            }
        }
        let mut url = self.base.clone();
        url.set_path(STREAMING);
        Ok(url)
    }
}

/// Whether it can be the name of a websocket's protocol (a token of HTTP). Of another, servers make
/// a request that is wrong.
fn is_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    text.bytes().all(is_plain)
}

/// The address of the websocket, as one of HTTP: a websocket begins as a request.
fn streaming_url(base: &Url, address: &str) -> Result<Url, StageError> {
    let wrong = |why: &str| {
        let host = base.host_str().unwrap_or_default();
        let address = live::printable(address);
        StageError::config(
            "/url",
            format!("{host} says that it streams at `{address}`, {why}"),
        )
    };
    // The parser lets no scheme be changed between special ones and others, so before it.
    let address = match address.split_once("://") {
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(("ws", rest)) => format!("http://{rest}"),
        _ => address.to_owned(),
    };
    let mut url = Url::parse(&address).map_err(|_| wrong("which is no address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("which is no address of a websocket"));
    }
    if base.scheme() == "https" && url.scheme() != "https" {
        return Err(wrong("where the token would travel unencrypted"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(STREAMING) {
        url.set_path(&format!("{path}{STREAMING}"));
    }
    Ok(url)
}

/// An answer that is none, with what Mastodon alone says in its headers.
pub(crate) async fn refusal(response: Response, ctx: &Context) -> Refusal {
    let (_, reset) = rate_limit(response.headers(), ctx.now_us());
    let message = response.headers().get("x-error-message");
    let message = message.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    let mut refusal = Refusal::read(response, ctx).await;
    refusal.retry_after = refusal.retry_after.or(reset);
    if let Some(message) = message.filter(|_| refusal.body.is_empty()) {
        refusal.body = message;
    }
    refusal
}

/// How many requests are left, and for how long: `X-RateLimit-Reset` is a date, of the server's
/// clock, which `Date` tells.
fn rate_limit(headers: &HeaderMap, now_us: i64) -> (Option<u64>, Option<Duration>) {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let remaining = text("x-ratelimit-remaining").and_then(|n| n.parse().ok());
    let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let now_us = date.map_or(now_us, |date| date.as_secs() as i64 * 1_000_000);
    let reset_us = text("x-ratelimit-reset").and_then(|at| time_us(at.as_bytes()));
    let reset = reset_us.map(|at| {
        let wait = u64::try_from(at.saturating_sub(now_us)).unwrap_or_default();
        Duration::from_micros(wait).min(LONGEST_RESET)
    });
    (remaining, reset)
}

async fn body(mut response: Response, max: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max {
            return Err(Failure::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Of a timeline without posts.
impl Default for Page {
    fn default() -> Self {
        Self {
            body: b"[]".to_vec(),
            pause: None,
        }
    }
}

/// The statuses of a page. A list of more than a page is none: of as little as `0,` each, a body
/// would take many times its own size.
pub(crate) fn statuses(body: &[u8]) -> Result<Vec<&str>, serde_json::Error> {
    struct Statuses<'a>(Vec<&'a str>);
    impl<'de> Visitor<'de> for Statuses<'de> {
        type Value = Vec<&'de str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {PAGE} posts")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
            while let Some(raw) = list.next_element::<&RawValue>()? {
                if self.0.len() == PAGE as usize {
                    return Err(A::Error::invalid_length(self.0.len() + 1, &self));
                }
                self.0.push(raw.get());
            }
            Ok(self.0)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let list = json.deserialize_seq(Statuses(Vec::new()))?;
    json.end()?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_stream_is_where_the_server_says() {
        let https = Url::parse("https://example.org").unwrap();
        let http = Url::parse("http://127.0.0.1:1").unwrap();
        let place = |base: &Url, address: &str| match streaming_url(base, address) {
            Ok(url) => url.to_string(),
            Err(error) => error.message,
        };
        for (address, expected) in [
            (
                "wss://s.example.org",
                "https://s.example.org/api/v1/streaming",
            ),
            (
                "wss://s.example.org:4/",
                "https://s.example.org:4/api/v1/streaming",
            ),
            (
                "https://example.org/sub",
                "https://example.org/sub/api/v1/streaming",
            ),
            (
                "wss://example.org/api/v1/streaming/",
                "https://example.org/api/v1/streaming/",
            ),
        ] {
            assert_eq!(place(&https, address), expected);
        }
        assert!(place(&https, "ws://s.example.org").ends_with("unencrypted"));
        assert!(place(&https, "ftp://s.example.org").ends_with("no address of a websocket"));
        assert!(place(&https, "nowhere").ends_with("no address"));
        assert_eq!(
            place(&http, "ws://127.0.0.1:2"),
            "http://127.0.0.1:2/api/v1/streaming"
        );
    }

    #[test]
    fn a_token_is_a_protocol_where_it_can_be() {
        for (token, is_sent) in [("Ab-9_x.~", true), ("a/b=", false), ("a,b", false)] {
            let options = serde_json::json!({"url": "https://a.example", "access_token": token});
            let rest = Rest::new(&serde_json::from_value(options).unwrap()).unwrap();
            let url = Url::parse("https://a.example").unwrap();
            let headers = rest.websocket(url).build().unwrap().headers().clone();
            let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL);
            assert_eq!(protocol.is_some_and(|p| p == token), is_sent, "{token}");
            assert!(headers.contains_key(AUTHORIZATION));
            assert!(!format!("{headers:?}").contains(token), "{headers:?}");
        }
    }

    #[test]
    fn a_list_longer_than_a_page_is_none_and_not_read_on() {
        let list = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(statuses(list(40).as_bytes()).unwrap(), ["{}"; 40]);
        let error = statuses(list(41).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("at most 40 posts"), "{error}");
        // What stands behind the 41st is not even looked at.
        let mut broken = "[".to_owned() + &"0,".repeat(41);
        broken.push_str("nonsense");
        let error = statuses(broken.as_bytes()).unwrap_err();
        assert!(error.is_data(), "{error}");
        for json in ["{}", "[1] 2", "[1", "", "null"] {
            assert!(statuses(json.as_bytes()).is_err(), "{json}");
        }
        assert_eq!(
            statuses(b" [ 1 , {\"id\": 2} ] ").unwrap(),
            ["1", "{\"id\": 2}"]
        );
    }

    #[test]
    fn a_reset_is_a_date() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            HeaderMap::from_iter(pairs.map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())))
        };
        let now_us = 1_661_900_746_000_000;
        let full = headers(&[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "2022-08-30T23:10:00.000000Z"),
        ]);
        assert_eq!(
            rate_limit(&full, now_us),
            (Some(0), Some(Duration::from_secs(254)))
        );
        // This machine's clock is an hour late.
        let dated = headers(&[
            ("date", "Tue, 30 Aug 2022 23:05:46 GMT"),
            ("x-ratelimit-reset", "2022-08-30T23:10:00.000000Z"),
        ]);
        let late_us = now_us - 3_600_000_000;
        assert_eq!(
            rate_limit(&dated, late_us),
            (None, Some(Duration::from_secs(254)))
        );
        let far = headers(&[("x-ratelimit-reset", "2122-08-30T23:00:00Z")]);
        assert_eq!(rate_limit(&far, now_us).1, Some(LONGEST_RESET));
        let past = headers(&[("x-ratelimit-reset", "2022-08-30T23:00:00Z")]);
        assert_eq!(rate_limit(&past, now_us), (None, Some(Duration::ZERO)));
        assert_eq!(rate_limit(&headers(&[]), now_us), (None, None));
    }
}
