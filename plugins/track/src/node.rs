//! The map of a message: which keys and elements lead to something that matters.

use crate::message::{Controls, Detail};

/// A tweet within the message: itself, what it retweets, what it quotes, what the retweeted one
/// quotes.
pub(crate) const OWN: usize = 0;
pub(crate) const RETWEETED: usize = 1;
pub(crate) const QUOTED: usize = 2;
pub(crate) const QUOTED_BY_RETWEETED: usize = 3;

/// A place in the message that matters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    Status(usize),
    Extended(usize),
    Text(usize, Form),
    Entities(usize, Form),
    Links,
    Link,
    Hashtags,
    Hashtag,
    Mentions,
    Mention,
    Piece(&'static str),
    User(usize),
    UserId(usize),
    Id,
    IdText,
    Timestamp,
    CreatedAt,
    ReplyTo,
    Coordinates,
    Point,
    Degree(usize),
    Place,
    Area,
    Polygon,
    Ring,
    Corner,
    CornerDegree(usize),
    Control(Controls),
    Limit,
    Code,
    PercentFull,
    Note,
    Event,
}

/// Which of a tweet's texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Text,
    FullText,
    Extended,
}

impl Node {
    /// What an object's key leads to; `None` to skip it.
    pub fn child(self, key: &str, detail: Detail) -> Option<Self> {
        use Form::{Extended, FullText, Text};
        let filter = detail == Detail::Filter;
        Some(match (self, key) {
            (Self::Status(w), "text") => Self::Text(w, Text),
            (Self::Status(w), "full_text") => Self::Text(w, FullText),
            (Self::Status(OWN), "id") => Self::Id,
            (Self::Status(OWN), "id_str") => Self::IdText,
            (Self::Status(OWN), "timestamp_ms") => Self::Timestamp,
            (Self::Status(OWN), "created_at") => Self::CreatedAt,
            (Self::Status(OWN), "event") => Self::Event,
            (Self::Status(OWN), key) if Controls::by_name(key).is_some() => {
                Self::Control(Controls::by_name(key)?)
            }
            (Self::Control(_), "track") => Self::Limit,
            (Self::Control(_), "code") => Self::Code,
            (Self::Control(_), "percent_full") => Self::PercentFull,
            (Self::Control(_), "message" | "reason") => Self::Note,
            _ if !filter => return None,
            (Self::Status(w), "extended_tweet") => Self::Extended(w),
            (Self::Status(w), "entities") => Self::Entities(w, Text),
            (Self::Status(w @ (OWN | RETWEETED)), "user") => Self::User(w),
            (Self::Status(OWN), "retweeted_status") => Self::Status(RETWEETED),
            (Self::Status(OWN), "quoted_status") => Self::Status(QUOTED),
            (Self::Status(RETWEETED), "quoted_status") => Self::Status(QUOTED_BY_RETWEETED),
            (Self::Status(OWN), "in_reply_to_user_id") => Self::ReplyTo,
            (Self::Status(OWN), "coordinates") => Self::Coordinates,
            (Self::Status(OWN), "place") => Self::Place,
            (Self::Extended(w), "full_text") => Self::Text(w, Extended),
            (Self::Extended(w), "entities") => Self::Entities(w, Extended),
            (Self::Entities(..), "urls" | "media") => Self::Links,
            (Self::Entities(..), "hashtags") => Self::Hashtags,
            (Self::Entities(..), "user_mentions") => Self::Mentions,
            (Self::Link, "expanded_url" | "display_url") => Self::Piece(""),
            (Self::Hashtag, "text") => Self::Piece("#"),
            (Self::Mention, "screen_name") => Self::Piece("@"),
            (Self::User(w), "id") => Self::UserId(w),
            (Self::Coordinates, "coordinates") => Self::Point,
            (Self::Place, "bounding_box") => Self::Area,
            (Self::Area, "coordinates") => Self::Polygon,
            _ => return None,
        })
    }

    /// What an array's elements are.
    pub fn element(self, index: usize) -> Option<Self> {
        Some(match self {
            Self::Links => Self::Link,
            Self::Hashtags => Self::Hashtag,
            Self::Mentions => Self::Mention,
            Self::Point => Self::Degree(index),
            Self::Polygon => Self::Ring,
            Self::Ring => Self::Corner,
            Self::Corner => Self::CornerDegree(index),
            _ => return None,
        })
    }
}
