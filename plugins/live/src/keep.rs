//! The loop that keeps a stream: one attempt after the other, and what comes after each end.
//!
//! All waits go through the host's clock.

use std::{pin::pin, time::Duration};

use plugin_api::{Context, StageError, batch::monotonic_ns};
use tokio::time::timeout;

use crate::{
    backoff::Backoff,
    intake::{Gone, Intake},
    refusal::{Refusal, Verdict},
    stage::Shared,
};

/// How often a quiet connection is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while a stream is drained.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// A server that was drained before us has sent everything: the first pause is the end.
const DRAINED: Duration = Duration::from_millis(50);
/// A stream that brings keep-alives for so long is a running one, though it brings no messages.
const ESTABLISHED_NS: u64 = 10_000_000_000;

/// A network, as the loop that keeps its stream sees it.
#[expect(
    async_fn_in_trait,
    reason = "awaited on the thread that owns the stream"
)]
pub trait Network {
    /// The place in the stream that the stage keeps, if it does.
    type Mark: Send + 'static;
    /// The plugin's name, with which the names of its metrics begin.
    const NAME: &'static str;

    /// The server's name, for messages.
    fn host(&self) -> &str;
    /// Silence after which a stream has stalled.
    fn stall_timeout(&self) -> Duration;
    /// Silence after which a connection is dead: without a message, and without any other sign of
    /// life ([`Line::lives`]). A server that takes a request answers within it.
    fn dead_timeout(&self) -> Duration {
        self.stall_timeout()
    }
    /// Whether the source is finished when the server ends the stream in good order.
    fn finishes(&self) -> bool {
        false
    }
    /// What an answer that is no stream means.
    fn verdict(&self, refusal: &Refusal) -> Verdict;
    /// One connection, from request to end. All that takes time is awaited by [`Line::connect`]
    /// and [`Line::wait`].
    async fn attempt(&mut self, line: &mut Line<'_, Self::Mark>) -> End;
    /// The attempt is over in this way, and its connections are closed: the server sends nothing
    /// more.
    ///
    /// # Errors
    /// How it ended rather.
    fn left(&mut self, _intake: &mut Intake<Self::Mark>, _end: &End) -> Result<(), End> {
        Ok(())
    }
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
    /// Nothing came for so long, which is too long.
    Stalled(Duration),
    /// No connection, or no answer.
    Unreachable(String),
    /// An answer that is no stream.
    Refused(Refusal),
    /// The source leaves by its own rules, for this reason, and comes again after a time.
    Paused(String, Duration),
    /// The source chooses among several servers: this one failed, for this reason, and after a
    /// time the next is asked.
    Next(String, Duration),
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

/// A connection, as an attempt and the loop around it share it.
pub struct Line<'a, M> {
    /// Where what it brings goes.
    pub intake: &'a mut Intake<M>,
    /// What it has brought.
    pub brought: Brought,
    /// The host's services.
    pub ctx: Context,
    shared: &'a Shared,
    connected: String,
    stall: Duration,
    dead: Duration,
    /// When the attempt began, when something last came, and when the last sign of life did, on
    /// the host's clock.
    sent_ns: u64,
    heard_ns: u64,
    alive_ns: u64,
}

impl<M> Line<'_, M> {
    /// Asks for the stream, for no longer than it may be silent.
    ///
    /// # Errors
    /// How the attempt ended before there was a stream.
    pub async fn connect<T>(
        &mut self,
        request: impl AsyncFnOnce(&mut Intake<M>) -> Result<T, End>,
    ) -> Result<T, End> {
        let mut connecting = pin!(request(self.intake));
        let (ctx, shared) = (&self.ctx, self.shared);
        loop {
            match timeout(TICK, connecting.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) if is_over(ctx, shared) => return Err(End::Stop),
                Err(_) if since(ctx, self.sent_ns) >= self.stall.min(self.dead) => {
                    let why = "it took the request, but did not answer";
                    return Err(End::Unreachable(why.into()));
                }
                Err(_) => {}
            }
        }
    }

    /// There is a stream.
    pub fn connected(&mut self) {
        self.set_connected(true);
        self.hear();
    }

    /// Waits for what comes next, and sends on meanwhile what was gathered.
    ///
    /// # Errors
    /// Why the stream must be left: it was silent for too long, or is not wanted any more.
    pub async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T, End> {
        let mut next = pin!(next);
        loop {
            match timeout(self.patience(), next.as_mut()).await {
                Ok(next) => return Ok(next),
                Err(_) => self.flush_if_due()?,
            }
            self.look_up()?;
        }
    }

    /// Does what takes its time, and may have to wait for the engine. Meanwhile nothing is read:
    /// that is no silence of the server.
    pub fn aside<T>(&mut self, work: impl FnOnce(&mut Intake<M>) -> T) -> T {
        let before_ns = self.ctx.monotonic_ns();
        let done = work(self.intake);
        self.was_busy(self.ctx.monotonic_ns() - before_ns);
        done
    }

    /// The same for what is gathered, which mostly takes no time.
    fn flush_if_due(&mut self) -> Result<(), Gone> {
        // By the real clock: a test may set the host's meanwhile.
        let before_ns = monotonic_ns();
        let done = self.intake.flush_if_due();
        self.was_busy(monotonic_ns() - before_ns);
        done
    }

    fn was_busy(&mut self, ns: u64) {
        self.heard_ns += ns;
        self.alive_ns += ns;
    }

    /// Something came, and was taken.
    ///
    /// # Errors
    /// If nothing more is wanted.
    pub fn came(&mut self) -> Result<(), End> {
        self.flush_if_due()?;
        self.hear();
        self.look_up()
    }

    /// A sign of life came that is no message.
    ///
    /// # Errors
    /// As of [`Line::wait`], which does not come to it while such signs come all the time.
    pub fn lives(&mut self) -> Result<(), End> {
        self.flush_if_due()?;
        self.alive_ns = self.ctx.monotonic_ns();
        self.look_up()
    }

    fn hear(&mut self) {
        self.heard_ns = self.ctx.monotonic_ns();
        self.alive_ns = self.heard_ns;
    }

    /// Whether the stream must be left.
    fn look_up(&self) -> Result<(), End> {
        let silent = since(&self.ctx, self.heard_ns);
        if self.shared.is_stopped()
            || self.ctx.cancelled()
            || self.shared.is_drained()
            || self.shared.is_draining() && silent >= DRAINED
        {
            return Err(End::Stop);
        }
        if silent >= self.stall {
            return Err(End::Stalled(self.stall));
        }
        if since(&self.ctx, self.alive_ns) >= self.dead {
            return Err(End::Stalled(self.dead));
        }
        Ok(())
    }

    /// No longer than what is gathered may linger.
    fn patience(&self) -> Duration {
        let tick = if self.shared.is_draining() {
            DRAIN_TICK
        } else {
            TICK
        };
        self.intake.due_ns().map_or(tick, |due| {
            Duration::from_nanos(due.saturating_sub(monotonic_ns())).min(tick)
        })
    }

    fn set_connected(&self, connected: bool) {
        self.shared.set_connected(connected);
        let value = if connected { 1.0 } else { 0.0 };
        self.ctx.gauge(&self.connected, value);
    }
}

fn since(ctx: &Context, then_ns: u64) -> Duration {
    Duration::from_nanos(ctx.monotonic_ns().saturating_sub(then_ns))
}

/// The stage, or the run, is over: there is no use in connecting.
fn is_over(ctx: &Context, shared: &Shared) -> bool {
    shared.is_stopped() || shared.is_draining() || ctx.cancelled()
}

/// Keeps the stream until the stage is closed, the server says never, or all is read.
///
/// # Errors
/// Why there is no use in going on.
pub fn keep<N: Network>(
    network: &mut N,
    intake: &mut Intake<N::Mark>,
    shared: &Shared,
) -> Result<(), StageError> {
    let ctx = intake.ctx().clone();
    let mut line = Line {
        intake,
        brought: Brought::default(),
        ctx,
        shared,
        connected: metric::<N>("connected"),
        stall: network.stall_timeout(),
        dead: network.dead_timeout(),
        sent_ns: 0,
        heard_ns: 0,
        alive_ns: 0,
    };
    let mut pace = Pace::default();
    loop {
        line.brought = Brought::default();
        line.sent_ns = line.ctx.monotonic_ns();
        line.heard_ns = line.sent_ns;
        line.alive_ns = line.sent_ns;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| StageError::fatal(format!("no runtime for the network: {e}")))?;
        let mut end = runtime.block_on(network.attempt(&mut line));
        // With it ends every connection. One that a task of its own holds would stay open through
        // the wait, in which nobody runs that task, and the server would send on.
        runtime.shutdown_background();
        if let Err(other) = network.left(line.intake, &end) {
            end = other;
        }
        if line.intake.flush().is_err() {
            return Ok(());
        }
        // Only now: a drain that sees no connection takes it that everything was sent on.
        line.set_connected(false);
        let by_own_rules = matches!(end, End::Paused(..));
        match next_wait(network, &line, &mut pace, end)? {
            Some(wait) if !is_over(&line.ctx, shared) => {
                if !wait.is_zero() && !sleep(&line.ctx, wait) {
                    return Ok(());
                }
                if !by_own_rules {
                    line.ctx.counter(&metric::<N>("reconnects"), 1);
                }
            }
            _ => return Ok(()),
        }
        if is_over(&line.ctx, shared) {
            return Ok(());
        }
    }
}

/// What earlier attempts say about the next one.
#[derive(Default)]
struct Pace {
    backoff: Backoff,
    /// The last stream that ran was a short one.
    flaps: bool,
    /// The one that has just ended is taken up at once if it broke.
    at_once: bool,
}

impl Pace {
    /// A running stream that breaks is taken up at once. But one that brought nothing would only
    /// break again, and a server that ends each one after a moment must not be hurried.
    fn ended<M>(&mut self, line: &Line<'_, M>) {
        let lasted = line.heard_ns - line.sent_ns >= ESTABLISHED_NS;
        let ran = line.brought.messages || line.brought.keep_alives && lasted;
        self.at_once = ran && (lasted || !self.flaps);
        if ran && line.brought.trouble.is_none() {
            self.flaps = !lasted;
        }
        if ran && line.brought.trouble != Some(Trouble::CalmDown) {
            self.backoff.reset();
        }
    }

    fn after_a_stream(&mut self, trouble: Option<Trouble>) -> Duration {
        match trouble {
            Some(Trouble::CalmDown) => self.backoff.calm_down(None),
            Some(Trouble::Http) => self.backoff.http(None),
            None if self.at_once => Duration::ZERO,
            None => self.backoff.network(),
        }
    }
}

fn metric<N: Network>(name: &str) -> String {
    format!("{}_{name}", N::NAME)
}

fn sleep(ctx: &Context, wait: Duration) -> bool {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    ctx.sleep_until(ctx.monotonic_ns().saturating_add(nanos))
}

/// What comes after an end: a wait (maybe none), nothing (`None`), or an error.
fn next_wait<N: Network>(
    network: &N,
    line: &Line<'_, N::Mark>,
    pace: &mut Pace,
    end: End,
) -> Result<Option<Duration>, StageError> {
    pace.ended(line);
    let (ctx, host) = (&line.ctx, network.host());
    let is_expected = matches!(end, End::Closed | End::Paused(..));
    let (why, wait) = match end {
        End::Stop => return Ok(None),
        End::Closed if network.finishes() => {
            ctx.info(format!("{host} ended the stream"));
            return Ok(None);
        }
        End::Closed => (
            format!("{host} ended the stream"),
            pace.after_a_stream(line.brought.trouble),
        ),
        End::Dropped(why) => (
            format!("the stream of {host} broke: {why}"),
            pace.after_a_stream(line.brought.trouble),
        ),
        End::Stalled(silent) => {
            ctx.counter(&metric::<N>("stalls"), 1);
            (format!("{host} was silent for {silent:?}"), Duration::ZERO)
        }
        End::Unreachable(why) => (
            format!("{host} is not reached: {why}"),
            pace.backoff.network(),
        ),
        End::Refused(refusal) => {
            let wait = match network.verdict(&refusal) {
                Verdict::Never(error) => return Err(error),
                Verdict::Later => pace.backoff.http(refusal.retry_after),
                Verdict::CalmDown => pace.backoff.calm_down(refusal.retry_after),
            };
            let why = format!("{host} answered {}{}", refusal.status, refusal.said());
            (why, wait)
        }
        End::Paused(why, wait) | End::Next(why, wait) => (why, wait),
        End::Finished(why) => {
            ctx.info(why);
            return Ok(None);
        }
        End::Failed(error) => return Err(error),
    };
    // Nobody wants to read of nanoseconds.
    let shown = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let again = if shown.is_zero() {
        format!("{why}; connecting again")
    } else {
        format!("{why}; connecting again in {shown:?}")
    };
    if is_expected {
        ctx.info(again);
    } else {
        ctx.warn(again);
    }
    Ok(Some(wait))
}
