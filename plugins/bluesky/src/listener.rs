//! What an attempt to read the stream is: a server is asked, its frames are taken, and when that
//! ends, the next server is chosen.

use std::{convert::Infallible, time::Duration};

use futures_util::{FutureExt, SinkExt, StreamExt};
use live::{End, Handshake, Network, Refusal, Setup, Verdict, reason};
use plugin_api::{Context, StageError};
use reqwest::{Client, StatusCode, Upgraded};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::config::{Options, Start};
use crate::endpoints::{Endpoints, Trouble};
use crate::frames::{Fate, Frames};
use crate::ledger::Ledger;
use crate::past::{Marks, News};
use crate::subscribe;
use crate::trim::Trim;

/// After so long without a word the server is asked for a sign of life.
const PING: Duration = Duration::from_secs(20);
/// A connection without any sign of life for so long is dead, however long events may be away.
const DEAD: Duration = Duration::from_secs(60);
/// So many messages are taken before the thread looks up.
const ROUND: usize = 256;
/// A farewell takes no longer.
const FAREWELL: Duration = Duration::from_millis(100);

type Intake = live::Intake<Marks>;
type Line<'a> = live::Line<'a, Marks>;
type Socket = WebSocketStream<Trim<Upgraded>>;

/// Jetstream, as the loop that keeps its stream sees it.
pub(crate) struct Jetstream {
    options: Options,
    /// Where to begin, if nothing was read yet.
    start_us: Option<i64>,
    /// Silence of events after which a server has stalled, if that is a sign.
    stall: Option<Duration>,
    /// One for each endpoint, by its number.
    clients: Vec<Client>,
    endpoints: Endpoints,
    frames: Frames,
    /// When the stream at hand began; `None`: there is none.
    began_ns: Option<u64>,
    /// The place that was asked for, until the first event shows what the server has.
    cursor_us: Option<i64>,
}

impl Jetstream {
    pub fn new(options: Options, ledger: Ledger, now_us: i64) -> Result<Self, StageError> {
        let urls = options.urls()?;
        let client = |base| {
            live::client(&Setup {
                base,
                ca_file: options.ca_file.as_deref(),
                user_agent: concat!("plugin-bluesky/", env!("CARGO_PKG_VERSION")),
            })
        };
        Ok(Self {
            start_us: match options.start()? {
                Start::Now => None,
                Start::Ago(us) => Some(now_us.saturating_sub(us).max(1)),
                Start::At(us) => Some(us),
            },
            stall: options.stall(),
            clients: urls.iter().map(client).collect::<Result<_, _>>()?,
            endpoints: Endpoints::new(urls),
            frames: Frames::new(&options, ledger)?,
            options,
            began_ns: None,
            cursor_us: None,
        })
    }

    /// One connection, from request to end.
    async fn stream(&mut self, line: &mut Line<'_>) -> Result<Infallible, End> {
        self.began_ns = None;
        self.frames.past.clock(&line.ctx);
        self.cursor_us = self.frames.past.begin(self.start_us);
        let ctx = line.ctx.clone();
        let mut socket = line.connect(async |_| self.connect(&ctx).await).await?;
        line.connected();
        let place_us = self.frames.past.connected(self.start_us);
        if place_us.is_some() {
            line.intake.waiting_mark().get_or_insert_default().low_us = place_us;
        }
        self.began_ns = Some(ctx.monotonic_ns());
        let name = &self.endpoints.current().name;
        ctx.info(match self.cursor_us {
            Some(cursor_us) => {
                let ago = ctx.now_us().saturating_sub(cursor_us) / 1_000_000;
                format!("connected to {name}, from {ago} s ago")
            }
            None => format!("connected to {name}"),
        });
        let ended = self.read(&mut socket, line).await;
        if matches!(ended, Err(End::Stop)) {
            // A word of farewell, if it can be said at once.
            let _ = timeout(FAREWELL, socket.close(None)).await;
        }
        ended
    }

    async fn connect(&self, ctx: &Context) -> Result<Socket, End> {
        let endpoint = self.endpoints.current();
        let compress = self.frames.inflates();
        let address = subscribe::address(&endpoint.url, &self.options, self.cursor_us, compress);
        let (request, handshake) = Handshake::ask(self.clients[endpoint.number].get(address));
        let sent = request.send().await;
        let response = sent.map_err(|e| End::Unreachable(reason(&e)))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(End::Refused(Refusal::read(response, ctx).await));
        }
        let upgraded = handshake.complete(response).await?;
        let max = self.options.max_message_bytes.bytes();
        let config = WebSocketConfig::default()
            .max_message_size(Some(max + 1))
            .max_frame_size(Some(max + 1));
        let trim = Trim::new(upgraded, max);
        let mut socket = WebSocketStream::from_raw_socket(trim, Role::Client, Some(config)).await;
        if let Some(greeting) = subscribe::greeting(&self.options) {
            let sent = socket.send(Message::text(greeting)).await;
            sent.map_err(|e| End::Unreachable(e.to_string()))?;
        }
        Ok(socket)
    }

    async fn read(&mut self, socket: &mut Socket, line: &mut Line<'_>) -> Result<Infallible, End> {
        loop {
            let message = line.wait(timeout(PING, socket.next())).await?;
            let Ok(message) = message else {
                let ping = line.wait(socket.send(Message::Ping(Bytes::new()))).await?;
                ping.map_err(|e| End::Dropped(e.to_string()))?;
                continue;
            };
            self.frames.past.clock(&line.ctx);
            let mut is_heard = self.take(message, line)?;
            // What is there already goes along.
            for _ in 1..ROUND {
                let Some(message) = socket.next().now_or_never() else {
                    break;
                };
                is_heard |= self.take(message, line)?;
            }
            self.publish(&line.ctx);
            if is_heard {
                line.came()?;
            } else {
                line.lives()?;
            }
        }
    }

    /// Takes a message of the websocket, or its end. Whether it is one of the stream.
    fn take(
        &mut self,
        message: Option<Result<Message, Error>>,
        line: &mut Line<'_>,
    ) -> Result<bool, End> {
        match message {
            Some(Ok(Message::Binary(frame))) => self.frame(&frame, line).map(|()| true),
            Some(Ok(Message::Text(frame))) => self.frame(frame.as_ref(), line).map(|()| true),
            // Signs of life. Pings are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(false),
            Some(Ok(Message::Close(farewell))) => {
                let farewell = farewell.map(|f| live::farewell(f.code.into(), &f.reason));
                let how = farewell.unwrap_or_else(|| "without a reason".into());
                Err(End::Dropped(format!("the server ended it {how}")))
            }
            Some(Err(error)) => Err(End::Dropped(live::printable(&error.to_string()))),
            None => Err(End::Dropped("it ended".into())),
        }
    }

    fn frame(&mut self, frame: &[u8], line: &mut Line<'_>) -> Result<(), End> {
        let read = self.frames.read(frame);
        let intake = &mut *line.intake;
        match read.fate {
            Fate::Record(found) => {
                found.label(intake.record(found.json));
                learn(intake, read.news);
                intake.flush_if_full()?;
            }
            Fate::Filtered => {
                intake.filtered(1);
                learn(intake, read.news);
            }
            Fate::Rejected(bytes, why) => {
                // Apart from records: a checkpoint may fall between these, but holds all of it or
                // nothing.
                intake.flush()?;
                learn(intake, read.news);
                // May send it on by itself.
                intake.reject(bytes, why)?;
                intake.flush()?;
            }
            Fate::OtherDictionary(number) => {
                return Err(End::Failed(StageError::config(
                    "/dictionary",
                    format!(
                        "{} compresses with dictionary {number}, but this file is another; take \
                         the one of the server's version, or leave `dictionary` out",
                        self.endpoints.current().name
                    ),
                )));
            }
        }
        if let Some(cursor_us) = self.cursor_us
            && let Some(first_us) = self.frames.past.first_us()
        {
            self.cursor_us = None;
            self.look_for_a_gap(cursor_us, first_us, &line.ctx);
        }
        Ok(())
    }

    /// A server begins at the oldest that it has, if what is asked for is older, and says nothing.
    /// Where a stream that falls silent has stalled, a silence in its past is a hole, too.
    fn look_for_a_gap(&self, cursor_us: i64, first_us: i64, ctx: &Context) {
        let missing_s = first_us.saturating_sub(cursor_us) / 1_000_000;
        let longest_s = self.stall.map_or(u64::MAX, |stall| stall.as_secs());
        let Ok(missing_s) = u64::try_from(missing_s) else {
            return;
        };
        if missing_s <= longest_s {
            return;
        }
        ctx.counter("bluesky_gaps", 1);
        ctx.counter("bluesky_gap_seconds", missing_s);
        ctx.warn(format!(
            "{} has nothing of the {missing_s} s after the place that was asked for \
             ({cursor_us}): these events are lost. Servers keep about a day",
            self.endpoints.current().name
        ));
    }

    fn publish(&mut self, ctx: &Context) {
        self.frames.count(ctx);
        if self.frames.past.first_us().is_some() {
            ctx.gauge("bluesky_lag_seconds", self.frames.past.lag_s());
        }
    }

    /// Chooses the next server.
    fn move_on(&mut self, end: End, ctx: &Context) -> End {
        let (name, number) = {
            let current = self.endpoints.current();
            (current.name.clone(), current.number)
        };
        let by_network = match self.began_ns {
            Some(began_ns) => Trouble::Stream {
                began_ns,
                is_new: self.frames.past.is_new(),
            },
            None => Trouble::Network,
        };
        let (why, trouble) = match end {
            End::Dropped(why) => (format!("the stream of {name} broke: {why}"), by_network),
            End::Stalled(silent) => {
                ctx.counter("bluesky_stalls", 1);
                (format!("{name} was silent for {silent:?}"), by_network)
            }
            End::Unreachable(why) => (format!("{name} is not reached: {why}"), by_network),
            End::Refused(refusal) => {
                let trouble = match subscribe::verdict(&refusal, &name, number) {
                    Verdict::Never(error) => Trouble::Refused(error),
                    Verdict::Later => Trouble::Status(refusal.retry_after),
                    Verdict::CalmDown => Trouble::TooMany(refusal.retry_after),
                };
                let why = format!("{name} answered {}{}", refusal.status, refusal.said());
                (why, trouble)
            }
            End::Failed(error) => (error.message.clone(), Trouble::Refused(error)),
            other => return other,
        };
        match self.endpoints.fail(trouble, ctx.monotonic_ns()) {
            Ok(wait) if self.endpoints.current().name == name => End::Next(why, wait),
            Ok(wait) => {
                let next = &self.endpoints.current().name;
                End::Next(format!("{why}; {next} is next"), wait)
            }
            Err(error) => End::Failed(error),
        }
    }
}

fn learn(intake: &mut Intake, news: Option<News>) {
    if let Some(news) = news {
        intake.waiting_mark().get_or_insert_default().add(news);
    }
}

impl Network for Jetstream {
    type Mark = Marks;
    const NAME: &'static str = "bluesky";

    fn host(&self) -> &str {
        &self.endpoints.current().name
    }

    fn stall_timeout(&self) -> Duration {
        self.stall.unwrap_or(Duration::MAX)
    }

    fn dead_timeout(&self) -> Duration {
        DEAD
    }

    fn verdict(&self, refusal: &Refusal) -> Verdict {
        let current = self.endpoints.current();
        subscribe::verdict(refusal, &current.name, current.number)
    }

    async fn attempt(&mut self, line: &mut Line<'_>) -> End {
        let end = match self.stream(line).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        self.publish(&line.ctx);
        self.move_on(end, &line.ctx)
    }
}
