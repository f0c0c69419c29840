//! The source meets each fault of a server, waits by its rules (on a clock that writes the waits
//! down and does not wait), goes on, and has each event once.
#![allow(clippy::unwrap_used)]

mod common;

use common::server::{Step, header};
use common::{Server, log, options, poll_until, post, posts, read, sleeps, source, time_us};
use plugin_api::Code;
use plugin_api::testing::{Harness, TestHost};
use plugin_bluesky::ThisPlugin;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const N: usize = 40;

/// What a source makes of a server with these faults: the waits between its attempts. It must have
/// every event once and in order.
fn meet(script: Vec<Step>) -> (Vec<u64>, Vec<String>, &'static TestHost) {
    let attempts = script.len();
    let unseen = script
        .iter()
        .filter(|step| matches!(step, Step::HangUp))
        .count();
    let server = Server::new(posts(N), script);
    let mut stage = source(&server, json!({}));
    let got = read(&mut stage, N);
    assert_eq!(got.texts(), posts(N));
    assert!(got.rejected_raw.is_empty());
    let host = stage.host();
    let (waits, log) = (sleeps(host), log(host));
    assert_eq!(host.metric_value("bluesky_reconnects"), attempts as f64);
    stage.close().unwrap();
    assert_eq!(server.asked().len(), attempts + 1 - unseen);
    (waits, log, host)
}

fn refuse(status: u16) -> Step {
    Step::Refuse(status, vec![], "")
}

fn refuse_until(status: u16, name: &'static str, value: &str) -> Step {
    Step::Refuse(status, vec![(name, value.into())], "slow down")
}

/// Each fault, what is waited for, and what the log says of it.
#[test]
fn each_fault_is_met_by_its_rule() {
    let cases: Vec<(&str, Vec<Step>, &[u64], &str)> = vec![
        ("a frame is cut", vec![Step::Cut(7)], &[], "broke"),
        (
            "frames are cut again and again",
            vec![Step::Cut(7), Step::Cut(9), Step::Cut(11), Step::Cut(13)],
            &[250, 500, 750],
            "broke",
        ),
        (
            "it brings nothing",
            vec![Step::Cut(0), Step::Cut(0)],
            &[250, 500],
            "broke",
        ),
        (
            "it goes away in good order",
            vec![Step::Close(5, 1001, "server shutting down")],
            &[],
            "ended it with 1001 (server shutting down)",
        ),
        (
            "it is too slow for the server",
            vec![Step::Close(5, 1008, "")],
            &[],
            "with 1008 (it does not like what was asked)",
        ),
        (
            "no answer",
            vec![Step::HangUp, Step::HangUp],
            &[250, 500],
            "is not reached",
        ),
        (
            "503",
            vec![refuse(503), refuse(503), refuse(502)],
            &[5_000, 10_000, 20_000],
            "answered 503",
        ),
        (
            "503 with a wish",
            vec![refuse_until(503, "Retry-After", "77")],
            &[77_000],
            "answered 503 (slow down)",
        ),
        (
            "429",
            vec![refuse(429), refuse(429)],
            &[60_000, 120_000],
            "answered 429",
        ),
        (
            "429 with a wish",
            vec![
                refuse_until(429, "Retry-After", "90"),
                refuse_until(429, "Retry-After", "1"),
            ],
            &[90_000, 120_000],
            "(slow down)",
        ),
        (
            "a redirect is not followed",
            vec![refuse_until(302, "Location", "https://elsewhere.example")],
            &[5_000],
            "moved to https://elsewhere.example",
        ),
        (
            "refused after it worked",
            vec![Step::Cut(3), refuse(403), refuse(404)],
            &[60_000, 120_000],
            "answered 403",
        ),
        (
            "bytes that are no frame",
            vec![Step::Raw(vec![0x83, 5, 1, 2, 3])],
            &[250],
            "broke",
        ),
    ];
    for (name, script, waits, said) in cases {
        let (waited, log, _) = meet(script);
        assert_eq!(waited, waits, "{name}: {log:#?}");
        let is_said = log.iter().any(|line| line.contains(said));
        assert!(is_said, "{name}: `{said}` is not in {log:#?}");
    }
}

#[test]
fn a_server_that_will_not_have_us_ends_the_run_with_a_reason() {
    let cases = [
        (400, "invalid wantedDids: too many", "/wanted_dids"),
        (400, "invalid collection: x", "/wanted_collections"),
        (400, "strange", "/endpoints/0"),
        (401, "", "/endpoints/0"),
        (403, "", "/endpoints/0"),
        (404, "no such\u{1b}[31m page", "/endpoints/0"),
        (200, "<html>", "/endpoints/0"),
    ];
    for (status, body, pointer) in cases {
        let step = match status {
            200 => Step::Page(body),
            _ => Step::Refuse(status, vec![], body),
        };
        let server = Server::new(posts(1), vec![step]);
        let mut stage = source(&server, json!({}));
        let (_, error) = poll_until(&mut stage, |_, _| false);
        let error = error.unwrap();
        assert_eq!(
            (error.code, error.pointer.as_str()),
            (Code::CONFIG, pointer)
        );
        assert!(error.message.contains(&status.to_string()), "{error}");
        assert!(!error.message.contains('\u{1b}'), "{error}");
        assert!(sleeps(stage.host()).is_empty());
    }
}

#[test]
fn silence_of_events_is_a_stall_though_pings_are_answered() {
    for step in [Step::Silent(10), Step::Dead(10), Step::Silent(0)] {
        let server = Server::new(posts(N), vec![step]);
        let mut stage = source(&server, json!({"stall_timeout": "45s"}));
        let host = stage.host();
        let (mut got, _) = poll_until(&mut stage, |_, host| {
            host.metric_value("bluesky_connected") == 1.0
        });
        host.advance(44_000_000_000);
        got.merge(stage.poll(usize::MAX, 300).unwrap().1);
        assert_eq!(host.metric_value("bluesky_stalls"), 0.0);
        // From the last event on, which may have been taken behind the step.
        let rest = N - got.emitted();
        let (more, _) = poll_until(&mut stage, |all, host| {
            if host.metric_value("bluesky_stalls") == 0.0 {
                host.advance(1_000_000_000);
            }
            all.emitted() >= rest
        });
        got.merge(more);
        assert_eq!(got.texts(), posts(N));
        assert_eq!(host.metric_value("bluesky_stalls"), 1.0);
        assert!(sleeps(host).is_empty(), "a stream that long is a good one");
        let log = log(host);
        assert!(
            log.iter().any(|l| l.contains("was silent for 45s")),
            "{log:?}"
        );
    }
}

/// However long events may be away, a server answers.
#[test]
fn a_server_that_takes_the_request_and_says_nothing_is_left() {
    for stall in ["60s", "24h"] {
        let mute = Server::new(posts(N), vec![Step::Mute]);
        let good = Server::new(posts(N), vec![]);
        let all = options(&[&mute, &good], json!({"stall_timeout": stall}));
        let mut stage = Harness::<ThisPlugin>::source("bluesky", &all).unwrap();
        let host = stage.host();
        // The source looks up ten times a second, so that it has begun.
        host.advance(59_000_000_000);
        let (got, _) = poll_until(&mut stage, |all, host| {
            if log(host).is_empty() {
                host.advance(1_000_000_000);
            }
            all.emitted() >= N
        });
        assert_eq!(got.texts(), posts(N));
        let log = log(host);
        let said = format!(
            "{} is not reached: it took the request, but did not answer",
            mute.name()
        );
        assert!(log[0].starts_with(&said), "{log:?}");
    }
}

#[test]
fn a_dead_server_is_left_and_a_living_one_is_not_however_long_events_may_be_away() {
    for change in [
        json!({"stall_timeout": "1h"}),
        json!({"wanted_dids": ["did:plc:author0"]}),
    ] {
        let few = posts(2);
        let dead = Server::new(few.clone(), vec![Step::Dead(1)]);
        let alive = Server::new(few, vec![Step::Pinging(1)]);
        for server in [&dead, &alive] {
            // Comes to no client: it is where the servers fall silent.
            server.append([post(7)]);
        }
        let all = options(&[&dead, &alive], change.clone());
        let mut stage = Harness::<ThisPlugin>::source("bluesky", &all).unwrap();
        read(&mut stage, 1);
        let host = stage.host();
        host.advance(59_000_000_000);
        stage.poll(usize::MAX, 300).unwrap();
        assert_eq!(host.metric_value("bluesky_stalls"), 0.0);
        let said = format!("{} was silent for 60s", dead.name());
        poll_until(&mut stage, |_, host| {
            let is_said = log(host).iter().any(|line| line.contains(&said));
            if !is_said {
                host.advance(1_000_000_000);
            }
            is_said
        });
        // By then the event, which comes first, is behind it.
        alive.until(|asked| asked.pongs > 2);
        // Nearly an hour in which only pings come; the second answer is one to a ping that came
        // behind the step.
        let pass = |seconds: u64| {
            let before = alive.until(|asked| asked.pongs > 0).pongs;
            host.advance(seconds * 1_000_000_000);
            alive.until(|asked| asked.pongs > before + 1);
        };
        (0..60).for_each(|_| pass(59));
        pass(30);
        assert_eq!(host.metric_value("bluesky_stalls"), 1.0);
        if change["stall_timeout"].is_string() {
            let said = format!("{} was silent for 3600s", alive.name());
            poll_until(&mut stage, |_, host| {
                let is_said = log(host).iter().any(|line| line.contains(&said));
                if !is_said {
                    host.advance(1_000_000_000);
                }
                is_said
            });
        }
    }
}

#[test]
fn a_failed_server_comes_last_and_the_next_goes_on_where_it_was() {
    let first = Server::new(posts(20), vec![Step::Cut(10), refuse(503)]);
    let second = Server::new(posts(30), vec![Step::Close(20, 1012, "")]);
    let third = Server::new(posts(N), vec![refuse(404)]);
    let all = options(&[&first, &second, &third], json!({}));
    let mut stage = Harness::<ThisPlugin>::source("bluesky", &all).unwrap();
    // The first, the second, the third, which will never do; then the first is not ready.
    let mut got = read(&mut stage, 20);
    first.append((20..N).map(post));
    second.append((30..N).map(post));
    got.merge(read(&mut stage, N - 20));
    assert_eq!(got.texts(), posts(N));
    let log = log(stage.host());
    let order: Vec<_> = log.iter().filter(|l| l.starts_with("connected")).collect();
    assert_eq!(order.len(), 3, "{log:#?}");
    for (line, server) in order.iter().zip([&first, &second, &second]) {
        assert!(line.contains(&server.name()), "{log:#?}");
    }
    let next = format!("{} is next; connecting again", second.name());
    assert!(log.iter().any(|line| line.contains(&next)), "{log:#?}");
    assert_eq!(third.asked().len(), 1);
    assert_eq!(sleeps(stage.host()), [0; 0]);
}

#[test]
fn a_message_that_is_too_long_is_a_dead_letter_once_and_the_stream_goes_on() {
    let huge = |n: usize| post(n).replace("post number", &"x".repeat(300_000));
    let mut log = posts(N);
    log[5] = huge(5);
    log[20] = huge(20);
    // Met again after each break, and left out.
    let server = Server::new(
        log.clone(),
        vec![Step::Cut(8), Step::Cut(25), Step::Cut(30)],
    );
    let mut stage = source(&server, json!({"max_message_bytes": "100 kB"}));
    let got = read(&mut stage, N - 2);
    let expected: Vec<_> = (0..N).filter(|n| ![5, 20].contains(n)).map(post).collect();
    assert_eq!(got.texts(), expected);
    let dead = &got.rejected_raw;
    assert_eq!(dead.len(), 2);
    for ((bytes, why), whole) in dead.iter().zip([&log[5], &log[20]]) {
        assert_eq!(bytes.len(), 65_536);
        assert!(whole.as_bytes().starts_with(bytes));
        assert!(why.contains("max_message_bytes = 100000"), "{why}");
    }
}

#[test]
fn messages_in_parts_with_pings_between_them_are_whole() {
    let text = post(0);
    let (head, rest) = text.as_bytes().split_at(40);
    let part = |opcode, is_final, bytes: &[u8]| {
        [&header(opcode, is_final, bytes.len())[..], bytes].concat()
    };
    let raw = [
        part(OpCode::Data(Data::Text), false, head),
        vec![0x89, 2, b'h', b'i'],
        part(OpCode::Data(Data::Continue), true, rest),
    ];
    let server = Server::new(posts(3), vec![Step::Raw(raw.concat())]);
    let mut stage = source(&server, json!({}));
    // What came in parts comes again from the archive, and is known.
    assert_eq!(read(&mut stage, 3).texts(), posts(3));
    let host = stage.host();
    poll_until(&mut stage, |_, host| {
        host.metric_value("bluesky_duplicates") == 1.0
    });
    assert_eq!(host.metric_value("bluesky_reconnects"), 0.0);
    server.until(|asked| asked.pongs > 0);
}

#[test]
fn garbage_is_a_dead_letter_once() {
    let mut log = posts(N);
    log[3] = "<html>no event</html>".into();
    log[4] = r#"{"did":"did:plc:x","kind":"commit"}"#.into();
    let server = Server::new(log.clone(), vec![Step::Cut(10), Step::Cut(20)]);
    let mut stage = source(&server, json!({}));
    let got = read(&mut stage, N - 2);
    let dead: Vec<_> = got.rejected_raw.iter().map(|(b, _)| &b[..]).collect();
    assert_eq!(dead, [log[3].as_bytes(), log[4].as_bytes()]);
    assert!(got.rejected_raw[0].1.contains("not JSON"));
    assert!(got.rejected_raw[1].1.contains("is missing"));
}

#[test]
fn a_new_connection_goes_back_by_the_rewind() {
    // Two minutes of one event a second.
    let log: Vec<_> = (0..120).map(|n| post(n * 1_000)).collect();
    let server = Server::new(log.clone(), vec![Step::Cut(100)]);
    let mut stage = source(&server, json!({"rewind": "10s"}));
    assert_eq!(read(&mut stage, 120).texts(), log);
    let cursors: Vec<_> = server.asked().iter().map(|asked| asked.cursor()).collect();
    assert_eq!(cursors[0], Some(1));
    // All came within a moment, so that the place is their first.
    let floor = time_us(99_000) - 30_000_000;
    assert!(
        cursors[1].unwrap() >= time_us(0) - 10_000_000,
        "{cursors:?}"
    );
    assert!(cursors[1].unwrap() <= floor, "{cursors:?}");
}

#[test]
fn what_a_server_has_not_any_more_is_said_and_counted() {
    let server = Server::start(common::server::Setup {
        log: (0..10).map(|n| post(n * 60_000)).collect(),
        oldest: 5,
        ..Default::default()
    });
    let change = json!({"start": time_us(0).to_string()});
    let mut stage = source(&server, change);
    let got = read(&mut stage, 5);
    assert_eq!(got.texts()[0], post(5 * 60_000));
    let host = stage.host();
    assert_eq!(host.metric_value("bluesky_gaps"), 1.0);
    assert_eq!(host.metric_value("bluesky_gap_seconds"), 300.0);
    let log = log(host);
    assert!(log.iter().any(|l| l.contains("events are lost")), "{log:?}");
}
