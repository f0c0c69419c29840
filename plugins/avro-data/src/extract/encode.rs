//! The hot end of extraction: the places of the values in, the datum out.

use super::compile::{Op, Shape, Source};
use super::emit::Emit;
use super::nested::Nested;
use super::{ExtractError, nested};
use crate::json::bitmap::Bitmaps;
use crate::json::number::integer;
use crate::json::{Kind, Slot, text, value};
use crate::schema::{Convert, Schema};

/// Working memory, kept from one document to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A text with its escapes resolved.
    pub text: Vec<u8>,
    /// What a conversion or the plain encoder made.
    value: Vec<u8>,
}

/// One document on its way into a datum.
pub(super) struct Encode<'a> {
    pub schema: &'a Schema,
    pub ops: &'a [Op],
    pub sources: &'a [Source],
    pub json: &'a [u8],
    pub maps: &'a Bitmaps,
    pub slots: &'a [Slot],
}

impl Encode<'_> {
    pub(super) fn run(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), ExtractError> {
        let mut emit = Emit::new(out);
        for op in self.ops {
            if let Err(error) = self.field(op, scratch, &mut emit) {
                emit.abandon();
                return Err(error);
            }
        }
        emit.finish();
        Ok(())
    }

    #[inline]
    fn field(
        &self,
        op: &Op,
        scratch: &mut Scratch,
        emit: &mut Emit<'_>,
    ) -> Result<(), ExtractError> {
        let mut null = false;
        for source in &self.sources[op.sources.clone()] {
            let slot = self.slots[source.slot as usize];
            match slot.kind {
                Kind::Missing => continue,
                Kind::Null => {
                    null = true;
                    continue;
                }
                _ => {}
            }
            let done = match source.convert {
                Convert::None => self.value(op, *source, slot, scratch, emit)?,
                _ => self.converted(op, source.convert, slot, scratch, emit)?,
            };
            match done {
                Fill::Done => return Ok(()),
                Fill::Next => {}
                Fill::Unfit => return Err(self.unfit(op, *source, slot)),
            }
        }
        match (&op.null, &op.absent) {
            (Some(datum), _) if null => emit.bytes(datum),
            (_, Some(datum)) => emit.bytes(datum),
            _ => return Err(self.missing(op, null)),
        }
        Ok(())
    }

    #[inline]
    fn value(
        &self,
        op: &Op,
        source: Source,
        slot: Slot,
        scratch: &mut Scratch,
        emit: &mut Emit<'_>,
    ) -> Result<Fill, ExtractError> {
        let raw = &self.json[slot.range()];
        match (op.shape, slot.kind) {
            (Shape::Text, Kind::Text) => {
                branch(op, emit);
                emit.text(self.json, self.maps, slot)?;
            }
            (Shape::Text, Kind::Int | Kind::Float) => {
                branch(op, emit);
                emit.sized(raw);
            }
            (Shape::Long, Kind::Int | Kind::Text) => match integer(raw) {
                Some(value) => {
                    branch(op, emit);
                    emit.long(value);
                }
                None => return Ok(Fill::Unfit),
            },
            (Shape::Int, Kind::Int | Kind::Text) => match integer(raw).map(i32::try_from) {
                Some(Ok(value)) => {
                    branch(op, emit);
                    emit.long(value.into());
                }
                _ => return Ok(Fill::Unfit),
            },
            (Shape::Boolean, Kind::True | Kind::False) => {
                branch(op, emit);
                emit.byte(u8::from(slot.kind == Kind::True));
            }
            (Shape::Double, Kind::Int | Kind::Float) => match nested::float(raw) {
                Some(value) => {
                    branch(op, emit);
                    emit.bytes(&value.to_le_bytes());
                }
                None => return Ok(Fill::Unfit),
            },
            (Shape::Float, Kind::Int | Kind::Float) => match nested::float(raw) {
                Some(value) => {
                    branch(op, emit);
                    emit.bytes(&(value as f32).to_le_bytes());
                }
                None => return Ok(Fill::Unfit),
            },
            (Shape::Nested, _) => {
                scratch.value.clear();
                let slot = self.checked(slot)?;
                Nested::of(self.schema, self.json)
                    .encode(op.node, slot, &mut scratch.value)
                    .map_err(|error| self.inside(op, source, error))?;
                branch(op, emit);
                emit.bytes(&scratch.value);
            }
            _ => return Ok(Fill::Unfit),
        }
        Ok(Fill::Done)
    }

    #[inline(never)]
    fn converted(
        &self,
        op: &Op,
        convert: Convert,
        slot: Slot,
        scratch: &mut Scratch,
        emit: &mut Emit<'_>,
    ) -> Result<Fill, ExtractError> {
        scratch.value.clear();
        match convert.apply(self.json, slot, &mut scratch.text, &mut scratch.value)? {
            Fill::Done => {}
            other => return Ok(other),
        }
        branch(op, emit);
        match (op.shape, integer(&scratch.value)) {
            (Shape::Text, _) => emit.sized(&scratch.value),
            (Shape::Long, Some(value)) => emit.long(value),
            _ => return Ok(Fill::Unfit),
        }
        Ok(Fill::Done)
    }

    /// The plain encoder wants its value checked in full, which the walk did not do.
    fn checked(&self, slot: Slot) -> Result<Slot, ExtractError> {
        match slot.kind {
            Kind::Object | Kind::Array => Ok(value::value(self.json, slot.start as usize)?.0),
            Kind::Text => Ok(value::value(self.json, slot.start as usize - 1)?.0),
            _ => Ok(slot),
        }
    }

    #[cold]
    fn missing(&self, op: &Op, null: bool) -> ExtractError {
        let field = &self.schema.fields()[op.field];
        ExtractError::Missing {
            field: field.name.clone(),
            looked_at: field.from.iter().map(|from| from.pointer()).collect(),
            null,
        }
    }

    #[cold]
    fn unfit(&self, op: &Op, source: Source, slot: Slot) -> ExtractError {
        ExtractError::Unfit {
            field: self.schema.fields()[op.field].name.clone(),
            wanted: self.schema.type_name(op.node),
            found: nested::shown(self.json, slot),
            pointer: self.pointer(op, source),
        }
    }

    /// An error of the plain encoder, with the field it happened in.
    #[cold]
    fn inside(&self, op: &Op, source: Source, error: ExtractError) -> ExtractError {
        error.within(
            &self.schema.fields()[op.field].name,
            &self.pointer(op, source),
        )
    }

    fn pointer(&self, op: &Op, source: Source) -> String {
        self.sources[op.sources.clone()]
            .iter()
            .position(|s| s == &source)
            .and_then(|i| self.schema.fields()[op.field].from.get(i))
            .map(crate::schema::Origin::pointer)
            .unwrap_or_default()
    }
}

#[inline]
fn branch(op: &Op, emit: &mut Emit<'_>) {
    if let Some(branch) = op.branch {
        emit.byte(branch);
    }
}

/// What an alternative gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// The field is written.
    Done,
    /// It holds nothing: the next one is tried.
    Next,
    /// It does not fit.
    Unfit,
}

/// Milliseconds between 1970 and the beginning of Twitter's ids.
const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;
/// The first id that held a time; earlier ones were counted up.
const FIRST_SNOWFLAKE: i64 = 29_700_859_247;

impl Convert {
    /// Appends the converted value as text.
    pub(super) fn apply(
        self,
        json: &[u8],
        slot: Slot,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Fill, ExtractError> {
        let raw = &json[slot.range()];
        match (self, slot.kind) {
            (Convert::SnowflakeMs, Kind::Int | Kind::Text) => match integer(raw) {
                Some(id) if id >= FIRST_SNOWFLAKE => {
                    nested::digits((id >> 22) + SNOWFLAKE_EPOCH_MS, out);
                    Ok(Fill::Done)
                }
                Some(_) => Ok(Fill::Next),
                None => Ok(Fill::Unfit),
            },
            (Convert::CleanText, Kind::Text) => {
                scratch.clear();
                text::unescape(json, slot.start as usize, slot.end as usize, scratch)?;
                // The document was checked to be UTF-8, and escapes give characters.
                text::clean(&String::from_utf8_lossy(scratch), out);
                Ok(Fill::Done)
            }
            (Convert::CleanText, Kind::Int | Kind::Float) | (Convert::None, _) => {
                out.extend_from_slice(raw);
                Ok(Fill::Done)
            }
            _ => Ok(Fill::Unfit),
        }
    }
}
