//! The HTTP server: a small runtime of its own, so that the sink never waits. Records go out to
//! readers on several processors at once: the last of many gets its record earlier.
//!
//! Everything a stranger can hold on to is bounded: connections, the time to send a request, the
//! time a connection may live without becoming a reader, headers, messages.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http;
use crate::hub::Hub;
use crate::page::Asset;
use crate::readers::Readers;
use crate::trust::{Token, Trust};
use crate::visitors::{Seat, Visitors};
use crate::wire::Wire;

/// Longest a stranger may take to send the head of a request, or to agree on a cipher.
pub const HEAD: Duration = Duration::from_secs(5);
/// Longest a connection may live that has not become a reader.
const VISIT: Duration = Duration::from_secs(60);
/// Connections that the kernel keeps until they are looked at: all readers of a server that was
/// started again come at once.
const WAITING: i32 = 4096;
/// Bytes of a record that are kept encrypted until the kernel takes them: of one fragment of TLS.
const TLS_UNSENT: usize = 16 * 1024;
/// Most threads that serve.
const WORKERS: usize = 4;
/// Most bytes and lines of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_LINES: usize = 64;

/// What the server is told once.
pub struct Setup {
    /// The files of the page.
    pub assets: Vec<Asset>,
    /// Who may read.
    pub trust: Trust,
    /// What readers must show.
    pub token: Option<Token>,
    /// What speaks TLS, if anything.
    pub tls: Option<TlsAcceptor>,
    /// Most readers at a time.
    pub max_clients: usize,
    /// Most of them of one address; `None`: all.
    pub max_clients_per_address: Option<usize>,
    /// Most records of the past that a reader gets.
    pub history: usize,
    /// How often readers are asked whether they are there.
    pub ping: Duration,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What all connections have in common.
pub struct Shared {
    /// What the server was told.
    pub setup: Setup,
    /// What the readers read from.
    pub hub: Arc<Hub>,
    /// Seats of readers.
    pub readers: Arc<Readers>,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl Server {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address cannot be had, or the system refuses a thread.
    pub fn start(address: SocketAddr, setup: Setup, hub: Arc<Hub>) -> io::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers())
            .thread_name("websocket")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            readers: Arc::new(Readers::new(
                setup.max_clients,
                setup.max_clients_per_address,
            )),
            setup,
            hub,
            stop: stopping,
        });
        let serve = move || {
            runtime.block_on(accept(listener, shared));
            // Readers have been told; what still hangs is cut.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("websocket".into())
            .spawn(serve)?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens; the port is the one taken when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends readers what they have not yet got, says goodbye and stops.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; the sink ends all the same.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Threads that serve: a processor each, and a few are enough to fill a network.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().min(WORKERS))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A server that starts again finds its own old connections lingering: they must not keep it out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(WAITING)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let visitors = Visitors::new(Arc::clone(&shared.hub));
    let mut stop = shared.stop.clone();
    while !*stop.borrow() {
        // Its time begins when it has come.
        let next = async { (listener.accept().await, visitors.seat().await) };
        let (accepted, seat) = tokio::select! {
            _ = stop.changed() => continue,
            next = next => next,
        };
        match (accepted, seat) {
            (Ok((stream, _)), Some(seat)) => {
                tokio::spawn(visit(Wire::new(stream), Arc::clone(&shared), seat));
            }
            // Out of descriptors, most likely: connections that end will free some.
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
    // Readers leave by themselves now; their seats come back as they do.
    let _ = timeout(Duration::from_secs(1), shared.readers.empty()).await;
}

/// A connection until it ends or becomes a reader's.
async fn visit(wire: Wire, shared: Arc<Shared>, seat: Seat) {
    // Errors are those of strangers' connections: there is nobody to tell.
    let serve = async {
        match shared.setup.tls.clone() {
            None => converse(wire.clone(), wire, &shared).await,
            Some(tls) => {
                let accept = tls.accept_with(wire.clone(), |tls| {
                    tls.set_buffer_limit(Some(TLS_UNSENT));
                });
                if let Ok(Ok(stream)) = timeout(HEAD, accept).await {
                    converse(stream, wire, &shared).await;
                }
            }
        }
    };
    tokio::select! {
        _ = timeout(VISIT, serve) => {}
        () = seat.wanted() => {}
    }
}

async fn converse<S>(io: S, wire: Wire, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = http::answer(request, shared, &wire);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES);
    let _ = http
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
}
