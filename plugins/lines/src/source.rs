//! The source: files one after the other, a batch a block.

use crate::config::SourceOptions;
use crate::split::{Splitter, Taken};
use file_io::{Got, Origin, Reader, find};
use plugin_api::BatchLimits;
use plugin_api::content::STDIN;
use plugin_api::prelude::*;
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Source `lines`.
pub struct LinesSource {
    options: SourceOptions,
    ctx: Context,
    limits: BatchLimits,
    waiting: VecDeque<Origin>,
    current: Option<(Origin, Reader)>,
    splitter: Splitter,
    builder: BatchBuilder,
    id: Vec<u8>,
}

impl Source for LinesSource {
    const NAME: &'static str = "lines";
    type Options = SourceOptions;

    fn plan(options: &SourceOptions) -> Result<Planned, StageError> {
        if options.max_line_bytes.0 == 0 || options.max_line_bytes.0 > 1 << 30 {
            return Err(StageError::config(
                "/max_line_bytes",
                "the longest line must be between 1 B and 1 GiB",
            ));
        }
        let planned = Planned::new(options.format.content_type());
        Ok(if options.path.as_ref() == Path::new("-") {
            planned.reads(STDIN)
        } else {
            planned
        })
    }

    fn open(options: SourceOptions, ctx: &Context) -> Result<Self, StageError> {
        let path = options.path.as_ref();
        let files = find(path).map_err(|error| {
            StageError::config("/path", format!("cannot read {}: {error}", path.display()))
        })?;
        let (worker, workers) = (ctx.worker() as usize, ctx.workers().max(1) as usize);
        let mine = files.into_iter().enumerate();
        let mine = mine.filter(|(index, _)| index % workers == worker);
        let max_line = options.max_line_bytes.bytes();
        Ok(Self {
            limits: ctx.batch_limits(),
            waiting: mine.map(|(_, origin)| origin).collect(),
            current: None,
            splitter: Splitter::new(options.delimiter, options.skip_blank, max_line),
            builder: BatchBuilder::new(),
            id: Vec::new(),
            ctx: ctx.clone(),
            options,
        })
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
                    self.current = None;
                    // At most one line, and `left` is at least 1.
                    if self.hand_out(taken, &mut left, out) == Emit::Full {
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
        let Some(origin) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let reader = Reader::open(&origin)
            .map_err(|error| StageError::fatal(format!("cannot read {origin}: {error}")))?;
        self.ctx
            .debug(format!("reading {origin} ({})", reader.compression()));
        self.splitter.reset();
        self.id.clear();
        self.id.extend_from_slice(origin.name().as_bytes());
        self.id.push(b':');
        self.current = Some((origin, reader));
        Ok(true)
    }

    fn read(&mut self, deadline_ns: u64) -> std::io::Result<Got> {
        let Some((_, reader)) = &mut self.current else {
            return Ok(Got::End);
        };
        let wait = deadline_ns.saturating_sub(self.ctx.monotonic_ns());
        reader.read(self.splitter.room(), Duration::from_nanos(wait))
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
        let prefix = self.id.len();
        for &(offset, len) in ranges {
            self.builder.cut(base + offset, len);
            if self.options.ids {
                push_decimal(position + u64::from(offset), &mut self.id);
                self.builder.header("id", Some(&self.id));
                self.id.truncate(prefix);
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

    fn name(&self) -> String {
        let name = self.id.strip_suffix(b":").unwrap_or(&self.id);
        String::from_utf8_lossy(name).into_owned()
    }
}

fn push_decimal(number: u64, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _ = write!(out, "{number}");
}
