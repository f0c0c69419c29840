//! An answer of HTTP that is no stream.

use std::time::{Duration, SystemTime};

use plugin_api::{Context, StageError};
use reqwest::{
    Response,
    header::{DATE, HeaderMap, LOCATION, RETRY_AFTER},
};
use serde_json::Value;

/// How much of the body is read, and how long that may take.
const BODY_BYTES: usize = 4096;
const BODY_TIME: Duration = Duration::from_secs(1);

/// A server's answer that was not a stream.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// The status of HTTP.
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
pub enum Verdict {
    /// Try again by the rule for HTTP trouble.
    Later,
    /// Try again by the rule for rate limits.
    CalmDown,
    /// Give up.
    Never(StageError),
}

impl Refusal {
    /// Reads an answer, within bounds.
    pub async fn read(mut response: Response, ctx: &Context) -> Self {
        let headers = response.headers();
        let now_s = ctx.now_us() / 1_000_000;
        let mut refusal = Self {
            status: response.status().as_u16(),
            retry_after: retry_after(response.status().as_u16(), headers, now_s),
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

    /// The server's own words, in brackets: the message of an error of Twitter or X, Mastodon's
    /// `error`, else the body as it is.
    pub fn said(&self) -> String {
        let parsed: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let first = &parsed["errors"][0];
        let words = [
            &first["message"],
            &first["detail"],
            &parsed["detail"],
            &parsed["error_description"],
            &parsed["error"],
            &parsed["title"],
        ];
        let message = words.into_iter().find_map(Value::as_str);
        match printable(message.unwrap_or(&self.body)) {
            words if words.is_empty() => String::new(),
            words => format!(" ({words})"),
        }
    }
}

/// `Retry-After` in seconds or as a date, else the time until `x-rate-limit-reset`, which is in
/// seconds since 1970. That stands in answers of other kinds, too, and then says nothing of them: it
/// counts where the limit is the trouble, and nothing of it remains.
fn retry_after(status: u16, headers: &HeaderMap, now_s: i64) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let now_s = u64::try_from(now_s).ok()?;
    if let Some(text) = text(RETRY_AFTER.as_str()) {
        let date = || Some(http_date_s(text)?.saturating_sub(now_s));
        let seconds = text.parse().ok().or_else(date)?;
        return Some(Duration::from_secs(seconds));
    }
    let remains = text("x-rate-limit-remaining").is_some_and(|remaining| remaining != "0");
    if remains || !matches!(status, 420 | 429) {
        return None;
    }
    let reset: u64 = text("x-rate-limit-reset")?.parse().ok()?;
    Some(Duration::from_secs(reset.saturating_sub(now_s)))
}

fn server_time_s(headers: &HeaderMap) -> Option<i64> {
    i64::try_from(http_date_s(headers.get(DATE)?.to_str().ok()?)?).ok()
}

/// `Wed, 01 Sep 2010 03:20:30 GMT`, in seconds since 1970.
fn http_date_s(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// The beginning of a foreign text in one line, without control characters.
pub fn printable(text: &str) -> String {
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

    #[test]
    fn foreign_words_are_made_harmless() {
        assert_eq!(printable("  a\r\n\u{1b}[31mb "), "a   [31mb");
        assert_eq!(printable(&"é".repeat(500)).chars().count(), 200);
    }

    #[test]
    fn errors_of_each_network_are_found() {
        let said = |body: &str| {
            let body = body.into();
            Refusal {
                body,
                ..Refusal::default()
            }
            .said()
        };
        assert_eq!(said(r#"{"errors":[{"code":32,"message":"No"}]}"#), " (No)");
        assert_eq!(said(r#"{"title":"T","detail":"No"}"#), " (No)");
        assert_eq!(said(r#"{"error":"No"}"#), " (No)");
        assert_eq!(said("<b>No</b>"), " (<b>No</b>)");
        assert_eq!(said(""), "");
    }

    #[test]
    fn a_wait_is_told_in_one_of_three_ways() {
        let wait = |status: u16, headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter();
            let headers = headers.map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
            let wait = retry_after(status, &HeaderMap::from_iter(headers), 1_283_311_230);
            wait.map(|wait| wait.as_secs())
        };
        assert_eq!(wait(503, &[("retry-after", "7")]), Some(7));
        let date = "Wed, 01 Sep 2010 03:21:30 GMT";
        assert_eq!(wait(503, &[("retry-after", date)]), Some(60));
        assert_eq!(wait(503, &[("retry-after", "soon")]), None);
        let reset = ("x-rate-limit-reset", "1283311240");
        assert_eq!(wait(429, &[reset]), Some(10));
        assert_eq!(
            wait(429, &[reset, ("x-rate-limit-remaining", "0")]),
            Some(10)
        );
        assert_eq!(wait(429, &[("x-rate-limit-reset", "5")]), Some(0));
        // Something else is the trouble.
        assert_eq!(wait(429, &[reset, ("x-rate-limit-remaining", "48")]), None);
        assert_eq!(wait(503, &[reset]), None);
    }
}
