//! Sorts messages into tweets, messages about the stream, and what is neither.

use std::io::Write;

use live::{Gone, Intake, printable};
use plugin_api::Context;
use track::{Controls, Detail, Kind, Message, Reader};

/// `limit` comes every second on a busy stream: it is logged this often.
const LIMIT_LOG_NS: u64 = 60_000_000_000;
/// What Twitter writes into the stream, as plain text, to one who connects too often.
pub(crate) const CONNECTION_LIMIT: &[u8] = b"Exceeded connection limit";

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

pub(crate) struct Messages {
    reader: Reader,
    limit_logged_ns: Option<u64>,
}

impl Messages {
    pub fn new() -> Self {
        Self {
            reader: Reader::new(Detail::Envelope),
            limit_logged_ns: None,
        }
    }

    /// Takes one message.
    pub fn take(&mut self, bytes: &[u8], intake: &mut Intake) -> Result<Meaning, Gone> {
        let message = match self.reader.read(bytes) {
            Ok(message) => message,
            Err(_) if bytes.starts_with(CONNECTION_LIMIT) => {
                intake.filtered(1);
                let said = printable(&String::from_utf8_lossy(bytes));
                intake.ctx().warn(format!("the server says: {said}"));
                return Ok(Meaning::ConnectionLimit);
            }
            Err(error) => {
                intake.reject(bytes, format!("not JSON: {error}"))?;
                return Ok(Meaning::Data);
            }
        };
        let mut meaning = Meaning::Data;
        if message.kind == Kind::Tweet {
            push(intake, bytes, &message);
        } else {
            intake.filtered(1);
            meaning = note(intake.ctx(), &message, &mut self.limit_logged_ns);
        }
        intake.flush_if_full()?;
        Ok(meaning)
    }
}

fn push(intake: &mut Intake, bytes: &[u8], tweet: &Message<'_>) {
    let record = intake
        .record(bytes.trim_ascii())
        .ts_us(tweet.time_ms.and_then(|ms| ms.checked_mul(1000)));
    if let Some(id) = tweet.id {
        let mut digits = [0; 20];
        let mut rest = &mut digits[..];
        // 20 digits are enough for any u64.
        let _ = write!(rest, "{id}");
        let free = rest.len();
        record.header("id", Some(&digits[..digits.len() - free]));
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
