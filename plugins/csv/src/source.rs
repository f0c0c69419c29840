//! The source: rows of files as JSON objects or datums.

use crate::config::{RowFormat, SourceOptions, delimiter};
use crate::rows::{Next, Rows};
use crate::typed::Typed;
use avro_data::Schema;
use file_io::{Got, Id, Origin, Reader, Walk};
use plugin_api::prelude::*;
use plugin_api::{BatchLimits, ID_HEADER, content::STDIN};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Source `csv-file`.
pub struct CsvSource {
    options: SourceOptions,
    ctx: Context,
    limits: BatchLimits,
    walk: Walk,
    current: Option<Current>,
    /// The stream has no more bytes; the parser may have rows.
    ended: bool,
    rows: Rows,
    names: Vec<String>,
    typed: Option<Typed>,
    avro: bool,
    builder: BatchBuilder,
}

/// The file at hand.
struct Current {
    origin: Origin,
    reader: Reader,
    id: Id,
}

/// The place in a file, in a checkpoint.
#[derive(Serialize, Deserialize)]
struct Place {
    position: u64,
    /// Whether that is within a line that is passed over.
    skipping: bool,
    /// The file's columns; none before its header was read.
    columns: Vec<String>,
}

/// What a step through the file at hand came to.
enum Step {
    /// A record or a dead letter: go on.
    On,
    /// Nothing until the deadline.
    Idle,
    /// The file is over.
    Over,
}

impl Source for CsvSource {
    const NAME: &'static str = "csv-file";
    const WORKERS: bool = true;
    type Options = SourceOptions;

    fn plan(options: &SourceOptions) -> Result<Planned, StageError> {
        delimiter(&options.delimiter)?;
        if options.max_row_bytes.0 == 0 || options.max_row_bytes.0 > 1 << 30 {
            let message = "the longest row must be between 1 B and 1 GiB";
            return Err(StageError::config("/max_row_bytes", message));
        }
        if let Some(columns) = &options.columns {
            unique(columns).map_err(|message| StageError::config("/columns", message))?;
        }
        let schema = read_schema(options)?;
        let planned = Planned::new(match (schema, options.format) {
            (Some((schema, _)), None | Some(RowFormat::Avro)) => ContentType::avro(schema.json()),
            (None, Some(RowFormat::Avro)) => {
                return Err(StageError::config("/format", "avro needs a `schema`"));
            }
            _ => ContentType::json(),
        })
        .memory("the longest row", options.max_row_bytes.0);
        Ok(if options.path.as_ref() == Path::new("-") {
            planned.reads(STDIN).live()
        } else {
            planned
        })
    }

    fn open(options: SourceOptions, ctx: &Context) -> Result<Self, StageError> {
        let typed = read_schema(&options)?.map(|(_, typed)| typed);
        Ok(Self {
            limits: ctx.batch_limits(),
            walk: Walk::new(&options.path, ctx)?,
            current: None,
            ended: false,
            rows: Rows::new(
                delimiter(&options.delimiter)?,
                options.max_row_bytes.bytes(),
            ),
            names: Vec::new(),
            avro: typed.is_some() && options.format != Some(RowFormat::Json),
            typed,
            builder: BatchBuilder::new(),
            ctx: ctx.clone(),
            options,
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(place) = self.walk.restore::<Place>(state)? else {
            return Ok(());
        };
        let Some(origin) = self.walk.last().cloned() else {
            return Ok(());
        };
        self.open_file(origin, place.position)?;
        self.rows.reset(place.position, place.skipping);
        match place.columns.is_empty() {
            true => Ok(()),
            false => self.begin(place.columns),
        }
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        let within = self.current.as_ref();
        self.walk.save(within.map(|_| Place {
            position: self.rows.next_position(),
            skipping: self.rows.is_skipping(),
            columns: self.names.clone(),
        }))
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut left = budget;
        let mut steps = 0_u32;
        let answer = loop {
            steps += 1;
            // Bad rows fill no batch, so the clock is looked at now and then.
            let late = steps.is_multiple_of(256) && self.ctx.monotonic_ns() >= deadline_ns;
            if left == 0 || late {
                break Poll::More;
            }
            if self.current.is_none() && !self.next_file()? {
                break Poll::Finished;
            }
            match self.step(deadline_ns, out)? {
                Step::Idle => break Poll::Idle,
                Step::Over => self.current = None,
                Step::On => {}
            }
            let full = self.builder.len() >= self.limits.max_records.clamp(1, left)
                || self.builder.bytes() >= self.limits.max_bytes;
            if full {
                let batch = self.builder.finish();
                left -= batch.len();
                if out.emit(0, batch) == Emit::Full {
                    return Ok(Poll::More);
                }
                if self.ctx.monotonic_ns() >= deadline_ns {
                    return Ok(Poll::More);
                }
            }
        };
        let batch = self.builder.finish();
        out.emit(0, batch);
        Ok(answer)
    }
}

impl CsvSource {
    fn next_file(&mut self) -> Result<bool, StageError> {
        let Some(origin) = self.walk.begin_next().cloned() else {
            return Ok(false);
        };
        self.open_file(origin, 0)?;
        self.rows.reset(0, false);
        if let Some(columns) = self.options.columns.clone() {
            self.begin(columns)?;
        }
        Ok(true)
    }

    fn open_file(&mut self, origin: Origin, position: u64) -> Result<(), StageError> {
        let reader = Reader::open_at(&origin, position)
            .map_err(|error| StageError::fatal(format!("cannot read {origin}: {error}")))?;
        let how = reader.compression();
        self.ctx.debug(format!("reading {origin} ({how})"));
        if reader.is_pipe() && position > 0 {
            self.ctx.warn(format!(
                "{origin} cannot be read twice: what came after the last checkpoint is lost"
            ));
        }
        self.ended = false;
        self.names.clear();
        let id = Id::of(&origin);
        self.current = Some(Current { origin, reader, id });
        Ok(())
    }

    fn step(&mut self, deadline_ns: u64, out: &mut Out<'_, '_>) -> Result<Step, StageError> {
        match self.rows.next(self.ended) {
            Next::Row if self.names.is_empty() => self.header().map(|()| Step::On),
            Next::Row => {
                if let Err(reject) = self.record() {
                    out.reject_raw(self.rows.raw(), &self.placed(&reject, self.rows.position()));
                }
                Ok(Step::On)
            }
            Next::Bad(raw, position, reason) => {
                out.reject_raw(&raw, &self.placed(&Reject::new(reason), position));
                Ok(Step::On)
            }
            Next::End => Ok(Step::Over),
            Next::Input => {
                let Some(Current { reader, .. }) = &mut self.current else {
                    return Ok(Step::Over);
                };
                // Rows at hand are not held up by a pipe that is quiet.
                let wait = match self.builder.len() {
                    0 => deadline_ns.saturating_sub(self.ctx.monotonic_ns()),
                    _ => 0,
                };
                match reader.read(self.rows.room(), Duration::from_nanos(wait)) {
                    Ok(Got::Bytes(count)) => self.rows.filled(count),
                    Ok(Got::Pending) => return Ok(Step::Idle),
                    Ok(Got::End) => self.ended = true,
                    Err(error) => {
                        let reject = Reject::new(format!("the file is damaged: {error}"));
                        let reject = self.placed(&reject, self.rows.position());
                        self.ctx.error(&reject.reason);
                        out.reject_raw(self.rows.torn(), &reject);
                        return Ok(Step::Over);
                    }
                }
                Ok(Step::On)
            }
        }
    }

    fn header(&mut self) -> Result<(), StageError> {
        let names = (0..self.rows.fields()).map(|index| {
            let name = String::from_utf8_lossy(self.rows.field(index));
            match name.trim() {
                "" => format!("column{}", index + 1),
                name => name.to_owned(),
            }
        });
        let names = names.collect();
        self.begin(names)
    }

    /// The columns of the file at hand are known.
    fn begin(&mut self, names: Vec<String>) -> Result<(), StageError> {
        let fits = unique(&names);
        let fits = fits.and_then(|()| match &mut self.typed {
            Some(typed) => typed.columns(&names),
            None => Ok(()),
        });
        self.names = names;
        fits.map_err(|message| {
            let origin = self.current.as_ref().map(|file| file.origin.to_string());
            StageError::fatal(format!("{}: {message}", origin.unwrap_or_default()))
        })
    }

    /// Appends the row at hand as a record.
    fn record(&mut self) -> Result<(), Reject> {
        let (rows, names) = (&self.rows, &self.names);
        if rows.fields() != names.len() {
            return Err(Reject::new(format!(
                "the row has {} fields, the header {}",
                rows.fields(),
                names.len()
            )));
        }
        let text = |index: usize| rows.field(index);
        match &self.typed {
            Some(typed) if self.avro => self.builder.write(|out| typed.datum(text, out))?,
            Some(typed) => self.builder.write(|out| typed.json(text, out))?,
            None => self.builder.write(|out| texts(names, text, out))?,
        };
        if let Some(file) = &mut self.current {
            let id = file.id.at(self.rows.position());
            self.builder.header(ID_HEADER, Some(id));
        }
        Ok(())
    }

    /// Says where in which file.
    fn placed(&self, reject: &Reject, position: u64) -> Reject {
        let file = self.current.as_ref().map_or("", |file| file.origin.name());
        let reason = format!("{}, at {file}:{position}", reject.reason);
        Reject::new(reason).at(reject.pointer.clone())
    }
}

/// Appends a row as a JSON object of texts.
fn texts<'a>(
    names: &[String],
    text: impl Fn(usize) -> &'a [u8],
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    out.push(b'{');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let text = text(index);
        if std::str::from_utf8(text).is_err() {
            return Err(Reject::new(format!("`{name}` is not UTF-8")));
        }
        json_walk::push_string(name.as_bytes(), out);
        out.push(b':');
        json_walk::push_string(text, out);
    }
    out.push(b'}');
    Ok(())
}

fn unique(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("there must be a column".into());
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(format!("two columns are called `{name}`"));
        }
    }
    Ok(())
}

fn read_schema(options: &SourceOptions) -> Result<Option<(Schema, Typed)>, StageError> {
    let Some(path) = &options.schema else {
        return Ok(None);
    };
    let wrong = |message: String| StageError::config("/schema", message);
    let text = fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
    let schema = Schema::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let typed = Typed::new(&schema, &options.null).map_err(wrong)?;
    Ok(Some((schema, typed)))
}
