//! Sorts messages into tweets, messages about the stream, and what is neither; makes batches of
//! the tweets where they were read, so that the engine's thread only hands them on.

use std::io::Write;

use plugin_api::feed::FeedSender;
use plugin_api::{Batch, BatchBuilder, BatchLimits, Context, Reject};
use track::{Controls, Detail, Kind, Message, Reader};

use super::refusal::printable;

/// Bytes of a message that is no JSON which are kept in its dead letter.
const SHOWN_BYTES: usize = 64 << 10;
/// `limit` comes every second on a busy stream: it is logged this often.
const LIMIT_LOG_NS: u64 = 60_000_000_000;
/// What Twitter writes into the stream, as plain text, to one who connects too often.
const CONNECTION_LIMIT: &[u8] = b"Exceeded connection limit";

/// What goes from the reading thread to the engine's.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub batch: Batch,
    pub filtered: u64,
    pub rejects: Vec<(Vec<u8>, Reject)>,
}

/// What a message means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing.
    Data,
    /// The server says that it will close it, with this code.
    Disconnect(u64),
    /// Too many connections of this user.
    ConnectionLimit,
}

/// The stage is closed; nobody takes what is read.
#[derive(Debug)]
pub(crate) struct Gone;

pub(crate) struct Intake {
    ctx: Context,
    feed: FeedSender<Parcel>,
    limits: BatchLimits,
    reader: Reader,
    builder: BatchBuilder,
    filtered: u64,
    rejects: Vec<(Vec<u8>, Reject)>,
    rejected_bytes: usize,
    limit_logged_ns: Option<u64>,
}

impl Intake {
    pub fn new(ctx: Context, feed: FeedSender<Parcel>) -> Self {
        Self {
            limits: ctx.batch_limits(),
            ctx,
            feed,
            reader: Reader::new(Detail::Envelope),
            builder: BatchBuilder::new(),
            filtered: 0,
            rejects: Vec::new(),
            rejected_bytes: 0,
            limit_logged_ns: None,
        }
    }

    /// Takes one message.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Meaning, Gone> {
        let message = match self.reader.read(bytes) {
            Ok(message) => message,
            Err(_) if bytes.starts_with(CONNECTION_LIMIT) => {
                self.filtered += 1;
                let said = String::from_utf8_lossy(bytes);
                self.ctx
                    .warn(format!("the server says: {}", printable(&said)));
                return Ok(Meaning::ConnectionLimit);
            }
            Err(error) => {
                self.reject(bytes, format!("not JSON: {error}"))?;
                return Ok(Meaning::Data);
            }
        };
        let mut meaning = Meaning::Data;
        if message.kind == Kind::Tweet {
            push(&mut self.builder, bytes, &message);
        } else {
            self.filtered += 1;
            meaning = note(&self.ctx, &message, &mut self.limit_logged_ns);
        }
        if self.builder.is_full(&self.limits) {
            self.flush()?;
        }
        Ok(meaning)
    }

    /// Bytes that are no message become a dead letter, cut to a bounded size.
    pub fn reject(&mut self, bytes: &[u8], why: String) -> Result<(), Gone> {
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        self.rejects.push((shown.to_vec(), Reject::new(why)));
        self.rejected_bytes += shown.len();
        if self.rejected_bytes >= self.limits.max_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// When what is gathered must go on, at the latest; `None`: nothing is.
    pub fn due_ns(&self) -> Option<u64> {
        if !self.builder.is_empty() {
            return Some(self.builder.born_ns() + self.limits.linger_ns);
        }
        (self.filtered > 0 || !self.rejects.is_empty()).then_some(0)
    }

    /// Sends on what is gathered, waiting while the engine is behind: so back-pressure reaches
    /// the socket.
    pub fn flush(&mut self) -> Result<(), Gone> {
        if self.due_ns().is_none() {
            return Ok(());
        }
        let parcel = Parcel {
            batch: self.builder.finish(),
            filtered: std::mem::take(&mut self.filtered),
            rejects: std::mem::take(&mut self.rejects),
        };
        let bytes = parcel.batch.pinned_bytes() + std::mem::take(&mut self.rejected_bytes);
        self.feed.send(parcel, bytes).map_err(|_| Gone)
    }
}

fn push(builder: &mut BatchBuilder, bytes: &[u8], tweet: &Message<'_>) {
    builder
        .push(Some(bytes.trim_ascii()))
        .ts_us(tweet.time_ms.and_then(|ms| ms.checked_mul(1000)));
    if let Some(id) = tweet.id {
        let mut digits = [0; 20];
        let mut rest = &mut digits[..];
        // 20 digits are enough for any u64.
        let _ = write!(rest, "{id}");
        let free = rest.len();
        builder.header("id", Some(&digits[..digits.len() - free]));
    }
}

/// Counts a message about the stream, and logs what a person should know.
fn note(ctx: &Context, message: &Message<'_>, limit_logged_ns: &mut Option<u64>) -> Meaning {
    let notice = message.notice;
    match message.kind {
        Kind::Control => {
            for name in message.controls.names() {
                ctx.counter(&format!("twitter_{name}"), 1);
            }
        }
        Kind::Event => ctx.counter("twitter_event", 1),
        _ => ctx.counter("twitter_unknown", 1),
    }
    if message.controls.has(Controls::LIMIT)
        && let Some(missed) = notice.limit
    {
        ctx.gauge("twitter_limit_missed", missed as f64);
        let now = ctx.monotonic_ns();
        if limit_logged_ns.is_none_or(|last| now - last >= LIMIT_LOG_NS) {
            *limit_logged_ns = Some(now);
            ctx.warn(format!(
                "the server left out {missed} matching tweets since the connection began: the \
                 filter matches more than the stream may carry"
            ));
        }
    }
    if message.controls.has(Controls::WARNING) {
        let full = notice.percent_full.map_or(String::new(), |percent| {
            format!(" (queue {percent} % full)")
        });
        ctx.warn(format!(
            "the server warns{full}: {}",
            printable(notice.text)
        ));
    }
    if message.controls.has(Controls::DISCONNECT) {
        let code = notice.code.unwrap_or(0);
        ctx.warn(format!(
            "the server disconnects: {} (code {code}) {}",
            disconnect_name(code),
            printable(notice.text)
        ));
        return Meaning::Disconnect(code);
    }
    Meaning::Data
}

fn disconnect_name(code: u64) -> &'static str {
    match code {
        1 => "it shuts down",
        2 => "the same credentials opened another stream",
        3 => "it was asked to",
        4 => "this client was too slow",
        5 => "the stream ended in good order",
        6 => "the token was revoked",
        7 => "the same credentials connected too often",
        8 => "reserved",
        9 => "the limit of messages was reached",
        10 => "something went wrong in it",
        11 => "it stalled",
        12 => "it sheds load",
        _ => "for a reason unknown to this version",
    }
}
