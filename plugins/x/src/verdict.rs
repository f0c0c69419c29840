//! What a status other than 200 means: try again later, or never, and who is at fault.

use live::{Refusal, Verdict};
use plugin_api::StageError;

/// Parameters that a request may be refused for, and the options behind them.
const PARAMETERS: [(&str, &str); 7] = [
    ("backfill_minutes", "/backfill_minutes"),
    ("expansions", "/expansions"),
    ("tweet.fields", "/fields/tweet"),
    ("user.fields", "/fields/user"),
    ("media.fields", "/fields/media"),
    ("place.fields", "/fields/place"),
    ("poll.fields", "/fields/poll"),
];

pub(crate) fn verdict(refusal: &Refusal, host: &str) -> Verdict {
    let never = |pointer: &str, why: &str| {
        let said = refusal.said();
        let message = format!("{host} answered {}{said}: {why}", refusal.status);
        Verdict::Never(StageError::config(pointer, message))
    };
    match refusal.status {
        400 => match named_parameter(&refusal.body) {
            Some(pointer) => never(pointer, "X does not take this value, or not from this app"),
            None => never("/url", "it does not understand the request; check `url`"),
        },
        401 => never(
            "/bearer_token",
            "the token is not right, or was revoked; make a new one in X's developer console",
        ),
        403 => match named_parameter(&refusal.body) {
            Some(pointer) => never(pointer, "the app has no right to this"),
            None => never(
                "/bearer_token",
                "the token is right but its app has no access to the filtered stream; check the \
                 app's project in X's developer console",
            ),
        },
        404 => never("/url", "there is no filtered stream; check `url`"),
        // 402: no credits are left, which a person or an automatic recharge may change.
        402 | 429 => Verdict::CalmDown,
        _ => Verdict::Later,
    }
}

fn named_parameter(body: &str) -> Option<&'static str> {
    let named = PARAMETERS.iter().find(|(name, _)| body.contains(name));
    named.map(|(_, pointer)| *pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Verdict {
        let refusal = Refusal {
            status,
            body: body.into(),
            ..Refusal::default()
        };
        verdict(&refusal, "api.x.com")
    }

    #[test]
    fn fatal_statuses_say_what_is_at_fault() {
        let fields = r#"{"errors":[{"parameters":{"tweet.fields":["nonsense"]},"message":"The `tweet.fields` query parameter value [nonsense] is not valid"}],"title":"Invalid Request","detail":"One or more parameters to your request was invalid.","type":"https://api.twitter.com/2/problems/invalid-request"}"#;
        for (status, body, pointer) in [
            (400, fields, "/fields/tweet"),
            (400, "backfill_minutes is not allowed", "/backfill_minutes"),
            (400, "", "/url"),
            (401, r#"{"title":"Unauthorized"}"#, "/bearer_token"),
            (403, r#"{"title":"Client Forbidden"}"#, "/bearer_token"),
            (404, "", "/url"),
        ] {
            match of(status, body) {
                Verdict::Never(error) => assert_eq!(error.pointer, pointer, "{error}"),
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn others_may_pass() {
        for status in [402, 429] {
            assert_eq!(of(status, ""), Verdict::CalmDown);
        }
        for status in [301, 409, 500, 502, 503, 504] {
            assert_eq!(of(status, ""), Verdict::Later);
        }
    }
}
