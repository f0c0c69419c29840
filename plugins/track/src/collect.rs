//! One pass over a message: a serde visitor that walks only the parts that matter, skips the
//! rest, and copies the texts, folded, into one buffer that is kept from message to message.
//!
//! Invariant: recursion is bounded, as each [`Node`] leads only to later ones; everything unknown
//! is skipped by serde_json without recursion.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::filter::BoundingBox;
use crate::fold::{fold_escaped_into, undo_entities};
use crate::message::{Controls, Detail};
use crate::node::{Form, Node, OWN, RETWEETED};
use crate::time::created_at_ms;

/// Longest note kept of a warning or disconnect.
const NOTE_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Collected {
    detail: Detail,
    pub text: Vec<u8>,
    pub has_text: bool,
    pub id: Option<u64>,
    id_is_number: bool,
    pub timestamp_ms: Option<i64>,
    pub created_at_ms: Option<i64>,
    pub users: [Option<u64>; 4],
    pub reply_to_user: Option<u64>,
    pub point: [Option<f64>; 2],
    pub place: Option<BoundingBox>,
    pub controls: Controls,
    pub is_event: bool,
    pub limit: Option<u64>,
    pub code: Option<u64>,
    pub percent_full: Option<u64>,
    pub note: String,
    parts: [Parts; 4],
}

/// Where in the buffer the parts of a tweet are.
#[derive(Debug, Default, Clone)]
struct Parts {
    text: Option<Range<usize>>,
    full_text: Option<Range<usize>>,
    extended: Option<Range<usize>>,
    entities: Option<Range<usize>>,
}

impl Collected {
    pub fn new(detail: Detail) -> Self {
        Self {
            detail,
            text: Vec::new(),
            has_text: false,
            id: None,
            id_is_number: false,
            timestamp_ms: None,
            created_at_ms: None,
            users: [None; 4],
            reply_to_user: None,
            point: [None; 2],
            place: None,
            controls: Controls::default(),
            is_event: false,
            limit: None,
            code: None,
            percent_full: None,
            note: String::new(),
            parts: Default::default(),
        }
    }

    pub fn collect(&mut self, json: &str) -> Result<(), serde_json::Error> {
        let (mut text, mut note) = (
            std::mem::take(&mut self.text),
            std::mem::take(&mut self.note),
        );
        text.clear();
        note.clear();
        *self = Self {
            text,
            note,
            ..Self::new(self.detail)
        };
        let mut json = serde_json::Deserializer::from_str(json);
        Walk {
            node: Node::Status(OWN),
            to: self,
        }
        .deserialize(&mut json)?;
        json.end()?;
        self.keep_the_fullest();
        Ok(())
    }

    /// Of a tweet's texts only the fullest counts. The short form's cut words, and its link to
    /// itself on twitter.com, would match what nobody wrote.
    fn keep_the_fullest(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        let is_retweet = parts[RETWEETED].text.is_some()
            || parts[RETWEETED].full_text.is_some()
            || parts[RETWEETED].extended.is_some();
        for (which, part) in parts.into_iter().enumerate() {
            if part.extended.is_some() {
                self.blank(part.full_text);
                self.blank(part.entities);
                self.blank(part.text);
            } else if part.full_text.is_some() {
                self.blank(part.text);
            } else if which == OWN
                && is_retweet
                && let Some(range) = part.text
                && self.text[range.clone()].ends_with("…".as_bytes())
            {
                let words = &self.text[range.clone()];
                let cut = words.iter().rposition(|b| *b == b' ').unwrap_or(0);
                self.blank(Some(range.start + cut..range.end));
            }
        }
    }

    fn blank(&mut self, range: Option<Range<usize>>) {
        if let Some(range) = range {
            self.text[range].fill(b' ');
        }
    }

    /// Appends the inside of a JSON string in lower case, and a line end; says where it is.
    fn push(&mut self, mark: &str, json: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(mark.as_bytes());
        fold_escaped_into(json, &mut self.text);
        let end = self.text.len();
        self.text.push(b'\n');
        start..end
    }

    /// Takes a text as it stands in the JSON; what is no string is none.
    fn text(&mut self, node: Node, json: &str) {
        let inside = json.strip_prefix('"').and_then(|j| j.strip_suffix('"'));
        let Some(json) = inside else { return };
        match node {
            Node::Text(which, form) => {
                self.has_text |= which == OWN && form != Form::Extended;
                if self.detail == Detail::Filter {
                    let start = self.push("", json).start;
                    undo_entities(&mut self.text, start);
                    let range = start..self.text.len() - 1;
                    let part = &mut self.parts[which];
                    let slot = match form {
                        Form::Text => &mut part.text,
                        Form::FullText => &mut part.full_text,
                        Form::Extended => &mut part.extended,
                    };
                    let earlier = slot.replace(range);
                    self.blank(earlier);
                }
            }
            Node::Piece(mark) => {
                self.push(mark, json);
            }
            _ => {}
        }
    }

    fn string(&mut self, node: Node, text: &str) {
        match node {
            Node::IdText if !self.id_is_number => self.id = text.parse().ok(),
            Node::Id => {
                self.id = text.parse().ok().or(self.id);
            }
            Node::Timestamp => self.timestamp_ms = text.parse().ok(),
            Node::CreatedAt => self.created_at_ms = created_at_ms(text),
            Node::Note => {
                let mut end = text.len().min(NOTE_BYTES);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                self.note.clear();
                self.note.push_str(&text[..end]);
            }
            Node::Event => self.is_event = true,
            _ => {}
        }
    }

    fn integer(&mut self, node: Node, number: u64) {
        match node {
            Node::Id => {
                self.id = Some(number);
                self.id_is_number = true;
            }
            Node::UserId(which) => self.users[which] = Some(number),
            Node::ReplyTo => self.reply_to_user = Some(number),
            Node::Timestamp => self.timestamp_ms = i64::try_from(number).ok(),
            Node::Limit => self.limit = Some(number),
            Node::Code => self.code = Some(number),
            Node::PercentFull => self.percent_full = Some(number),
            _ => self.degree(node, number as f64),
        }
    }

    fn degree(&mut self, node: Node, degree: f64) {
        match node {
            Node::Degree(axis @ 0..2) => self.point[axis] = Some(degree),
            Node::CornerDegree(axis @ 0..2) => {
                let place = self.place.get_or_insert(BoundingBox {
                    west: f64::MAX,
                    south: f64::MAX,
                    east: f64::MIN,
                    north: f64::MIN,
                });
                let (low, high) = match axis {
                    0 => (&mut place.west, &mut place.east),
                    _ => (&mut place.south, &mut place.north),
                };
                *low = low.min(degree);
                *high = high.max(degree);
            }
            _ => {}
        }
    }
}

struct Walk<'a> {
    node: Node,
    to: &'a mut Collected,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, to } = self;
        if let Node::Control(control) = node {
            to.controls.0 |= control.0;
        }
        let start = to.text.len();
        let key = |detail| Key { node, detail };
        while let Some(child) = map.next_key_seed(key(to.detail))? {
            match child {
                // Not decoded by the parser: that would cost memory, and fail on half an emoji.
                Some(node @ (Node::Text(..) | Node::Piece(_))) => {
                    to.text(node, map.next_value::<&'de RawValue>()?.get());
                }
                Some(node) => map.next_value_seed(Walk { node, to })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Node::Entities(which, Form::Text) = node {
            let earlier = to.parts[which].entities.replace(start..to.text.len());
            to.blank(earlier);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { node, to } = self;
        let mut index = 0;
        loop {
            let more = match node.element(index) {
                Some(node) => seq.next_element_seed(Walk { node, to })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.to.string(self.node, text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.to.integer(self.node, number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.to.degree(self.node, number as f64);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.to.degree(self.node, number);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Turns a key into what it leads to, without copying it.
struct Key {
    node: Node,
    detail: Detail,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<Node>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.node.child(key, self.detail))
    }
}
