//! `[admin] listen`: Prometheus metrics on `/metrics`, `/health` for supervisors. Loopback only.

mod metrics;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Bytes, header::CONTENT_TYPE, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{runtime, sync::oneshot};

use crate::engine::{Health, View};

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
        (&Method::GET, "/health") => {
            let (status, word) = match view.health() {
                Health::Ok => (StatusCode::OK, "ok"),
                Health::Restarting => (StatusCode::SERVICE_UNAVAILABLE, "restarting"),
                Health::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
            };
            let body = format!("{{\"status\":\"{word}\"}}\n");
            (status, "application/json", body)
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    };

    use http_body_util::BodyExt;

    use super::*;
    use crate::engine::region::RegionShared;

    fn get(path: &str, view: &View) -> (u16, String) {
        let request = Request::get(path).body(()).unwrap();
        let response = answer(&request, view);
        let status = response.status().as_u16();
        let body = runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(response.into_body().collect());
        let bytes = body.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn view() -> View {
        let region = RegionShared {
            host: "h".into(),
            name: "tweets-0badcafe".into(),
            epoch: AtomicU64::new(7),
            at_us: AtomicI64::new(1),
            bytes: AtomicU64::new(300),
            took_ns: AtomicU64::new(2_500_000),
            restarts: AtomicU64::new(2),
            restarting: AtomicBool::new(false),
        };
        View {
            hosts: Vec::new(),
            regions: vec![Arc::new(region)],
            healthy: Arc::new(AtomicBool::new(true)),
        }
    }

    #[test]
    fn health_recovers_when_a_restart_succeeds_and_not_from_what_was_given_up() {
        let view = view();
        let health = || get("/health", &view);
        assert_eq!(health(), (200, "{\"status\":\"ok\"}\n".into()));
        view.regions[0].restarting.store(true, Relaxed);
        assert_eq!(health(), (503, "{\"status\":\"restarting\"}\n".into()));
        view.regions[0].restarting.store(false, Relaxed);
        assert_eq!(health().0, 200);
        view.healthy.store(false, Relaxed);
        assert_eq!(health(), (503, "{\"status\":\"failed\"}\n".into()));
    }

    #[test]
    fn a_region_has_its_metrics() {
        let view = view();
        let (status, text) = get("/metrics", &view);
        assert_eq!(status, 200);
        for line in [
            "host_region_epoch{host=\"h\",region=\"tweets-0badcafe\"} 7\n",
            "host_region_epoch_bytes{host=\"h\",region=\"tweets-0badcafe\"} 300\n",
            "host_region_epoch_duration_seconds{host=\"h\",region=\"tweets-0badcafe\"} 0.0025\n",
            "host_region_restarts_total{host=\"h\",region=\"tweets-0badcafe\"} 2\n",
            "host_region_restarting{host=\"h\",region=\"tweets-0badcafe\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(text.contains("host_region_epoch_age_seconds{"));
        view.regions[0].at_us.store(0, Relaxed);
        let (_, text) = get("/metrics", &view);
        assert!(
            !text.contains("age_seconds{"),
            "no epoch has no age: {text}"
        );
    }
}
