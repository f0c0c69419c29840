//! The loop that keeps a stream of HTTP: connects, reads, and decides what comes after an end.
//!
//! All waits between attempts go through the host's clock. A silent connection is noticed by that
//! clock too, looked at several times a second.

use std::{pin::pin, time::Duration};

use plugin_api::{Context, StageError, batch::monotonic_ns};
use reqwest::{RequestBuilder, Response, StatusCode, header::CONTENT_ENCODING};

use crate::{
    backoff::Backoff,
    client::reason,
    inflate::Inflate,
    intake::{Gone, Intake},
    refusal::{Refusal, Verdict},
    stage::Shared,
};

/// How often a quiet connection is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while a stream is drained.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// A server that was drained before us has sent everything: the first pause is the end.
const DRAINED_NS: u64 = 50_000_000;
/// A stream that brings keep-alives for so long is a running one, though it brings no messages.
const ESTABLISHED_NS: u64 = 10_000_000_000;

/// A network's stream: what to ask for, and what its bytes mean.
#[expect(
    async_fn_in_trait,
    reason = "awaited on the thread that owns the stream"
)]
pub trait Stream {
    /// The place in the stream that the stage keeps, if it does.
    type Mark: Send + 'static;
    /// The plugin's name, with which the names of its metrics begin.
    const NAME: &'static str;

    /// The server's name, for messages.
    fn host(&self) -> &str;
    /// Silence after which a connection is dead.
    fn stall_timeout(&self) -> Duration;
    /// Whether the source is finished when the server ends the stream in good order.
    fn finishes(&self) -> bool {
        false
    }
    /// The request for the stream, made anew for each attempt. What must come before it can be
    /// asked for here, too: that has the stream's stall timeout in all.
    ///
    /// # Errors
    /// How the attempt ended before it began.
    async fn request(&mut self, intake: &mut Intake<Self::Mark>) -> Result<RequestBuilder, End>;
    /// A body begins.
    fn begin(&mut self);
    /// Takes bytes of the body, and notes what they bring.
    ///
    /// # Errors
    /// If the stream is to be left, and why.
    fn take(
        &mut self,
        bytes: &[u8],
        intake: &mut Intake<Self::Mark>,
        brought: &mut Brought,
    ) -> Result<(), End>;
    /// The body has ended: what is left of it.
    ///
    /// # Errors
    /// As of [`Stream::take`].
    fn end(&mut self, intake: &mut Intake<Self::Mark>, brought: &mut Brought) -> Result<(), End>;
    /// What an answer that is no stream means.
    fn verdict(&self, refusal: &Refusal) -> Verdict;
}

/// How an attempt ended.
#[derive(Debug)]
pub enum End {
    /// The stage wants no more.
    Stop,
    /// The server ended the stream in good order.
    Closed,
    /// The stream broke, for this reason.
    Dropped(String),
    /// Nothing came for too long.
    Stalled,
    /// No connection, or no answer.
    Unreachable(String),
    /// An answer that is no stream.
    Refused(Refusal),
    /// The source leaves by its own rules, for this reason, and comes again after a time.
    Paused(String, Duration),
    /// The source has all that it may have, for this reason.
    Finished(String),
    /// There is no use in going on.
    Failed(StageError),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Stop
    }
}

/// What a stream brought before it ended.
#[derive(Debug, Default)]
pub struct Brought {
    /// Messages of any kind.
    pub messages: bool,
    /// Signs of life.
    pub keep_alives: bool,
    /// The server ends it on account of this client, which must wait before it comes again.
    pub trouble: Option<Trouble>,
}

/// By which rule to wait after a stream that the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// As after an HTTP status that may pass.
    Http,
    /// As after too many requests.
    CalmDown,
}

/// Keeps the stream until the stage is closed, the server says never, or all is read.
///
/// # Errors
/// Why there is no use in going on.
pub fn keep<S: Stream>(
    stream: &mut S,
    intake: &mut Intake<S::Mark>,
    shared: &Shared,
) -> Result<(), StageError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| StageError::fatal(format!("no runtime for the network: {e}")))?;
    let ctx = intake.ctx().clone();
    let mut keeper = Keeper {
        stream,
        shared,
        backoff: Backoff::default(),
        brought: Brought::default(),
        sent_ns: 0,
        heard_ns: 0,
        ctx,
    };
    loop {
        keeper.brought = Brought::default();
        let end = runtime.block_on(keeper.attempt(intake));
        if intake.flush().is_err() {
            return Ok(());
        }
        // Only now: a drain that sees no connection takes it that everything was sent on.
        keeper.set_connected(false);
        match keeper.next_wait(end)? {
            Some(wait) if !keeper.is_over() => {
                if !wait.is_zero() && !keeper.sleep(wait) {
                    return Ok(());
                }
                keeper.ctx.counter(&metric::<S>("reconnects"), 1);
            }
            _ => return Ok(()),
        }
        if keeper.is_over() {
            return Ok(());
        }
    }
}

fn metric<S: Stream>(name: &str) -> String {
    format!("{}_{name}", S::NAME)
}

struct Keeper<'a, S: Stream> {
    stream: &'a mut S,
    shared: &'a Shared,
    ctx: Context,
    backoff: Backoff,
    brought: Brought,
    /// When the request was sent, and when something last came, on the host's clock.
    sent_ns: u64,
    heard_ns: u64,
}

impl<S: Stream> Keeper<'_, S> {
    fn set_connected(&self, connected: bool) {
        self.shared.set_connected(connected);
        let value = if connected { 1.0 } else { 0.0 };
        self.ctx.gauge(&metric::<S>("connected"), value);
    }

    fn is_over(&self) -> bool {
        self.shared.is_stopped() || self.shared.is_draining() || self.ctx.cancelled()
    }

    fn sleep(&self, wait: Duration) -> bool {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.ctx
            .sleep_until(self.ctx.monotonic_ns().saturating_add(nanos))
    }

    /// What comes after an end: a wait (maybe none), nothing (`None`), or an error.
    fn next_wait(&mut self, end: End) -> Result<Option<Duration>, StageError> {
        if self.was_running() && self.brought.trouble != Some(Trouble::CalmDown) {
            self.backoff.reset();
        }
        let host = self.stream.host().to_owned();
        let is_expected = matches!(end, End::Closed | End::Paused(..));
        let (why, wait) = match end {
            End::Stop => return Ok(None),
            End::Closed if self.stream.finishes() => {
                self.ctx.info(format!("{host} ended the stream"));
                return Ok(None);
            }
            End::Closed => (format!("{host} ended the stream"), self.after_a_stream()),
            End::Dropped(why) => (
                format!("the stream of {host} broke: {why}"),
                self.after_a_stream(),
            ),
            End::Stalled => {
                self.ctx.counter(&metric::<S>("stalls"), 1);
                let silent = self.stream.stall_timeout();
                (format!("{host} was silent for {silent:?}"), Duration::ZERO)
            }
            End::Unreachable(why) => (
                format!("{host} is not reached: {why}"),
                self.backoff.network(),
            ),
            End::Refused(refusal) => {
                let wait = match self.stream.verdict(&refusal) {
                    Verdict::Never(error) => return Err(error),
                    Verdict::Later => self.backoff.http(refusal.retry_after),
                    Verdict::CalmDown => self.backoff.calm_down(refusal.retry_after),
                };
                let why = format!("{host} answered {}{}", refusal.status, refusal.said());
                (why, wait)
            }
            End::Paused(why, wait) => (why, wait),
            End::Finished(why) => {
                self.ctx.info(why);
                return Ok(None);
            }
            End::Failed(error) => return Err(error),
        };
        let line = if wait.is_zero() {
            format!("{why}; connecting again")
        } else {
            format!("{why}; connecting again in {wait:?}")
        };
        if is_expected {
            self.ctx.info(line);
        } else {
            self.ctx.warn(line);
        }
        Ok(Some(wait))
    }

    /// A running stream that breaks is taken up at once; but one that brought nothing, or was
    /// ended on account of this client, would only break again.
    fn after_a_stream(&mut self) -> Duration {
        match self.brought.trouble {
            Some(Trouble::CalmDown) => self.backoff.calm_down(None),
            Some(Trouble::Http) => self.backoff.http(None),
            None if self.was_running() => Duration::ZERO,
            None => self.backoff.network(),
        }
    }

    fn was_running(&self) -> bool {
        self.brought.messages
            || self.brought.keep_alives && self.heard_ns - self.sent_ns >= ESTABLISHED_NS
    }

    /// One connection, from request to end.
    async fn attempt(&mut self, intake: &mut Intake<S::Mark>) -> End {
        self.heard();
        self.sent_ns = self.heard_ns;
        match self.connect(intake).await {
            Ok(response) if response.status() == StatusCode::OK => {
                self.set_connected(true);
                self.ctx
                    .info(format!("connected to {}", self.stream.host()));
                let end = self.read(response, intake).await;
                end.unwrap_or_else(|end| end)
            }
            Ok(response) => End::Refused(Refusal::read(response, &self.ctx).await),
            Err(end) => end,
        }
    }

    async fn connect(&mut self, intake: &mut Intake<S::Mark>) -> Result<Response, End> {
        let (ctx, shared) = (&self.ctx, self.shared);
        let patience_ns = nanos(self.stream.stall_timeout());
        let sent_ns = self.sent_ns;
        let stream = &mut *self.stream;
        let mut connecting = pin!(async {
            let request = stream.request(intake).await?;
            request
                .send()
                .await
                .map_err(|error| End::Unreachable(reason(&error)))
        });
        loop {
            match tokio::time::timeout(TICK, connecting.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) if shared.is_stopped() || shared.is_draining() || ctx.cancelled() => {
                    return Err(End::Stop);
                }
                Err(_) if ctx.monotonic_ns().saturating_sub(sent_ns) >= patience_ns => {
                    let why = "it took the request, but did not answer";
                    return Err(End::Unreachable(why.into()));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads the body to its end; an error is an end, too.
    async fn read(
        &mut self,
        mut response: Response,
        intake: &mut Intake<S::Mark>,
    ) -> Result<End, End> {
        let is_gzip = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let mut inflate = if is_gzip {
            Inflate::gzip()
        } else {
            Inflate::Plain
        };
        self.stream.begin();
        self.heard();
        let end = loop {
            let chunk = {
                let mut reading = pin!(response.chunk());
                loop {
                    match tokio::time::timeout(self.patience(intake), reading.as_mut()).await {
                        Ok(chunk) => break chunk,
                        Err(_) => intake.flush_if_due()?,
                    }
                    if let Some(end) = self.interruption() {
                        return Err(end);
                    }
                }
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break End::Closed,
                Err(error) => break End::Dropped(reason(&error)),
            };
            let mut taken = Ok(());
            let fed = inflate.feed(&chunk, |bytes| {
                if taken.is_ok() {
                    taken = self.stream.take(bytes, intake, &mut self.brought);
                }
            });
            taken?;
            intake.flush_if_due()?;
            if let Err(error) = fed {
                break End::Dropped(format!("not gzip: {error}"));
            }
            self.heard();
            if self.shared.is_stopped() || self.shared.is_drained() || self.ctx.cancelled() {
                return Err(End::Stop);
            }
        };
        self.stream.end(intake, &mut self.brought)?;
        Ok(end)
    }

    fn heard(&mut self) {
        self.heard_ns = self.ctx.monotonic_ns();
    }

    fn silent_ns(&self) -> u64 {
        self.ctx.monotonic_ns().saturating_sub(self.heard_ns)
    }

    fn interruption(&self) -> Option<End> {
        if self.shared.is_stopped() || self.ctx.cancelled() {
            return Some(End::Stop);
        }
        if self.shared.is_draining() && self.silent_ns() >= DRAINED_NS {
            return Some(End::Stop);
        }
        let is_stalled = self.silent_ns() >= nanos(self.stream.stall_timeout());
        is_stalled.then_some(End::Stalled)
    }

    /// How long to wait for the next read: no longer than what is gathered may linger.
    fn patience(&self, intake: &Intake<S::Mark>) -> Duration {
        let tick = if self.shared.is_draining() {
            DRAIN_TICK
        } else {
            TICK
        };
        intake.due_ns().map_or(tick, |due| {
            Duration::from_nanos(due.saturating_sub(monotonic_ns())).min(tick)
        })
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
