//! `kill -9` at any moment: what X bills in all stays within the budget. The source runs in a
//! process of its own, this program once more, and says how many posts it has read.
#![allow(clippy::unwrap_used)]

mod common;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use common::{Api, Pace, paced, source};
use plugin_api::Poll;
use serde_json::json;

/// Where the child finds the API and its account.
const ADDRESS: &str = "X_TEST_ADDRESS";
const FILE: &str = "X_TEST_FILE";
/// Begins the lines that say how many posts were read.
const READ: &str = "posts read: ";
const DAY: u64 = 300;
const IN_FLIGHT: u64 = 5;

/// Reads until the budget is spent; says how many posts have come, each time that some have.
#[test]
#[ignore = "the other test runs it, in a process of its own, and ends it"]
fn child() {
    let (address, file) = (env::var(ADDRESS).unwrap(), env::var(FILE).unwrap());
    let api = Api::start([]);
    let max = json!({"day": DAY, "file": file, "in_flight": IN_FLIGHT});
    let with = json!({"url": address, "max_posts": max, "when_spent": "finish"});
    let mut stage = source(&api, with);
    let mut posts = 0;
    loop {
        let (poll, outcome) = stage.poll(usize::MAX, 100).unwrap();
        posts += outcome.emitted();
        if outcome.emitted() > 0 {
            // Behind what the test runner may have begun to say.
            println!("\n{READ}{posts}");
            std::io::stdout().flush().unwrap();
        }
        if poll == Poll::Finished {
            return stage.close().unwrap();
        }
    }
}

#[test]
fn a_killed_source_stays_within_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("posts.json");
    let api = Api::start([]);
    let mut lives = 0;
    let mut next = 0x9E37_79B9_u64;
    loop {
        // A child each: its own count, and its own end.
        let count = Arc::new(AtomicU64::new(0));
        let of_child = count.clone();
        let read = Pace(Arc::new(move || of_child.load(SeqCst)));
        let first = lives * 1_000;
        api.state().streams = [paced(first..first + 1_000, IN_FLIGHT, &read)].into();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(ADDRESS, &api.address)
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dies_after = 1 + (next >> 33) % 30;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(posts) = line.strip_prefix(READ) else {
                continue;
            };
            count.store(posts.parse().unwrap(), SeqCst);
            if count.load(SeqCst) >= dies_after {
                child.kill().unwrap();
                break;
            }
        }
        lives += 1;
        if child.wait().unwrap().success() {
            break;
        }
        assert!(lives < 100, "it never ends");
    }
    let sent = api.state().sent;
    assert!(
        sent <= DAY,
        "{sent} posts were sent and billed, of {DAY}, in {lives} lives"
    );
    assert!(
        sent >= DAY / 2 && lives >= 5,
        "{sent} posts in {lives} lives"
    );
}
