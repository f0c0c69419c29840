//! A status: what is kept of it beside its bytes, and whether it passes the filters.

use std::fmt;

use jiff::Timestamp;
use json_walk::{Malformed, Value, elements, members, parse};
use live::{NO_LANGUAGE, is_language};
use plugin_api::StageError;
use track::{Post, Scratch, Track};

use crate::config::Options;
use crate::id::Id;
use crate::window::Version;

/// A boost of a quote of a quote: deeper ones are not shown by anybody.
const DEEPEST: usize = 2;

/// What is kept of a status.
#[derive(Debug)]
pub(crate) struct Status<'s> {
    pub version: Version,
    /// The same on all servers.
    pub uri: &'s [u8],
    /// When it was edited, as it says itself.
    pub edited_at: Option<&'s [u8]>,
    /// When it was written, or edited, in microseconds since 1970.
    pub time_us: Option<i64>,
    /// Whether the filters let it through.
    pub passes: bool,
}

/// Why bytes are no status.
#[derive(Debug, PartialEq)]
pub(crate) enum NoStatus {
    Malformed(Malformed),
    NoId,
}

impl From<Malformed> for NoStatus {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for NoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoId => f.write_str("no status: it has no id"),
        }
    }
}

/// The members of a status that matter.
#[derive(Default, Clone, Copy)]
struct Parts<'a> {
    id: Option<Value<'a>>,
    uri: Option<Value<'a>>,
    created_at: Option<Value<'a>>,
    edited_at: Option<Value<'a>>,
    language: Option<Value<'a>>,
    spoiler_text: Option<Value<'a>>,
    content: Option<Value<'a>>,
    poll: Option<Value<'a>>,
    tags: Option<Value<'a>>,
    mentions: Option<Value<'a>>,
    media: Option<Value<'a>>,
    reblog: Option<Value<'a>>,
    quote: Option<Value<'a>>,
}

impl<'a> Parts<'a> {
    fn of(status: Value<'a>) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for member in members(status) {
            let (key, value) = member?;
            let part = match key {
                b"id" => &mut parts.id,
                b"uri" => &mut parts.uri,
                b"created_at" => &mut parts.created_at,
                b"edited_at" => &mut parts.edited_at,
                b"language" => &mut parts.language,
                b"spoiler_text" => &mut parts.spoiler_text,
                b"content" => &mut parts.content,
                b"poll" => &mut parts.poll,
                b"tags" => &mut parts.tags,
                b"mentions" => &mut parts.mentions,
                b"media_attachments" => &mut parts.media,
                b"reblog" => &mut parts.reblog,
                b"quote" => &mut parts.quote,
                _ => continue,
            };
            *part = Some(value).filter(|value| !value.is_null());
        }
        Ok(parts)
    }
}

/// Reads statuses; its memory is kept from one to the next.
pub(crate) struct StatusReader {
    track: Option<Track>,
    languages: Vec<String>,
    only_media: bool,
    reblogs: bool,
    post: Post,
    scratch: Scratch,
    uri: Vec<u8>,
    edited_at: Vec<u8>,
    escaped: Vec<u8>,
    text: String,
}

impl StatusReader {
    pub fn new(options: &Options) -> Result<Self, StageError> {
        Ok(Self {
            track: live::track(&options.track)?,
            languages: options.languages.clone(),
            only_media: options.only_media,
            reblogs: options.reblogs,
            post: Post::default(),
            scratch: Scratch::default(),
            uri: Vec::new(),
            edited_at: Vec::new(),
            escaped: Vec::new(),
            text: String::new(),
        })
    }

    /// Reads one.
    pub fn read(&mut self, json: &[u8]) -> Result<Status<'_>, NoStatus> {
        let own = Parts::of(parse(json)?)?;
        let id = own.id.and_then(Id::of).ok_or(NoStatus::NoId)?;
        let passes = self.passes(&own)?;
        self.uri.clear();
        match own.uri {
            Some(uri) => uri.push_text(&mut self.uri),
            None => self.uri.extend_from_slice(id.as_str().as_bytes()),
        }
        self.edited_at.clear();
        if let Some(edited_at) = own.edited_at {
            edited_at.push_text(&mut self.edited_at);
        }
        let edited_us = time_us(&self.edited_at);
        let created_us = own
            .created_at
            .and_then(|at| time_us(at.text(&mut self.escaped)));
        let version = Version {
            id,
            edited_us: edited_us.unwrap_or_default(),
        };
        Ok(Status {
            version,
            uri: &self.uri,
            edited_at: edited_us.map(|_| &*self.edited_at),
            time_us: edited_us.or(created_us),
            passes,
        })
    }

    fn passes(&mut self, own: &Parts<'_>) -> Result<bool, Malformed> {
        // A boost has no words, language and media of its own.
        let written = match own.reblog {
            Some(_) if !self.reblogs => return Ok(false),
            Some(boosted) => Parts::of(boosted)?,
            None => *own,
        };
        if !self.has_language(&written) || self.only_media && !has_media(&written)? {
            return Ok(false);
        }
        if self.track.is_none() {
            return Ok(true);
        }
        self.post.clear();
        self.look_at(&written, DEEPEST)?;
        let track = self.track.as_ref();
        Ok(track.is_some_and(|track| track.finds(&self.post, &mut self.scratch)))
    }

    fn has_language(&mut self, written: &Parts<'_>) -> bool {
        if self.languages.is_empty() {
            return true;
        }
        let named = match written.language {
            Some(language) => language.text(&mut self.escaped),
            None => NO_LANGUAGE.as_bytes(),
        };
        is_language(named, &self.languages)
    }

    /// Puts into `post` what `track` looks at.
    fn look_at(&mut self, status: &Parts<'_>, deepest: usize) -> Result<(), Malformed> {
        let (post, text, escaped) = (&mut self.post, &mut self.text, &mut self.escaped);
        if let Some(warning) = status.spoiler_text {
            post.text(utf8(warning.text(escaped)));
        }
        if let Some(content) = status.content {
            text.clear();
            let html = utf8(content.text(escaped));
            html_text::to_text_and_links(html, text, |address| post.link(address));
            post.text(text);
        }
        if let Some(poll) = status.poll {
            each_of(poll, b"options", b"title", escaped, |title| {
                post.text(title)
            })?;
        }
        if let Some(tags) = status.tags {
            each(tags, b"name", escaped, |name| post.hashtag(name))?;
        }
        if let Some(mentions) = status.mentions {
            // Not `acct`: the name of somebody's server is no word of the author's.
            each(mentions, b"username", escaped, |name| post.mention(name))?;
        }
        // A quote that was not accepted, or is not shown, has no status.
        let quoted = match status.quote {
            Some(quote) if deepest > 0 => member(quote, b"quoted_status")?,
            _ => None,
        };
        match quoted {
            Some(quoted) => self.look_at(&Parts::of(quoted)?, deepest - 1),
            None => Ok(()),
        }
    }
}

fn has_media(status: &Parts<'_>) -> Result<bool, Malformed> {
    match status.media {
        Some(media) => Ok(elements(media).next().transpose()?.is_some()),
        None => Ok(false),
    }
}

fn member<'a>(object: Value<'a>, name: &[u8]) -> Result<Option<Value<'a>>, Malformed> {
    for member in members(object) {
        let (key, value) = member?;
        if key == name && !value.is_null() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The texts `[].name` of a list.
fn each(
    list: Value<'_>,
    name: &[u8],
    escaped: &mut Vec<u8>,
    mut found: impl FnMut(&str),
) -> Result<(), Malformed> {
    for element in elements(list) {
        let (_, element) = element?;
        if let Some(value) = member(element, name)? {
            found(utf8(value.text(escaped)));
        }
    }
    Ok(())
}

/// The texts `list[].name` of an object.
fn each_of(
    object: Value<'_>,
    list: &[u8],
    name: &[u8],
    escaped: &mut Vec<u8>,
    found: impl FnMut(&str),
) -> Result<(), Malformed> {
    match member(object, list)? {
        Some(list) => each(list, name, escaped, found),
        None => Ok(()),
    }
}

/// What is looked at is UTF-8: so is a websocket's text, and a page is checked.
fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// `2022-08-30T23:05:46.839Z` in microseconds since 1970.
pub(crate) fn time_us(text: &[u8]) -> Option<i64> {
    let time: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2022-08-30T23:05:46.839Z", Some(1_661_900_746_839_000)),
            (
                "2022-08-31T01:05:46.839000+02:00",
                Some(1_661_900_746_839_000),
            ),
            ("2022-08-30", None),
            ("", None),
        ] {
            assert_eq!(time_us(text.as_bytes()), us, "{text}");
        }
    }
}
