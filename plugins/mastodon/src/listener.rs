//! The thread that keeps the stream: connects, reads, fetches what was missed, and decides what
//! comes after an end.
//!
//! All waits go through the host's clock. A silent connection is noticed by that clock too, looked
//! at several times a second.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use live::{Backoff, Intake, Refusal, Shared, Verdict, http::End};
use plugin_api::{Context, StageError, batch::monotonic_ns};
use reqwest::Url;

use crate::catch_up::{CatchUp, count_gap, nanos};
use crate::config::Options;
use crate::ledger::{Notes, Standing};
use crate::rest::Rest;
use crate::socket::{Heard, Socket};
use crate::sorter::Sorter;
use crate::timeline::Timeline;
use crate::verdict::{Asked, verdict};

/// How often a quiet connection is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while a stream is drained.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// A server that was drained before us has sent everything: the first pause is the end.
const DRAINED_NS: u64 = 50_000_000;
/// A stream that gives signs of life for so long is a running one, though it brings no posts.
const ESTABLISHED_NS: u64 = 10_000_000_000;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

pub(crate) struct Listener {
    ctx: Context,
    rest: Rest,
    sorter: Sorter,
    /// None: what is missed is lost.
    catch_up: Option<CatchUp>,
    /// Where the server streams, once it has said so.
    place: Option<Url>,
    stall_timeout: Duration,
    max_message_bytes: usize,
    backoff: Backoff,
    /// Whether it read before, so that whatever came since is missing.
    goes_on: bool,
    /// Whether this connection brought messages, or signs of life.
    brought: Brought,
    /// When the attempt began, and when something last came, on the host's clock.
    sent_ns: u64,
    heard_ns: u64,
}

#[derive(Default)]
struct Brought {
    messages: bool,
    keep_alives: bool,
}

impl Listener {
    pub fn new(
        options: &Options,
        ctx: &Context,
        timelines: Vec<Timeline>,
        standing: Standing,
        notes: Notes,
    ) -> Result<Self, StageError> {
        Ok(Self {
            ctx: ctx.clone(),
            rest: Rest::new(options)?,
            goes_on: standing.goes_on,
            sorter: Sorter::new(options, timelines, standing, notes)?,
            catch_up: options.catch_up.then(|| CatchUp::new(options, ctx.clone())),
            place: None,
            stall_timeout: options.stall_timeout.duration(),
            max_message_bytes: options.max_message_bytes.bytes(),
            backoff: Backoff::default(),
            brought: Brought::default(),
            sent_ns: 0,
            heard_ns: 0,
        })
    }

    /// Keeps the stream until the stage is closed or the server says never.
    pub fn run(&mut self, intake: &mut Intake<u64>, shared: &Shared) -> Result<(), StageError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| StageError::fatal(format!("no runtime for the network: {e}")))?;
        loop {
            self.brought = Brought::default();
            let end = runtime.block_on(self.attempt(intake, shared));
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.stop();
            }
            if intake.flush().is_err() {
                return Ok(());
            }
            // Only now: a drain that sees no connection takes it that everything was sent on.
            self.set_connected(shared, false);
            let Some(wait) = self.next_wait(end)? else {
                return Ok(());
            };
            let is_slept = wait.is_zero() || self.sleep(wait);
            if !is_slept || self.is_over(shared) {
                return Ok(());
            }
            self.ctx.counter("mastodon_reconnects", 1);
        }
    }

    fn set_connected(&self, shared: &Shared, connected: bool) {
        shared.set_connected(connected);
        self.ctx
            .gauge("mastodon_connected", f64::from(u8::from(connected)));
    }

    fn is_over(&self, shared: &Shared) -> bool {
        shared.is_stopped() || shared.is_draining() || self.ctx.cancelled()
    }

    fn sleep(&self, wait: Duration) -> bool {
        let until = self.ctx.monotonic_ns().saturating_add(nanos(wait));
        self.ctx.sleep_until(until)
    }

    /// What comes after an end: a wait (maybe none), nothing (`None`), or an error.
    fn next_wait(&mut self, end: End) -> Result<Option<Duration>, StageError> {
        if self.was_running() {
            self.backoff.reset();
        } else {
            // It may have moved.
            self.place = None;
        }
        let host = self.rest.host();
        let is_expected = matches!(end, End::Closed);
        let (why, wait) = match end {
            End::Stop | End::Finished(_) => return Ok(None),
            End::Failed(error) => return Err(error),
            End::Closed => (format!("{host} ended the stream"), self.after_a_stream()),
            End::Dropped(why) => (
                format!("the stream of {host} broke: {why}"),
                self.after_a_stream(),
            ),
            End::Stalled => {
                self.ctx.counter("mastodon_stalls", 1);
                let silent = self.stall_timeout;
                (format!("{host} was silent for {silent:?}"), Duration::ZERO)
            }
            End::Unreachable(why) => (
                format!("{host} is not reached: {why}"),
                self.backoff.network(),
            ),
            End::Refused(refusal) => {
                let wait = match verdict(&refusal, host, Asked::Stream) {
                    Verdict::Never(error) => return Err(error),
                    Verdict::Later => self.backoff.http(refusal.retry_after),
                    Verdict::CalmDown => self.backoff.calm_down(refusal.retry_after),
                };
                let why = format!("{host} answered {}{}", refusal.status, refusal.said());
                (why, wait)
            }
            End::Paused(why, wait) => (why, wait),
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

    /// A running stream that breaks is taken up at once; one that brought nothing would only break
    /// again.
    fn after_a_stream(&mut self) -> Duration {
        if self.was_running() {
            Duration::ZERO
        } else {
            self.backoff.network()
        }
    }

    fn was_running(&self) -> bool {
        self.brought.messages
            || self.brought.keep_alives && self.heard_ns - self.sent_ns >= ESTABLISHED_NS
    }

    /// One connection, from the first question to the end.
    async fn attempt(&mut self, intake: &mut Intake<u64>, shared: &Shared) -> End {
        self.heard();
        self.sent_ns = self.heard_ns;
        let mut socket = match self.connect(shared).await {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        self.set_connected(shared, true);
        self.ctx.info(format!("connected to {}", self.rest.host()));
        self.heard();
        match &mut self.catch_up {
            Some(catch_up) => catch_up.begin(&mut self.sorter),
            None if self.goes_on => {
                count_gap(&self.ctx, None);
                self.ctx.warn(
                    "what was written since the last connection is lost, as catch_up is false",
                );
            }
            None => {}
        }
        self.goes_on = true;
        let end = match self.read(&mut socket, intake, shared).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if matches!(end, End::Stop) {
            // Whether it is heard does not matter.
            let _ = tokio::time::timeout(GOODBYE, socket.close()).await;
        }
        end
    }

    async fn connect(&mut self, shared: &Shared) -> Result<Socket, End> {
        let (ctx, rest) = (&self.ctx, &self.rest);
        let (timelines, max) = (&self.sorter.timelines, self.max_message_bytes);
        let place = &mut self.place;
        let mut connecting = pin!(async {
            let url = match place {
                Some(url) => url.clone(),
                None => place.insert(rest.streaming(ctx).await?).clone(),
            };
            Socket::open(rest, url, timelines, max, ctx).await
        });
        loop {
            match tokio::time::timeout(TICK, connecting.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) if shared.is_stopped() || shared.is_draining() || ctx.cancelled() => {
                    return Err(End::Stop);
                }
                Err(_)
                    if ctx.monotonic_ns().saturating_sub(self.sent_ns)
                        >= nanos(self.stall_timeout) =>
                {
                    let why = "it took the request, but did not answer";
                    return Err(End::Unreachable(why.into()));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads to the end, and fetches meanwhile.
    async fn read(
        &mut self,
        socket: &mut Socket,
        intake: &mut Intake<u64>,
        shared: &Shared,
    ) -> Result<Infallible, End> {
        loop {
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.go_on(&self.rest, &mut self.sorter);
            }
            let patience = patience(intake, shared);
            let answer = async {
                match &mut self.catch_up {
                    Some(catch_up) => catch_up.answer().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                heard = socket.next() => self.take(heard, intake)?,
                page = answer => {
                    if let Some(catch_up) = &mut self.catch_up {
                        catch_up.take(page, &self.rest, &mut self.sorter, intake)?;
                    }
                }
                () = tokio::time::sleep(patience) => {}
            }
            intake.flush_if_due()?;
            if let Some(end) = self.interruption(shared) {
                return Err(end);
            }
        }
    }

    fn take(&mut self, heard: Heard, intake: &mut Intake<u64>) -> Result<(), End> {
        match heard {
            Heard::Message(bytes) => {
                self.brought.messages = true;
                if let Some(refusal) = self.sorter.message(&bytes, intake)? {
                    return Err(self.refused(refusal));
                }
            }
            Heard::KeepAlive => self.brought.keep_alives = true,
            Heard::TooLong(size) => {
                let max = self.max_message_bytes;
                let why = format!("{size} bytes, more than max_message_bytes = {max}");
                intake.reject(b"", why.clone())?;
                return Err(End::Dropped(format!("it sent a message of {why}")));
            }
            Heard::End(end) => return Err(end),
        }
        // Only now: sending on may have waited long for the engine.
        self.heard();
        Ok(())
    }

    /// The server refuses one of the subscriptions.
    fn refused(&mut self, refusal: Refusal) -> End {
        // Such a connection is none, whatever else it brought.
        self.brought = Brought::default();
        match verdict(&refusal, self.rest.host(), Asked::Subscription) {
            Verdict::Never(error) => End::Failed(error),
            Verdict::Later | Verdict::CalmDown => End::Refused(refusal),
        }
    }

    fn heard(&mut self) {
        self.heard_ns = self.ctx.monotonic_ns();
    }

    fn interruption(&self, shared: &Shared) -> Option<End> {
        let silent_ns = self.ctx.monotonic_ns().saturating_sub(self.heard_ns);
        let is_quiet = shared.is_draining() && silent_ns >= DRAINED_NS;
        if shared.is_stopped() || shared.is_drained() || self.ctx.cancelled() || is_quiet {
            return Some(End::Stop);
        }
        (silent_ns >= nanos(self.stall_timeout)).then_some(End::Stalled)
    }
}

/// How long to wait for what comes next: no longer than what is gathered may linger.
fn patience(intake: &Intake<u64>, shared: &Shared) -> Duration {
    let tick = if shared.is_draining() {
        DRAIN_TICK
    } else {
        TICK
    };
    intake.due_ns().map_or(tick, |due| {
        Duration::from_nanos(due.saturating_sub(monotonic_ns())).min(tick)
    })
}
