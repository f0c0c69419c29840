//! What a status other than 200 means: try again later, or never, and who is at fault.

use std::time::Duration;

use plugin_api::{Context, StageError};
use reqwest::Response;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};

/// How much of the body is read, and how long that may take.
const BODY_BYTES: usize = 4096;
const BODY_TIME: Duration = Duration::from_secs(5);

/// A server's answer that was not a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusal {
    pub status: u16,
    /// The beginning of the body.
    pub body: String,
    /// `Retry-After`, or the time until `x-rate-limit-reset`.
    pub retry_after: Option<Duration>,
    /// How far this machine's clock is ahead of the server's, in seconds.
    pub clock_ahead_s: Option<i64>,
}

/// What to do about it.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Try again by the rule for HTTP trouble.
    Later,
    /// Try again by the rule for rate limits.
    CalmDown,
    /// Give up.
    Never(StageError),
}

/// OAuth time stamps that are further off than this are refused.
const CLOCK_TOLERANCE_S: i64 = 300;

impl Refusal {
    /// Reads an answer, within bounds.
    pub async fn read(mut response: Response, ctx: &Context) -> Self {
        let headers = response.headers();
        let now_s = ctx.now_us() / 1_000_000;
        let mut refusal = Self {
            status: response.status().as_u16(),
            retry_after: retry_after(headers, now_s),
            clock_ahead_s: server_time_s(headers).map(|server_s| now_s - server_s),
            body: String::new(),
        };
        if let Some(location) = headers.get(LOCATION) {
            let location = String::from_utf8_lossy(location.as_bytes());
            refusal.body = format!("moved to {}", printable(&location));
            return refusal;
        }
        let mut body = Vec::new();
        let reading = async {
            while body.len() < BODY_BYTES {
                match response.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    _ => break,
                }
            }
        };
        // What came in time is enough.
        let _ = tokio::time::timeout(BODY_TIME, reading).await;
        body.truncate(BODY_BYTES);
        refusal.body = String::from_utf8_lossy(&body).into_owned();
        refusal
    }

    pub fn verdict(&self, host: &str) -> Verdict {
        let said = self.said();
        let fail = |pointer: &str, why: String| {
            Verdict::Never(StageError::config(
                pointer,
                format!("{host} answered {}{said}: {why}", self.status),
            ))
        };
        match self.status {
            401 => self.unauthorised(&fail),
            403 => fail(
                "/credentials",
                "the credentials are right but may not use this stream; check what the consumer \
                 key's account has access to"
                    .into(),
            ),
            404 => fail(
                "/url",
                "there is no such stream; check `url` and `endpoint`".into(),
            ),
            406 => fail(
                self.named_predicate().unwrap_or("/track"),
                "at least one of track, follow and locations is missing or not valid".into(),
            ),
            413 => fail(
                self.named_predicate().unwrap_or("/track"),
                "a parameter is too long; use fewer track phrases, users to follow or locations"
                    .into(),
            ),
            416 => fail(
                self.named_predicate().unwrap_or("/endpoint"),
                "the server will not serve this range; check `endpoint` and the parameters".into(),
            ),
            420 | 429 => Verdict::CalmDown,
            _ => Verdict::Later,
        }
    }

    /// A 401 has four possible causes, which the error code and the clocks tell apart.
    fn unauthorised(&self, fail: &dyn Fn(&str, String) -> Verdict) -> Verdict {
        let code = self.code();
        if let Some(ahead) = self.clock_ahead_s
            && (code == Some(135) || ahead.abs() > CLOCK_TOLERANCE_S)
        {
            let way = if ahead < 0 { "behind" } else { "ahead" };
            return fail(
                "/credentials",
                format!(
                    "this machine's clock is {} s {way} the server's; set it right",
                    ahead.abs()
                ),
            );
        }
        match code {
            Some(135) => fail(
                "/credentials",
                "the time stamp is out of bounds; set this machine's clock right".into(),
            ),
            Some(89) => fail(
                "/credentials/token",
                "the token is invalid, expired or revoked".into(),
            ),
            Some(215) => fail(
                "/credentials/consumer_key",
                "the server does not know this consumer key".into(),
            ),
            _ => fail(
                "/credentials",
                "the signature does not fit; check consumer_key, consumer_secret, token and \
                 token_secret"
                    .into(),
            ),
        }
    }

    /// Twitter's error code: `{"errors":[{"code":32,"message":"…"}]}`.
    fn code(&self) -> Option<i64> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        body["errors"][0]["code"].as_i64()
    }

    fn named_predicate(&self) -> Option<&'static str> {
        let body = self.body.to_ascii_lowercase();
        [
            ("parameter: track", "/track"),
            ("parameter: follow", "/follow"),
            ("parameter: locations", "/locations"),
        ]
        .iter()
        .find(|(name, _)| body.contains(name))
        .map(|(_, pointer)| *pointer)
    }

    /// The server's own words, in brackets.
    pub fn said(&self) -> String {
        let parsed: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        let message = parsed
            .as_ref()
            .and_then(|body| body["errors"][0]["message"].as_str())
            .unwrap_or(&self.body);
        match printable(message) {
            words if words.is_empty() => String::new(),
            words => format!(" ({words})"),
        }
    }
}

/// `Retry-After`, else the time until `x-rate-limit-reset`.
fn retry_after(headers: &HeaderMap, now_s: i64) -> Option<Duration> {
    let number =
        |name: &str| -> Option<u64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds));
    }
    let reset = number("x-rate-limit-reset")?;
    let now_s = u64::try_from(now_s).ok()?;
    Some(Duration::from_secs(reset.saturating_sub(now_s)))
}

/// Of the header `Date: Wed, 01 Sep 2010 03:20:30 GMT`, seconds since 1970.
fn server_time_s(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get("date")?.to_str().ok()?;
    let mut parts = date.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let as_twitter_writes_it = format!("Wed {month} {day} {time} +0000 {year}");
    Some(track::created_at_ms(&as_twitter_writes_it)? / 1000)
}

/// The beginning of a foreign text in one line, without control characters.
pub(crate) fn printable(text: &str) -> String {
    let clean: String = text
        .trim()
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clean.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fatal(status: u16, body: &str, clock_ahead_s: Option<i64>) -> (String, String) {
        let refusal = Refusal {
            status,
            body: body.into(),
            clock_ahead_s,
            ..Refusal::default()
        };
        match refusal.verdict("example.org") {
            Verdict::Never(error) => (error.pointer, error.message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fatal_statuses_say_who_is_at_fault() {
        let code = |code: u32| format!(r#"{{"errors":[{{"code":{code},"message":"Said"}}]}}"#);
        let (pointer, message) = fatal(401, &code(32), Some(2));
        assert_eq!(pointer, "/credentials");
        assert_eq!(
            message,
            "example.org answered 401 (Said): the signature does not fit; check consumer_key, \
             consumer_secret, token and token_secret"
        );
        assert_eq!(fatal(401, &code(89), None).0, "/credentials/token");
        assert_eq!(fatal(401, &code(215), None).0, "/credentials/consumer_key");
        assert!(fatal(401, &code(135), None).1.contains("clock"));
        assert!(
            fatal(401, "", Some(-900))
                .1
                .contains("clock is 900 s behind")
        );
        assert_eq!(fatal(403, "", None).0, "/credentials");
        assert_eq!(fatal(404, "", None).0, "/url");
        assert_eq!(fatal(406, "", None).0, "/track");
        assert_eq!(
            fatal(406, "Invalid parameter: locations", None).0,
            "/locations"
        );
        assert_eq!(
            fatal(413, "Parameter: follow is too long", None).0,
            "/follow"
        );
        assert_eq!(fatal(416, "", None).0, "/endpoint");
    }

    #[test]
    fn others_may_pass() {
        let verdict = |status| {
            Refusal {
                status,
                ..Refusal::default()
            }
            .verdict("example.org")
        };
        for status in [420, 429] {
            assert_eq!(verdict(status), Verdict::CalmDown);
        }
        for status in [400, 301, 500, 502, 503, 504] {
            assert_eq!(verdict(status), Verdict::Later);
        }
    }

    #[test]
    fn foreign_words_are_made_harmless() {
        assert_eq!(printable("  a\r\n\u{1b}[31mb "), "a   [31mb");
        assert_eq!(printable(&"é".repeat(500)).chars().count(), 200);
    }
}
