//! The processor `avro-decode`.

use avro_data::{Schema, datum};
use plugin_api::prelude::*;

use crate::config::{DecodeOptions, schema_of};

/// Processor `avro-decode`.
pub struct Decode {
    schema: Schema,
}

impl Map for Decode {
    const NAME: &'static str = "avro-decode";
    type Options = DecodeOptions;

    fn plan(options: &DecodeOptions, input: &ContentType) -> Result<Planned, StageError> {
        schema(options, input)?;
        Ok(Planned::new(ContentType::json()))
    }

    fn open(options: DecodeOptions, ctx: &Context) -> Result<Self, StageError> {
        let input = ctx
            .inputs()
            .first()
            .cloned()
            .unwrap_or_else(ContentType::bytes);
        Ok(Decode {
            schema: schema(&options, &input)?,
        })
    }

    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
        let Some(datum) = record.value() else {
            return Err(Reject::new("a record without a value"));
        };
        datum::to_json(&self.schema, datum, out).map_err(|error| Reject::new(error.to_string()))?;
        Ok(Fate::Keep)
    }
}

fn schema(options: &DecodeOptions, input: &ContentType) -> Result<Schema, StageError> {
    match input.format {
        Format::Avro | Format::Bytes => schema_of(options.schema.as_ref(), input),
        format => {
            let message = format!("the input is {format}, not avro");
            Err(StageError::config("/inputs", message))
        }
    }
}
