//! The sink: to files through `plugin_api::files`, or straight to standard output.

use crate::config::{Codec, SinkOptions};
use file_io::{Encoder, Stdout};
use memchr::memchr;
use plugin_api::files::{FileFormat, FileSink, FileSpec, Roll};
use plugin_api::prelude::*;
use std::path::Path;

/// Sink `lines`: files exactly once, or standard output at least once.
pub enum LinesSink {
    /// Files.
    Files(Box<FileSink<LineFiles>>),
    /// Standard output.
    Stdout(Box<(Stdout, Lines)>),
}

/// What is special about the files of the sink `lines`.
pub struct LineFiles;

impl FileSpec for LineFiles {
    const NAME: &'static str = "lines";
    type Options = SinkOptions;
    type Format = Lines;

    fn format(options: &SinkOptions, inputs: &[ContentType]) -> Result<Lines, StageError> {
        for input in inputs {
            if matches!(input.format, Format::Avro | Format::Png) {
                let hint = match input.format {
                    Format::Avro => "; decode it first with avro-decode",
                    _ => "; the sink `files` makes a file of each record",
                };
                let message = format!("{} cannot be written as lines{hint}", input.format);
                return Err(StageError::config("/inputs", message));
            }
        }
        Ok(Lines {
            json: inputs.iter().all(|input| input.format == Format::Json),
            codec: match options.codec {
                Codec::None => file_io::Codec::None,
                Codec::Gzip => file_io::Codec::Gzip,
                Codec::Zstd => file_io::Codec::Zstd,
            },
            encoder: None,
            line: Vec::new(),
        })
    }

    fn target(options: &SinkOptions) -> (&Path, &Roll) {
        (&options.path, &options.roll)
    }
}

impl Sink for LinesSink {
    const NAME: &'static str = LineFiles::NAME;
    type Options = SinkOptions;

    fn plan(options: &SinkOptions, inputs: &[ContentType]) -> Result<Planned, StageError> {
        if is_stdout(&options.path) {
            LineFiles::format(options, inputs)?;
            return Ok(Planned::sink().prints());
        }
        FileSink::<LineFiles>::plan(options, inputs)
    }

    fn open(options: SinkOptions, ctx: &Context) -> Result<Self, StageError> {
        if !is_stdout(&options.path) {
            return Ok(Self::Files(Box::new(FileSink::open(options, ctx)?)));
        }
        let mut lines = LineFiles::format(&options, ctx.inputs())?;
        let mut stdout = Stdout::open()?;
        lines.begin(stdout.buffer())?;
        Ok(Self::Stdout(Box::new((stdout, lines))))
    }

    fn restore(&mut self, epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        match self {
            Self::Files(files) => files.restore(epoch, state),
            Self::Stdout(_) => Ok(()),
        }
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        let (stdout, lines) = match self {
            Self::Files(files) => return files.write(input, from, out),
            Self::Stdout(both) => &mut **both,
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
        lines.show(stdout.buffer())?;
        match stdout.flush() {
            // The records are in the buffer, and the next call writes its rest: not taken again.
            Err(error) if !error.is_transient() => Err(error),
            _ => Ok(input.batch.len() - from),
        }
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        match self {
            Self::Files(files) => files.tick(now_ns, out),
            Self::Stdout(_) => Ok(None),
        }
    }

    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        match self {
            Self::Files(files) => files.checkpoint(epoch, last),
            Self::Stdout(_) => Ok(()),
        }
    }

    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        match self {
            Self::Files(files) => files.checkpoint_poll(epoch, out),
            // Nothing before the barrier may stay in the buffer.
            Self::Stdout(both) => {
                both.0.flush()?;
                Ok(Checkpoint::Ready(Vec::new()))
            }
        }
    }

    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        match self {
            Self::Files(files) => files.commit(epoch),
            Self::Stdout(_) => Ok(Commit::Done),
        }
    }

    fn abort(&mut self, epoch: u64) -> Result<(), StageError> {
        match self {
            Self::Files(files) => files.abort(epoch),
            Self::Stdout(_) => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), StageError> {
        match self {
            Self::Files(_) => Ok(()),
            Self::Stdout(both) => {
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
pub struct Lines {
    json: bool,
    codec: file_io::Codec,
    /// The compressed stream at hand; after a checkpoint the next line begins one.
    encoder: Option<Encoder>,
    /// The line at hand, where it goes through an encoder.
    line: Vec<u8>,
}

impl Lines {
    /// Lets a reader see every line written so far; the compressed stream goes on.
    fn show(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        let encoder = self.encoder.as_mut();
        encoder.map_or(Ok(()), |encoder| encoder.flush(out).map_err(compressor))
    }
}

impl FileFormat for Lines {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), StageError> {
        self.encoder = Some(Encoder::new(self.codec).map_err(compressor)?);
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let value = record
            .value()
            .ok_or_else(|| Reject::new("the record has no value to write as a line"))?;
        let plain = self.codec == file_io::Codec::None;
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
            let encoder = match &mut self.encoder {
                Some(encoder) => Ok(encoder),
                none => Encoder::new(self.codec).map(|encoder| none.insert(encoder)),
            };
            let written = encoder.and_then(|encoder| encoder.write(&self.line, out));
            self.line.clear();
            written.map_err(|error| Reject::new(format!("the compressor failed: {error}")))?;
        }
        Ok(())
    }

    /// Ends the gzip member or zstd frame: a file may have many.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        let encoder = self.encoder.take();
        encoder.map_or(Ok(()), |encoder| encoder.finish(out).map_err(compressor))
    }

    fn save(&self) -> String {
        self.codec.to_string()
    }

    fn resume(&mut self, saved: &str) -> Result<bool, StageError> {
        self.encoder = None;
        Ok(saved == self.codec.to_string())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StageError> {
        self.flush(out)
    }
}

fn compressor(error: std::io::Error) -> StageError {
    StageError::fatal(format!("the compressor failed: {error}"))
}
