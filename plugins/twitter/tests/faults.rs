//! The source meets each fault of the server, waits as Twitter's rules say (on a clock that
//! writes the waits down and does not wait), and goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use common::{Server, credentials, read_all, sleeps, source, tweet};
use plugin_api::testing::Outcome;
use plugin_api::{Code, StageError};
use serde_json::{Value, json};

fn three() -> Vec<Vec<u8>> {
    (1..=3).map(|id| tweet(id, "rust").into_bytes()).collect()
}

struct Met {
    got: Outcome,
    waits: Vec<f64>,
    error: Option<StageError>,
    log: Vec<String>,
    wrong_lengths: f64,
    reconnects: f64,
}

/// What the source makes of a server with these faults. All faults over, it must have everything.
fn meet(faults: Value, client: Value) -> Met {
    let server = Server::start(json!({"faults": faults}), three());
    let mut stage = source(&server.address, client);
    let (got, error) = read_all(&mut stage);
    if error.is_some() {
        // The server still waits for someone.
        read_all(&mut source(&server.address, json!({})));
    } else {
        assert_eq!(got.emitted(), 3);
    }
    assert_eq!(server.join().consumed_count(), 3);
    let host = stage.host();
    Met {
        waits: sleeps(host),
        log: host.log_lines().into_iter().map(|l| l.message).collect(),
        wrong_lengths: host.metric_value("twitter_wrong_lengths"),
        reconnects: host.metric_value("twitter_reconnects"),
        got,
        error,
    }
}

#[test]
fn overload_doubles_from_five_seconds() {
    let met = meet(
        json!(["503", "503", "503", "503", "503", "503", "503", "503"]),
        json!({}),
    );
    assert_eq!(
        met.waits,
        [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0]
    );
    assert_eq!(met.error, None);
    assert!(
        met.log[0].contains("answered 503 (Service Unavailable); connecting again in 5s"),
        "{:?}",
        met.log
    );
}

#[test]
fn rate_limits_double_from_a_minute() {
    let met = meet(json!(["420", "429", "420"]), json!({"track": ["rust"]}));
    assert_eq!(met.waits, [60.0, 120.0, 240.0]);
}

#[test]
fn kinds_of_trouble_are_counted_apart() {
    let met = meet(json!(["503", "420", "503", "429"]), json!({}));
    assert_eq!(met.waits, [5.0, 60.0, 10.0, 120.0]);
}

#[test]
fn a_refused_signature_is_fatal_and_says_what_to_check() {
    let met = meet(json!(["503", "401"]), json!({}));
    assert_eq!(met.waits, [5.0]);
    let error = met.error.unwrap();
    assert_eq!(
        (error.code, error.pointer.as_str()),
        (Code::CONFIG, "/credentials")
    );
    assert!(error.message.contains("consumer_secret"), "{error}");
}

#[test]
fn a_wrong_token_or_key_is_named() {
    for (part, pointer) in [
        ("token", "/credentials/token"),
        ("consumer_key", "/credentials/consumer_key"),
        ("token_secret", "/credentials"),
    ] {
        let mut wrong = credentials();
        wrong[part] = "other".into();
        let met = meet(json!([]), json!({"credentials": wrong}));
        assert_eq!(met.error.unwrap().pointer, pointer, "{part}");
    }
}

#[test]
fn a_cut_within_a_message_is_taken_up_at_once() {
    for client in [json!({}), json!({"delimited": "length"})] {
        let met = meet(json!(["cut", "cut"]), client);
        // The second time in a row that it breaks after a moment it is not hurried.
        assert_eq!((&met.waits[..], met.reconnects), (&[0.25][..], 2.0));
        assert_eq!(met.got.rejected_raw.len(), 2);
        let (bytes, reason) = &met.got.rejected_raw[0];
        assert!(bytes.ends_with(b"cut in mid-li"), "{reason}");
        assert!(reason.contains("ended within this message"), "{reason}");
    }
}

#[test]
fn garbage_is_a_dead_letter_and_the_stream_goes_on() {
    let met = meet(json!(["garbage"]), json!({}));
    assert_eq!((met.waits.len(), met.reconnects), (0, 0.0));
    let (bytes, reason) = &met.got.rejected_raw[0];
    assert_eq!(bytes, b"<html>\x00\xff this is no JSON</html>");
    assert!(reason.starts_with("not JSON"), "{reason}");
}

#[test]
fn a_wrong_length_loses_nothing() {
    let met = meet(json!(["wrong-length"]), json!({"delimited": "length"}));
    assert_eq!((met.wrong_lengths, met.reconnects), (1.0, 0.0));
    assert_eq!(
        (met.got.filtered_count(), met.got.rejected_raw.len()),
        (1, 0)
    );
}

#[test]
fn a_stalled_stream_is_left_after_ninety_seconds_and_taken_up_at_once() {
    let server = Server::start(json!({"faults": ["stall"]}), three());
    let mut stage = source(&server.address, json!({}));
    let host = stage.host();
    while host.metric_value("twitter_connected") == 0.0 {
        stage.poll(usize::MAX, 10).unwrap();
    }
    host.advance(89_000_000_000);
    let (_, outcome) = stage.poll(usize::MAX, 300).unwrap();
    assert_eq!(outcome.emitted(), 0);
    assert_eq!(host.metric_value("twitter_stalls"), 0.0);
    host.advance(1_000_000_000);
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (3, None));
    assert_eq!(host.metric_value("twitter_stalls"), 1.0);
    assert!(sleeps(host).is_empty());
    server.join();
}

/// A server that answers each connection with one of these texts, then closes it.
fn canned(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            socket.write_all(&answer).unwrap();
        }
    });
    address
}

fn ok(body: &[u8]) -> Vec<u8> {
    [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], body].concat()
}

fn status(line: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 {line}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

#[test]
fn no_connection_is_tried_a_little_later_each_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut stage = source(&address, json!({}));
    while sleeps(stage.host()).len() < 70 {
        stage.poll(1, 10).unwrap();
    }
    let waits = sleeps(stage.host());
    assert_eq!(waits[..4], [0.25, 0.5, 0.75, 1.0]);
    assert_eq!(waits[62..66], [15.75, 16.0, 16.0, 16.0]);
    stage.close().unwrap();
}

#[test]
fn an_unknown_kind_of_end_is_met_by_the_rules() {
    let tweet = |id| format!("{}\r\n", tweet(id, "x"));
    let address = canned(vec![
        // Nothing at all comes: as if there were no connection.
        ok(b""),
        ok(b""),
        // Plain words within a stream: as if they were a 420.
        ok(b"Exceeded connection limit for user\r\n"),
        ok(b"Exceeded connection limit for user"),
        // A stream that worked: at once, and all is forgotten.
        ok(tweet(1).as_bytes()),
        // A keep-alive alone does not make it one.
        ok(b"\r\n"),
        // The same credentials are used elsewhere: not at once.
        ok(format!("{}{{\"disconnect\":{{\"code\":2}}}}\r\n", tweet(2)).as_bytes()),
        // The server asks for more time than the rule.
        b"HTTP/1.1 503 No\r\nRetry-After: 77\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec(),
        status("302 Found\r\nLocation: http://elsewhere/", ""),
        b"HTTP/1.1 nonsense\r\n\r\n".to_vec(),
        status("404 Not Found", "no such\u{1b}[31m page"),
    ]);
    let mut stage = source(&address, json!({"on_close": "reconnect"}));
    let (got, error) = read_all(&mut stage);
    assert_eq!(got.emitted(), 2);
    assert_eq!(got.filtered_count(), 3);
    assert!(got.rejected_raw.is_empty());
    let waits = sleeps(stage.host());
    assert_eq!(waits, [0.25, 0.5, 60.0, 120.0, 0.25, 5.0, 77.0, 20.0, 0.25]);
    let error = error.unwrap();
    assert_eq!(error.pointer, "/url");
    assert!(error.message.contains("(no such [31m page)"), "{error}");
}

#[test]
fn fatal_statuses_end_the_run() {
    for (line, pointer) in [
        ("401 Unauthorized", "/credentials"),
        ("403 Forbidden", "/credentials"),
        ("404 Not Found", "/url"),
        ("406 Not Acceptable", "/track"),
        ("413 Too Long", "/track"),
        ("416 Range Unacceptable", "/endpoint"),
    ] {
        let address = canned(vec![status(line, "")]);
        let mut stage = source(&address, json!({"track": ["a"]}));
        let (_, error) = read_all(&mut stage);
        assert_eq!(error.unwrap().pointer, pointer, "{line}");
        assert!(sleeps(stage.host()).is_empty());
    }
}

#[test]
fn a_clock_that_is_off_is_named() {
    let answer =
        b"HTTP/1.1 401 No\r\nDate: Fri, 01 Jan 2021 17:29:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let address = canned(vec![answer.to_vec()]);
    let mut stage = source(&address, json!({}));
    let (_, error) = read_all(&mut stage);
    let error = error.unwrap();
    assert!(
        error.message.contains("s ahead the server's; set it right"),
        "{error}"
    );
}

#[test]
fn oversized_and_unterminated_messages_are_bounded_dead_letters() {
    let long = "x".repeat(200_000);
    let body = format!("{}\r\n{long}\r\n{}\r\n{long}", tweet(1, "a"), tweet(2, "b"));
    let address = canned(vec![ok(body.as_bytes())]);
    let mut stage = source(&address, json!({"max_message_bytes": "100 kB"}));
    let (got, error) = read_all(&mut stage);
    assert_eq!((got.emitted(), error), (2, None));
    let dead: Vec<_> = got
        .rejected_raw
        .iter()
        .map(|(bytes, why)| (bytes.len(), why.as_str()))
        .collect();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].0, 65_536);
    assert!(
        dead[0]
            .1
            .starts_with("200000 bytes, more than max_message_bytes = 100000"),
        "{dead:?}"
    );
    assert!(
        dead[1].0 <= 65_536 && dead[1].1.contains("after 200000 bytes"),
        "{dead:?}"
    );
}
