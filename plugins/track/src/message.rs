//! One message of a stream: what it is, and what the predicates look at.

use std::fmt;

use crate::collect::Collected;
use crate::filter::BoundingBox;
use crate::surrogates;
use crate::time::snowflake_ms;

/// How much of a message a [`Reader`] gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Kind, id and time.
    Envelope,
    /// Also what [`crate::Filter`] looks at.
    Filter,
}

/// What a message of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tweet.
    Tweet,
    /// A message about the stream or about earlier tweets; see [`Message::controls`].
    Control,
    /// An event of a user stream (`follow`, `favorite`, …).
    Event,
    /// JSON, but nothing this library knows.
    Unknown,
}

/// Which control messages a line holds; usually one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls(pub(crate) u8);

impl Controls {
    /// A tweet (or direct message) was deleted.
    pub const DELETE: Self = Self(1);
    /// More tweets matched than were sent.
    pub const LIMIT: Self = Self(1 << 1);
    /// A user's locations up to a tweet are to be forgotten.
    pub const SCRUB_GEO: Self = Self(1 << 2);
    /// A tweet is withheld in some countries.
    pub const STATUS_WITHHELD: Self = Self(1 << 3);
    /// A user is withheld in some countries.
    pub const USER_WITHHELD: Self = Self(1 << 4);
    /// The client is too slow, or another warning.
    pub const WARNING: Self = Self(1 << 5);
    /// The server is about to close the connection.
    pub const DISCONNECT: Self = Self(1 << 6);

    const ALL: [(Self, &'static str); 7] = [
        (Self::DELETE, "delete"),
        (Self::LIMIT, "limit"),
        (Self::SCRUB_GEO, "scrub_geo"),
        (Self::STATUS_WITHHELD, "status_withheld"),
        (Self::USER_WITHHELD, "user_withheld"),
        (Self::WARNING, "warning"),
        (Self::DISCONNECT, "disconnect"),
    ];

    /// Whether any of `other` is among them.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Their names, as in the JSON.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL
            .into_iter()
            .filter(move |(one, _)| self.has(*one))
            .map(|(_, name)| name)
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(one, _)| *one)
    }
}

/// The particulars of control messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Notice<'r> {
    /// Of `limit`: how many tweets were left out since the connection began.
    pub limit: Option<u64>,
    /// Of `disconnect`: 1 to 12, see Twitter's documentation.
    pub code: Option<u64>,
    /// Of `warning`: how full the server's queue is.
    pub percent_full: Option<u64>,
    /// The message of `warning`, or the reason of `disconnect`; at most 256 bytes.
    pub text: &'r str,
}

/// A message taken apart. Borrows the reader's memory, so it lasts until the next one is read.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Message<'r> {
    /// What it is.
    pub kind: Kind,
    /// The tweet's id.
    pub id: Option<u64>,
    /// When the tweet was written, in milliseconds since 1970: `timestamp_ms`, else from the id,
    /// else `created_at`.
    pub time_ms: Option<i64>,
    /// Which control messages it holds.
    pub controls: Controls,
    /// Their particulars.
    pub notice: Notice<'r>,
    /// All texts that `track` is matched on, in lower case, separated by line ends: the full
    /// texts of the tweet, of what it retweets and quotes; hashtags with `#`, mentions with `@`,
    /// addresses of links and media.
    pub text: &'r [u8],
    /// The author.
    pub user: Option<u64>,
    /// The author of the retweeted tweet.
    pub retweeted_user: Option<u64>,
    /// Whom it answers.
    pub reply_to_user: Option<u64>,
    /// Where it was written: longitude, latitude.
    pub point: Option<(f64, f64)>,
    /// The place it names.
    pub place: Option<BoundingBox>,
}

/// The bytes are not one JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson(pub String);

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotJson {}

/// Takes messages apart, one at a time, in memory of its own that it keeps.
#[derive(Debug)]
pub struct Reader {
    collected: Collected,
}

impl Reader {
    /// A reader that gathers as much as `detail` says.
    pub fn new(detail: Detail) -> Self {
        Self {
            collected: Collected::new(detail),
        }
    }

    /// Reads one message. Escapes of lone surrogates count as U+FFFD, and of a key that occurs
    /// twice the last one counts: real streams hold both.
    ///
    /// # Errors
    /// If `json` is not UTF-8, or not one JSON value (nested at most 128 deep), maybe with white
    /// space around it.
    pub fn read(&mut self, json: &[u8]) -> Result<Message<'_>, NotJson> {
        let text = std::str::from_utf8(json)
            .map_err(|e| NotJson(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        if let Err(error) = self.collected.collect(text) {
            let mended = surrogates::mend(text).ok_or_else(|| NotJson(error.to_string()))?;
            self.collected
                .collect(&mended)
                .map_err(|e| NotJson(e.to_string()))?;
        }
        Ok(self.message())
    }

    fn message(&self) -> Message<'_> {
        let c = &self.collected;
        let kind = if c.has_text && c.id.is_some() {
            Kind::Tweet
        } else if c.controls != Controls::default() {
            Kind::Control
        } else if c.is_event {
            Kind::Event
        } else {
            Kind::Unknown
        };
        Message {
            kind,
            id: c.id,
            time_ms: c
                .timestamp_ms
                .or_else(|| c.id.and_then(snowflake_ms))
                .or(c.created_at_ms),
            controls: c.controls,
            notice: Notice {
                limit: c.limit,
                code: c.code,
                percent_full: c.percent_full,
                text: &c.note,
            },
            text: &c.text,
            user: c.users[0],
            retweeted_user: c.users[1],
            reply_to_user: c.reply_to_user,
            point: c.point[0].zip(c.point[1]),
            place: c.place,
        }
    }
}
