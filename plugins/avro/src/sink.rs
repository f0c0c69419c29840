//! The sink `avro-file`.

use avro_data::container::{self, Blocks, Sync, random_sync};
use avro_data::{Extractor, Schema, datum};
use file_io::fingerprint;
use plugin_api::files::{FileFormat, FileSpec, Roll};
use plugin_api::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::config::{SinkOptions, read_schema, schema_of};
use crate::encode::{compiled, extract, takes_json};

/// What is special about the sink `avro-file`.
pub struct AvroFiles;

impl FileSpec for AvroFiles {
    const NAME: &'static str = "avro-file";
    type Options = SinkOptions;
    type Format = Container;

    fn format(options: &SinkOptions, inputs: &[ContentType]) -> Result<Container, StageError> {
        Container::new(options, inputs)
    }

    fn target(options: &SinkOptions) -> (&Path, &Roll) {
        (&options.path, &options.roll)
    }
}

/// What a file is gone on with after a crash.
#[derive(PartialEq, Serialize, Deserialize)]
struct Saved {
    sync: Sync,
    codec: String,
    /// Fingerprint of the schema.
    schema: u64,
}

/// Records as blocks of a container file.
pub struct Container {
    schema: Schema,
    codec: container::Codec,
    blocks: Blocks,
    /// For JSON; none: the records are datums already.
    extractor: Option<Extractor>,
}

impl Container {
    fn new(options: &SinkOptions, inputs: &[ContentType]) -> Result<Self, StageError> {
        let input = inputs.first().cloned().unwrap_or_else(ContentType::bytes);
        if let Some(other) = inputs.iter().find(|other| **other != input) {
            let message =
                format!("its inputs differ: {input} and {other}; one file holds one type");
            return Err(StageError::config("/inputs", message));
        }
        if options.block_size.0 == 0 || options.block_size.0 > 64 << 20 {
            let message = "a block holds between 1 B and 64 MiB";
            return Err(StageError::config("/block_size", message));
        }
        let (schema, extractor) = if input.format == Format::Avro {
            (schema_of(options.schema.as_ref(), &input)?, None)
        } else {
            takes_json(&input)?;
            let Some(path) = &options.schema else {
                let message = format!(
                    "the input is {input}: name a schema file, or put `avro-encode` before this \
                     stage"
                );
                return Err(StageError::config("/schema", message));
            };
            let schema = read_schema(path)?;
            let extractor = compiled(Extractor::new(&schema))?;
            (schema, Some(extractor))
        };
        let codec = options.codec.container();
        let blocks = Blocks::new(codec, options.block_size.bytes(), random_sync())
            .map_err(|error| StageError::fatal(format!("the codec: {error}")))?;
        Ok(Self {
            schema,
            codec,
            blocks,
            extractor,
        })
    }

    fn saved(&self, sync: Sync) -> Saved {
        Saved {
            sync,
            codec: self.codec.name().to_owned(),
            schema: fingerprint(self.schema.json().as_bytes()),
        }
    }
}

impl FileFormat for Container {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        out.extend_from_slice(&self.blocks.begin(&self.schema, self.codec, random_sync()));
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let Self {
            schema,
            blocks,
            extractor,
            ..
        } = self;
        match extractor {
            Some(extractor) => blocks.append(|block| extract(extractor, record, block))?,
            None => blocks.append(|block| {
                let Some(value) = record.value() else {
                    return Err(Reject::new("a record without a value"));
                };
                // One datum of another schema would spoil the whole block for every reader.
                match datum::length(schema, value) {
                    Ok(length) if length == value.len() => {
                        block.extend_from_slice(value);
                        Ok(())
                    }
                    Ok(_) => Err(Reject::new("bytes after the datum of the schema")),
                    Err(error) => Err(Reject::new(error.to_string())),
                }
            })?,
        }
        if blocks.is_full() {
            write_block(blocks, out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        write_block(&mut self.blocks, out);
        Ok(())
    }

    fn save(&self) -> String {
        let saved = self.saved(self.blocks.sync());
        serde_json::to_string(&saved).expect("a struct of numbers and a name is JSON")
    }

    fn resume(&mut self, saved: &str) -> Result<bool, StageError> {
        let saved: Saved = serde_json::from_str(saved)
            .map_err(|error| StageError::fatal(format!("its checkpoint: {error}")))?;
        if saved != self.saved(saved.sync) {
            return Ok(false);
        }
        self.blocks.resume(saved.sync);
        Ok(true)
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        write_block(&mut self.blocks, out);
        Ok(())
    }
}

fn write_block(blocks: &mut Blocks, out: &mut Vec<u8>) {
    blocks
        .flush(out)
        .expect("compressing into memory that is large enough does not fail");
}
