//! What can be asked for, and by whom: topics, packed records, metrics; tokens and TLS.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use plugin_api::testing::batch_of;
use plugin_api::{BatchBuilder, ContentType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

mod common;
use common::{Stage, connect_over, dial, get, open, text, until_cut_off};

const TOKEN: &str = "a-token-for-these-tests";
/// `bearer.` and [`TOKEN`] in base64url.
const PROTOCOL: &str = "bearer.YS10b2tlbi1mb3ItdGhlc2UtdGVzdHM";

fn reader(address: SocketAddr, path: &str) -> WebSocket<TcpStream> {
    connect_over(dial(address), address, path, &[]).unwrap().0
}

fn send(stage: &mut Stage, key: &str, value: &str) {
    let mut batch = BatchBuilder::new();
    batch.push(Some(value.as_bytes())).key(Some(key.as_bytes()));
    stage.write(&batch.finish()).unwrap();
}

#[test]
fn a_topic_is_a_feed_of_its_own_and_the_last_record_waits_in_each() {
    let (mut stage, address) = open(json!({"topics": "key"}));
    send(&mut stage, "rust", "r1");
    send(&mut stage, "kafka \"& co\"", "k1");
    send(&mut stage, "rust", "r2");
    let topics = get(address, "/topics", "").body;
    assert_eq!(
        topics,
        r#"{"topics":["kafka \"& co\"","rust"],"by_key":true,"version":2,"full":false}"#
    );
    let mut rust = reader(address, "/feed?topic=rust");
    let mut kafka = reader(address, "/feed?topic=kafka+%22%26%20co%22&history=5");
    let mut early = reader(address, "/feed?topic=avro");
    let mut all = reader(address, "/feed?history=9");
    assert_eq!(
        (text(&mut rust), text(&mut kafka)),
        ("r2".into(), "k1".into())
    );
    for record in ["r1", "k1", "r2"] {
        assert_eq!(text(&mut all), record);
    }
    send(&mut stage, "rust", "r3");
    send(&mut stage, "avro", "a1");
    assert_eq!(
        (text(&mut rust), text(&mut early)),
        ("r3".into(), "a1".into())
    );
    assert_eq!((text(&mut all), text(&mut all)), ("r3".into(), "a1".into()));
    all.send(Message::text("alive?")).unwrap();
    assert_eq!(text(&mut all), r#"{"type":"alive","version":3}"#);
}

#[test]
fn without_topics_keys_mean_nothing() {
    let (mut stage, address) = open(json!({}));
    send(&mut stage, "rust", "r1");
    let mut reader = reader(address, "/feed?topic=kafka");
    assert_eq!(text(&mut reader), "r1");
    assert_eq!(
        get(address, "/topics", "").body,
        r#"{"topics":[],"by_key":false,"version":0,"full":false}"#
    );
}

#[test]
fn who_asks_for_it_gets_records_packed_and_the_others_do_not() {
    let (mut stage, address) = open(json!({}));
    let long = json!({"filler": "word ".repeat(5000)}).to_string();
    stage.write(&batch_of([&long])).unwrap();
    let mut plain = reader(address, "/feed");
    let mut packed = reader(address, "/feed?deflate=1");
    for round in 0..2 {
        assert_eq!(text(&mut plain), long);
        let Message::Binary(bytes) = packed.read().unwrap() else {
            panic!("round {round}: not packed")
        };
        assert!(bytes.len() < long.len() / 20);
        let mut unpacked = String::new();
        flate2::read::DeflateDecoder::new(&bytes[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, long);
        stage.write(&batch_of([&long])).unwrap();
    }
    let _ = packed.read().unwrap();
    stage.write(&batch_of(["short"])).unwrap();
    assert_eq!(text(&mut packed), "short");
}

#[test]
fn metrics_are_there_for_prometheus() {
    let (mut stage, address) = open(json!({}));
    let mut reader = reader(address, "/feed");
    stage.write(&batch_of(["12345"])).unwrap();
    assert_eq!(text(&mut reader), "12345");
    // The count comes behind the sending.
    reader.send(Message::text("alive?")).unwrap();
    text(&mut reader);
    let answer = get(address, "/metrics", "");
    assert_eq!(answer.status, 200);
    let metrics = answer.body;
    for line in [
        "# TYPE websocket_clients gauge",
        "websocket_clients 1",
        "# TYPE websocket_sent_total counter",
        "websocket_sent_total 1",
        "websocket_sent_bytes_total 7",
        "websocket_skipped_total 0",
        "websocket_refused_total 0",
        "websocket_topics 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
}

#[test]
fn who_does_not_show_the_token_learns_nothing_but_the_page() {
    let (mut stage, address) = open(json!({"token": TOKEN}));
    stage.write(&batch_of(["secret"])).unwrap();
    assert_eq!(get(address, "/", "").status, 200);
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/feed", "/topics", "/metrics"] {
        let answer = get(address, path, "Authorization: Bearer wrong\r\n");
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains("secret"), "{path}: {}", answer.body);
    }
    for path in ["/topics", "/metrics"] {
        let header = format!("Authorization: {bearer}\r\n");
        assert_eq!(get(address, path, &header).status, 200, "{path}");
    }
    let try_with = |name, value: &str| {
        connect_over(dial(address), address, "/feed", &[(name, value)])
            .map(|(mut reader, protocol)| (text(&mut reader), protocol))
    };
    assert_eq!(
        try_with("Authorization", &bearer),
        Ok(("secret".into(), None))
    );
    let protocols = format!("feed, {PROTOCOL}");
    assert_eq!(
        try_with("Sec-WebSocket-Protocol", &protocols),
        Ok(("secret".into(), Some("feed".into())))
    );
    for (name, value) in [
        ("Authorization", "Bearer a-token-for-these-test"),
        ("Sec-WebSocket-Protocol", "feed"),
        ("Sec-WebSocket-Protocol", "feed, bearer.YS10b2tl"),
    ] {
        assert_eq!(try_with(name, value), Err(401), "{value}");
    }
}

#[test]
fn the_feed_is_served_over_tls_and_a_stranger_who_never_greets_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (mut stage, address) = open(json!({"tls": {"cert": cert, "key": key}}));
    assert!(
        stage
            .host()
            .log_lines()
            .iter()
            .any(|line| line.message == format!("page on https://{address}"))
    );
    let stranger = dial(address);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = StreamOwned::new(tls, dial(address));
    let (mut reader, _) = connect_over(stream, address, "/feed", &[]).unwrap();
    for length in [1, 100_000, 1_000_000] {
        stage.write(&batch_of(["x".repeat(length)])).unwrap();
        assert_eq!(text(&mut reader).len(), length);
    }
    until_cut_off(stranger);
    let mut plain = dial(address);
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .unwrap();
    assert!(!until_cut_off(plain).starts_with(b"HTTP"));
}

#[test]
fn certificates_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cert = path("cert.pem", &made.cert.pem());
    let key = path("key.pem", &made.signing_key.serialize_pem());
    let none = path("none.pem", "nothing here");
    let missing = folder.path().join("missing.pem");
    for (cert, key, at) in [
        (&missing, &key, "/tls/cert"),
        (&none, &key, "/tls/cert"),
        (&cert, &missing, "/tls/key"),
        (&cert, &none, "/tls/key"),
    ] {
        let options = json!({"listen": "127.0.0.1:0", "tls": {"cert": cert, "key": key}});
        let error = Stage::sink("websocket", &options, &[ContentType::json()])
            .err()
            .unwrap();
        assert_eq!(error.pointer, at, "{}", error.message);
    }
}
