//! The source: records at a rate, or as many as are taken.

use crate::config::{Kind, Options};
use crate::languages::LANGUAGES;
use crate::people::simple_user;
use crate::rng::{Rng, mix};
use crate::stream::{Stream, seeded};
use plugin_api::prelude::*;
use plugin_api::time::Civil;
use plugin_api::{BatchLimits, ID_HEADER};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io::Write;

/// Pace of the times where records are made as fast as they are taken.
const UNPACED: f64 = 50.0;

/// Records of a segment: as many are made again, at most, to go on from a checkpoint.
const SEGMENT: u64 = 16_384;

/// Source `generate`.
pub struct Generate {
    ctx: Context,
    limits: BatchLimits,
    makes: Makes,
    rate: Option<f64>,
    /// How many to make, and how many were made.
    count: u64,
    made: u64,
    start_us: i64,
    /// The segment begun last: its first record, and the clock before it.
    segment: (u64, (i64, i64)),
    /// When record `first` was due, on the monotonic clock: the first of this process.
    start_ns: u64,
    first: u64,
    builder: BatchBuilder,
    id: Vec<u8>,
}

enum Makes {
    Tweets(Box<Stream>),
    Users(Users),
}

struct Users {
    seed: u64,
    rng: Rng,
    /// Ids begin at the worker's number and go on in steps of as many as there are.
    worker: u64,
    workers: u64,
}

/// What a checkpoint keeps.
#[derive(Serialize, Deserialize)]
struct State {
    made: u64,
    start_us: i64,
    segment: (u64, (i64, i64)),
}

impl Source for Generate {
    const NAME: &'static str = "generate";
    const WORKERS: bool = true;
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        check(options)?;
        Ok(Planned::new(ContentType::json()))
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let (worker, workers) = (ctx.worker(), ctx.workers().max(1));
        let start_us = check(&options)?.unwrap_or_else(|| ctx.now_us());
        // Each worker makes its share at its share of the rate.
        let share = |count: u64| {
            let (worker, workers) = (u64::from(worker), u64::from(workers));
            count / workers + u64::from(worker < count % workers)
        };
        let makes = match options.kind {
            Kind::Users => {
                let seed = options.seed ^ mix(u64::from(worker));
                Makes::Users(Users {
                    seed,
                    rng: seeded(seed, 0),
                    worker: u64::from(worker),
                    workers: u64::from(workers),
                })
            }
            Kind::Tweets => {
                let languages = options.languages.as_deref();
                let start_ms = start_us.div_euclid(1_000);
                let stream =
                    Stream::new(options.seed, worker, start_ms, options.deletes, languages);
                Makes::Tweets(Box::new(stream))
            }
        };
        Ok(Self {
            limits: ctx.batch_limits(),
            makes,
            rate: options.rate.map(|rate| rate / f64::from(workers)),
            count: options.count.map_or(u64::MAX, share),
            made: 0,
            start_us,
            segment: (0, (0, 0)),
            start_ns: ctx.monotonic_ns(),
            first: 0,
            builder: BatchBuilder::new(),
            id: Vec::new(),
            ctx: ctx.clone(),
        })
    }

    fn restore(&mut self, _epoch: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let Some(state) = state.filter(|state| !state.is_empty()) else {
            return Ok(());
        };
        let state: State = serde_json::from_slice(state)
            .map_err(|error| StageError::fatal(format!("its checkpoint: {error}")))?;
        (self.start_us, self.segment) = (state.start_us, state.segment);
        let (begun, clock) = state.segment;
        if let Makes::Tweets(stream) = &mut self.makes {
            stream.set_clock(self.start_us.div_euclid(1_000), clock);
        }
        self.begin_segment(begun);
        // What was made of the segment is made again, to no end but the state that it leaves.
        self.made = begun;
        while self.made < state.made {
            self.record();
            if self.builder.len() >= self.limits.max_records {
                drop(self.builder.finish());
            }
        }
        drop(self.builder.finish());
        (self.first, self.start_ns) = (self.made, self.ctx.monotonic_ns());
        Ok(())
    }

    fn checkpoint(&mut self, _epoch: u64, _last: bool) -> Result<Vec<u8>, StageError> {
        let state = State {
            made: self.made,
            start_us: self.start_us,
            segment: self.segment,
        };
        serde_json::to_vec(&state).map_err(|error| StageError::fatal(error.to_string()))
    }

    fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut left = budget;
        while left > 0 && self.made < self.count {
            let now = self.ctx.monotonic_ns();
            if self.due_ns() > now {
                if now >= deadline_ns || !self.ctx.sleep_until(self.due_ns().min(deadline_ns)) {
                    return Ok(Poll::Idle);
                }
                continue;
            }
            let batch = self.batch(left, now);
            left -= batch.len();
            if out.emit(0, batch) == Emit::Full || self.ctx.monotonic_ns() >= deadline_ns {
                return Ok(self.more());
            }
        }
        Ok(self.more())
    }
}

impl Generate {
    fn more(&self) -> Poll {
        if self.made < self.count {
            Poll::More
        } else {
            Poll::Finished
        }
    }

    /// When the next record is due, on the monotonic clock.
    fn due_ns(&self) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        self.start_ns + ((self.made - self.first) as f64 / rate * 1e9) as u64
    }

    /// Records that are due by `now`, as many as a batch and `left` allow.
    fn batch(&mut self, left: usize, now: u64) -> Batch {
        let max = self.limits.max_records.clamp(1, left);
        while self.builder.len() < max
            && self.builder.bytes() < self.limits.max_bytes
            && self.made < self.count
            && self.due_ns() <= now
        {
            self.record();
        }
        self.builder.finish()
    }

    /// Makes the next record.
    fn record(&mut self) {
        let (begun, _) = self.segment;
        if self.made == begun + SEGMENT {
            self.begin_segment(self.made);
        }
        let pace = self.rate.unwrap_or(UNPACED);
        let us = self.start_us + (self.made as f64 / pace * 1e6) as i64;
        match &mut self.makes {
            Makes::Users(users) => {
                let id = users.worker + 1 + self.made * users.workers;
                let rng = &mut users.rng;
                write(&mut self.builder, |out| simple_user(id, rng, out));
                set(&mut self.id, format_args!("{id}"));
                self.builder.ts_us(Some(us));
            }
            Makes::Tweets(stream) => {
                let mut made = None;
                let ms = us.div_euclid(1_000);
                write(&mut self.builder, |out| made = Some(stream.next(ms, out)));
                if let Some(made) = made {
                    self.builder.ts_us(Some(made.ms * 1_000));
                    let kind = if made.delete { "delete/" } else { "" };
                    set(&mut self.id, format_args!("{kind}{}", made.id));
                }
            }
        }
        self.builder.header(ID_HEADER, Some(&self.id));
        self.made += 1;
    }

    fn begin_segment(&mut self, first: u64) {
        let number = first / SEGMENT;
        let clock = match &mut self.makes {
            Makes::Tweets(stream) => {
                stream.begin(number);
                stream.clock()
            }
            Makes::Users(users) => {
                users.rng = seeded(users.seed, number);
                (0, 0)
            }
        };
        self.segment = (first, clock);
    }
}

fn write(builder: &mut BatchBuilder, write: impl FnOnce(&mut Vec<u8>)) {
    let written = builder.write(|out| {
        write(out);
        Ok::<(), Infallible>(())
    });
    match written {
        Ok(_) => {}
        Err(never) => match never {},
    }
}

fn set(id: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    id.clear();
    // Writing to a `Vec` cannot fail.
    let _ = id.write_fmt(text);
}

/// Checks the options; the start time in microseconds, if one is set.
fn check(options: &Options) -> Result<Option<i64>, StageError> {
    if options
        .rate
        .is_some_and(|rate| !(rate > 0.0 && rate <= 1e9))
    {
        return Err(StageError::config("/rate", "the rate must be above 0"));
    }
    if !(0.0..=1.0).contains(&options.deletes) {
        return Err(StageError::config("/deletes", "a share is between 0 and 1"));
    }
    for (index, code) in options.languages.iter().flatten().enumerate() {
        if code != "en" && !LANGUAGES.iter().any(|language| language.code == code) {
            let known: Vec<&str> = LANGUAGES.iter().map(|language| language.code).collect();
            let message = format!("`{code}` is not among en, {}", known.join(", "));
            return Err(StageError::config(&format!("/languages/{index}"), message));
        }
    }
    if options.languages.as_ref().is_some_and(Vec::is_empty) {
        return Err(StageError::config(
            "/languages",
            "at least one language is needed",
        ));
    }
    let start = options.start_time.as_deref().map(|text| {
        parse_time(text).ok_or_else(|| {
            let message = format!("`{text}` is no time: expected such as \"2026-11-24T09:00:00Z\"");
            StageError::config("/start_time", message)
        })
    });
    start.transpose()
}

/// Reads `2026-11-24T09:00:00Z`, from 2011 on, when tweets' ids held times, to 2079.
fn parse_time(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(2011..2080).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * month_from_march + 2) / 5
        + day
        - 719_469;
    let us = ((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000;
    // What does not print as it was read, such as 30 February or a missing Z, is no time.
    let printed = Civil::from_us(us).to_string();
    (printed.replace(".000Z", "Z") == text).then_some(us)
}
