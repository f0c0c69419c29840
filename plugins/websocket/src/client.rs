//! One reader of the feed: sends it records, asks whether it is still there, lets go of it when
//! it is silent, too slow or too talkative.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::hub::{Channel, Hub};
use crate::wire::Wire;

/// Largest message that a reader may send; it has nothing to say but "alive?".
const MOST_INCOMING: usize = 4096;
/// Messages and pings that a reader may send in a second.
const MOST_A_SECOND: u32 = 20;
/// Longest a reader may take for one record, and longest its connection may have no room for one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest a reader may take to let itself be said goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a reader asked for, and how it is treated.
#[derive(Debug)]
pub struct Manners {
    /// What it follows.
    pub channel: Arc<Channel>,
    /// Records of the past that it wants first.
    pub back: usize,
    /// Whether it unpacks records.
    pub packed: bool,
    /// How often it is asked whether it is there.
    pub ping: Duration,
}

/// Serves a reader until it goes, or `stop` turns true. `wire` is what `io` ends in.
pub async fn serve<S>(
    io: S,
    wire: Wire,
    hub: Arc<Hub>,
    manners: Manners,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_INCOMING * 2 + 64)
        .max_message_size(Some(MOST_INCOMING))
        .max_frame_size(Some(MOST_INCOMING));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    hub.clients.fetch_add(1, Ordering::Relaxed);
    let packers = usize::from(manners.packed);
    hub.packers.fetch_add(packers, Ordering::Relaxed);
    let reason = talk(&mut socket, &wire, &hub, &manners, &mut stop).await;
    hub.packers.fetch_sub(packers, Ordering::Relaxed);
    hub.clients.fetch_sub(1, Ordering::Relaxed);
    if let Some((code, reason)) = reason {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // Whether the goodbye arrives or not, this is the end.
        let _ = timeout(GOODBYE, async {
            socket.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = socket.next().await {}
            Ok::<(), Error>(())
        })
        .await;
    }
}

/// Why a reader is let go of, to tell it; `None`: it is gone already.
type Farewell = Option<(CloseCode, &'static str)>;

async fn talk<S>(
    socket: &mut WebSocketStream<S>,
    wire: &Wire,
    hub: &Hub,
    manners: &Manners,
    stop: &mut watch::Receiver<bool>,
) -> Farewell
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let channel = &*manners.channel;
    let mut newest = channel.subscribe();
    let mut next = channel.start(manners.back);
    let mut stuck: Option<Stuck> = None;
    let mut pings = interval(manners.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.tick().await;
    let mut heard = Instant::now();
    let mut quota = Quota {
        since: heard,
        used: 0,
    };
    loop {
        newest.mark_unchanged();
        while channel.newest() >= next {
            if !wire.has_room() {
                stuck.get_or_insert_with(|| Stuck::at(channel.newest()));
                break;
            }
            // What came while it was stuck is passed over, but for the last.
            let slow = stuck
                .take()
                .is_some_and(|stuck| channel.newest() > stuck.newest);
            let Some((record, then)) = channel.take(next, slow) else {
                break;
            };
            hub.skipped.fetch_add(then - 1 - next, Ordering::Relaxed);
            next = then;
            let frame = match manners.packed {
                true => record.packed(),
                false => record.text(),
            };
            match timeout(PATIENCE, send(socket, frame)).await {
                Ok(Ok(())) => {}
                _ => return None,
            }
            hub.sent.fetch_add(1, Ordering::Relaxed);
            hub.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        }
        if *stop.borrow() {
            return Some((CloseCode::Away, "the server stops"));
        }
        tokio::select! {
            room = wire.room(), if stuck.is_some() => {
                if room.is_err() {
                    return None;
                }
            }
            changed = newest.changed(), if stuck.is_none() => {
                if changed.is_err() {
                    return Some((CloseCode::Away, "the server stops"));
                }
            }
            _ = stop.changed() => {}
            _ = pings.tick() => {
                if heard.elapsed() > manners.ping * 3 {
                    return Some((CloseCode::Policy, "no answer"));
                }
                match &stuck {
                    // A ping would only wait behind the record.
                    Some(stuck) if stuck.since.elapsed() > PATIENCE => return None,
                    Some(_) => {}
                    None => match timeout(PATIENCE, socket.send(Message::Ping(Bytes::new()))).await {
                        Ok(Ok(())) => {}
                        _ => return None,
                    }
                }
            }
            message = socket.next() => {
                heard = Instant::now();
                if !quota.spend(heard) {
                    return Some((CloseCode::Policy, "too many messages"));
                }
                match message {
                    Some(Ok(Message::Text(text))) if text.as_str() == "alive?" => {
                        match timeout(PATIENCE, socket.send(alive(hub))).await {
                            Ok(Ok(())) => {}
                            _ => return None,
                        }
                    }
                    Some(Ok(Message::Close(_))) | None => return None,
                    Some(Ok(_)) => {}
                    Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                        return Some((CloseCode::Size, "the message is too large"));
                    }
                    Some(Err(_)) => return None,
                }
            }
        }
    }
}

/// The answer to "alive?", from which a page also learns that there are other topics now.
fn alive(hub: &Hub) -> Message {
    match hub.by_key() {
        true => Message::text(format!(
            "{{\"type\":\"alive\",\"topics\":{}}}",
            hub.names().len()
        )),
        false => Message::text("{\"type\":\"alive\"}"),
    }
}

/// A reader whose connection has no room.
struct Stuck {
    since: Instant,
    /// Number of the newest record when that was found.
    newest: u64,
}

impl Stuck {
    fn at(newest: u64) -> Self {
        Self {
            since: Instant::now(),
            newest,
        }
    }
}

/// Sends a message that is encoded already, past the codec, whose buffer would keep its size.
async fn send<S>(socket: &mut WebSocketStream<S>, frame: &[u8]) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // An answer to a ping may be half written: first things first.
    socket.flush().await?;
    let stream = socket.get_mut();
    stream.write_all(frame).await?;
    stream.flush().await?;
    Ok(())
}

/// What a reader may still send in this second.
struct Quota {
    since: Instant,
    used: u32,
}

impl Quota {
    fn spend(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self {
                since: now,
                used: 0,
            };
        }
        self.used += 1;
        self.used <= MOST_A_SECOND
    }
}
