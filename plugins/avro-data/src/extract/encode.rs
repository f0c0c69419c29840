//! The hot end of extraction: the places of the values in, the datum out.

use super::compile::{Op, Shape, Source};
use super::convert::{self, Fill, Texts};
use super::emit::Emit;
use super::nested::Nested;
use super::{ExtractError, nested};
use crate::json::bitmap::Bitmaps;
use crate::json::number::integer;
use crate::json::{Kind, Slot, value};
use crate::schema::{Convert, Schema};

/// Working memory, kept from one document to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A key with its escapes resolved.
    pub text: Vec<u8>,
    /// What the plain encoder made.
    value: Vec<u8>,
    texts: Texts,
}

/// One document on its way into a datum.
pub(super) struct Encode<'a> {
    pub schema: &'a Schema,
    pub ops: &'a [Op],
    pub sources: &'a [Source],
    pub chains: &'a [Box<[Convert]>],
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
        let mut unread = None;
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
            let done = match source.chain {
                None => self.value(op, *source, slot, scratch, emit)?,
                Some(chain) => self.converted(op, chain, slot, scratch, emit)?,
            };
            match done {
                Fill::Done => return Ok(()),
                Fill::Next => {}
                Fill::Unfit if source.chain.is_some() => unread = Some((*source, slot)),
                Fill::Unfit => return Err(self.unfit(op, *source, slot)),
            }
        }
        if let Some((source, slot)) = unread
            && !op.is_constant
        {
            return Err(self.unfit(op, source, slot));
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
        chain: u16,
        slot: Slot,
        scratch: &mut Scratch,
        emit: &mut Emit<'_>,
    ) -> Result<Fill, ExtractError> {
        let chain = &self.chains[chain as usize];
        match convert::run(chain, self.json, slot, &mut scratch.texts)? {
            Fill::Done => {}
            other => return Ok(other),
        }
        let made = scratch.texts.given.as_bytes();
        match op.shape {
            Shape::Text => {
                branch(op, emit);
                emit.sized(made);
            }
            Shape::Boolean => {
                branch(op, emit);
                emit.byte(1);
            }
            _ => {
                let Some(value) = integer(made) else {
                    return Ok(Fill::Unfit);
                };
                branch(op, emit);
                emit.long(value);
            }
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
