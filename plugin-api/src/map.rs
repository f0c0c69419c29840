//! The shortest processor: one record in, one or none out.

use serde::de::DeserializeOwned;

use crate::{
    BatchBuilder, ContentType, Context, Input, Out, Planned, Processor, Progress, Record, Reject,
    StageError,
};

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What was written goes on, with the key, time and headers of the input.
    Keep,
    /// Nothing goes on; the record counts as filtered.
    Drop,
}

/// One record in, one or none out. Register it as [`PerRecord<T>`].
pub trait Map: Sized + Send + 'static {
    /// The name that `plugin = "…"` uses.
    const NAME: &'static str;
    /// Options, declared with [`options!`](crate::options).
    type Options: DeserializeOwned + schemars::JsonSchema + Clone + Send;

    /// See [`Processor::plan`]. By default the input's type comes out.
    ///
    /// # Errors
    /// [`StageError::config`].
    fn plan(_options: &Self::Options, input: &ContentType) -> Result<Planned, StageError> {
        Ok(Planned::new(input.clone()))
    }

    /// Starts.
    ///
    /// # Errors
    /// Trouble of any kind.
    fn open(options: Self::Options, ctx: &Context) -> Result<Self, StageError>;

    /// Writes the new payload behind what is in `out`.
    ///
    /// # Errors
    /// Why this record cannot be used: it becomes a dead letter.
    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject>;
}

/// A [`Map`] as a processor.
pub struct PerRecord<M> {
    map: M,
    builder: BatchBuilder,
}

enum Not {
    Wanted,
    Usable(Reject),
}

impl<M: Map> Processor for PerRecord<M> {
    const NAME: &'static str = M::NAME;
    type Options = M::Options;

    fn plan(options: &M::Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        M::plan(options, inputs.first().unwrap_or(&ContentType::bytes()))
    }

    fn open(options: M::Options, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            map: M::open(options, ctx)?,
            builder: BatchBuilder::new(),
        })
    }

    fn process(&mut self, input: Input<'_>, out: &mut Out<'_, '_>) -> Result<Progress, StageError> {
        let Self { map, builder } = self;
        let mut dropped = 0;
        for record in input.batch.iter() {
            let written = builder
                .record_like(&record)
                .write(|buf| match map.map(record, buf) {
                    Ok(Fate::Keep) => Ok(()),
                    Ok(Fate::Drop) => Err(Not::Wanted),
                    Err(reject) => Err(Not::Usable(reject)),
                });
            match written {
                Ok(_) => {}
                Err(Not::Wanted) => dropped += 1,
                Err(Not::Usable(reject)) => out.reject(record.index(), &reject),
            }
        }
        out.filtered(dropped);
        // One batch in makes at most one out, so being full needs no `More`.
        let _ = out.emit(0, builder.finish());
        Ok(Progress::Done)
    }
}
