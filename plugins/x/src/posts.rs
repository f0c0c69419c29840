//! The stream, as the loop that keeps it sees it: what comes before it, the request, and what its
//! bytes mean.

use std::cell::Cell;
use std::time::Duration;

use live::http::{OnClose, Stream};
use live::{Brought, End, Framing, Gone, Intake, Piece, Refusal, Trouble, Verdict};
use plugin_api::{Context, StageError};
use reqwest::{RequestBuilder, Url};

use crate::budget::{Budget, Limits, Spent};
use crate::config::{self, Options, WhenSpent};
use crate::messages::{Meaning, Messages};
use crate::request::Requests;
use crate::rules::Wanted;
use crate::source::Mark;
use crate::sync::sync;
use crate::verdict::verdict;
use crate::window::Window;

/// The longest wait for a new day or month: then the clock is looked at again.
const MAX_WAIT: Duration = Duration::from_secs(3_600);
/// How long to stay away when the engine is behind: X allows 50 connections in 15 minutes.
const BEHIND_WAIT: Duration = Duration::from_secs(20);
/// What may be lost besides the time since something came: it was on its way.
const SLACK_S: u64 = 10;
/// Of what comes in one piece with the last post that may be read, so much is kept.
pub(crate) const SPILL_BYTES: usize = 4 << 20;

pub(crate) struct Posts {
    options: Options,
    requests: Requests,
    tag: String,
    wanted: Vec<Wanted>,
    /// Cleared when X says that there are none.
    rules_are_set: Cell<bool>,
    messages: Messages,
    framing: Framing,
    budget: Option<Budget>,
    /// X was asked for the stream, and may send since.
    asked: bool,
    /// Posts that were read but not counted, as the source was leaving.
    late: u64,
    /// Bytes that came with those on which the stream was left.
    spilled: usize,
    ctx: Context,
    /// When something last came, on the host's monotonic clock.
    heard_ns: Option<u64>,
    /// The same of an earlier run, by the wall clock.
    resumed_us: Option<Mark>,
    /// Seconds between two connections that nothing was asked for again.
    missed_s: u64,
}

impl Posts {
    pub fn new(options: Options, base: &Url, ctx: &Context) -> Result<Self, StageError> {
        let tag = options
            .tag
            .clone()
            .unwrap_or_else(|| ctx.stage().replace(':', "-"));
        let budget = options.max_posts.as_ref().map(|max| {
            let limits = Limits {
                day: max.day,
                month: max.month,
                in_flight: max.in_flight,
            };
            Budget::open(&max.file, limits, ctx.now_us())
        });
        let posts = Self {
            requests: Requests::new(&options, base)?,
            wanted: config::wanted(&options, &tag)?,
            tag,
            rules_are_set: Cell::new(false),
            messages: Messages::new(&options.track, Window::new(options.backfill_minutes > 0))?,
            framing: framing(&options),
            budget: budget.transpose()?,
            asked: false,
            late: 0,
            spilled: 0,
            ctx: ctx.clone(),
            heard_ns: None,
            resumed_us: None,
            missed_s: 0,
            options,
        };
        posts.show_left();
        Ok(posts)
    }

    /// An earlier run read up to there, and these posts.
    pub fn resume(&mut self, heard_us: Mark, ids: impl Iterator<Item = u64>) {
        self.resumed_us = Some(heard_us);
        ids.for_each(|id| self.messages.know(id));
    }

    /// Nothing more is read: says what was.
    pub fn finish(&self) {
        if let Some(budget) = &self.budget {
            let report = budget.report();
            self.ctx.info(format!("read and paid for: {report}"));
        }
    }

    fn show_left(&self) {
        let Some(budget) = &self.budget else { return };
        let (day, month) = budget.left();
        for (name, left) in [("x_posts_left_day", day), ("x_posts_left_month", month)] {
            if let Some(left) = left {
                self.ctx.gauge(name, left as f64);
            }
        }
    }

    /// How the source leaves when a limit is reached.
    fn spent(&mut self, spent: &Spent) -> End {
        // What is missed from here on is not lost but not wanted.
        (self.heard_ns, self.resumed_us) = (None, None);
        let why = format!("the budget of max_posts is spent ({})", spent.limit);
        if self.options.when_spent == WhenSpent::Finish {
            return End::Finished(why);
        }
        let left_us = spent.until.as_microsecond() - self.ctx.now_us();
        // A little later: the wall clock may lag behind the one that measures the wait.
        let wait =
            Duration::from_micros(u64::try_from(left_us).unwrap_or(0)) + Duration::from_secs(1);
        End::Paused(format!("{why} until {}", spent.until), wait.min(MAX_WAIT))
    }

    /// Whether there may be another connection.
    fn afford(&mut self) -> Result<(), End> {
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        let spent = budget.connect(self.ctx.now_us()).map_err(End::Failed)?;
        self.show_left();
        match spent {
            Some(spent) => Err(self.spent(&spent)),
            None => Ok(()),
        }
    }

    /// Brings the account up to date behind an attempt: `late` posts came when the source was
    /// leaving already, and others may have been under way.
    fn settle(&mut self, under_way: bool, late: u64) -> Result<(), StageError> {
        let now_us = self.ctx.now_us();
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        let mut charged = 0;
        if under_way {
            budget.disconnected(now_us);
            charged = budget.in_flight();
        }
        for _ in charged..late {
            budget.count(now_us)?;
        }
        if late > charged && budget.is_exceeded() {
            self.ctx.warn(format!(
                "more posts were under way than in_flight = {}, so that more were read than \
                 max_posts allows: raise in_flight",
                budget.in_flight()
            ));
        }
        budget.settle()?;
        self.show_left();
        Ok(())
    }

    /// How many minutes to ask for again.
    fn backfill(&mut self) -> u64 {
        let since_ns = self
            .heard_ns
            .map(|ns| self.ctx.monotonic_ns().saturating_sub(ns));
        let since_us = self
            .resumed_us
            .map(|us| u64::try_from(self.ctx.now_us() - us).unwrap_or(0));
        let since_s = since_ns.map(|ns| ns.div_ceil(1_000_000_000));
        let Some(gap_s) = since_s.or(since_us.map(|us| us.div_ceil(1_000_000))) else {
            self.missed_s = 0;
            return 0;
        };
        let most = u64::from(self.options.backfill_minutes);
        let minutes = (gap_s + SLACK_S).div_ceil(60).min(most);
        self.missed_s = gap_s.saturating_sub(minutes * 60);
        minutes
    }

    fn take_all(&mut self, intake: &mut Intake<Mark>, brought: &mut Brought) -> Result<(), End> {
        while let Some(meaning) = self.take_one(intake, brought)? {
            match meaning {
                Meaning::Post => {
                    // What X had against this client is over.
                    brought.trouble = None;
                    self.count()?;
                }
                Meaning::Note => {}
                Meaning::TooManyConnections => brought.trouble = Some(Trouble::CalmDown),
                Meaning::Refused => brought.trouble = Some(Trouble::Http),
            }
            self.keeps_up(intake)?;
        }
        self.show_left();
        Ok(())
    }

    /// Takes one message, if there is a whole one.
    fn take_one(
        &mut self,
        intake: &mut Intake<Mark>,
        brought: &mut Brought,
    ) -> Result<Option<Meaning>, Gone> {
        let taken = loop {
            match self.framing.next_piece() {
                None => return Ok(None),
                Some(Piece::KeepAlive) => brought.keep_alives = true,
                Some(Piece::Message(bytes) | Piece::Miscounted(bytes)) => {
                    break self.messages.take(bytes, intake);
                }
                Some(Piece::TooLong { head, total }) => {
                    let max = self.options.max_message_bytes.0;
                    let why = format!(
                        "{total} bytes, more than max_message_bytes = {max}; only the beginning is kept"
                    );
                    break intake.reject(head, why).map(|()| Meaning::Post);
                }
            }
        };
        // What nobody takes any more was read all the same.
        self.late += u64::from(taken.is_err());
        let meaning = taken?;
        brought.messages |= meaning == Meaning::Post;
        Ok(Some(meaning))
    }

    /// With a budget, the source is not connected while it would have to wait for the engine.
    fn keeps_up(&self, intake: &Intake<Mark>) -> Result<(), End> {
        if self.budget.is_none() || intake.has_room() {
            return Ok(());
        }
        let why = "what follows does not keep up, and X charges for what waits";
        Err(End::Paused(why.into(), BEHIND_WAIT))
    }

    /// Another post was read. At a limit the connection is left at once; what came with this post
    /// is taken when X can send no more.
    fn count(&mut self) -> Result<(), End> {
        self.ctx.counter("x_posts", 1);
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        match budget.count(self.ctx.now_us()).map_err(End::Failed)? {
            Some(spent) => Err(self.spent(&spent)),
            None => Ok(()),
        }
    }
}

fn framing(options: &Options) -> Framing {
    Framing::new(options.max_message_bytes.bytes(), false)
}

impl Stream for Posts {
    type Mark = Mark;
    const NAME: &'static str = "x";

    fn host(&self) -> &str {
        self.requests.host()
    }

    fn stall_timeout(&self) -> Duration {
        self.options.stall_timeout.duration()
    }

    fn finishes(&self) -> bool {
        self.options.on_close == OnClose::Finish
    }

    async fn request(&mut self, intake: &mut Intake<Mark>) -> Result<RequestBuilder, End> {
        self.keeps_up(intake)?;
        self.afford()?;
        if !self.rules_are_set.get() {
            let rules = sync(&self.requests, &self.wanted, &self.tag, &self.ctx).await?;
            self.messages.set_rules(rules);
            self.rules_are_set.set(true);
        }
        let minutes = self.backfill();
        self.asked = true;
        Ok(self.requests.stream(minutes))
    }

    fn unsent(&mut self) {
        self.asked = false;
    }

    fn begin(&mut self) {
        self.heard_ns = Some(self.ctx.monotonic_ns());
        self.resumed_us = None;
        if self.missed_s > 0 {
            self.ctx.counter("x_missed_seconds", self.missed_s);
            self.ctx.warn(format!(
                "posts of {} s were missed between two connections",
                self.missed_s
            ));
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        intake: &mut Intake<Mark>,
        brought: &mut Brought,
    ) -> Result<(), End> {
        self.heard_ns = Some(self.ctx.monotonic_ns());
        if let Some(budget) = &mut self.budget {
            budget.tick(self.ctx.now_us()).map_err(End::Failed)?;
        }
        self.framing.push(bytes);
        self.take_all(intake, brought)?;
        intake.mark(self.ctx.now_us());
        Ok(())
    }

    fn spill(&mut self, bytes: &[u8]) {
        self.spilled += bytes.len();
        if self.spilled <= SPILL_BYTES {
            self.framing.push(bytes);
            return;
        }
        // Only a server that means harm sends so much in one piece: it is counted, not kept.
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.ctx.counter("x_unread", lines);
        self.late += lines;
    }

    /// What has no line end was cut: a dead letter, and maybe a post that X charges for.
    fn end(&mut self, intake: &mut Intake<Mark>, brought: &mut Brought) -> Result<(), End> {
        self.framing.end();
        self.take_all(intake, brought)?;
        let Some((head, total)) = self.framing.finish() else {
            return Ok(());
        };
        brought.messages = true;
        let why = format!("the connection ended within this message, after {total} bytes");
        let rejected = intake.reject(head, why);
        self.count()?;
        Ok(rejected?)
    }

    fn left(&mut self, intake: &mut Intake<Mark>, end: &End) -> Result<(), End> {
        loop {
            match self.take_one(intake, &mut Brought::default()) {
                Ok(None) => break,
                Ok(Some(meaning)) => self.late += u64::from(meaning == Meaning::Post),
                // It is counted; there may be others.
                Err(Gone) => {}
            }
        }
        self.framing = framing(&self.options);
        self.spilled = 0;
        let late = std::mem::take(&mut self.late);
        self.ctx.counter("x_posts", late);
        // X has refused, and sent nothing; or ended the stream in good order, and all was read.
        let is_read = matches!(end, End::Refused(_) | End::Closed);
        let under_way = std::mem::take(&mut self.asked) && !is_read;
        self.settle(under_way, late).map_err(End::Failed)
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        if refusal.status == 409 {
            // The stream has no rules: somebody removed them.
            self.rules_are_set.set(false);
        }
        verdict(refusal, self.host())
    }
}
