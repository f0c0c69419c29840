//! Accepts connections and serves each until it ends. Tells a client when its socket has taken
//! what it was handed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::client::Client;
use super::http::answer;
use super::shared::Shared;

/// A handshake or a request head that takes longer is cut off.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest request head.
const HEAD_BYTES: usize = 16 << 10;
/// After an error of `accept` (no more file handles), the pause before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the requests of one connection share.
pub(crate) struct Connection {
    pub scheme: &'static str,
    shared: Arc<Shared>,
    client: Mutex<Weak<Client>>,
}

impl Connection {
    /// From now on the connection is this client's stream.
    pub fn serves(&self, client: &Arc<Client>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(client);
    }

    fn flushed(&self) {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.upgrade()
            && client.mark_flushed()
        {
            self.shared.room();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.disconnect();
    }
}

/// Accepts until `stop`.
pub(crate) async fn accept_all(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.notified() => return,
        };
        match accepted {
            Ok((stream, _)) if shared.connect() => {
                let connection = Connection {
                    scheme: if tls.is_some() { "https" } else { "http" },
                    shared: shared.clone(),
                    client: Mutex::default(),
                };
                tokio::spawn(serve(stream, tls.clone(), Arc::new(connection)));
            }
            Ok(_) => shared.ctx.counter("twitter_server_turned_away", 1),
            Err(error) => {
                shared
                    .ctx
                    .warn(format!("twitter-server cannot accept: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, connection: Arc<Connection>) {
    // Small messages go out at once; if that cannot be set, they go out a little later.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(TokioIo::new(stream), connection).await,
        Some(acceptor) => match timeout(HEAD_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(TokioIo::new(stream), connection).await,
            Ok(Err(error)) => connection
                .shared
                .ctx
                .debug(format!("twitter-server: no TLS with a client: {error}")),
            Err(_) => {}
        },
    }
}

async fn serve_http<I: Read + Write + Unpin + Send + 'static>(io: I, connection: Arc<Connection>) {
    let io = Watched {
        io,
        connection: connection.clone(),
    };
    let service =
        service_fn(|request| answer(request, connection.shared.clone(), connection.clone()));
    // How a connection ends is seen by its client; there is nobody else to tell.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service)
        .await;
}

/// A connection that reports when everything written to it was sent. Hyper flushes its socket
/// only when its own buffer is empty, so a flush that is done means: nothing is left behind.
struct Watched<I> {
    io: I,
    connection: Arc<Connection>,
}

impl<I: Read + Unpin> Read for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(task, buffer)
    }
}

impl<I: Write + Unpin> Write for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_flush(task);
        if let Poll::Ready(Ok(())) = done {
            self.connection.flushed();
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(task, slices)
    }
}
