//! The streams to read: how each is subscribed to, and read as a timeline.

use reqwest::Url;
use serde_json::{Value, json};

use crate::config::Public;

/// What a stream carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Feed {
    Public(Public),
    Hashtag { tag: String, is_local: bool },
    List(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub feed: Feed,
    /// Servers pick posts with media out of public timelines only; of others we do.
    pub only_media: bool,
    /// The option that names it.
    pub pointer: String,
}

impl Timeline {
    /// The stream's name in the protocol.
    fn channel(&self) -> &'static str {
        match (&self.feed, self.only_media) {
            (Feed::Public(Public::Public), false) => "public",
            (Feed::Public(Public::Public), true) => "public:media",
            (Feed::Public(Public::Local), false) => "public:local",
            (Feed::Public(Public::Local), true) => "public:local:media",
            (Feed::Public(Public::Remote), false) => "public:remote",
            (Feed::Public(Public::Remote), true) => "public:remote:media",
            (Feed::Hashtag { is_local, .. }, _) if *is_local => "hashtag:local",
            (Feed::Hashtag { .. }, _) => "hashtag",
            (Feed::List(_), _) => "list",
        }
    }

    /// What tells it from others of that name.
    fn parameter(&self) -> Option<&str> {
        match &self.feed {
            Feed::Public(_) => None,
            Feed::Hashtag { tag, .. } => Some(tag),
            Feed::List(list) => Some(list),
        }
    }

    /// Its name for people, and in snapshots.
    pub fn name(&self) -> String {
        match self.parameter() {
            Some(parameter) => format!("{}:{parameter}", self.channel()),
            None => self.channel().into(),
        }
    }

    /// The message that subscribes to it.
    pub fn subscription(&self) -> Value {
        let mut message = json!({"type": "subscribe", "stream": self.channel()});
        match &self.feed {
            Feed::Public(_) => {}
            Feed::Hashtag { tag, .. } => message["tag"] = json!(tag),
            Feed::List(list) => message["list"] = json!(list),
        }
        message
    }

    /// Where it is read as a timeline.
    pub fn address(&self, base: &Url) -> Url {
        let mut url = base.clone();
        {
            // Cannot fail: the address has a host.
            let Ok(mut path) = url.path_segments_mut() else {
                return base.clone();
            };
            path.extend(["api", "v1", "timelines"]);
            match &self.feed {
                Feed::Public(_) => path.push("public"),
                Feed::Hashtag { tag, .. } => path.extend(["tag", tag]),
                Feed::List(list) => path.extend(["list", list]),
            };
        }
        let which = match &self.feed {
            Feed::Public(Public::Local) => Some("local"),
            Feed::Public(Public::Remote) => Some("remote"),
            Feed::Hashtag { is_local: true, .. } => Some("local"),
            _ => None,
        };
        let has_media = self.only_media && !matches!(self.feed, Feed::List(_));
        for name in which.into_iter().chain(has_media.then_some("only_media")) {
            url.query_pairs_mut().append_pair(name, "true");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(feed: Feed, only_media: bool) -> Timeline {
        Timeline {
            feed,
            only_media,
            pointer: String::new(),
        }
    }

    #[test]
    fn each_kind_is_subscribed_to_and_read() {
        let hashtag = |is_local| Feed::Hashtag {
            tag: "日本".into(),
            is_local,
        };
        let base = Url::parse("https://example.org").unwrap();
        for (feed, only_media, name, subscription, address) in [
            (
                Feed::Public(Public::Public),
                false,
                "public",
                json!({"type": "subscribe", "stream": "public"}),
                "/api/v1/timelines/public",
            ),
            (
                Feed::Public(Public::Local),
                true,
                "public:local:media",
                json!({"type": "subscribe", "stream": "public:local:media"}),
                "/api/v1/timelines/public?local=true&only_media=true",
            ),
            (
                Feed::Public(Public::Remote),
                false,
                "public:remote",
                json!({"type": "subscribe", "stream": "public:remote"}),
                "/api/v1/timelines/public?remote=true",
            ),
            (
                hashtag(false),
                true,
                "hashtag:日本",
                json!({"type": "subscribe", "stream": "hashtag", "tag": "日本"}),
                "/api/v1/timelines/tag/%E6%97%A5%E6%9C%AC?only_media=true",
            ),
            (
                hashtag(true),
                false,
                "hashtag:local:日本",
                json!({"type": "subscribe", "stream": "hashtag:local", "tag": "日本"}),
                "/api/v1/timelines/tag/%E6%97%A5%E6%9C%AC?local=true",
            ),
            (
                Feed::List("12".into()),
                true,
                "list:12",
                json!({"type": "subscribe", "stream": "list", "list": "12"}),
                "/api/v1/timelines/list/12",
            ),
        ] {
            let timeline = timeline(feed, only_media);
            assert_eq!(timeline.name(), name);
            assert_eq!(timeline.subscription(), subscription);
            let url = timeline.address(&base);
            assert_eq!(url.as_str(), format!("https://example.org{address}"));
        }
    }
}
