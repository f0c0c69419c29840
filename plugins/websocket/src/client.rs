//! One reader of the feed: sends it records, asks whether it is still there, lets go of it when
//! it is silent, too slow or too talkative.

use std::future::{pending, ready};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::hub::{Channel, Hub};
use crate::quota::{Metered, Quota};
use crate::wire::Wire;

/// Largest message that a reader may send; it has nothing to say but "alive?".
const MOST_INCOMING: usize = 4096;
/// Messages and pings that a reader may send in a second, and bytes: parts of a message that never
/// ends are no messages.
const MOST_A_SECOND: usize = 20;
const BYTES_A_SECOND: usize = 4 * MOST_INCOMING;
/// Longest a reader may take for one record, and longest its connection may have no room for one.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Longest a goodbye may take, whoever says it first.
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
    /// How often it is asked whether it is there; it has three times as long to answer.
    pub ping: Duration,
    /// How long a record may take, and how long there may be no room for one: [`PATIENCE`].
    pub patience: Duration,
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
    let io = Metered::new(io, BYTES_A_SECOND);
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
    let &Manners { ping, patience, .. } = manners;
    let channel = &*manners.channel;
    let mut newest = channel.subscribe();
    let mut next = channel.start(manners.back);
    // What was there when it came it has asked for: only of what follows anything is passed over.
    let past = channel.newest();
    let mut stuck: Option<Stuck> = None;
    let mut pings = interval(ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.tick().await;
    // The ping that has not been answered.
    let mut asked: Option<Instant> = None;
    let mut last = None;
    let mut quota = Quota::new(MOST_A_SECOND);
    loop {
        newest.mark_unchanged();
        let more = channel.has(next);
        let full = more && !wire.has_room();
        if full {
            stuck.get_or_insert_with(|| Stuck::at(channel.newest()));
        }
        if *stop.borrow_and_update() {
            // It gets what has come until now, as far as there is room.
            let last = *last.get_or_insert_with(|| channel.newest());
            if !more || full || next > last {
                return Some((CloseCode::Away, "the server stops"));
            }
        }
        // One record a turn: whoever always has another one to get must be heard all the same.
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            message = socket.next() => {
                asked = None;
                if !quota.spend(1) {
                    return Some((CloseCode::Policy, "too many messages"));
                }
                match message {
                    Some(Ok(Message::Text(text))) if text.as_str() == "alive?" => {
                        match timeout(patience, socket.send(alive(hub))).await {
                            Ok(Ok(())) => {}
                            _ => return None,
                        }
                    }
                    Some(Ok(Message::Close(_))) => {
                        // The codec has made the answer, but does not send it by itself.
                        let _ = timeout(GOODBYE, socket.flush()).await;
                        return None;
                    }
                    None => return None,
                    Some(Ok(_)) => {}
                    Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                        return Some((CloseCode::Size, "the message is too large"));
                    }
                    Some(Err(Error::Io(error))) if error.kind() == ErrorKind::QuotaExceeded => {
                        return Some((CloseCode::Policy, "too many bytes"));
                    }
                    Some(Err(_)) => return None,
                }
            }
            // A ping would only wait behind the record.
            _ = pings.tick(), if !full => {
                match timeout(patience, socket.send(Message::Ping(Bytes::new()))).await {
                    Ok(Ok(())) => asked = asked.or(Some(Instant::now())),
                    _ => return None,
                }
            }
            () = until(asked, ping * 3), if !full => {
                return Some((CloseCode::Policy, "no answer"));
            }
            () = until(stuck.as_ref().map(|stuck| stuck.since), patience), if full => return None,
            room = wire.room(), if full => {
                if room.is_err() {
                    return None;
                }
            }
            () = ready(()), if more && !full => {
                // What came while it was stuck is passed over, but for the last.
                let slow = stuck
                    .take()
                    .is_some_and(|stuck| next > past && channel.newest() > stuck.newest);
                let Some((record, then)) = channel.take(next, slow) else {
                    continue;
                };
                hub.skipped.fetch_add(then - 1 - next, Ordering::Relaxed);
                next = then;
                let frame = match manners.packed {
                    true => record.packed(),
                    false => record.text(),
                };
                match timeout(patience, send(socket, frame)).await {
                    Ok(Ok(())) => {}
                    _ => return None,
                }
                hub.sent.fetch_add(1, Ordering::Relaxed);
                hub.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
            }
            changed = newest.changed(), if !more => {
                if changed.is_err() {
                    return Some((CloseCode::Away, "the server stops"));
                }
            }
        }
    }
}

/// Waits until so long after an instant; without one for ever.
async fn until(since: Option<Instant>, long: Duration) {
    match since {
        Some(since) => sleep_until(since + long).await,
        None => pending().await,
    }
}

/// The answer to "alive?", whose version tells a page that there are other topics now.
fn alive(hub: &Hub) -> Message {
    match hub.by_key() {
        true => Message::text(format!(
            "{{\"type\":\"alive\",\"version\":{}}}",
            hub.version()
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::thread::{JoinHandle, spawn};

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;
    use tokio::sync::watch::Sender;
    use tokio_tungstenite::tungstenite::WebSocket;

    use super::*;
    use crate::hub::Bounds;

    const WAIT: Duration = Duration::from_secs(20);

    /// A reader, and the thread that serves it and ends with it.
    struct Served {
        stop: Sender<bool>,
        reader: WebSocket<Tap>,
        thread: JoinHandle<()>,
    }

    /// A connection that does something each time that it is read.
    struct Tap(TcpStream, Box<dyn FnMut()>);

    impl Read for Tap {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buf);
            (self.1)();
            read
        }
    }

    impl Write for Tap {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    fn hub(records: usize) -> Arc<Hub> {
        Arc::new(Hub::new(Bounds {
            records,
            bytes: 1 << 26,
            topics: 0,
        }))
    }

    /// Serves a reader whose own kernel holds little for it.
    fn serve_one(
        hub: &Arc<Hub>,
        back: usize,
        ping: Duration,
        patience: Duration,
        each_read: impl FnMut() + 'static,
    ) -> Served {
        let (stop, stopping) = watch::channel(false);
        let manners = Manners {
            channel: hub.channel(None).unwrap(),
            back,
            packed: false,
            ping,
            patience,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = listener.local_addr().unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let hub = Arc::clone(hub);
        let thread = spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                let wire = Wire::new(listener.accept().await.unwrap().0);
                serve(wire.clone(), wire, hub, manners, stopping).await;
            });
        });
        let tap = Tap(stream, Box::new(each_read));
        Served {
            stop,
            reader: WebSocket::from_raw_socket(tap, Role::Client, None),
            thread,
        }
    }

    /// Reads to the end.
    fn end(reader: &mut WebSocket<Tap>) {
        loop {
            match reader.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("{error}")
                }
                Err(_) => return,
            }
        }
    }

    #[test]
    fn a_reader_that_has_many_records_to_get_is_asked_and_heard_all_the_same() {
        const MANY: usize = 200_000;
        let hub = hub(MANY);
        (0..MANY).for_each(|_| hub.add("a record", None));
        let mut served = serve_one(&hub, MANY, Duration::from_millis(1), WAIT, || {});
        while !served.reader.read().unwrap().is_ping() {}
        served.reader.close(None).unwrap();
        end(&mut served.reader);
        served.thread.join().unwrap();
        assert!(hub.sent.load(Ordering::Relaxed) < MANY as u64);
    }

    #[test]
    fn a_reader_without_room_is_let_go_when_patience_ends_not_with_the_next_ping() {
        for length in [4_000, 1_000_000] {
            let hub = hub(200);
            (0..200).for_each(|_| hub.add(&"x".repeat(length), None));
            let served = serve_one(&hub, 200, WAIT, Duration::from_millis(100), || {});
            // It never reads, and this ends all the same.
            served.thread.join().unwrap();
            assert!(hub.sent.load(Ordering::Relaxed) < 200);
        }
    }

    #[test]
    fn a_newcomer_gets_all_of_the_past_that_it_asked_for() {
        let hub = hub(2000);
        let add = |text: &str| hub.add(&format!("{text}{}", " ".repeat(200_000)), None);
        (0..9).for_each(|number| add(&number.to_string()));
        // Whenever it reads there is a newer one.
        let newer = Arc::clone(&hub);
        let mut served = serve_one(&hub, 9, WAIT, WAIT, move || {
            if newer.channel(None).unwrap().newest() < 2000 {
                newer.add("newer", None);
                newer.announce();
            }
        });
        for number in 0..9 {
            let message = served.reader.read().unwrap();
            assert_eq!(message.to_text().unwrap().trim(), number.to_string());
        }
        served.stop.send_replace(true);
        end(&mut served.reader);
        served.thread.join().unwrap();
    }
}
