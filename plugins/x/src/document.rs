//! Makes one document of what X sends as several: the post (`data`) with the users and posts that
//! it only names by id (`includes`) set in beside those ids. Pieces are copied as they stand.
//!
//! A post gets `author` and `in_reply_to_user`, and of the posts that it refers to the first of
//! each kind as `retweeted`, `quoted` and `replied_to`, each with the same two users of its own.
//! What was set in stands no longer under `includes`; everything else that came stays.
//!
//! Invariant: the document is at most [`GROWTH`] times as long as the message, whatever came: what
//! would make it longer is not set in.

use std::str::from_utf8;

use json_walk::{Value, elements, members};
use serde::de::IgnoredAny;

/// How much longer than a message its document may be.
pub(crate) const GROWTH: usize = 8;
/// How much of that is for what is set in; the rest is for keys.
const JOINED_GROWTH: usize = 4;
/// More users and posts than are ever set in.
const MAX_JOINED: usize = 16;
/// The keys under which users are set in, and where their ids stand.
const USERS: [(&str, &str); 2] = [
    ("author_id", "author"),
    ("in_reply_to_user_id", "in_reply_to_user"),
];
/// The kinds of reference, and the keys under which posts are set in.
const REFERENCES: [&str; 3] = ["retweeted", "quoted", "replied_to"];

/// A message, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    whole: Value<'a>,
    len: usize,
    data: Option<Value<'a>>,
    includes: Option<Value<'a>>,
    pub matching_rules: Option<Value<'a>>,
}

impl<'a> Message<'a> {
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let text =
            from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|e| format!("not JSON: {e}"))?;
        let whole = json_walk::parse(bytes).map_err(|e| e.to_string())?;
        let find = |key| member(whole, key);
        Ok(Self {
            whole,
            len: bytes.len(),
            data: find("data").filter(|data| data.is_object()),
            includes: find("includes").filter(|includes| includes.is_object()),
            matching_rules: find("matching_rules"),
        })
    }

    /// The post, if it is one.
    pub fn post(&self) -> Option<Post<'a>> {
        let data = self.data?;
        member(data, "id")?;
        Some(Post(data))
    }

    /// The post that `post` refers to in this way, if it came along.
    pub fn referenced(&self, post: Post<'a>, kind: &str) -> Option<Post<'a>> {
        let id = reference(post.0, kind)?;
        self.included("tweets", id).map(Post)
    }

    fn included(&self, what: &str, id: Value<'a>) -> Option<Value<'a>> {
        let all = member(self.includes?, what)?;
        items(all).find(|item| has_id(*item, id))
    }

    /// Writes the document of a post.
    pub fn write(&self, post: Post<'a>, out: &mut Vec<u8>) {
        let mut joined = Joined {
            pieces: [None; MAX_JOINED],
            len: 0,
            room: JOINED_GROWTH * self.len,
        };
        out.push(b'{');
        let mut first = copy_members(post.0, out);
        self.join_users(post.0, &mut joined, &mut first, out);
        for kind in REFERENCES {
            let Some(other) = self.referenced(post, kind) else {
                continue;
            };
            if member(post.0, kind).is_some() || !joined.add(other.0) {
                continue;
            }
            key(kind.as_bytes(), &mut first, out);
            out.push(b'{');
            let mut inner = copy_members(other.0, out);
            self.join_users(other.0, &mut joined, &mut inner, out);
            out.push(b'}');
        }
        for (name, value) in pairs(self.whole) {
            if name == b"data" && Some(value) == self.data {
                continue;
            }
            // A key of the envelope that the post has, too, is told apart from it.
            let taken = members(post.0)
                .flatten()
                .any(|(of_post, _)| of_post == name);
            if name == b"includes" && Some(value) == self.includes {
                self.write_rest(value, taken, &joined, &mut first, out);
                continue;
            }
            envelope_key(name, taken, &mut first, out);
            out.extend_from_slice(value.raw());
        }
        out.push(b'}');
    }

    fn join_users(
        &self,
        post: Value<'a>,
        joined: &mut Joined<'a>,
        first: &mut bool,
        out: &mut Vec<u8>,
    ) {
        for (id, name) in USERS {
            let user = member(post, id).and_then(|id| self.included("users", id));
            if let Some(user) = user
                && member(post, name).is_none()
                && joined.add(user)
            {
                key(name.as_bytes(), first, out);
                out.extend_from_slice(user.raw());
            }
        }
    }

    /// What of the `includes` was not set in.
    fn write_rest(
        &self,
        includes: Value<'a>,
        taken: bool,
        joined: &Joined<'a>,
        first: &mut bool,
        out: &mut Vec<u8>,
    ) {
        let start = (out.len(), *first);
        envelope_key(b"includes", taken, first, out);
        out.push(b'{');
        let mut is_empty = true;
        for (name, value) in pairs(includes) {
            if !(matches!(name, b"users" | b"tweets") && value.is_array()) {
                key(name, &mut is_empty, out);
                out.extend_from_slice(value.raw());
                continue;
            }
            let mut none = true;
            for item in items(value).filter(|item| !joined.has(*item)) {
                if none {
                    key(name, &mut is_empty, out);
                    out.push(b'[');
                } else {
                    out.push(b',');
                }
                none = false;
                out.extend_from_slice(item.raw());
            }
            if !none {
                out.push(b']');
            }
        }
        out.push(b'}');
        if is_empty {
            out.truncate(start.0);
            *first = start.1;
        }
    }
}

/// A post object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Post<'a>(Value<'a>);

impl<'a> Post<'a> {
    pub fn id(self) -> Option<Value<'a>> {
        member(self.0, "id")
    }

    pub fn created_at(self) -> Option<Value<'a>> {
        member(self.0, "created_at")
    }

    /// The text in full, and where its entities stand: a long post has a `note_tweet` beside the
    /// shortened text.
    pub fn text(self) -> (Option<Value<'a>>, Option<Value<'a>>) {
        let note = member(self.0, "note_tweet");
        let text = |of| member(of, "text").filter(|text| text.is_string());
        match note.and_then(text) {
            Some(full) => (Some(full), note.and_then(|note| member(note, "entities"))),
            None => (text(self.0), member(self.0, "entities")),
        }
    }
}

/// The values at `field` of the elements of one kind of entities.
pub(crate) fn entities<'a>(
    entities: Option<Value<'a>>,
    kind: &'a str,
    field: &'a str,
) -> impl Iterator<Item = Value<'a>> {
    entities
        .and_then(|all| {
            if kind.is_empty() {
                Some(all)
            } else {
                member(all, kind)
            }
        })
        .into_iter()
        .flat_map(items)
        .filter_map(move |item| member(item, field).filter(|value| value.is_string()))
}

/// What was set in, and how much more may be.
struct Joined<'a> {
    pieces: [Option<Value<'a>>; MAX_JOINED],
    len: usize,
    room: usize,
}

impl<'a> Joined<'a> {
    fn add(&mut self, piece: Value<'a>) -> bool {
        // Its key, its comma and its brackets.
        let bytes = piece.raw().len() + 32;
        if bytes > self.room || self.len == MAX_JOINED {
            return false;
        }
        self.room -= bytes;
        self.pieces[self.len] = Some(piece);
        self.len += 1;
        true
    }

    fn has(&self, piece: Value<'a>) -> bool {
        let same = |other: &Value<'_>| std::ptr::eq(other.raw(), piece.raw());
        self.pieces[..self.len].iter().flatten().any(same)
    }
}

/// Of a repeated key the last one counts.
fn member<'a>(object: Value<'a>, key: &str) -> Option<Value<'a>> {
    let named = pairs(object).filter(|(name, _)| *name == key.as_bytes());
    named.map(|(_, value)| value).last()
}

fn pairs<'a>(object: Value<'a>) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
    members(object).map_while(Result::ok)
}

fn items<'a>(array: Value<'a>) -> impl Iterator<Item = Value<'a>> {
    elements(array).map_while(Result::ok).map(|(_, item)| item)
}

fn has_id(item: Value<'_>, id: Value<'_>) -> bool {
    member(item, "id").is_some_and(|own| own == id)
}

fn reference<'a>(post: Value<'a>, kind: &str) -> Option<Value<'a>> {
    let has_kind = |item: &Value<'a>| {
        let raw = member(*item, "type").map_or(&b""[..], Value::raw);
        let inner = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\""));
        inner == Some(kind.as_bytes())
    };
    items(member(post, "referenced_tweets")?)
        .find(has_kind)
        .and_then(|item| member(item, "id"))
}

/// Copies what stands between the brackets of an object; true if that is nothing.
fn copy_members(object: Value<'_>, out: &mut Vec<u8>) -> bool {
    let raw = object.raw();
    let inner = raw[1..raw.len() - 1].trim_ascii();
    out.extend_from_slice(inner);
    inner.is_empty()
}

fn key(name: &[u8], first: &mut bool, out: &mut Vec<u8>) {
    envelope_key(name, false, first, out);
}

fn envelope_key(name: &[u8], taken: bool, first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.push(b'"');
    if taken {
        out.extend_from_slice(b"envelope_");
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
}
