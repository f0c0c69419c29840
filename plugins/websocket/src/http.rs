//! What is answered to a request.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::client::{self, Manners};
use crate::page::{Asset, POLICY};
use crate::server::{HEAD, Shared};
use crate::wire::Wire;

type Body = Full<Bytes>;

/// The protocol that a page names beside its token, since a browser wants one of those it named.
const PROTOCOL: &str = "feed";

/// Answers a request; one that becomes a reader goes on by itself.
pub fn answer(request: Request<Incoming>, shared: &Arc<Shared>, wire: &Wire) -> Response<Body> {
    let host = text(request.headers(), header::HOST);
    if !shared.setup.trust.host(host) {
        return refuse(
            shared,
            StatusCode::FORBIDDEN,
            "This name is not served here: it is not among `allow_origins`.\n",
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
        // The page itself tells nothing; it has to come from somewhere to ask for the token.
        "/feed" | "/topics" | "/metrics" if !known(&request, shared) => {
            let mut response = refuse(
                shared,
                StatusCode::UNAUTHORIZED,
                "This asks for the token of the server.\n",
            );
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        "/feed" => feed(request, shared, wire),
        "/topics" => respond(
            StatusCode::OK,
            "application/json",
            topics(shared, wire).into(),
        ),
        "/metrics" => respond(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics(shared).into(),
        ),
        path => match shared.setup.assets.iter().find(|asset| asset.path == path) {
            Some(asset) => file(asset, &request),
            None => plain(
                StatusCode::NOT_FOUND,
                "There is nothing here. The page is at /, the websocket at /feed.\n",
            ),
        },
    }
}

fn known(request: &Request<Incoming>, shared: &Shared) -> bool {
    let headers = request.headers();
    shared.setup.token.as_ref().is_none_or(|token| {
        token.shown(
            text(headers, header::AUTHORIZATION),
            text(headers, header::SEC_WEBSOCKET_PROTOCOL),
        )
    })
}

/// What there is to follow, as JSON.
fn topics(shared: &Shared, wire: &Wire) -> String {
    // Before the names: if they change meanwhile, they are asked for once more.
    let version = shared.hub.version();
    let mut names = String::new();
    for name in shared.hub.names() {
        if !names.is_empty() {
            names.push(',');
        }
        quote(&name, &mut names);
    }
    format!(
        "{{\"topics\":[{names}],\"by_key\":{},\"version\":{version},\"full\":{}}}",
        shared.hub.by_key(),
        wire.peer().is_some_and(|peer| shared.readers.is_full(peer))
    )
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            // Writing to a String cannot fail.
            '\0'..='\u{1f}' => drop(write!(out, "\\u{:04x}", letter as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// What Prometheus reads.
fn metrics(shared: &Shared) -> String {
    let hub = &shared.hub;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let all = [
        (
            "clients",
            "gauge",
            hub.clients.load(Ordering::Relaxed) as u64,
        ),
        ("topics", "gauge", hub.names().len() as u64),
        ("sent_total", "counter", count(&hub.sent)),
        ("sent_bytes_total", "counter", count(&hub.bytes)),
        ("skipped_total", "counter", count(&hub.skipped)),
        ("refused_total", "counter", count(&hub.refused)),
    ];
    all.iter()
        .fold(String::new(), |mut out, (name, kind, value)| {
            let _ = write!(
                out,
                "# TYPE websocket_{name} {kind}\nwebsocket_{name} {value}\n"
            );
            out
        })
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
fn feed(mut request: Request<Incoming>, shared: &Arc<Shared>, wire: &Wire) -> Response<Body> {
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
    let Some(seat) = wire.peer().and_then(|peer| shared.readers.seat(peer)) else {
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
    let query = request.uri().query().unwrap_or_default();
    let topic = parameter(query, "topic");
    let Some(channel) = shared.hub.channel(topic.as_deref()) else {
        return refuse(
            shared,
            StatusCode::NOT_FOUND,
            "There is no such topic, and no room for another.\n",
        );
    };
    // How many records of the past a reader wants, by default the last one.
    let back = parameter(query, "history").and_then(|number| number.parse().ok());
    let manners = Manners {
        channel,
        back: back.unwrap_or(1).min(shared.setup.history),
        packed: parameter(query, "deflate").as_deref() == Some("1"),
        ping: shared.setup.ping,
        patience: client::PATIENCE,
    };
    let protocol = lists(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    let upgrading = hyper::upgrade::on(&mut request);
    let (hub, stop, wire) = (Arc::clone(&shared.hub), shared.stop.clone(), wire.clone());
    tokio::spawn(async move {
        if let Ok(Ok(upgraded)) = timeout(HEAD, upgrading).await {
            client::serve(TokioIo::new(upgraded), wire, hub, manners, stop).await;
        }
        drop(seat);
    });
    let mut response = respond(StatusCode::SWITCHING_PROTOCOLS, "", Bytes::new());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if protocol {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(PROTOCOL),
        );
    }
    response
}

/// A parameter of the query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key == name).then_some(value)
    })?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (rest.next()? as char).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "history=3&topic=caf%C3%A9+%26%20more&deflate=1&broken=%f&flag";
        let found = |name| parameter(query, name);
        assert_eq!(found("history").as_deref(), Some("3"));
        assert_eq!(found("topic").as_deref(), Some("café & more"));
        assert_eq!(found("deflate").as_deref(), Some("1"));
        for none in ["broken", "flag", "top", ""] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn names_of_topics_are_quoted() {
        let mut out = String::new();
        quote("a\"b\\c\n\u{1}ü", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\u000a\\u0001ü\"");
    }
}
