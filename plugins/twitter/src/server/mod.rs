//! The sink `twitter-server`. A thread of its own serves the connections; `write` puts each
//! message into the buffers of those who asked for it.

mod auth;
mod client;
mod config;
mod connection;
mod http;
mod ledger;
mod shared;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use plugin_api::prelude::*;
use tokio::sync::Notify;
use track::{Detail, Kind, Message, Reader, Scratch};

use auth::Auth;
use client::Client;
pub use config::Options;
use config::{AtEnd, WhenSlow};
use ledger::{Entry, Ledger};
use shared::Shared;

/// How long a call waits for a client, or for room at one.
const WAIT: Duration = Duration::from_millis(5);
/// How often to look after deliveries that are on their way, and when none is.
const TICK_NS: u64 = 10_000_000;
const IDLE_NS: u64 = 1_000_000_000;
/// How long `close` waits for clients to take the end of their streams.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The sink `twitter-server`: see its [`Options`].
pub struct TwitterServer {
    options: Options,
    ctx: Context,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
    /// The clients, as of version `seen` of the list.
    clients: Vec<Arc<Client>>,
    seen: u64,
    /// Enough clients have come.
    began: bool,
    reader: Reader,
    scratch: Scratch,
    /// Who gets the message at hand.
    takers: Vec<Arc<Client>>,
    ledger: Ledger,
}

impl Sink for TwitterServer {
    const NAME: &'static str = "twitter-server";
    const LATE: bool = true;
    type Options = Options;

    fn plan(options: &Options, inputs: &[ContentType]) -> Result<Planned, StageError> {
        config::plan(options, inputs)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let listener = TcpListener::bind(config::address(&options)?).map_err(|e| {
            StageError::config(
                "/listen",
                format!("cannot listen on {}: {e}", options.listen),
            )
        })?;
        let no_socket = |e: std::io::Error| StageError::fatal(format!("the listening socket: {e}"));
        listener.set_nonblocking(true).map_err(no_socket)?;
        let address = listener.local_addr().map_err(no_socket)?;
        let tls = options
            .tls
            .as_ref()
            .map(|tls| tls::acceptor(tls, address))
            .transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let auth = Auth::new(
            options.credentials.clone(),
            options.timestamp_window.duration().as_secs(),
        );
        let shared = Arc::new(Shared::new(
            ctx.clone(),
            auth,
            options.keep_alive.duration(),
            options.client_buffer.bytes(),
            options.max_clients as usize,
            options.faults.clone(),
        ));
        let stop = Arc::new(Notify::new());
        let thread = serve(listener, tls, shared.clone(), stop.clone())?;
        ctx.info(format!("twitter-server listens on {scheme}://{address}"));
        Ok(Self {
            options,
            ctx: ctx.clone(),
            shared,
            stop,
            thread: Some(thread),
            address,
            clients: Vec::new(),
            seen: 0,
            began: false,
            reader: Reader::new(Detail::Filter),
            scratch: Scratch::default(),
            takers: Vec::new(),
            ledger: Ledger::default(),
        })
    }

    fn write(
        &mut self,
        input: Input<'_>,
        from: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<usize, StageError> {
        self.settle(out);
        // At the end of the run nobody is waited for any more.
        if !self.has_clients() && !self.ctx.cancelled() {
            return Ok(0);
        }
        let mut entry = Entry::new(input.seq);
        let (mut taken, mut filtered) = (0, 0);
        for record in input.batch.iter().skip(from) {
            match self.offer(record, &mut entry) {
                Offer::Full if taken == 0 => {
                    self.wait_for_room();
                    break;
                }
                Offer::Full => break,
                Offer::Nobody => filtered += 1,
                Offer::Sent => {}
            }
            taken += 1;
        }
        out.filtered_at(input.seq, filtered);
        self.ledger.add(entry);
        Ok(taken)
    }

    fn end(&mut self, _input: u32, _out: &mut Out<'_, '_>) -> Result<(), StageError> {
        if self.options.at_end == AtEnd::Close {
            self.shared.close_all();
        }
        Ok(())
    }

    fn tick(&mut self, now_ns: u64, out: &mut Out<'_, '_>) -> Result<Option<u64>, StageError> {
        self.settle(out);
        let pause = if self.ledger.is_empty() {
            IDLE_NS
        } else {
            TICK_NS
        };
        Ok(Some(now_ns + pause))
    }

    fn checkpoint_poll(
        &mut self,
        _epoch: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Checkpoint, StageError> {
        self.settle(out);
        Ok(if self.ledger.is_empty() {
            Checkpoint::Ready(Vec::new())
        } else {
            Checkpoint::Pending
        })
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.shared.close_all();
        if !self.shared.wait_for_silence(CLOSE_WAIT) {
            self.ctx
                .warn("twitter-server: a client did not take the end of its stream");
        }
        self.shut_down();
        Ok(())
    }
}

/// What became of a message that was offered to the clients.
enum Offer {
    /// Someone who wants it has no room.
    Full,
    /// Nobody wants it.
    Nobody,
    /// It waits to be sent.
    Sent,
}

impl TwitterServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether there is someone to serve; waits a little if not.
    fn has_clients(&mut self) -> bool {
        let wanted = match (self.began, self.options.min_clients) {
            (_, 0) => 0,
            (true, _) => 1,
            (false, min) => min as usize,
        };
        let (shared, seen, clients) = (&self.shared, &mut self.seen, &mut self.clients);
        shared.refresh(seen, clients);
        if clients.len() < wanted {
            shared.wait_for_clients(WAIT, wanted);
            shared.refresh(seen, clients);
        }
        self.began |= self.clients.len() >= wanted;
        self.clients.len() >= wanted
    }

    fn offer(&mut self, record: Record<'_>, entry: &mut Entry) -> Offer {
        let bytes = record.bytes();
        self.takers.clear();
        if !bytes.trim_ascii().is_empty() {
            self.find_takers(bytes);
        }
        if self.options.when_slow == WhenSlow::Wait {
            if self.takers.iter().any(|client| !client.has_room()) {
                return Offer::Full;
            }
        } else {
            let before = self.takers.len();
            self.takers.retain(|client| {
                let has_room = client.has_room();
                if !has_room {
                    client.leave_out();
                }
                has_room
            });
            let left_out = before - self.takers.len();
            if left_out > 0 {
                self.ctx.counter("twitter_server_left_out", left_out as u64);
            }
        }
        if self.takers.is_empty() {
            return Offer::Nobody;
        }
        entry.record(record.index());
        for client in &self.takers {
            entry.way(client, client.send(bytes));
        }
        Offer::Sent
    }

    fn find_takers(&mut self, bytes: &[u8]) {
        // Where all take everything, nothing needs to be read.
        let message: Option<Message<'_>> = if self.clients.iter().any(|c| c.filter.is_some()) {
            self.reader.read(bytes).ok()
        } else {
            None
        };
        for client in &self.clients {
            let takes = match (&client.filter, &message) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(message)) if message.kind != Kind::Tweet => true,
                (Some(filter), Some(message)) => filter.matches(message, &mut self.scratch),
            };
            if takes {
                self.takers.push(client.clone());
            }
        }
    }

    fn wait_for_room(&self) {
        let takers = &self.takers;
        self.shared
            .wait(WAIT, || takers.iter().all(|client| client.has_room()));
    }

    fn settle(&mut self, out: &mut Out<'_, '_>) {
        let lost = self.ledger.settle(out);
        if lost > 0 {
            self.ctx.counter("twitter_server_undelivered", lost);
        }
    }

    /// Stops the network's thread.
    fn shut_down(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.ctx
                .error("twitter-server: its network thread panicked");
        }
    }
}

impl Drop for TwitterServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Starts the network's thread.
fn serve(
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
) -> Result<JoinHandle<()>, StageError> {
    let failed = |e: std::io::Error| StageError::fatal(format!("no network runtime: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    std::thread::Builder::new()
        .name("twitter-server".into())
        .spawn(move || runtime.block_on(connection::accept_all(listener, tls, shared, stop)))
        .map_err(failed)
}
