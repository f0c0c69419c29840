//! The source reads what a server serves: what it asks for, and how it is asked.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::server::{Setup, Step};
use common::{Server, account, commit, log, options, poll_until, post, posts, read, source};
use plugin_api::Drain;
use plugin_api::testing::Harness;
use plugin_bluesky::ThisPlugin;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

#[test]
fn what_is_wanted_is_asked_of_the_server() {
    let mut log = posts(30);
    log[3] = post(3).replace("app.bsky.feed.post", "app.bsky.graph.follow");
    log[4] = account(4, "account");
    let server = Server::new(log, vec![]);
    let change = json!({
        "wanted_collections": ["app.bsky.graph.*"],
        "wanted_dids": ["did:plc:author3", "did:plc:author4"],
    });
    let mut stage = source(&server, change);
    let (got, _) = poll_until(&mut stage, |all, _| {
        all.emitted() == 1 && all.filtered_count() == 1
    });
    assert!(got.texts()[0].contains("app.bsky.graph.follow"));
    let asked = &server.asked()[0];
    assert_eq!(asked.all("wantedCollections"), ["app.bsky.graph.*"]);
    assert_eq!(asked.all("wantedDids").len(), 2);
    // What the server left out, nobody could count.
    assert!(asked.all("maxMessageSizeBytes").is_empty());
}

#[test]
fn a_long_list_of_accounts_is_said_behind_the_handshake_each_time() {
    let server = Server::new(posts(30), vec![Step::Cut(2)]);
    let dids: Vec<_> = (0..9_000)
        .map(|n| format!("did:plc:author{}", n + 3))
        .collect();
    let mut stage = source(&server, json!({"wanted_dids": dids}));
    let expected: Vec<_> = (0..30).filter(|n| n % 7 >= 3).map(post).collect();
    assert_eq!(read(&mut stage, expected.len()).texts(), expected);
    for asked in server.asked() {
        assert_eq!(asked.all("requireHello"), ["true"]);
        assert!(asked.said[0].contains("did:plc:author9002"));
    }
}

#[test]
fn it_goes_on_live_and_says_farewell() {
    let server = Server::new(posts(3), vec![]);
    let mut stage = source(&server, json!({}));
    read(&mut stage, 3);
    for n in 3..50 {
        server.append([post(n)]);
        assert_eq!(read(&mut stage, 1).texts(), [post(n)]);
    }
    let host = stage.host();
    assert_eq!(host.metric_value("bluesky_create"), 50.0);
    assert_eq!(host.metric_value("bluesky_connected"), 1.0);
    assert!(host.metric_value("bluesky_lag_seconds") > 0.0);
    assert_eq!(stage.drain().unwrap(), Drain::Stop);
    stage.close().unwrap();
    assert_eq!(host.metric_value("bluesky_reconnects"), 0.0);
}

#[test]
fn silence_is_no_stall_where_few_accounts_are_read() {
    let server = Server::new(posts(2), vec![]);
    let mut stage = source(&server, json!({"wanted_dids": ["did:plc:author0"]}));
    read(&mut stage, 1);
    let host = stage.host();
    host.advance(59_000_000_000);
    stage.poll(usize::MAX, 300).unwrap();
    assert_eq!(host.metric_value("bluesky_stalls"), 0.0);
    // Nothing at all, no sign of life either.
    host.advance(2_000_000_000);
    poll_until(&mut stage, |_, host| {
        host.metric_value("bluesky_stalls") == 1.0
    });
}

#[test]
fn deletions_and_news_are_counted_once_however_often_they_come() {
    let mut log = posts(40);
    for n in (0..40).step_by(4) {
        log[n] = commit(n, "delete", &Value::Null);
        log[n + 1] = account(n + 1, "identity");
    }
    let server = Server::new(log, vec![Step::Cut(10), Step::Cut(20), Step::Cut(30)]);
    let mut stage = source(&server, json!({}));
    let got = read(&mut stage, 20);
    let host = stage.host();
    assert_eq!(host.metric_value("bluesky_delete"), 10.0);
    assert_eq!(host.metric_value("bluesky_identity"), 10.0);
    let again = host.metric_value("bluesky_duplicates");
    assert!(again >= 30.0);
    assert_eq!(got.filtered_count(), 20 + again as u64);
}

#[test]
fn an_engine_that_is_behind_is_waited_for_and_nothing_is_lost() {
    // More than a source may read ahead and the network's buffers hold.
    let log: Vec<_> = (0..400)
        .map(|n| commit(n, "create", &common::written(&"x".repeat(100_000))))
        .collect();
    let server = Server::new(log.clone(), vec![]);
    let mut stage = source(&server, json!({}));
    let host = stage.host();
    let (mut got, _) = poll_until(&mut stage, |all, _| all.emitted() > 0);
    // The thread reads ahead until it may not any more, which the server feels.
    let asked = server.until(|asked| asked.is_behind || asked.taken == log.len());
    assert!(asked.is_behind, "all of it was read ahead");
    // An hour of that is no silence of the server.
    host.advance(3_600_000_000_000);
    got.merge(read(&mut stage, log.len() - got.emitted()));
    assert_eq!(got.texts(), log);
    assert_eq!(host.metric_value("bluesky_stalls"), 0.0);
    assert_eq!(host.metric_value("bluesky_reconnects"), 0.0);
}

#[test]
fn a_server_of_ones_own_is_trusted_by_its_certificate() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, signed.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let server = Server::start(Setup {
        log: posts(500),
        tls: Some(Arc::new(config)),
        script: vec![Step::Serve, Step::Cut(100)],
        ..Setup::default()
    });
    let trusting = json!({"ca_file": ca_file});
    let mut stage = source(&server, trusting);
    assert_eq!(read(&mut stage, 500).texts(), posts(500));
    stage.close().unwrap();

    let wrong = source_error(&server, json!({"ca_file": "/nowhere"}));
    assert!(wrong.contains("/nowhere"), "{wrong}");
    let mut stage = source(&server, json!({}));
    poll_until(&mut stage, |_, host| {
        log(host)
            .iter()
            .any(|l| l.contains("is not reached") && l.contains("certificate"))
    });
}

fn source_error(server: &Server, change: Value) -> String {
    let options = options(&[server], change);
    let opened = Harness::<ThisPlugin>::source("bluesky", &options);
    opened.err().unwrap().message
}
