//! The HTTP server: a thread with a small runtime of its own, so that the sink never waits.
//!
//! Everything a stranger can hold on to is bounded: connections, the time to send a request, the
//! time a connection may live without becoming a reader, headers, messages.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::client::{self, Manners};
use crate::hub::Hub;
use crate::page::{Asset, POLICY};
use crate::trust::Trust;

/// Longest a stranger may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Longest a connection may live that has not become a reader.
const VISIT: Duration = Duration::from_secs(60);
/// Connections beside those of the readers.
const VISITORS: usize = 256;
/// Bytes of a record that the kernel may hold unsent for a reader; more would go out stale.
const UNSENT: u32 = 16 * 1024;
/// Most bytes and lines of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_LINES: usize = 64;

type Body = Full<Bytes>;

/// What the server is told once.
#[derive(Debug)]
pub struct Setup {
    /// The files of the page.
    pub assets: Vec<Asset>,
    /// Who may read.
    pub trust: Trust,
    /// Most readers at a time.
    pub max_clients: usize,
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

struct Shared {
    setup: Setup,
    hub: Arc<Hub>,
    readers: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            readers: Arc::new(Semaphore::new(setup.max_clients)),
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

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A server that starts again finds its own old connections lingering: they must not keep it out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let connections = Arc::new(Semaphore::new(shared.setup.max_clients + VISITORS));
    let mut stop = shared.stop.clone();
    while !*stop.borrow() {
        let stream = tokio::select! {
            _ = stop.changed() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: connections that end will free some.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        match Arc::clone(&connections).try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(visit(stream, Arc::clone(&shared), permit));
            }
            Err(_) => {
                shared.hub.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    // Readers leave by themselves now; their permits come back as they do.
    let all = u32::try_from(shared.setup.max_clients).unwrap_or(u32::MAX);
    let _ = timeout(Duration::from_secs(1), shared.readers.acquire_many(all)).await;
}

async fn visit(stream: TcpStream, shared: Arc<Shared>, permit: OwnedSemaphorePermit) {
    // Neither option is needed to serve: without them frames go out a little later.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let permit = Arc::new(permit);
    let service = service_fn(move |request| {
        let answer = answer(request, &shared, &permit);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES);
    // Errors are those of strangers' connections: there is nobody to tell.
    let _ = timeout(
        VISIT,
        http.serve_connection(TokioIo::new(stream), service)
            .with_upgrades(),
    )
    .await;
}

fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    permit: &Arc<OwnedSemaphorePermit>,
) -> Response<Body> {
    let host = text(request.headers(), header::HOST);
    if !shared.setup.trust.host(host) {
        return refuse(
            shared,
            StatusCode::FORBIDDEN,
            "This name is not served here.\n",
        );
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and HEAD are served.\n",
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    match request.uri().path() {
        "/feed" => feed(request, shared, permit),
        path => match shared.setup.assets.iter().find(|asset| asset.path == path) {
            Some(asset) => file(asset, &request),
            None => plain(
                StatusCode::NOT_FOUND,
                "There is nothing here. The page is at /, the websocket at /feed.\n",
            ),
        },
    }
}

fn file(asset: &Asset, request: &Request<Incoming>) -> Response<Body> {
    let known = text(request.headers(), header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.contains(&*asset.etag));
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, asset.body.clone())
    };
    let mut response = respond(status, asset.media, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// The handshake of a websocket, after which the connection is a reader's.
fn feed(
    mut request: Request<Incoming>,
    shared: &Arc<Shared>,
    permit: &Arc<OwnedSemaphorePermit>,
) -> Response<Body> {
    let headers = request.headers();
    let trust = &shared.setup.trust;
    if !trust.origin(text(headers, header::ORIGIN), text(headers, header::HOST)) {
        return refuse(
            shared,
            StatusCode::FORBIDDEN,
            "Pages of that origin may not read this feed.\n",
        );
    }
    let upgrade = lists(headers, header::CONNECTION, "upgrade")
        && lists(headers, header::UPGRADE, "websocket");
    if !upgrade
        || request.method() != Method::GET
        || text(headers, header::SEC_WEBSOCKET_VERSION) != Some("13")
    {
        let mut response = plain(
            StatusCode::UPGRADE_REQUIRED,
            "This is a websocket, version 13.\n",
        );
        response
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        return response;
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| key.len() == 24 && key.ends_with(b"==")) else {
        return plain(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is missing or wrong.\n",
        );
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) else {
        return plain(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is wrong.\n");
    };
    let Ok(seat) = Arc::clone(&shared.readers).try_acquire_owned() else {
        let mut response = refuse(
            shared,
            StatusCode::SERVICE_UNAVAILABLE,
            "There are too many readers.\n",
        );
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        return response;
    };
    let manners = Manners {
        back: back(request.uri().query()).min(shared.setup.history),
        ping: shared.setup.ping,
    };
    let upgrading = hyper::upgrade::on(&mut request);
    let (hub, stop, permit) = (
        Arc::clone(&shared.hub),
        shared.stop.clone(),
        Arc::clone(permit),
    );
    tokio::spawn(async move {
        if let Ok(Ok(upgraded)) = timeout(HEAD, upgrading).await {
            client::serve(TokioIo::new(upgraded), hub, manners, stop).await;
        }
        drop((seat, permit));
    });
    let mut response = respond(StatusCode::SWITCHING_PROTOCOLS, "", Bytes::new());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// `history=N` of the query: how many records of the past a reader wants, at least the last one.
fn back(query: Option<&str>) -> usize {
    let wanted = query.and_then(|query| {
        query
            .split('&')
            .find_map(|part| part.strip_prefix("history="))
    });
    wanted.and_then(|number| number.parse().ok()).unwrap_or(1)
}

fn refuse(shared: &Shared, status: StatusCode, message: &'static str) -> Response<Body> {
    shared.hub.refused.fetch_add(1, Ordering::Relaxed);
    plain(status, message)
}

fn plain(status: StatusCode, message: &'static str) -> Response<Body> {
    respond(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(message.as_bytes()),
    )
}

fn respond(status: StatusCode, media: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a header that is a list has `item`.
fn lists(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(item))
        })
}
