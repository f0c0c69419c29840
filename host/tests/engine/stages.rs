//! Stages that the tests of the engine run, and a log of the calls that they saw.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use plugin_api::{Reject, prelude::*};

/// What stages saw, in order: `STAGE CALL`.
pub fn calls() -> MutexGuard<'static, Vec<String>> {
    static CALLS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn seen(of: &str) -> Vec<String> {
    let prefix = format!("{of} ");
    calls()
        .iter()
        .filter_map(|c| c.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

fn saw(ctx: &Context, what: impl std::fmt::Display) {
    calls().push(format!("{}/{} {what}", ctx.host(), ctx.stage()));
}

/// What sinks with `exact` hold, as a file would: cut to what an epoch knew on restore.
pub fn held() -> MutexGuard<'static, BTreeMap<String, Vec<u64>>> {
    static HELD: Mutex<BTreeMap<String, Vec<u64>>> = Mutex::new(BTreeMap::new());
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this happens for the first time in the process.
fn first_time(ctx: &Context, what: &str) -> bool {
    let name = format!("{}/{} {what}", ctx.host(), ctx.stage());
    let first = !calls().contains(&name);
    saw(ctx, what);
    first
}

options! {
    /// Counts up.
    #[derive(Default)]
    #[serde(default)]
    pub struct CountOptions {
        /// Stop after so many; 0: never.
        pub to: u64,
        /// Records a batch.
        pub batch: usize,
        /// Fail at this number, for good.
        pub fail_at: u64,
        /// Fail at this number in a way that a restart may mend.
        pub break_at: u64,
        /// Panic once at this number.
        pub panic_once_at: u64,
        /// What was counted cannot be counted again.
        pub live: bool,
        /// Wait at this number until this sink's host has committed an epoch.
        pub wait_at: u64,
        /// On drain, read up to this number.
        pub drain_to: u64,
    }
}

pub struct Count {
    options: CountOptions,
    ctx: Context,
    at: u64,
    end: u64,
    builder: BatchBuilder,
}

impl Source for Count {
    const NAME: &'static str = "count";
    type Options = CountOptions;
    fn plan(options: &CountOptions) -> Result<Planned, StageError> {
        let planned = Planned::new(ContentType::text());
        Ok(if options.live {
            planned.live()
        } else {
            planned
        })
    }
    fn open(options: CountOptions, ctx: &Context) -> Result<Self, StageError> {
        saw(ctx, "open");
        let end = if options.to == 0 {
            u64::MAX
        } else {
            options.to
        };
        Ok(Self {
            options,
            ctx: ctx.clone(),
            at: 0,
            end,
            builder: BatchBuilder::new(),
        })
    }
    fn poll(&mut self, budget: usize, _: u64, out: &mut Out<'_, '_>) -> Result<Poll, StageError> {
        if self.options.wait_at != 0 && self.at == self.options.wait_at {
            let commits = seen(&format!("{}/{}", self.ctx.host(), self.ctx.stage()));
            if !commits.iter().any(|c| c.starts_with("commit ")) {
                return Ok(Poll::Idle);
            }
        }
        let n = self.options.batch.max(1).min(budget) as u64;
        let until = self.end.min(self.at + n);
        while self.at < until {
            self.at += 1;
            if self.at == self.options.fail_at {
                return Err(StageError::unavailable("as asked"));
            }
            if self.at == self.options.break_at {
                return Err(StageError::fatal("broken, as asked"));
            }
            if self.at == self.options.panic_once_at && first_time(&self.ctx, "panics") {
                panic!("as asked");
            }
            let key = [b'a' + (self.at % 7) as u8];
            self.builder
                .push(Some(self.at.to_string().as_bytes()))
                .key(Some(&key));
        }
        let _ = out.emit(0, self.builder.finish());
        Ok(if self.at >= self.end {
            Poll::Finished
        } else {
            Poll::More
        })
    }
    fn drain(&mut self) -> Drain {
        saw(&self.ctx, "drain");
        if self.options.drain_to == 0 {
            return Drain::Stop;
        }
        self.end = self.options.drain_to;
        Drain::ToEnd
    }
    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<Vec<u8>, StageError> {
        saw(
            &self.ctx,
            format!("checkpoint {epoch} {last} at {}", self.at),
        );
        Ok(self.at.to_le_bytes().to_vec())
    }
    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        if let Some(state) = state {
            let bytes = state
                .try_into()
                .map_err(|_| StageError::fatal("no state of mine"))?;
            self.at = u64::from_le_bytes(bytes);
            saw(&self.ctx, format!("restored at {}", self.at));
        }
        Ok(())
    }
    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        saw(&self.ctx, format!("commit {epoch}"));
        Ok(Commit::Done)
    }
    fn close(&mut self) -> Result<(), StageError> {
        saw(&self.ctx, "close");
        Ok(())
    }
}

options! {
    /// Does odd things to numbers.
    #[derive(Default)]
    #[serde(default)]
    pub struct OddOptions {
        /// Reject multiples of this.
        pub reject: u64,
        /// Drop multiples of this.
        pub drop: u64,
        /// Panic at this number.
        pub panic_at: u64,
        /// Panic at this number, but only the first time.
        pub panic_once_at: u64,
        /// Panic at a hundred, once the host's sink has committed more often than this.
        pub panic_after_commits: Option<usize>,
        /// Never come back from this number.
        pub hang_at: u64,
    }
}

pub struct Odd(OddOptions, Context);

impl Map for Odd {
    const NAME: &'static str = "odd";
    type Options = OddOptions;
    fn open(options: OddOptions, ctx: &Context) -> Result<Self, StageError> {
        saw(ctx, "open");
        Ok(Self(options, ctx.clone()))
    }
    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
        let n: u64 = record
            .text()?
            .parse()
            .map_err(|_| Reject::new("no number"))?;
        let multiple = |of: u64| of != 0 && n.is_multiple_of(of);
        assert_ne!(n, self.0.panic_at, "as asked");
        if n == self.0.panic_once_at && first_time(&self.1, "panics") {
            panic!("as asked, once");
        }
        if n.is_multiple_of(100)
            && let Some(before) = self.0.panic_after_commits
        {
            let sink = seen(&format!("{}/keep", self.1.host()));
            let commits = sink.iter().filter(|c| c.starts_with("commit "));
            assert!(commits.count() <= before, "as asked");
        }
        if n == self.0.hang_at {
            loop {
                std::thread::park();
            }
        }
        if multiple(self.0.reject) {
            return Err(Reject::new("a multiple"));
        }
        if multiple(self.0.drop) {
            return Ok(Fate::Drop);
        }
        out.extend_from_slice(record.bytes());
        Ok(Fate::Keep)
    }
}

options! {
    /// Keeps what it gets.
    #[derive(Default)]
    #[serde(default)]
    pub struct KeepOptions {
        /// Take at most so many records at a time.
        pub take: usize,
        /// Answer `busy` before each.
        pub busy: bool,
        /// Take nothing, ever.
        pub stuck: bool,
        /// Meet transient trouble so many times when opening.
        pub trouble: u64,
        /// How many times a checkpoint is pending.
        pub pending: u64,
        /// Do not write each record down: for sources without an end.
        pub quiet: bool,
        /// Hold the numbers, exactly once.
        pub exact: bool,
        /// Fail at the first record.
        pub broken: bool,
        /// Take nothing between a barrier and its commit, as in a transaction.
        pub seals: bool,
    }
}

pub struct Keep {
    options: KeepOptions,
    ctx: Context,
    ready: bool,
    total: u64,
    pending: u64,
    at_barrier: u64,
    sealed: bool,
}

impl Sink for Keep {
    const NAME: &'static str = "keep";
    type Options = KeepOptions;
    fn open(options: KeepOptions, ctx: &Context) -> Result<Self, StageError> {
        let tried = seen(&format!("{}/{}", ctx.host(), ctx.stage()))
            .iter()
            .filter(|c| *c == "trouble")
            .count();
        if (tried as u64) < options.trouble {
            saw(ctx, "trouble");
            return Err(
                StageError::transient("not yet").retry_after(std::time::Duration::from_millis(1))
            );
        }
        saw(ctx, "open");
        Ok(Self {
            options,
            ctx: ctx.clone(),
            ready: false,
            total: 0,
            pending: 0,
            at_barrier: 0,
            sealed: false,
        })
    }
    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        _: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        if self.sealed {
            return Ok(0);
        }
        if self.options.broken {
            return Err(StageError::fatal("broken, as asked"));
        }
        self.ready = !self.ready;
        if self.options.stuck || self.options.busy && self.ready {
            return Ok(0);
        }
        let left = input.batch.len() - from;
        let n = if self.options.take == 0 {
            left
        } else {
            left.min(self.options.take)
        };
        for i in from..from + n {
            if self.options.exact {
                let number = input.batch.record(i).text().map(str::parse::<u64>);
                let name = format!("{}/{}", self.ctx.host(), self.ctx.stage());
                held()
                    .entry(name)
                    .or_default()
                    .extend(number.ok().and_then(Result::ok));
            } else if !self.options.quiet {
                let text = input.batch.record(i).text().unwrap_or("?").to_owned();
                saw(&self.ctx, format!("got {text}"));
            }
        }
        self.total += n as u64;
        Ok(n)
    }
    fn end(&mut self, input: u32, _: &mut Out<'_, '_>) -> Result<(), StageError> {
        saw(&self.ctx, format!("end {input}"));
        Ok(())
    }
    fn checkpoint(&mut self, epoch: u64, last: bool) -> Result<(), StageError> {
        saw(
            &self.ctx,
            format!("checkpoint {epoch} {last} after {}", self.total),
        );
        self.pending = self.options.pending;
        self.sealed = self.options.seals;
        let name = format!("{}/{}", self.ctx.host(), self.ctx.stage());
        self.at_barrier = held().get(&name).map_or(0, |h| h.len() as u64);
        Ok(())
    }
    fn checkpoint_poll(
        &mut self,
        epoch: u64,
        _: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        if self.pending > 0 {
            self.pending -= 1;
            return Ok(Checkpoint::Pending);
        }
        saw(&self.ctx, format!("ready {epoch}"));
        Ok(Checkpoint::Ready(self.at_barrier.to_le_bytes().to_vec()))
    }
    fn restore(&mut self, _: u64, state: Option<&[u8]>) -> Result<(), StageError> {
        let state = state.and_then(|s| s.try_into().ok()).unwrap_or_default();
        let name = format!("{}/{}", self.ctx.host(), self.ctx.stage());
        let length = u64::from_le_bytes(state) as usize;
        held().entry(name).or_default().truncate(length);
        Ok(())
    }
    fn commit(&mut self, epoch: u64) -> Result<Commit, StageError> {
        saw(&self.ctx, format!("commit {epoch}"));
        self.sealed = false;
        Ok(Commit::Done)
    }
    fn close(&mut self) -> Result<(), StageError> {
        saw(&self.ctx, "close");
        Ok(())
    }
}

plugin_api::export_plugin! { sources: [Count], processors: [PerRecord<Odd>], sinks: [Keep] }
