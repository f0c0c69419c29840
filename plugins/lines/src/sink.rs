//! The sink: to files through `plugin_api::files`, or straight to standard output.

use crate::config::{Codec, SinkOptions};
use file_io::{Encoder, Stdout};
use memchr::memchr;
use plugin_api::files::{FileFormat, FileWriter};
use plugin_api::prelude::*;
use std::path::Path;

/// Sink `lines`.
pub struct LinesSink {
    to: To,
}

enum To {
    Files(Box<FileWriter<Lines>>),
    Stdout(Box<(Stdout, Lines)>),
}

impl Sink for LinesSink {
    const NAME: &'static str = "lines";
    type Options = SinkOptions;

    fn plan(options: &SinkOptions, inputs: &[ContentType]) -> Result<Planned, StageError> {
        for input in inputs {
            if matches!(input.format, Format::Avro | Format::Png) {
                let hint = match input.format {
                    Format::Avro => "; decode it first with avro-decode",
                    _ => "",
                };
                let message = format!("{} cannot be written as lines{hint}", input.format);
                return Err(StageError::config("/inputs", message));
            }
        }
        if is_stdout(&options.path) {
            return Ok(Planned::sink().prints());
        }
        FileWriter::<Lines>::plan(&options.path)?;
        Ok(Planned::sink())
    }

    fn open(options: SinkOptions, ctx: &Context) -> Result<Self, StageError> {
        let json = ctx
            .inputs()
            .iter()
            .all(|input| input.format == Format::Json);
        let lines = Lines {
            json,
            codec: match options.codec {
                Codec::None => file_io::Codec::None,
                Codec::Gzip => file_io::Codec::Gzip,
                Codec::Zstd => file_io::Codec::Zstd,
            },
            encoder: Encoder::None,
            line: Vec::new(),
        };
        let to = if is_stdout(&options.path) {
            let mut lines = lines;
            let mut stdout = Stdout::open()?;
            lines.begin(stdout.buffer())?;
            To::Stdout(Box::new((stdout, lines)))
        } else {
            To::Files(Box::new(FileWriter::open(
                &options.path,
                options.roll,
                lines,
                ctx,
            )?))
        };
        Ok(Self { to })
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let (stdout, lines) = match &mut self.to {
            To::Files(files) => return files.write(input, from, out),
            To::Stdout(both) => &mut **both,
        };
        // What an interrupted call left goes first, so that nothing is written twice.
        stdout.flush()?;
        for index in from..input.batch.len() {
            let record = input.batch.record(index);
            let before = stdout.buffer().len();
            if let Err(reject) = lines.record(&record, stdout.buffer()) {
                stdout.buffer().truncate(before);
                out.reject(index as u32, &reject);
            }
        }
        lines.flush(stdout.buffer())?;
        match stdout.flush() {
            // The records are in the buffer, and the next call writes its rest: not taken again.
            Err(error) if !error.is_transient() => Err(error),
            _ => Ok(input.batch.len() - from),
        }
    }

    fn tick(&mut self, now_ns: u64, _: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        match &mut self.to {
            To::Files(files) => files.tick(now_ns),
            To::Stdout(_) => Ok(None),
        }
    }

    fn checkpoint(&mut self, _epoch: u64, last: bool) -> Result<(), StageError> {
        match &mut self.to {
            To::Files(files) => files.checkpoint(last),
            To::Stdout(both) => both.0.flush(),
        }
    }

    fn checkpoint_poll(
        &mut self,
        _epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        match &mut self.to {
            To::Files(files) => files.checkpoint_poll(),
            To::Stdout(_) => Ok(Checkpoint::Ready(Vec::new())),
        }
    }

    fn close(&mut self) -> Result<(), StageError> {
        match &mut self.to {
            To::Files(files) => files.close(),
            To::Stdout(both) => {
                let (stdout, lines) = &mut **both;
                lines.end(stdout.buffer())?;
                stdout.flush()
            }
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Lines, compressed or not.
struct Lines {
    json: bool,
    codec: file_io::Codec,
    encoder: Encoder,
    /// The line at hand, where it goes through an encoder or must be changed.
    line: Vec<u8>,
}

impl FileFormat for Lines {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        self.encoder = Encoder::new(self.codec).map_err(compressor)?;
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let value = record
            .value()
            .ok_or_else(|| Reject::new("the record has no value to write as a line"))?;
        let plain = matches!(self.encoder, Encoder::None);
        if memchr(b'\n', value).is_some() && !self.json {
            let reason = "the record holds a line break and would read back as two lines";
            return Err(Reject::new(reason));
        }
        if plain && !self.json {
            out.reserve(value.len() + 1);
            out.extend_from_slice(value);
            out.push(b'\n');
            return Ok(());
        }
        let line = if plain { &mut *out } else { &mut self.line };
        let start = line.len();
        line.extend_from_slice(value);
        if self.json && memchr(b'\n', value).is_some() {
            // Between tokens a line break is white space like any other; inside a string JSON
            // does not allow it.
            for byte in &mut line[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        line.push(b'\n');
        if !plain {
            let written = self.encoder.write(&self.line, out);
            self.line.clear();
            written.map_err(|error| Reject::new(format!("the compressor failed: {error}")))?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        self.encoder.flush(out).map_err(compressor)
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::None);
        encoder.finish(out).map_err(compressor)
    }
}

fn compressor(error: std::io::Error) -> StageError {
    StageError::fatal(format!("the compressor failed: {error}"))
}
