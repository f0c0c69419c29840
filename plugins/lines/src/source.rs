//! The source: files one after the other, a batch a block.

use crate::config::SourceOptions;
use crate::split::{Splitter, Taken};
use file_io::{Got, Id, Origin, Reader, Walk};
use plugin_api::prelude::*;
use plugin_api::{BatchLimits, ID_HEADER, content::STDIN};
use std::path::Path;
use std::time::Duration;

/// Source `lines`.
pub struct LinesSource {
    options: SourceOptions,
    ctx: Context,
    limits: BatchLimits,
    walk: Walk,
    current: Option<Current>,
    splitter: Splitter,
    builder: BatchBuilder,
}

/// The file at hand.
struct Current {
    name: String,
    reader: Reader,
    id: Id,
}

impl Source for LinesSource {
    const NAME: &'static str = "lines";
    const WORKERS: bool = true;
    type Options = SourceOptions;

    fn plan(options: &SourceOptions) -> Result<Planned, StageError> {
        if options.max_line_bytes.0 == 0 || options.max_line_bytes.0 > 1 << 30 {
            return Err(StageError::config(
                "/max_line_bytes",
                "the longest line must be between 1 B and 1 GiB",
            ));
        }
        let planned = Planned::new(options.format.content_type())
            .memory("the longest line", options.max_line_bytes.0);
        Ok(if options.path.as_ref() == Path::new("-") {
            planned.reads(STDIN).live()
        } else {
            planned
        })
    }

    fn open(options: SourceOptions, ctx: &Context) -> Result<Self, StageError> {
        let max_line = options.max_line_bytes.bytes();
        Ok(Self {
            limits: ctx.batch_limits(),
            walk: Walk::new(&options.path, ctx)?,
            current: None,
            splitter: Splitter::new(options.delimiter, options.skip_blank, max_line),
            builder: BatchBuilder::new(),
            ctx: ctx.clone(),
            options,
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        if let Some(position) = self.walk.restore(state)? {
            let origin = self.walk.last().cloned();
            origin.map_or(Ok(()), |origin| self.begin(&origin, position))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        let within = self.current.as_ref();
        self.walk.save(within.map(|_| self.splitter.position()))
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut left = budget;
        while left > 0 {
            if self.current.is_none() && !self.next_file()? {
                return Ok(Poll::Finished);
            }
            let max_records = self.limits.max_records.clamp(1, left);
            let taken = self.splitter.take(max_records, self.limits.max_bytes);
            let read_on = taken == Taken::Nothing;
            if self.hand_out(taken, &mut left, out) == Emit::Full {
                return Ok(Poll::More);
            }
            if !read_on {
                continue;
            }
            match self.read(deadline_ns) {
                Ok(Got::Bytes(count)) => self.splitter.filled(count),
                Ok(Got::Pending) => return Ok(Poll::Idle),
                Ok(Got::End) => {
                    let taken = self.splitter.take_last();
                    // At most one line, and `left` is at least 1.
                    let room = self.hand_out(taken, &mut left, out);
                    self.current = None;
                    if room == Emit::Full {
                        return Ok(Poll::More);
                    }
                }
                Err(error) => self.damaged(&error, out),
            }
            if self.ctx.monotonic_ns() >= deadline_ns {
                return Ok(Poll::More);
            }
        }
        Ok(Poll::More)
    }
}

impl LinesSource {
    fn next_file(&mut self) -> Result<bool, StageError> {
        let Some(origin) = self.walk.begin_next().cloned() else {
            return Ok(false);
        };
        self.begin(&origin, 0)?;
        Ok(true)
    }

    fn begin(&mut self, origin: &Origin, position: u64) -> Result<(), StageError> {
        let reader = Reader::open_at(origin, position)
            .map_err(|error| StageError::fatal(format!("cannot read {origin}: {error}")))?;
        let how = reader.compression();
        self.ctx.debug(format!("reading {origin} ({how})"));
        if reader.is_pipe() && position > 0 {
            self.ctx.warn(format!(
                "{origin} cannot be read twice: what came after the last checkpoint is lost"
            ));
        }
        self.splitter.reset(position);
        self.current = Some(Current {
            name: origin.name().to_owned(),
            reader,
            id: Id::of(origin),
        });
        Ok(())
    }

    fn read(&mut self, deadline_ns: u64) -> std::io::Result<Got> {
        let Some(current) = &mut self.current else {
            return Ok(Got::End);
        };
        let wait = deadline_ns.saturating_sub(self.ctx.monotonic_ns());
        current
            .reader
            .read(self.splitter.room(), Duration::from_nanos(wait))
    }

    fn hand_out(&mut self, taken: Taken, left: &mut usize, out: &mut Out<'_, '_>) -> Emit {
        out.filtered(self.splitter.blank());
        match taken {
            Taken::Nothing => Emit::Ok,
            Taken::TooLong {
                head,
                position,
                len,
            } => {
                let max = self.options.max_line_bytes.0;
                let name = self.name();
                let reason = format!(
                    "a line of {len} bytes is longer than max_line_bytes = {max}, at {name}:{position}"
                );
                out.reject_raw(&head, &Reject::new(reason));
                Emit::Ok
            }
            Taken::Lines => {
                let batch = self.batch();
                *left -= batch.len();
                out.emit(0, batch)
            }
        }
    }

    /// One copy of the block; records are cut from it.
    fn batch(&mut self) -> Batch {
        let (block, ranges, position) = self.splitter.lines();
        let base = self.builder.append_bytes(block);
        let mut id = self.current.as_mut().map(|current| &mut current.id);
        for &(offset, len) in ranges {
            self.builder.cut(base + offset, len);
            if let Some(id) = id.as_mut().filter(|_| self.options.ids) {
                let id = id.at(position + u64::from(offset));
                self.builder.header(ID_HEADER, Some(id));
            }
        }
        self.builder.finish()
    }

    /// A stream that breaks off: what it was in the middle of is a dead letter, and the next file
    /// has its turn.
    fn damaged(&mut self, error: &std::io::Error, out: &mut Out<'_, '_>) {
        let (torn, position) = self.splitter.torn();
        let name = self.name();
        let reason = format!("{name} is damaged after byte {position} of its content: {error}");
        self.ctx.error(&reason);
        out.reject_raw(torn, &Reject::new(reason));
        self.current = None;
    }

    fn name(&self) -> &str {
        self.current.as_ref().map_or("", |current| &current.name)
    }
}
