//! The page's feed and a reader that connects again whenever it must, asking for what it missed.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write as _},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::kafka::free_ports;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tungstenite::Message;

use super::misbehave;
use crate::{
    flow::{self, PATIENCE, Tweets},
    frame::Run,
    ledger,
    tcp::{Fault, Proxy},
    topic::balanced,
};

const COUNT: u64 = 900;
/// The feed keeps more than is sent, so that a reader can ask for all that it missed.
const HISTORY: u64 = 1000;
const PACE: Duration = Duration::from_millis(4);

pub fn tweets() -> Tweets {
    Tweets::known(COUNT, None)
}

pub fn run(tweets: &Tweets, run: &mut Run) -> Result<(), String> {
    let fault = Fault::random(&mut run.rng);
    let fifo = run.folder.path("in.jsonl");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|e| e.to_string())?;
    let [port] = free_ports();
    let proxy = Proxy::open();
    proxy.aim(port);
    run.folder.write("hosts.toml", &hosts(port));
    let mut host = flow::start(&run.folder, "hosts.toml");
    let feed = Feed::default();
    let through = proxy.port();
    let (write_end, reader) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&fifo, tweets));
        let reader = scope.spawn(|| feed.read(through, tweets.ids()));
        misbehave(run, &proxy, fault);
        let written = writer.join().expect("no panic");
        let read = reader.join().expect("no panic");
        (written, read)
    });
    let held = write_end.map_err(|e| {
        let _ = host.ends(Duration::ZERO);
        let said = host.said();
        format!("{fault:?}: the input was not taken: {e}; {said}")
    })?;
    drop(held);
    let finished = host.finish(PATIENCE);
    let said = |why: String| format!("{fault:?}: {why}\n{}", finished.stderr);
    reader.map_err(said)?;
    flow::ended_well(&finished)?;
    let page = balanced(&finished.stdout)?.stage("web/page");
    if page.consumed != COUNT {
        return Err(said(format!("{} of {COUNT} consumed", page.consumed)));
    }
    Ok(())
}

/// Writes the input, as fast as it comes or is taken. It stays open as long as the caller holds it:
/// the end of the input is the end of the feed.
fn write(fifo: &Path, tweets: &Tweets) -> std::io::Result<fs::File> {
    // Opened for both directions, so that it does not wait for the other side.
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(fifo)?;
    let deadline = Instant::now() + PATIENCE;
    for line in tweets.lines().split_inclusive('\n') {
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    thread::sleep(PACE);
                }
                Err(e) => return Err(e),
            }
        }
        thread::sleep(PACE);
    }
    Ok(file)
}

/// What a reader has got.
#[derive(Default)]
struct Feed {
    ids: Mutex<BTreeSet<String>>,
    wrong: AtomicBool,
}

impl Feed {
    /// Reads until every id has come, through as many connections as it takes.
    fn read(&self, port: u16, all: &BTreeSet<String>) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(40);
        while Instant::now() < deadline {
            // A connection that breaks is the matter of this trial; the next one goes on.
            if let Err(why) = self.connection(port, all) {
                if self.wrong.load(Ordering::Relaxed) {
                    return Err(why);
                }
                thread::sleep(Duration::from_millis(50));
            }
            if self.count() == all.len() {
                return Ok(());
            }
        }
        Err(format!("{} of {} ids came", self.count(), all.len()))
    }

    fn count(&self) -> usize {
        self.ids.lock().expect("no panic holds it").len()
    }

    /// One connection: within it records rise and none comes twice.
    fn connection(&self, port: u16, all: &BTreeSet<String>) -> Result<(), String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        let timeout = Some(Duration::from_secs(1));
        stream
            .set_read_timeout(timeout)
            .map_err(|e| e.to_string())?;
        let url = format!("ws://127.0.0.1:{port}/feed?history={HISTORY}");
        let (mut socket, _) = tungstenite::client(url, stream).map_err(|e| e.to_string())?;
        let mut newest = String::new();
        let mut came = Instant::now();
        while self.count() < all.len() {
            let Message::Text(text) = socket.read().map_err(|e| e.to_string())? else {
                // A reader that was slow was given the newest in place of what it lacks: it asks
                // for that on another connection.
                if came.elapsed() > Duration::from_secs(1) {
                    return Err("only signs of life came for a second".to_owned());
                }
                continue;
            };
            came = Instant::now();
            let id = ledger::of_lines(&format!("{text}\n"))?.remove(0);
            if !all.contains(&id) || (id.len(), &id) <= (newest.len(), &newest) {
                self.wrong.store(true, Ordering::Relaxed);
                return Err(format!("{id} came after {newest}"));
            }
            newest.clone_from(&id);
            self.ids.lock().expect("no panic holds it").insert(id);
        }
        Ok(())
    }
}

fn hosts(port: u16) -> String {
    format!(
        r#"
version = 1
[hosts.web.sources.in]
plugin = "lines"
with = {{ path = "in.jsonl", format = "json" }}
[hosts.web.sinks.page]
plugin = "websocket"
inputs = ["in"]
with = {{ listen = "127.0.0.1:{port}", history = {HISTORY}, ping = "300ms" }}
"#
    )
}
