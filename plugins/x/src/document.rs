//! Makes one document of what X sends as several: the post (`data`) with the users and posts that
//! it only names by id (`includes`) set in beside those ids. Pieces are copied as they stand.
//!
//! A post gets `author` and `in_reply_to_user`, and of the posts that it refers to the first of
//! each kind as `retweeted`, `quoted` and `replied_to`, which get the same, down to the posts that
//! those refer to; of a post that did not come there is the `id`. What was set in stands no longer
//! under `includes`; everything else that came stays.
//!
//! Invariant: the document is at most [`GROWTH`] times as long as the message, whatever came: what
//! would make it longer is not set in.

use std::collections::HashSet;
use std::str::from_utf8;

use json_walk::{Value, elements, members};
use serde::de::IgnoredAny;

/// How much longer than a message its document may be.
pub(crate) const GROWTH: usize = 8;
/// How much of that is for what is set in; the rest is for keys.
const JOINED_GROWTH: usize = 4;
/// How far references are followed: to what is quoted in what is repeated.
const DEPTH: usize = 2;
/// A post, three that it refers to, three of each of these; two users of each.
const MAX_JOINED: usize = 13 * 3;
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
        let mut first = self.write_inner(post, DEPTH, &mut joined, out);
        let of_post: HashSet<&[u8]> = pairs(post.0).map(|(name, _)| name).collect();
        for (name, value) in pairs(self.whole) {
            if name == b"data" && Some(value) == self.data {
                continue;
            }
            // A key of the envelope that the post has, too, is told apart from it.
            let taken = of_post.contains(name);
            if name == b"includes" && Some(value) == self.includes {
                self.write_rest(value, taken, &joined, &mut first, out);
                continue;
            }
            envelope_key(name, taken, &mut first, out);
            out.extend_from_slice(value.raw());
        }
        out.push(b'}');
    }

    /// Writes what stands between the brackets of a post, and what is set in; true if that is
    /// nothing.
    fn write_inner(
        &self,
        post: Post<'a>,
        depth: usize,
        joined: &mut Joined<'a>,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut first = copy_members(post.0, out);
        for (id, name) in USERS {
            let user = member(post.0, id).and_then(|id| self.included("users", id));
            if let Some(user) = user
                && member(post.0, name).is_none()
                && joined.add(user)
            {
                key(name.as_bytes(), &mut first, out);
                out.extend_from_slice(user.raw());
            }
        }
        for kind in REFERENCES {
            let id = reference(post.0, kind).filter(|_| member(post.0, kind).is_none());
            let Some(id) = id else { continue };
            let other = self.included("tweets", id).filter(|_| depth > 0);
            if let Some(other) = other.filter(|other| joined.add(*other)) {
                key(kind.as_bytes(), &mut first, out);
                out.push(b'{');
                self.write_inner(Post(other), depth - 1, joined, out);
                out.push(b'}');
            } else if joined.take(id) {
                key(kind.as_bytes(), &mut first, out);
                out.extend_from_slice(b"{\"id\":");
                out.extend_from_slice(id.raw());
                out.push(b'}');
            }
        }
        first
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
    let list = entities.and_then(|entities| member(entities, kind));
    list.into_iter().flat_map(move |list| strings(list, field))
}

/// The texts at `field` of the elements of an array.
pub(crate) fn strings<'a>(array: Value<'a>, field: &'a str) -> impl Iterator<Item = Value<'a>> {
    items(array).filter_map(move |item| member(item, field).filter(|value| value.is_string()))
}

/// What was set in, and how much more may be.
struct Joined<'a> {
    pieces: [Option<Value<'a>>; MAX_JOINED],
    len: usize,
    room: usize,
}

impl<'a> Joined<'a> {
    /// Whether it may be set in; then it is.
    fn add(&mut self, piece: Value<'a>) -> bool {
        if self.len == MAX_JOINED || !self.take(piece) {
            return false;
        }
        self.pieces[self.len] = Some(piece);
        self.len += 1;
        true
    }

    /// Whether there is room for it, its key and its brackets; then it is taken.
    fn take(&mut self, piece: Value<'a>) -> bool {
        let bytes = piece.raw().len() + 40;
        let rest = self.room.checked_sub(bytes);
        self.room = rest.unwrap_or(self.room);
        rest.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(message: &str) -> String {
        let message = Message::read(message.as_bytes()).unwrap();
        let mut out = Vec::new();
        message.write(message.post().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pieces_are_copied_as_they_stand() {
        let message = r#"{ "data" : { "id":"1" , "n":1.50e0,
            "author_id":"7" } ,"includes":{"users":[ {"id":"8"}, {"id":"7", "é":"\u00e9"} ]}, "z" : [ ] }"#;
        assert_eq!(
            document(message),
            r#"{"id":"1" , "n":1.50e0,
            "author_id":"7","author":{"id":"7", "é":"\u00e9"},"includes":{"users":[{"id":"8"}]},"z":[ ]}"#
        );
    }

    #[test]
    fn what_is_no_post_has_none() {
        for text in ["{}", "[]", "1", r#"{"data":[]}"#, r#"{"data":{"x":1}}"#] {
            assert!(
                Message::read(text.as_bytes()).unwrap().post().is_none(),
                "{text}"
            );
        }
        for text in ["", "{", "{\"a\":1}}", "nul", "{\"data\":{\"id\":01}}"] {
            assert!(Message::read(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(Message::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_empty_post_and_odd_members_are_written_well() {
        let message = r#"{"data":{"id":"1","referenced_tweets":7},"includes":[1],"data2":null}"#;
        assert_eq!(
            document(message),
            r#"{"id":"1","referenced_tweets":7,"includes":[1],"data2":null}"#
        );
    }

    #[test]
    fn a_hostile_message_does_not_blow_up() {
        let id = "9".repeat(10_000);
        let references = format!(
            r#"[{{"type":"quoted","id":"{id}"}},{{"type":"retweeted","id":"{id}"}},{{"type":"replied_to","id":"{id}"}}]"#
        );
        let user = format!(r#"{{"id":"{id}","bio":"{}"}}"#, "x".repeat(10_000));
        let post = format!(
            r#"{{"id":"{id}","author_id":"{id}","in_reply_to_user_id":"{id}","referenced_tweets":{references}}}"#
        );
        let message =
            format!(r#"{{"data":{post},"includes":{{"users":[{user}],"tweets":[{post}]}}}}"#);
        let document = document(&message);
        assert!(document.len() <= GROWTH * message.len());
        serde_json::from_str::<serde_json::Value>(&document).unwrap();
    }

    /// With a walk through the post for each key of the envelope it would take hours.
    #[test]
    fn many_keys_on_both_sides_take_no_longer_than_as_many_in_one_place() {
        let keys = |begin: &str| -> String {
            let keys = (0..200_000).map(|n| format!(r#","{begin}{n}":0"#));
            keys.collect()
        };
        let message = format!(
            r#"{{"data":{{"id":"1"{}}}{}}}"#,
            keys("a"),
            keys("b") + r#","a7":1"#
        );
        let document = document(&message);
        assert!(document.ends_with(r#","b199999":0,"envelope_a7":1}"#));
    }

    /// Messages of few ids and keys, so that everything refers to everything.
    fn message() -> impl Strategy<Value = String> {
        let id = || (0..3u8).prop_map(|n| format!("\"{n}\""));
        let kind = || prop::sample::select(&["retweeted", "quoted", "replied_to", "other"][..]);
        let reference =
            (kind(), id()).prop_map(|(kind, id)| format!(r#"{{"type":"{kind}","id":{id}}}"#));
        let member = prop_oneof![
            id().prop_map(|id| format!(r#""author_id":{id}"#)),
            id().prop_map(|id| format!(r#""in_reply_to_user_id":{id}"#)),
            prop::collection::vec(reference, 0..4)
                .prop_map(|all| format!(r#""referenced_tweets":[{}]"#, all.join(","))),
            Just("\"author\":1".to_owned()),
            Just("\"quoted\":null".to_owned()),
            Just("\"includes\":\"\u{fc}\"".to_owned()),
        ];
        let object = (id(), prop::collection::vec(member, 0..5)).prop_map(|(id, members)| {
            let id = std::iter::once(format!("\"id\":{id}"));
            format!("{{{}}}", id.chain(members).collect::<Vec<_>>().join(","))
        });
        let list = || prop::collection::vec(object.clone(), 0..4).prop_map(|all| all.join(","));
        (object.clone(), list(), list(), any::<bool>()).prop_map(|(data, users, tweets, first)| {
            let data = format!("\"data\":{data}");
            let includes =
                format!(r#""includes":{{"users":[{users}],"tweets":[{tweets}],"media":[]}}"#);
            match first {
                true => format!("{{{data},{includes}}}"),
                false => format!("{{{includes},{data},\"errors\":[]}}"),
            }
        })
    }

    proptest! {
        /// Whatever refers to what: the document is JSON, no key is written twice, and it is
        /// bounded.
        #[test]
        fn documents_are_json_and_bounded(message in message()) {
            let document = document(&message);
            prop_assert!(document.len() <= GROWTH * message.len());
            let value = json_walk::parse(document.as_bytes()).unwrap();
            serde_json::from_str::<IgnoredAny>(&document).unwrap();
            let sent = json_walk::parse(message.as_bytes()).unwrap();
            let data = member(sent, "data").unwrap();
            let mut keys: Vec<_> = pairs(value).map(|(name, _)| name).collect();
            let of_data: Vec<_> = pairs(data).map(|(name, _)| name).collect();
            prop_assert_eq!(&keys[..of_data.len()], &of_data[..], "the post comes first, as it was");
            let mut set_in = keys.split_off(of_data.len());
            prop_assert!(set_in.iter().all(|name| !of_data.contains(name)));
            let count = set_in.len();
            set_in.sort_unstable();
            set_in.dedup();
            prop_assert_eq!(set_in.len(), count);
        }
    }
}
