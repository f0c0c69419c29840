//! A stream as Twitter's API v1.1 had it. It cannot be asked again for what was under way, so a
//! fault may lose that; what had reached us, and all that follows the fault, must be there once.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
};

use e2e::kafka::free_ports;

use super::misbehave;
use crate::{
    flow::{self, PATIENCE, Tweets},
    frame::Run,
    ledger,
    tcp::{Fault, Proxy},
    topic::balanced,
};

/// Secrets stand in a file by reference only.
const CREDENTIALS: &str = r#"{ consumer_key = "env:E2E_1?a", consumer_secret = "env:E2E_2?b", token = "env:E2E_3?c", token_secret = "env:E2E_4?d" }"#;

/// It goes on for a second and more after the longest fault.
pub fn tweets() -> Tweets {
    Tweets::known(3_600, Some(600))
}

pub fn run(tweets: &Tweets, run: &mut Run) -> Result<(), String> {
    let fault = Fault::random(&mut run.rng);
    let (count, ids) = (tweets.count(), tweets.ids());
    let [port] = free_ports();
    let proxy = Proxy::open();
    proxy.aim(port);
    run.folder.write("server.toml", &server(port, tweets));
    run.folder
        .write("client.toml", &client(proxy.port(), fault));
    let server = flow::start(&run.folder, "server.toml");
    let client = flow::start(&run.folder, "client.toml");
    misbehave(run, &proxy, fault);
    let client = client.finish(PATIENCE);
    let server = server.finish(PATIENCE);
    let checked = || {
        flow::ended_well(&client)?;
        flow::ended_well(&server)?;
        let served = balanced(&server.stdout)?.stage("server/stream");
        let read = balanced(&client.stdout)?.stage("client/lines");
        if served.received != count {
            return Err(format!("the server was fed {} of {count}", served.received));
        }
        let path = run.folder.path("out/t.jsonl");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let came = ledger::of_lines(&text)?;
        let once: BTreeSet<_> = came.iter().cloned().collect();
        if once.len() != came.len() {
            return Err(format!("{} came twice", came.len() - once.len()));
        }
        if read.consumed != came.len() as u64 {
            return Err(format!(
                "{} consumed, {} written",
                read.consumed,
                came.len()
            ));
        }
        if let Some(strange) = once.difference(ids).next() {
            return Err(format!("nobody sent {strange}"));
        }
        let whole = reached(&proxy.passed(), tweets)?;
        // A reset throws away what had reached this machine and was not read yet.
        let lost: Vec<_> = whole.difference(&once).collect();
        if fault != Fault::Reset && !lost.is_empty() {
            let some = &lost[..lost.len().min(3)];
            return Err(format!(
                "{} reached us and are lost: {some:?}, …",
                lost.len()
            ));
        }
        let last = ids.last().ok_or("no ids")?;
        if !once.contains(last) {
            return Err("nothing came after the fault".to_owned());
        }
        let lossless = matches!(fault, Fault::Latency(_) | Fault::Trickle);
        if lossless && once.len() != ids.len() {
            return Err(format!("{} of {} came", once.len(), ids.len()));
        }
        Ok(())
    };
    checked().map_err(|why| {
        format!(
            "{fault:?}: {why}\nclient: {}\nserver: {}",
            client.stderr, server.stderr
        )
    })
}

/// Ids of the tweets of which every byte was passed on to the client.
fn reached(passed: &[u8], tweets: &Tweets) -> Result<BTreeSet<String>, String> {
    let known: HashSet<_> = tweets.lines().lines().collect();
    // Lines of the stream end as those around each chunk do.
    let passed = String::from_utf8_lossy(passed);
    let whole = passed.split("\r\n").filter(|line| known.contains(line));
    let lines: String = whole.flat_map(|line| [line, "\n"]).collect();
    let ids: BTreeSet<_> = ledger::of_lines(&lines)?.into_iter().collect();
    if ids.is_empty() {
        return Err("no tweet is recognised in what was passed on".to_owned());
    }
    Ok(ids)
}

fn server(port: u16, tweets: &Tweets) -> String {
    let source = tweets.source("server", "tweets");
    format!(
        r#"
version = 1
state_dir = "server-state"
{source}
[hosts.server.sinks.stream]
plugin = "twitter-server"
inputs = ["tweets"]
with = {{ listen = "127.0.0.1:{port}", credentials = {CREDENTIALS} }}
"#
    )
}

fn client(port: u16, fault: Fault) -> String {
    // A byte a second takes some seconds for what is around a message and is none.
    let stall = if fault == Fault::Trickle { 10 } else { 2 };
    format!(
        r#"
version = 1
[hosts.client.sources.stream]
plugin = "twitter"
with.url = "http://127.0.0.1:{port}"
with.endpoint = "sample"
with.on_close = "finish"
with.stall_timeout = "{stall}s"
with.credentials = {CREDENTIALS}
[hosts.client.sinks.lines]
plugin = "lines"
inputs = ["stream"]
with.path = "out/t.jsonl"
"#
    )
}
