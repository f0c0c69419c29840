//! The plain encoder, for values of any type: lists, maps, records within records, unions of
//! several types, defaults. It takes values that were checked in full.

use super::ExtractError;
use super::convert::{self, Fill, Texts};
use crate::datum::wire;
use crate::json::number::integer;
use crate::json::{Kind, Slot, text, value};
use crate::schema::{Convert, Field, Node, NodeId, Origin, Schema};

/// Types within types before a value is refused (a schema may contain itself).
const MAX_DEPTH: u32 = 64;
/// The most bytes of a value that a message shows.
const SHOWN: usize = 40;

/// Encodes values of one document.
pub(super) struct Nested<'a> {
    schema: &'a Schema,
    json: &'a [u8],
    /// Whether fields are looked up by their names, as in defaults, not by their `"from"`.
    by_name: bool,
    depth: u32,
}

impl<'a> Nested<'a> {
    pub(super) fn of(schema: &'a Schema, json: &'a [u8]) -> Nested<'a> {
        Nested {
            schema,
            json,
            by_name: false,
            depth: 0,
        }
    }

    /// Appends the datum of a value.
    pub(super) fn encode(
        &self,
        node: NodeId,
        slot: Slot,
        out: &mut Vec<u8>,
    ) -> Result<(), ExtractError> {
        let unfit = || self.unfit(node, slot);
        let raw = &self.json[slot.range()];
        match (self.schema.node(node), slot.kind) {
            (Node::Null, Kind::Null) => {}
            (Node::Boolean, Kind::True) => out.push(1),
            (Node::Boolean, Kind::False) => out.push(0),
            (Node::Long, Kind::Int | Kind::Text) => {
                wire::put_long(integer(raw).ok_or_else(unfit)?, out);
            }
            (Node::Int, Kind::Int | Kind::Text) => {
                let value = integer(raw)
                    .and_then(|v| i32::try_from(v).ok())
                    .ok_or_else(unfit)?;
                wire::put_long(value.into(), out);
            }
            (Node::Float, Kind::Int | Kind::Float) => {
                let value = float(raw).ok_or_else(unfit)? as f32;
                out.extend_from_slice(&value.to_le_bytes());
            }
            (Node::Double, Kind::Int | Kind::Float) => {
                out.extend_from_slice(&float(raw).ok_or_else(unfit)?.to_le_bytes());
            }
            (Node::String, Kind::Text) => wire::put_bytes(&self.text(slot)?, out),
            (Node::String, Kind::Int | Kind::Float) => wire::put_bytes(raw, out),
            (Node::Bytes, Kind::Text) => {
                wire::put_bytes(&self.latin(slot)?.ok_or_else(unfit)?, out);
            }
            (Node::Fixed { size, .. }, Kind::Text) => {
                let bytes = self
                    .latin(slot)?
                    .filter(|b| b.len() == *size)
                    .ok_or_else(unfit)?;
                out.extend_from_slice(&bytes);
            }
            (Node::Enum { symbols, .. }, Kind::Text) => {
                let text = self.text(slot)?;
                let symbol = symbols.iter().position(|s| s.as_bytes() == text);
                wire::put_long(symbol.ok_or_else(unfit)? as i64, out);
            }
            (Node::Array(items), Kind::Array) => {
                let inner = self.deeper(node, slot)?;
                let mut count = 0i64;
                value::items(self.json, slot, |_| {
                    count += 1;
                    Ok::<(), ExtractError>(())
                })?;
                blocks(count, out, |out| {
                    let mut i = 0usize;
                    value::items(self.json, slot, |item| {
                        let place = format!("/{i}");
                        i += 1;
                        inner
                            .encode(*items, item, out)
                            .map_err(|e| e.within("[]", &place))
                    })
                })?;
            }
            (Node::Map(values), Kind::Object) => {
                let inner = self.deeper(node, slot)?;
                let mut count = 0i64;
                value::members(self.json, slot, |_, _| {
                    count += 1;
                    Ok::<(), ExtractError>(())
                })?;
                blocks(count, out, |out| {
                    value::members(self.json, slot, |key, value| {
                        wire::put_bytes(&self.text(key)?, out);
                        inner
                            .encode(*values, value, out)
                            .map_err(|e| e.within("{}", ""))
                    })
                })?;
            }
            (Node::Record { fields, .. }, Kind::Object) => {
                let inner = self.deeper(node, slot)?;
                for field in fields {
                    inner.field(field, slot, out)?;
                }
            }
            (Node::Union(branches), _) => {
                let inner = self.deeper(node, slot)?;
                let before = out.len();
                for (i, branch) in branches.iter().enumerate() {
                    wire::put_long(i as i64, out);
                    if inner.encode(*branch, slot, out).is_ok() {
                        return Ok(());
                    }
                    out.truncate(before);
                }
                return Err(unfit());
            }
            _ => return Err(unfit()),
        }
        Ok(())
    }

    fn field(&self, field: &Field, object: Slot, out: &mut Vec<u8>) -> Result<(), ExtractError> {
        let mut null = false;
        let mut unread = None;
        let by_name = [Origin::key(&field.name)];
        let (places, constant) = if self.by_name {
            (by_name.as_slice(), None)
        } else {
            (field.from.as_slice(), field.constant.as_ref())
        };
        for from in places {
            let slot = self.lookup(object, &from.path)?;
            match slot.kind {
                Kind::Missing => continue,
                Kind::Null => {
                    null = true;
                    continue;
                }
                _ => {}
            }
            let place = |e: ExtractError| e.within(&field.name, &from.pointer());
            if from.convert.is_empty() {
                return self.encode(field.node, slot, out).map_err(place);
            }
            let mut texts = Texts::default();
            match convert::run(&from.convert, self.json, slot, &mut texts)? {
                Fill::Next => {}
                Fill::Done => {
                    // The type takes what was made as it takes any value.
                    let made = match from.convert.last() {
                        Some(Convert::Present) => true.into(),
                        _ => serde_json::Value::from(texts.given),
                    };
                    return given(self.schema, field.node, &made, out).map_err(place);
                }
                Fill::Unfit => unread = Some(place(self.unfit(field.node, slot))),
            }
        }
        let nothing = self::null(self.schema, field.node);
        match (constant, unread, &field.default) {
            (Some(constant), ..) => {
                given(self.schema, field.node, constant, out).map_err(|e| e.within(&field.name, ""))
            }
            (None, Some(error), _) => Err(error),
            (None, None, Some(default)) if !null || nothing.is_none() => {
                given(self.schema, field.node, default, out).map_err(|e| e.within(&field.name, ""))
            }
            _ => {
                let datum = nothing.ok_or_else(|| ExtractError::Missing {
                    field: field.name.clone(),
                    looked_at: field.from.iter().map(Origin::pointer).collect(),
                    null,
                })?;
                out.extend_from_slice(&datum);
                Ok(())
            }
        }
    }

    /// The value at a path within an object; of a key that comes twice the last counts.
    fn lookup(&self, object: Slot, path: &[String]) -> Result<Slot, ExtractError> {
        let mut at = object;
        for key in path {
            if at.kind != Kind::Object {
                return Ok(Slot::default());
            }
            let mut found = Slot::default();
            value::members(self.json, at, |name, value| {
                if self.text(name)? == key.as_bytes() {
                    found = value;
                }
                Ok::<(), ExtractError>(())
            })?;
            at = found;
        }
        Ok(at)
    }

    fn text(&self, slot: Slot) -> Result<Vec<u8>, ExtractError> {
        let mut out = Vec::with_capacity(slot.range().len());
        text::unescape(self.json, slot.start as usize, slot.end as usize, &mut out)?;
        Ok(out)
    }

    /// Bytes as Avro's JSON writes them: a character below U+0100 each.
    fn latin(&self, slot: Slot) -> Result<Option<Vec<u8>>, ExtractError> {
        let text = self.text(slot)?;
        let text = String::from_utf8_lossy(&text);
        Ok(text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect())
    }

    fn deeper(&self, node: NodeId, slot: Slot) -> Result<Nested<'a>, ExtractError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.unfit(node, slot));
        }
        Ok(Nested {
            depth: self.depth + 1,
            ..*self
        })
    }

    #[cold]
    fn unfit(&self, node: NodeId, slot: Slot) -> ExtractError {
        ExtractError::Unfit {
            field: String::new(),
            wanted: self.schema.type_name(node),
            found: shown(self.json, slot),
            pointer: String::new(),
        }
    }
}

/// Appends the datum of what the schema itself holds, or a conversion made: fields are looked up
/// by their names.
pub(super) fn given(
    schema: &Schema,
    node: NodeId,
    given: &serde_json::Value,
    out: &mut Vec<u8>,
) -> Result<(), ExtractError> {
    let json = given.to_string().into_bytes();
    let (slot, _) = value::value(&json, 0)?;
    let nested = Nested {
        schema,
        json: &json,
        by_name: true,
        depth: 0,
    };
    nested.encode(node, slot, out)
}

/// Items with their number before and the end mark after; none: only the end mark.
fn blocks(
    count: i64,
    out: &mut Vec<u8>,
    items: impl FnOnce(&mut Vec<u8>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    if count > 0 {
        wire::put_long(count, out);
        items(out)?;
    }
    wire::put_long(0, out);
    Ok(())
}

/// The datum of null in a type, if it may be null.
pub(super) fn null(schema: &Schema, node: NodeId) -> Option<Vec<u8>> {
    match schema.node(node) {
        Node::Null => Some(Vec::new()),
        Node::Union(branches) => {
            let i = branches
                .iter()
                .position(|b| matches!(schema.node(*b), Node::Null))?;
            let mut out = Vec::new();
            wire::put_long(i as i64, &mut out);
            Some(out)
        }
        _ => None,
    }
}

/// The value of a number.
pub(super) fn float(raw: &[u8]) -> Option<f64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// A value for messages: its kind, and its beginning if it is short of meaning without.
pub(super) fn shown(json: &[u8], slot: Slot) -> String {
    let raw = String::from_utf8_lossy(&json[slot.range()]);
    let start: String = raw.chars().take(SHOWN).collect();
    let more = if start.len() < raw.len() { "…" } else { "" };
    match slot.kind {
        Kind::Int | Kind::Float | Kind::Text => format!("{} (`{start}{more}`)", slot.kind.name()),
        kind => kind.name().to_owned(),
    }
}
