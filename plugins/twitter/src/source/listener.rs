//! The thread that keeps the stream: connects, reads, and decides what comes after an end.
//!
//! All waits between attempts go through the host's clock. A silent connection is noticed by that
//! clock too, looked at several times a second.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_api::batch::monotonic_ns;
use plugin_api::{Context, StageError};
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Response, StatusCode, Url};

use super::backoff::Backoff;
use super::config::{Delimited, OnClose, Options};
use super::framing::{Framing, Piece};
use super::inflate::Inflate;
use super::intake::{Gone, Intake, Meaning};
use super::refusal::{Refusal, Verdict};
use super::request::{Requests, reason};

/// How often a quiet connection is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while a stream is drained.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// A server that was drained before us has sent everything: the first pause is the end.
const DRAINED_NS: u64 = 50_000_000;
/// Another server may never pause.
const DRAIN_NS: u64 = 10_000_000_000;
/// A stream that brings keep-alives for so long is a running one, though it brings no messages.
const ESTABLISHED_NS: u64 = 10_000_000_000;

/// What the stage and its thread tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The stage is closed.
    pub stop: AtomicBool,
    /// When the run began to end: read what is there, then finish. 0: it did not.
    draining_ns: AtomicU64,
    pub connected: AtomicBool,
    /// The thread came to its end, rather than to a panic.
    is_done: AtomicBool,
    error: Mutex<Option<StageError>>,
}

impl Shared {
    pub fn drain(&self) {
        self.draining_ns.store(monotonic_ns(), SeqCst);
    }

    pub fn is_draining(&self) -> bool {
        self.draining_ns.load(SeqCst) > 0
    }

    fn is_drained(&self) -> bool {
        self.is_draining() && monotonic_ns() - self.draining_ns.load(SeqCst) >= DRAIN_NS
    }

    /// Why the thread gave up, if it did.
    pub fn take_error(&self) -> Option<StageError> {
        if !self.is_done.load(SeqCst) {
            return Some(StageError::fatal(
                "the thread that reads the stream panicked",
            ));
        }
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn set_error(&self, error: StageError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// How an attempt ended.
enum End {
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
}

/// What a stream brought before it ended.
#[derive(Default)]
struct Brought {
    messages: bool,
    keep_alives: bool,
    /// The server named a reason to close it.
    disconnect: Option<u64>,
    connection_limit: bool,
}

pub(crate) struct Listener {
    requests: Requests,
    ctx: Context,
    intake: Intake,
    shared: Arc<Shared>,
    backoff: Backoff,
    brought: Brought,
    /// When the request was sent, and when something last came, on the host's clock.
    sent_ns: u64,
    heard_ns: u64,
}

impl Listener {
    pub fn new(
        options: Options,
        base: Url,
        ctx: Context,
        intake: Intake,
        shared: Arc<Shared>,
    ) -> Result<Self, StageError> {
        Ok(Self {
            requests: Requests::new(options, &base)?,
            ctx,
            intake,
            shared,
            backoff: Backoff::default(),
            brought: Brought::default(),
            sent_ns: 0,
            heard_ns: 0,
        })
    }

    /// Keeps the stream until the stage is closed, the server says never, or all is read.
    pub fn run(mut self) {
        self.keep();
        // Before the feed ends, which it does when this is dropped.
        self.shared.is_done.store(true, SeqCst);
    }

    fn keep(&mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(e) => {
                let error = StageError::fatal(format!("no runtime for the network: {e}"));
                return self.shared.set_error(error);
            }
        };
        loop {
            self.brought = Brought::default();
            let end = runtime.block_on(self.attempt());
            if self.intake.flush().is_err() {
                return;
            }
            // Only now: a drain that sees no connection takes it that everything was sent on.
            self.shared.connected.store(false, SeqCst);
            self.ctx.gauge("twitter_connected", 0.0);
            match self.next_wait(end) {
                Ok(Some(wait)) if !self.is_over() => {
                    if !wait.is_zero() && !self.sleep(wait) {
                        return;
                    }
                    self.ctx.counter("twitter_reconnects", 1);
                }
                Ok(_) => return,
                Err(error) => return self.shared.set_error(error),
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.stop.load(SeqCst) || self.shared.is_draining() || self.ctx.cancelled()
    }

    fn sleep(&self, wait: Duration) -> bool {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.ctx
            .sleep_until(self.ctx.monotonic_ns().saturating_add(nanos))
    }

    /// What comes after an end: a wait (maybe none), nothing (`None`), or an error.
    fn next_wait(&mut self, end: End) -> Result<Option<Duration>, StageError> {
        if self.was_running() && !self.brought.connection_limit {
            self.backoff.reset();
        }
        let host = self.requests.host().to_owned();
        let in_good_order = matches!(end, End::Closed);
        let (why, wait) = match end {
            End::Stop => return Ok(None),
            End::Closed if self.requests.options().on_close == OnClose::Finish => {
                self.ctx.info(format!("{host} ended the stream"));
                return Ok(None);
            }
            End::Closed => (format!("{host} ended the stream"), self.after_a_stream()),
            End::Dropped(why) => (
                format!("the stream of {host} broke: {why}"),
                self.after_a_stream(),
            ),
            End::Stalled => {
                self.ctx.counter("twitter_stalls", 1);
                let silent = self.requests.options().stall_timeout.duration();
                (format!("{host} was silent for {silent:?}"), Duration::ZERO)
            }
            End::Unreachable(why) => (
                format!("{host} is not reached: {why}"),
                self.backoff.network(),
            ),
            End::Refused(refusal) => {
                let wait = match refusal.verdict(&host) {
                    Verdict::Never(error) => return Err(error),
                    Verdict::Later => self.backoff.http(refusal.retry_after),
                    Verdict::CalmDown => self.backoff.calm_down(refusal.retry_after),
                };
                let why = format!("{host} answered {}{}", refusal.status, refusal.said());
                (why, wait)
            }
        };
        let line = if wait.is_zero() {
            format!("{why}; connecting again")
        } else {
            format!("{why}; connecting again in {wait:?}")
        };
        if in_good_order {
            self.ctx.info(line);
        } else {
            self.ctx.warn(line);
        }
        Ok(Some(wait))
    }

    /// A running stream that breaks is taken up at once; but one that brought nothing, or was
    /// ended on account of this client, would only break again.
    fn after_a_stream(&mut self) -> Duration {
        if self.brought.connection_limit {
            return self.backoff.calm_down(None);
        }
        match self.brought.disconnect {
            Some(2 | 6 | 7) => self.backoff.http(None),
            _ if self.was_running() => Duration::ZERO,
            _ => self.backoff.network(),
        }
    }

    fn was_running(&self) -> bool {
        self.brought.messages
            || self.brought.keep_alives && self.heard_ns - self.sent_ns >= ESTABLISHED_NS
    }

    /// One connection, from request to end.
    async fn attempt(&mut self) -> End {
        self.heard();
        self.sent_ns = self.heard_ns;
        let request = self.requests.sign(&self.ctx);
        let mut sending = pin!(request.send());
        let response = loop {
            match tokio::time::timeout(TICK, sending.as_mut()).await {
                Ok(Ok(response)) => break response,
                Ok(Err(error)) => return End::Unreachable(reason(&error)),
                Err(_) if self.is_over() => return End::Stop,
                Err(_) if self.is_stalled() => {
                    return End::Unreachable("it took the request, but did not answer".into());
                }
                Err(_) => {}
            }
        };
        if response.status() != StatusCode::OK {
            return End::Refused(Refusal::read(response, &self.ctx).await);
        }
        self.shared.connected.store(true, SeqCst);
        self.ctx.gauge("twitter_connected", 1.0);
        self.ctx
            .info(format!("connected to {}", self.requests.host()));
        self.stream(response).await
    }

    async fn stream(&mut self, mut response: Response) -> End {
        let options = self.requests.options();
        let is_gzip = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let mut inflate = if is_gzip {
            Inflate::gzip()
        } else {
            Inflate::Plain
        };
        let mut framing = Framing::new(
            options.max_message_bytes.bytes(),
            options.delimited == Delimited::Length,
        );
        self.heard();
        let end = loop {
            let chunk = {
                let mut reading = pin!(response.chunk());
                loop {
                    match tokio::time::timeout(self.patience(), reading.as_mut()).await {
                        Ok(chunk) => break chunk,
                        Err(_) if self.flush_if_due().is_err() => return End::Stop,
                        Err(_) => {}
                    }
                    if let Some(end) = self.interruption() {
                        return end;
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
                framing.push(bytes);
                if taken.is_ok() {
                    taken = self.take_all(&mut framing);
                }
            });
            if taken.is_err() || self.flush_if_due().is_err() {
                return End::Stop;
            }
            if let Err(error) = fed {
                break End::Dropped(format!("not gzip: {error}"));
            }
            self.heard();
            if self.shared.stop.load(SeqCst) || self.shared.is_drained() || self.ctx.cancelled() {
                return End::Stop;
            }
        };
        framing.end();
        if self.take_all(&mut framing).is_err() || self.take_rest(&mut framing).is_err() {
            return End::Stop;
        }
        end
    }

    fn take_all(&mut self, framing: &mut Framing) -> Result<(), Gone> {
        while let Some(piece) = framing.next() {
            self.brought.messages |= piece != Piece::KeepAlive;
            let bytes = match piece {
                Piece::KeepAlive => {
                    self.brought.keep_alives = true;
                    continue;
                }
                Piece::Message(bytes) => bytes,
                Piece::Miscounted(bytes) => {
                    self.ctx.counter("twitter_wrong_lengths", 1);
                    bytes
                }
                Piece::TooLong { head, total } => {
                    let max = self.requests.options().max_message_bytes.0;
                    let why = format!(
                        "{total} bytes, more than max_message_bytes = {max}; only the beginning is kept"
                    );
                    self.intake.reject(head, why)?;
                    continue;
                }
            };
            match self.intake.take(bytes)? {
                Meaning::Data => {}
                Meaning::Disconnect(code) => self.brought.disconnect = Some(code),
                Meaning::ConnectionLimit => {
                    self.brought.connection_limit = true;
                }
            }
        }
        Ok(())
    }

    /// What has no line end was cut: a dead letter, unless the server only spoke plainly.
    fn take_rest(&mut self, framing: &mut Framing) -> Result<(), Gone> {
        let Some((head, total)) = framing.finish() else {
            return Ok(());
        };
        if head.starts_with(b"Exceeded connection limit") {
            self.intake.take(head)?;
            self.brought.connection_limit = true;
            return Ok(());
        }
        self.brought.messages = true;
        let why = format!("the connection ended within this message, after {total} bytes");
        self.intake.reject(head, why)
    }

    fn heard(&mut self) {
        self.heard_ns = self.ctx.monotonic_ns();
    }

    fn silent_ns(&self) -> u64 {
        self.ctx.monotonic_ns().saturating_sub(self.heard_ns)
    }

    fn is_stalled(&self) -> bool {
        self.silent_ns() >= self.requests.options().stall_timeout.nanos()
    }

    fn interruption(&self) -> Option<End> {
        if self.shared.stop.load(SeqCst) || self.ctx.cancelled() {
            return Some(End::Stop);
        }
        if self.shared.is_draining() && self.silent_ns() >= DRAINED_NS {
            return Some(End::Stop);
        }
        self.is_stalled().then_some(End::Stalled)
    }

    /// How long to wait for the next read: no longer than what is gathered may linger.
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

    fn flush_if_due(&mut self) -> Result<(), Gone> {
        match self.intake.due_ns() {
            Some(due) if due <= monotonic_ns() => self.intake.flush(),
            _ => Ok(()),
        }
    }
}
