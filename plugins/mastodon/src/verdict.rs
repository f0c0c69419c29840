//! What a refusal means: try again later, or never, and which option is at fault.

use live::{Refusal, Verdict};
use plugin_api::StageError;

use crate::timeline::{Feed, Timeline};

/// What the server was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The websocket, or where it is.
    Stream,
    /// A stream within it. Which one, the server does not say.
    Subscription,
    /// What was missed of a timeline.
    Timeline(&'a Timeline),
}

const SCOPES: &str = "it needs the scope read:statuses (and read:lists for `lists`)";

pub(crate) fn verdict(refusal: &Refusal, host: &str, asked: Asked<'_>) -> Verdict {
    let said = refusal.said();
    let fail = |pointer: &str, why: &str| {
        let asked = match asked {
            Asked::Timeline(timeline) => format!(" when asked for {}", timeline.name()),
            _ => String::new(),
        };
        Verdict::Never(StageError::config(
            pointer,
            format!("{host} answered {}{asked}{said}: {why}", refusal.status),
        ))
    };
    let words = refusal.body.to_ascii_lowercase();
    match (refusal.status, asked) {
        (200 | 400 | 426, Asked::Stream) => fail(
            "/url",
            "it makes no websocket of the request; check `url`, and whether a proxy before the \
             server passes websockets on",
        ),
        (400, Asked::Subscription) => fail(
            "/timeline",
            "the server does not know one of the streams that were asked for; `remote` and \
             `only_media` need a newer Mastodon",
        ),
        (401, Asked::Subscription) if words.contains("list") => {
            fail("/lists", "one of these lists is not of the token's user")
        }
        (401, _) if words.contains("scope") => fail(
            "/access_token",
            &format!("the token does not reach so far: {SCOPES}"),
        ),
        (401, _) => fail(
            "/access_token",
            "the token is missing, wrong, expired or revoked; make one under Preferences > \
             Development, with the scope read:statuses",
        ),
        (403, _) => fail(
            "/access_token",
            &format!("the token may not read this: {SCOPES}, or the server does not allow it"),
        ),
        (404, Asked::Timeline(timeline)) if matches!(timeline.feed, Feed::List(_)) => fail(
            &timeline.pointer,
            "there is no such list, or it is not of the token's user",
        ),
        (404, Asked::Timeline(timeline)) => fail(
            &timeline.pointer,
            "the server has no such timeline; with `catch_up = false` it is not asked for",
        ),
        (404 | 410, _) => fail(
            "/url",
            "there is no streaming API of Mastodon at this address; check `url`",
        ),
        (422, _) if words.contains("authenticated user") => fail(
            "/access_token",
            "the token is an application's own, not a user's; make one under Preferences > \
             Development",
        ),
        (422, Asked::Timeline(timeline)) => {
            fail(&timeline.pointer, "the server cannot read this timeline")
        }
        (422, _) => fail(
            "/url",
            "the server does not understand what it is asked for",
        ),
        (301 | 308, _) => fail(
            "/url",
            "the server is at another address; set `url` to where it has moved",
        ),
        (420 | 429, _) => Verdict::CalmDown,
        _ => Verdict::Later,
    }
}

/// A refusal that came as a message: its status, which older servers leave out.
pub(crate) fn refused_subscription(said: &str, status: Option<u16>) -> Refusal {
    let words = said.to_ascii_lowercase();
    let by_words = || {
        if words.contains("scope") || words.contains("authorized") {
            401
        } else if ["stream", "tag", "topic"]
            .iter()
            .any(|word| words.contains(word))
        {
            400
        } else {
            500
        }
    };
    Refusal {
        status: status.unwrap_or_else(by_words),
        body: said.into(),
        ..Refusal::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Public;

    fn pointer(status: u16, body: &str, asked: Asked<'_>) -> String {
        let refusal = Refusal {
            status,
            body: body.into(),
            ..Refusal::default()
        };
        match verdict(&refusal, "example.org", asked) {
            Verdict::Never(error) => error.pointer,
            other => format!("{other:?}"),
        }
    }

    fn timeline(feed: Feed) -> Timeline {
        Timeline {
            pointer: match feed {
                Feed::List(_) => "/lists/0".into(),
                _ => "/timeline".into(),
            },
            feed,
            only_media: false,
        }
    }

    #[test]
    fn the_option_at_fault_is_named() {
        let list = timeline(Feed::List("1".into()));
        let public = timeline(Feed::Public(Public::Public));
        let (list, public) = (Asked::Timeline(&list), Asked::Timeline(&public));
        for (status, body, asked, expected) in [
            (401, "", Asked::Stream, "/access_token"),
            (401, "", list, "/access_token"),
            (403, "", public, "/access_token"),
            (404, "", list, "/lists/0"),
            (404, "", public, "/timeline"),
            (404, "", Asked::Stream, "/url"),
            (410, "", Asked::Stream, "/url"),
            (400, "", Asked::Stream, "/url"),
            (400, "", public, "Later"),
            (301, "", Asked::Stream, "/url"),
            (422, "", list, "/lists/0"),
            (422, "", Asked::Stream, "/url"),
            (
                422,
                r#"{"error":"This method requires an authenticated user"}"#,
                public,
                "/access_token",
            ),
            (429, "", public, "CalmDown"),
            (503, "", public, "Later"),
            (302, "", Asked::Stream, "Later"),
        ] {
            assert_eq!(pointer(status, body, asked), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_refused_subscription_is_understood_with_and_without_a_status() {
        for (said, status, expected) in [
            ("Not authorized to stream this list", Some(401), "/lists"),
            ("Not authorized to stream this list", None, "/lists"),
            (
                "Access token does not have the required scopes",
                Some(401),
                "/access_token",
            ),
            ("Unknown stream type", Some(400), "/timeline"),
            ("No tag for stream provided", None, "/timeline"),
            ("unauthorized", None, "/access_token"),
            ("bad_topic", None, "/timeline"),
            ("An unexpected error occurred", Some(500), "Later"),
            ("An unexpected error occurred", None, "Later"),
        ] {
            let refusal = refused_subscription(said, status);
            let pointer = pointer(refusal.status, &refusal.body, Asked::Subscription);
            assert_eq!(pointer, expected, "{said}");
        }
    }
}
