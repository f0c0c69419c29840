//! The processor `avro-encode`.

use avro_data::{ExtractError, Extractor, SchemaError};
use plugin_api::prelude::*;

use crate::config::{EncodeOptions, read_schema};

/// Processor `avro-encode`.
pub struct Encode {
    extractor: Extractor,
}

impl Map for Encode {
    const NAME: &'static str = "avro-encode";
    type Options = EncodeOptions;

    fn plan(options: &EncodeOptions, input: &ContentType) -> Result<Planned, StageError> {
        takes_json(input)?;
        let extractor = extractor(options)?;
        Ok(Planned::new(ContentType::avro(extractor.schema().json())))
    }

    fn open(options: EncodeOptions, _: &Context) -> Result<Self, StageError> {
        Ok(Encode {
            extractor: extractor(&options)?,
        })
    }

    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
        extract(&mut self.extractor, &record, out)?;
        Ok(Fate::Keep)
    }
}

fn extractor(options: &EncodeOptions) -> Result<Extractor, StageError> {
    compiled(Extractor::new(&read_schema(&options.schema)?))
}

/// A schema's extractor, or what is wrong with the option `schema`.
pub(crate) fn compiled(result: Result<Extractor, SchemaError>) -> Result<Extractor, StageError> {
    result.map_err(|error| StageError::config("/schema", error.to_string()))
}

/// Whether an input may hold JSON.
pub(crate) fn takes_json(input: &ContentType) -> Result<(), StageError> {
    match input.format {
        Format::Json | Format::Text | Format::Bytes => Ok(()),
        Format::Avro => {
            let message = "the input is Avro already: leave this stage out, or put `avro-decode` \
                           before it";
            Err(StageError::config("/inputs", message))
        }
        format => {
            let message = format!("the input is {format}: records are taken from json");
            Err(StageError::config("/inputs", message))
        }
    }
}

/// Appends a record's datum.
pub(crate) fn extract(
    extractor: &mut Extractor,
    record: &Record<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    let Some(json) = record.value() else {
        return Err(Reject::new("a record without a value"));
    };
    extractor.extract(json, out).map_err(|error| reject(&error))
}

#[cold]
fn reject(error: &ExtractError) -> Reject {
    let reject = Reject::new(error.to_string());
    match error.pointer() {
        Some(pointer) => reject.at(pointer.to_owned()),
        None => reject,
    }
}
