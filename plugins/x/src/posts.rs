//! The stream, as the loop that keeps it sees it: what comes before it, the request, and what its
//! bytes mean.

use std::cell::Cell;
use std::time::Duration;

use live::http::Stream;
use live::{Brought, End, Framing, Gone, Intake, Piece, Refusal, Trouble, Verdict};
use plugin_api::{Context, StageError};
use reqwest::{RequestBuilder, Url};

use crate::budget::{Budget, Limits, Spent};
use crate::config::{self, OnClose, Options, WhenSpent};
use crate::messages::{Meaning, Messages};
use crate::request::Requests;
use crate::rules::Wanted;
use crate::source::Mark;
use crate::sync::sync;
use crate::verdict::verdict;
use crate::window::Window;

/// The longest wait for a new day or month: then the clock is looked at again.
const MAX_WAIT: Duration = Duration::from_secs(3_600);
/// What may be lost besides the time since something came: it was on its way.
const SLACK_S: u64 = 10;

/// Whether a connection may have brought posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Closed,
    /// X was asked, and has not refused.
    Asked,
    /// It sends.
    Open,
}

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
    line: Cell<Line>,
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
            line: Cell::new(Line::Closed),
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
    ///
    /// # Errors
    /// If the account cannot be brought up to date.
    pub fn finish(&mut self) -> Result<(), StageError> {
        if self.line.get() == Line::Asked {
            // Stopped while it waited for an answer, which may have come since.
            self.settle(0)?;
        }
        if let Some(budget) = &self.budget {
            let report = budget.report();
            self.ctx.info(format!("read and paid for: {report}"));
        }
        Ok(())
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

    /// Brings the account up to date, behind a connection that may have brought posts.
    fn settle(&mut self, counted_late: u64) -> Result<(), StageError> {
        let now_us = self.ctx.now_us();
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        budget.disconnected(now_us);
        for _ in budget.in_flight()..counted_late {
            budget.count(now_us)?;
        }
        if budget.is_exceeded() {
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
                Meaning::Post => self.count()?,
                Meaning::Note => {}
                Meaning::TooManyConnections => brought.trouble = Some(Trouble::CalmDown),
                Meaning::Refused => brought.trouble = Some(Trouble::Http),
            }
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
        loop {
            let meaning = match self.framing.next_piece() {
                None => return Ok(None),
                Some(Piece::KeepAlive) => {
                    brought.keep_alives = true;
                    continue;
                }
                Some(Piece::Message(bytes) | Piece::Miscounted(bytes)) => {
                    self.messages.take(bytes, intake)?
                }
                Some(Piece::TooLong { head, total }) => {
                    let max = self.options.max_message_bytes.0;
                    let why = format!(
                        "{total} bytes, more than max_message_bytes = {max}; only the beginning is kept"
                    );
                    intake.reject(head, why)?;
                    Meaning::Post
                }
            };
            brought.messages |= meaning == Meaning::Post;
            return Ok(Some(meaning));
        }
    }

    /// Another post was read. At a limit the connection is left at once: what came with it is
    /// taken when X can send no more.
    fn count(&mut self) -> Result<(), End> {
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

    async fn request(&mut self, _intake: &mut Intake<Mark>) -> Result<RequestBuilder, End> {
        self.afford()?;
        if !self.rules_are_set.get() {
            let rules = sync(&self.requests, &self.wanted, &self.tag, &self.ctx).await?;
            self.messages.set_rules(rules);
            self.rules_are_set.set(true);
        }
        let minutes = self.backfill();
        self.line.set(Line::Asked);
        Ok(self.requests.stream(minutes))
    }

    fn begin(&mut self) {
        self.line.set(Line::Open);
        self.heard_ns = Some(self.ctx.monotonic_ns());
        self.framing = framing(&self.options);
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

    /// What has no line end was cut: a dead letter, and maybe a post that X charges for.
    fn end(&mut self, intake: &mut Intake<Mark>, brought: &mut Brought) -> Result<(), End> {
        self.framing.end();
        self.take_all(intake, brought)?;
        let Some((head, total)) = self.framing.finish() else {
            return Ok(());
        };
        brought.messages = true;
        let why = format!("the connection ended within this message, after {total} bytes");
        intake.reject(head, why)?;
        self.count()
    }

    fn left(&mut self, intake: &mut Intake<Mark>) -> Result<(), End> {
        if self.line.get() != Line::Open {
            return Ok(());
        }
        self.line.set(Line::Closed);
        let mut late = 0;
        while let Some(meaning) = self.take_one(intake, &mut Brought::default())? {
            late += u64::from(meaning == Meaning::Post);
        }
        self.settle(late).map_err(End::Failed)
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        self.line.set(Line::Closed);
        if refusal.status == 409 {
            // The stream has no rules: somebody removed them.
            self.rules_are_set.set(false);
        }
        verdict(refusal, self.host())
    }
}
