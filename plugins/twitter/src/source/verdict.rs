//! What a status other than 200 means: try again later, or never, and who is at fault.

use live::{Refusal, Verdict};
use plugin_api::StageError;

/// OAuth time stamps that are further off than this are refused.
const CLOCK_TOLERANCE_S: i64 = 300;

pub(crate) fn verdict(refusal: &Refusal, host: &str) -> Verdict {
    let said = refusal.said();
    let fail = |pointer: &str, why: String| {
        Verdict::Never(StageError::config(
            pointer,
            format!("{host} answered {}{said}: {why}", refusal.status),
        ))
    };
    match refusal.status {
        401 => unauthorised(refusal, &fail),
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
            named_predicate(refusal).unwrap_or("/track"),
            "at least one of track, follow and locations is missing or not valid".into(),
        ),
        413 => fail(
            named_predicate(refusal).unwrap_or("/track"),
            "a parameter is too long; use fewer track phrases, users to follow or locations".into(),
        ),
        416 => fail(
            named_predicate(refusal).unwrap_or("/endpoint"),
            "the server will not serve this range; check `endpoint` and the parameters".into(),
        ),
        420 | 429 => Verdict::CalmDown,
        _ => Verdict::Later,
    }
}

/// A 401 has four possible causes, which the error code and the clocks tell apart.
fn unauthorised(refusal: &Refusal, fail: &dyn Fn(&str, String) -> Verdict) -> Verdict {
    let code = code(refusal);
    if let Some(ahead) = refusal.clock_ahead_s
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
fn code(refusal: &Refusal) -> Option<i64> {
    let body: serde_json::Value = serde_json::from_str(&refusal.body).ok()?;
    body["errors"][0]["code"].as_i64()
}

fn named_predicate(refusal: &Refusal) -> Option<&'static str> {
    let body = refusal.body.to_ascii_lowercase();
    [
        ("parameter: track", "/track"),
        ("parameter: follow", "/follow"),
        ("parameter: locations", "/locations"),
    ]
    .iter()
    .find(|(name, _)| body.contains(name))
    .map(|(_, pointer)| *pointer)
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
        match verdict(&refusal, "example.org") {
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
            let refusal = Refusal {
                status,
                ..Refusal::default()
            };
            verdict(&refusal, "example.org")
        };
        for status in [420, 429] {
            assert_eq!(verdict(status), Verdict::CalmDown);
        }
        for status in [400, 301, 500, 502, 503, 504] {
            assert_eq!(verdict(status), Verdict::Later);
        }
    }
}
