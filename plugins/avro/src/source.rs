//! The source `avro-file`.

use std::fs::File;
use std::path::Path;

use avro_data::Schema;
use avro_data::container::{Limits, Position, ReadError, Reader};
use file_io::{Id, Origin, Walk, find};
use plugin_api::prelude::*;
use plugin_api::{BatchLimits, ID_HEADER};
use serde::{Deserialize, Serialize};

use crate::config::{SourceOptions, read_schema};
use crate::resolve::Resolver;

/// Source `avro-file`.
pub struct AvroSource {
    ctx: Context,
    limits: BatchLimits,
    max_block: usize,
    schema: Schema,
    walk: Walk,
    current: Option<Current>,
    builder: BatchBuilder,
}

/// The file at hand.
struct Current {
    shown: String,
    reader: Reader<File>,
    resolver: Resolver,
    id: Id,
}

/// The place in a file, in a checkpoint.
#[derive(Serialize, Deserialize)]
struct Place {
    block: u64,
    index: u64,
}

/// What a step through the file at hand came to.
enum Step {
    Record,
    Over,
}

impl Source for AvroSource {
    const NAME: &'static str = "avro-file";
    const WORKERS: bool = true;
    type Options = SourceOptions;

    fn plan(options: &SourceOptions) -> Result<Planned, StageError> {
        if options.max_block_bytes.0 == 0 || options.max_block_bytes.0 > 1 << 30 {
            let message = "the largest block must be between 1 B and 1 GiB";
            return Err(StageError::config("/max_block_bytes", message));
        }
        if *options.path == *Path::new("-") {
            let message = "container files are not read from standard input: name a file";
            return Err(StageError::config("/path", message));
        }
        let content = ContentType::avro(wanted(options)?.json());
        // As it is in the file, and decompressed.
        Ok(Planned::new(content).memory("the largest block", 2 * options.max_block_bytes.0))
    }

    fn open(options: SourceOptions, ctx: &Context) -> Result<Self, StageError> {
        Ok(Self {
            limits: ctx.batch_limits(),
            max_block: options.max_block_bytes.bytes(),
            schema: wanted(&options)?,
            walk: Walk::new(&options.path, ctx)?,
            current: None,
            builder: BatchBuilder::new(),
            ctx: ctx.clone(),
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(Place { block, index }) = self.walk.restore(state)? else {
            return Ok(());
        };
        let Some(origin) = self.walk.last() else {
            return Ok(());
        };
        let mut current = self.begin(origin).map_err(|error| failed(origin, &error))?;
        let sought = current.reader.seek(Position { block, index });
        sought.map_err(|error| {
            StageError::fatal(format!(
                "{origin} has no record {index} at {block}, where the last checkpoint is: was it \
                 cut or replaced? It is {error}"
            ))
        })?;
        self.current = Some(current);
        Ok(())
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut left = budget;
        let answer = loop {
            if left == 0 {
                break Poll::More;
            }
            if self.current.is_none() && !self.next_file(out)? {
                break Poll::Finished;
            }
            match self.step(out)? {
                Step::Over => self.current = None,
                Step::Record => {
                    let full = self.builder.len() >= self.limits.max_records.clamp(1, left)
                        || self.builder.bytes() >= self.limits.max_bytes;
                    if full {
                        let batch = self.builder.finish();
                        left -= batch.len();
                        let room = out.emit(0, batch);
                        if room == Emit::Full || self.ctx.monotonic_ns() >= deadline_ns {
                            break Poll::More;
                        }
                    }
                }
            }
        };
        out.emit(0, self.builder.finish());
        Ok(answer)
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        let within = self.current.as_ref();
        self.walk.save(within.map(|current| {
            let Position { block, index } = current.reader.position();
            Place { block, index }
        }))
    }
}

impl AvroSource {
    /// Opens the next file that can be read; false if there is none.
    fn next_file(&mut self, out: &mut Out<'_, '_>) -> Result<bool, StageError> {
        while let Some(origin) = self.walk.begin_next().cloned() {
            match self.begin(&origin) {
                Ok(current) => {
                    self.ctx.debug(format!("reading {origin}"));
                    self.current = Some(current);
                    return Ok(true);
                }
                Err(Trouble::Read(ReadError::Io(error))) => {
                    return Err(StageError::fatal(format!("cannot read {origin}: {error}")));
                }
                Err(Trouble::Read(error)) => self.broken(&origin.to_string(), &error, out),
                Err(error @ Trouble::Schema(_)) => return Err(failed(&origin, &error)),
            }
        }
        Ok(false)
    }

    fn begin(&self, origin: &Origin) -> Result<Current, Trouble> {
        let reader = open(origin, self.max_block)?;
        let resolver = Resolver::new(reader.schema(), &self.schema).map_err(Trouble::Schema)?;
        Ok(Current {
            shown: origin.to_string(),
            reader,
            resolver,
            id: Id::of(origin),
        })
    }

    fn step(&mut self, out: &mut Out<'_, '_>) -> Result<Step, StageError> {
        let Some(current) = &mut self.current else {
            return Ok(Step::Over);
        };
        let Position { block, index } = current.reader.position();
        let datum = match current.reader.next() {
            Ok(Some(datum)) => datum,
            Ok(None) => return Ok(Step::Over),
            Err(ReadError::Io(error)) => {
                return Err(StageError::fatal(format!(
                    "cannot read {}: {error}",
                    current.shown
                )));
            }
            Err(error) => {
                let shown = current.shown.clone();
                self.broken(&shown, &error, out);
                return Ok(Step::Over);
            }
        };
        match &current.resolver {
            Resolver::Same => drop(self.builder.push(Some(datum))),
            Resolver::Resolve(pair) => {
                if let Err(reason) = self.builder.write(|buf| pair.resolve(datum, buf)) {
                    out.reject_raw(datum, &Reject::new(format!("its schema: {reason}")));
                    return Ok(Step::Record);
                }
            }
        }
        let id = current.id.within(block, index);
        self.builder.header(ID_HEADER, Some(id));
        Ok(Step::Record)
    }

    /// A file that ends before its end: said once, and one dead letter if anything is lost.
    fn broken(&self, shown: &str, error: &ReadError, out: &mut Out<'_, '_>) {
        let message = format!("{shown} is {error}");
        self.ctx.error(&message);
        self.ctx.counter("avro_broken_files", 1);
        if !matches!(error, ReadError::Torn { whole: true, .. }) {
            out.reject_raw(&[], &Reject::new(message));
        }
    }
}

/// Why a file cannot be begun.
enum Trouble {
    Read(ReadError),
    Schema(String),
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Trouble {
        Trouble::Read(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Read(error) => error.fmt(f),
            Trouble::Schema(reason) => {
                write!(
                    f,
                    "its records cannot be had in the schema wanted: {reason}"
                )
            }
        }
    }
}

fn failed(origin: &Origin, error: &impl std::fmt::Display) -> StageError {
    StageError::fatal(format!("{origin}: {error}"))
}

fn open(origin: &Origin, max_block: usize) -> Result<Reader<File>, ReadError> {
    let Origin::File { path, .. } = origin else {
        let error = std::io::Error::other("standard input is not read: name a file");
        return Err(ReadError::Io(error));
    };
    Reader::with_limits(File::open(path)?, Limits { block: max_block })
}

/// The schema that comes out.
fn wanted(options: &SourceOptions) -> Result<Schema, StageError> {
    if let Some(path) = &options.schema {
        return read_schema(path);
    }
    let mut trouble = None;
    let path = &options.path;
    let files = find(path).map_err(|error| {
        StageError::config("/path", format!("cannot read {}: {error}", path.display()))
    })?;
    for origin in files {
        match open(&origin, options.max_block_bytes.bytes()) {
            Ok(reader) => return Ok(reader.schema().clone()),
            Err(error) => trouble = Some(format!("{origin}: {error}")),
        }
    }
    Err(StageError::config(
        "/path",
        trouble.unwrap_or_else(|| "no file fits".into()),
    ))
}
