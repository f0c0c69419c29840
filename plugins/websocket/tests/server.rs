//! The sink through the real boundary and real sockets: what readers get, who is turned away, and
//! what a stranger can hold on to.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use plugin_api::testing::batch_of;
use plugin_api::{BatchBuilder, ContentType, Format};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

mod common;
use common::{Stage, connect_over, dial, get, http, open, text, until_cut_off};

type Reader = WebSocket<TcpStream>;

fn try_connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Reader, u16> {
    connect_over(dial(address), address, path, headers).map(|(reader, _)| reader)
}

fn connect(address: SocketAddr) -> Reader {
    try_connect(address, "/feed", &[]).unwrap()
}

fn farewell(reader: &mut Reader) -> CloseFrame {
    loop {
        match reader.read().unwrap() {
            Message::Close(frame) => return frame.unwrap(),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A question and "alive" as its answer: what was sent before has been dealt with.
fn settle(reader: &mut Reader) {
    reader.send(Message::text("alive?")).unwrap();
    assert_eq!(text(reader), r#"{"type":"alive"}"#);
}

/// The files that a page, script or style names.
fn files(text: &str) -> Vec<String> {
    let quoted = text.split('"').filter(|part| part.starts_with('/'));
    let files = quoted.filter(|part| {
        let ending = part.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|ending| ["js", "css", "svg", "ttf"].contains(&ending))
    });
    files.map(str::to_owned).collect()
}

#[test]
fn the_page_is_served_with_a_strict_policy() {
    let (_stage, address) = open(json!({"title": "Tweets & more"}));
    let page = get(address, "/", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Tweets &amp; more</title>"));
    let head = page.head.to_lowercase();
    for line in [
        "content-security-policy: default-src 'none'; script-src 'self';",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-cache",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    // Whatever the page names is there, and so is what that names.
    let mut found = files(&page.body);
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let file = get(address, &path, "");
        assert_eq!(file.status, 200, "{path}");
        let media = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "font/ttf",
        };
        assert!(
            file.head.contains(&format!("content-type: {media}")),
            "{path}"
        );
        let etag = file
            .head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "));
        let known = format!("If-None-Match: {}\r\n", etag.unwrap());
        assert_eq!(get(address, &path, &known).status, 304, "{path}");
        for more in files(&file.body) {
            if !found.contains(&more) {
                found.push(more);
            }
        }
    }
    assert_eq!(found.len(), 19, "{found:?}");
    assert_eq!(get(address, "/../etc/passwd", "").status, 404);
    assert_eq!(get(address, "/feed", "").status, 426);
    let post = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(http(address, &post).status, 405);
}

#[test]
fn readers_get_the_last_record_at_once_and_all_that_follow_in_order() {
    let (mut stage, address) = open(json!({}));
    stage.write(&batch_of(["1", "2", "3"])).unwrap();
    let mut readers = [connect(address), connect(address)];
    let mut historian = try_connect(address, "/feed?history=2", &[]).unwrap();
    for reader in &mut readers {
        assert_eq!(text(reader), "3");
    }
    assert_eq!(
        (text(&mut historian), text(&mut historian)),
        ("2".into(), "3".into())
    );
    for round in 0..10 {
        let outcome = stage
            .write(&batch_of([format!("{round}a"), format!("{round}b")]))
            .unwrap();
        assert_eq!((outcome.consumed_count(), outcome.rejected.len()), (2, 0));
    }
    for reader in readers.iter_mut().chain([&mut historian]) {
        for round in 0..10 {
            assert_eq!(text(reader), format!("{round}a"));
            assert_eq!(text(reader), format!("{round}b"));
        }
    }
    // The three ways in which a message's length is written.
    for length in [0, 125, 126, 65_535, 65_536, 200_000] {
        stage
            .write(&batch_of(
                ["ä".repeat(length / 2) + &"x".repeat(length % 2)],
            ))
            .unwrap();
        for reader in readers.iter_mut().chain([&mut historian]) {
            assert_eq!(text(reader).len(), length);
        }
    }
    stage.tick().unwrap();
    assert_eq!(stage.host().metric_value("websocket_clients"), 3.0);
    assert_eq!(stage.host().metric_value("websocket_skipped"), 0.0);
}

#[test]
fn records_that_cannot_be_shown_are_rejected_and_the_others_are_not() {
    let (mut stage, address) = open(json!({"max_record": 10}));
    let mut builder = BatchBuilder::new();
    builder.push(Some(b"first"));
    builder.push(Some(b"\xff"));
    builder.push(None);
    builder.push(Some(b"eleven byte"));
    builder.push(Some(b"last"));
    let outcome = stage.write(&builder.finish()).unwrap();
    let reasons: Vec<_> = outcome
        .rejected
        .iter()
        .map(|(_, index, why, _)| (*index, why.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (1, "not UTF-8 from byte 0"),
            (2, "the value is absent"),
            (3, "11 bytes, and max_record is 10")
        ]
    );
    assert_eq!(outcome.consumed_count(), 2);
    let mut reader = try_connect(address, "/feed?history=9", &[]).unwrap();
    assert_eq!(
        (text(&mut reader), text(&mut reader)),
        ("first".into(), "last".into())
    );
}

#[test]
fn pages_of_other_sites_and_names_pointed_at_loopback_are_turned_away() {
    let (_stage, address) = open(json!({"allow_origins": ["https://friend.example"]}));
    let own = format!("http://{address}");
    for (origin, wanted) in [
        (own.as_str(), None),
        ("https://friend.example", None),
        ("https://evil.example", Some(403)),
        ("http://127.0.0.1:1", Some(403)),
        ("null", Some(403)),
    ] {
        let answer = try_connect(address, "/feed", &[("Origin", origin)]);
        assert_eq!(answer.err(), wanted, "{origin}");
    }
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(try_connect(address, "/feed", &rebound).err(), Some(403));
    assert_eq!(
        http(
            address,
            "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        )
        .status,
        403
    );
}

#[test]
fn a_slow_reader_gets_the_newest_record_and_holds_nobody_up() {
    let (mut stage, address) = open(json!({"history": 10}));
    let mut slow = connect(address);
    let mut quick = connect(address);
    settle(&mut slow);
    settle(&mut quick);
    let records = 300;
    let mut seen = Vec::new();
    for number in 0..records {
        let record = json!({"number": number, "filler": "x".repeat(60_000)}).to_string();
        stage.write(&batch_of([record])).unwrap();
        // The quick reader reads each before the next is written, so it misses none.
        let got: Value = serde_json::from_str(&text(&mut quick)).unwrap();
        seen.push(got["number"].as_u64().unwrap());
    }
    assert_eq!(seen, (0..records).collect::<Vec<_>>());
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(records - 1)) {
        let got: Value = serde_json::from_str(&text(&mut slow)).unwrap();
        numbers.push(got["number"].as_u64().unwrap());
    }
    println!("the slow reader got {} of {records}", numbers.len());
    assert!(numbers.is_sorted(), "{numbers:?}");
    // What the kernels of both ends hold was on its way already; the rest was passed over.
    assert!(numbers.len() < records as usize / 2, "{}", numbers.len());
    stage.tick().unwrap();
    let passed = records as usize - numbers.len();
    assert_eq!(
        stage.host().metric_value("websocket_skipped"),
        passed as f64
    );
}

#[test]
fn messages_too_large_or_too_many_end_a_reader() {
    let (_stage, address) = open(json!({}));
    let mut reader = connect(address);
    reader.send(Message::text("x".repeat(5000))).unwrap();
    assert_eq!(farewell(&mut reader).code, CloseCode::Size);
    let mut reader = connect(address);
    for _ in 0..200 {
        if reader.send(Message::text("hello")).is_err() {
            break;
        }
    }
    assert_eq!(farewell(&mut reader).code, CloseCode::Policy);
    // A message that begins, and goes on with parts of nothing.
    let mut reader = connect(address);
    let endless = [[1, 0x80, 0, 0, 0, 0], [0, 0x80, 0, 0, 0, 0]];
    let endless = [&endless[..1], &endless[1..].repeat(100_000)].concat();
    // The server may be gone before it has them all.
    let _ = reader.get_mut().write_all(endless.as_flattened());
    let Message::Close(Some(frame)) = reader.read().unwrap() else {
        panic!("it is asked whether it is there")
    };
    assert_eq!(frame.code, CloseCode::Policy);
}

#[test]
fn a_reader_that_says_goodbye_is_answered() {
    let (_stage, address) = open(json!({}));
    let mut reader = connect(address);
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "done".into(),
    };
    reader.close(Some(frame.clone())).unwrap();
    assert_eq!(farewell(&mut reader), frame);
}

#[test]
fn one_reader_too_many_is_told_to_come_back_and_does() {
    let (mut stage, address) = open(json!({"max_clients": 2}));
    let mut first = connect(address);
    let second = connect(address);
    settle(&mut first);
    assert_eq!(try_connect(address, "/feed", &[]).err(), Some(503));
    drop(second);
    // The seat is free once the server has seen the other go.
    let third = (0..1000).find_map(|_| try_connect(address, "/feed", &[]).ok());
    assert!(third.is_some());
    stage.tick().unwrap();
    assert!(stage.host().metric_value("websocket_refused") >= 1.0);
}

#[test]
fn one_address_has_no_more_readers_than_it_may() {
    let (_stage, address) = open(json!({"max_clients_per_address": 1}));
    let _first = connect(address);
    assert_eq!(try_connect(address, "/feed", &[]).err(), Some(503));
    assert!(get(address, "/topics", "").body.contains(r#""full":true"#));
    let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    other.bind(&from.into()).unwrap();
    other.connect(&address.into()).unwrap();
    assert!(connect_over(TcpStream::from(other), address, "/feed", &[]).is_ok());
}

#[test]
fn a_reader_that_does_not_answer_is_let_go_and_one_that_does_is_not() {
    let (mut stage, address) = open(json!({"ping": "100ms"}));
    let mut silent = dial(address);
    let handshake = format!(
        "GET /feed HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    silent.write_all(handshake.as_bytes()).unwrap();
    let mut heard = Vec::new();
    silent.read_to_end(&mut heard).unwrap();
    let told = b"no answer";
    assert!(
        heard.windows(told.len()).any(|part| part == told),
        "{}",
        String::from_utf8_lossy(&heard)
    );
    assert!(
        String::from_utf8_lossy(&heard).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "the accept key of RFC 6455"
    );
    // This one answers pings by reading; it outlives several rounds of them.
    let mut reader = connect(address);
    let mut pings = 0;
    while pings < 6 {
        pings += usize::from(matches!(reader.read().unwrap(), Message::Ping(_)));
    }
    stage.write(&batch_of(["still here"])).unwrap();
    assert_eq!(text(&mut reader), "still here");
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let (mut stage, address) = open(json!({}));
    let strangers: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stranger = dial(address);
            stranger
                .write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nX-Slow: ").as_bytes())
                .unwrap();
            stranger
        })
        .collect();
    // Readers are served all the while, also when there are more strangers than may stay: those
    // that came first go.
    settle(&mut connect(address));
    let more: Vec<TcpStream> = (0..300).map(|_| dial(address)).collect();
    settle(&mut connect(address));
    strangers.into_iter().chain(more).for_each(|stranger| {
        until_cut_off(stranger);
    });
    stage.tick().unwrap();
    assert!(stage.host().metric_value("websocket_refused") >= 1.0);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(http(address, &long).status, 431);
}

#[test]
fn at_the_end_readers_get_the_rest_and_a_goodbye_and_the_port_is_free_again() {
    let (mut stage, address) = open(json!({}));
    let mut reader = connect(address);
    settle(&mut reader);
    stage.tick().unwrap();
    let host = stage.host();
    assert_eq!(host.metric_value("websocket_clients"), 1.0);
    stage.write(&batch_of(["last words"])).unwrap();
    stage.close().unwrap();
    assert_eq!(text(&mut reader), "last words");
    assert_eq!(farewell(&mut reader).code, CloseCode::Away);
    let metrics = ["websocket_clients", "websocket_sent"].map(|name| host.metric_value(name));
    assert_eq!(metrics, [0.0, 1.0]);
    let (mut stage, again) = open(json!({"listen": address.to_string()}));
    assert_eq!(again, address);
    stage.write(&batch_of(["first words"])).unwrap();
    assert_eq!(text(&mut connect(address)), "first words");
    let taken = Stage::sink("websocket", &json!({"listen": address.to_string()}), &[])
        .err()
        .unwrap();
    assert_eq!(
        taken.message,
        format!("{address} is in use by another program")
    );
}

#[test]
fn wrong_wiring_and_options_are_refused_at_their_place() {
    let plan = |options: Value, input| Stage::plan("sink", "websocket", &options, &[input]);
    for format in [Format::Png, Format::Svg, Format::Bytes, Format::Avro] {
        let error = plan(json!({}), ContentType::new(format)).err().unwrap();
        assert_eq!(error.pointer, "/inputs/0");
        assert_eq!(
            error.message,
            format!("the page shows json, text or csv, and this sends {format}")
        );
    }
    for (options, at) in [
        (json!({"listen": "3000"}), "/listen"),
        (json!({"listen": "localhost:99999"}), "/listen"),
        (json!({"history": 0}), "/history"),
        (json!({"max_clients": 0}), "/max_clients"),
        (
            json!({"max_clients_per_address": 0}),
            "/max_clients_per_address",
        ),
        (json!({"max_record": "1 GiB"}), "/max_record"),
        (json!({"ping": "1ms"}), "/ping"),
        (
            json!({"allow_origins": ["https://a.example", "*"]}),
            "/allow_origins/1",
        ),
    ] {
        assert_eq!(
            plan(options.clone(), ContentType::json())
                .err()
                .unwrap()
                .pointer,
            at,
            "{options}"
        );
    }
    let (_, planned) = plan(json!({"listen": "localhost:0"}), ContentType::json()).unwrap();
    assert_eq!(planned.warnings, [""; 0]);
    let (_, planned) = plan(json!({"listen": "0.0.0.0:3000"}), ContentType::text()).unwrap();
    assert_eq!(
        planned.warnings,
        [
            "the page on 0.0.0.0:3000 is open to whoever reaches it: set `token`, or have a proxy ask"
        ]
    );
    let token = json!({"listen": "0.0.0.0:3000", "token": "a token of 20 signs!"});
    let error = plan(token, ContentType::text()).err().unwrap();
    assert_eq!(error.pointer, "/token");
    let token = json!({"listen": "0.0.0.0:3000", "token": "a-token-of-20-signs!"});
    let (_, planned) = plan(token, ContentType::text()).unwrap();
    assert_eq!(
        planned.warnings,
        [
            "the token crosses the network to 0.0.0.0:3000 unencrypted: set `tls`, or have a proxy do so"
        ]
    );
}
