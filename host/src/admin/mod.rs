//! `[admin] listen`: Prometheus metrics on `/metrics`, `/health` for supervisors. Loopback only.

mod metrics;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::atomic::Ordering,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Bytes, header::CONTENT_TYPE, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{runtime, sync::oneshot};

use crate::engine::View;

/// Longest time that a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at a time.
const MAX_CONNECTIONS: usize = 32;

/// A server that runs while this lives.
pub struct Admin {
    _stop: oneshot::Sender<()>,
}

/// Serves until the answer is dropped.
///
/// # Errors
/// The address is taken, or no thread can be had.
pub fn serve(at: SocketAddr, view: View) -> io::Result<Admin> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            runtime.block_on(async {
            tokio::select! {
                r = accept(listener, view) => if let Err(e) = r { tracing::error!("metrics: {e}") },
                _ = stopped => {}
            }
        });
        })?;
    Ok(Admin { _stop: stop })
}

async fn accept(listener: TcpListener, view: View) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return Ok(());
        };
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let view = view.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &view);
                async { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(e) = served {
                tracing::debug!("metrics: {e}");
            }
            drop(place);
        });
    }
}

fn answer<B>(request: &Request<B>, view: &View) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::text(view),
        ),
        (&Method::GET, "/health") if view.healthy.load(Ordering::SeqCst) => (
            StatusCode::OK,
            "application/json",
            "{\"status\":\"ok\"}\n".to_owned(),
        ),
        (&Method::GET, "/health") => (
            StatusCode::SERVICE_UNAVAILABLE,
            "application/json",
            "{\"status\":\"failed\"}\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "see /metrics and /health\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
