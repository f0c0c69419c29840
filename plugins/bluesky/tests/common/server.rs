//! A Jetstream server, version 1: what `GET /subscribe` of the public ones does, over real sockets,
//! and what else a server may do to its clients.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket, accept_hdr,
    handshake::server::{ErrorResponse, Request},
};

use super::wire::time_of;
pub use super::wire::{compress, header};

/// How often a connection looks for what its client says.
const TICK: Duration = Duration::from_millis(2);
/// A client that takes nothing for so long is behind.
const BEHIND: Duration = Duration::from_secs(1);
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of a connection; those after the last are served well.
#[derive(Debug, Clone)]
pub enum Step {
    /// Served well.
    Serve,
    /// Answered with this status, these headers and this body.
    Refuse(u16, Vec<(&'static str, String)>, &'static str),
    /// Closed at once, without an answer.
    HangUp,
    /// Not answered at all.
    Mute,
    /// Answered with a page, as by a server that is another kind of server.
    Page(&'static str),
    /// After so many frames, the next is cut in the middle.
    Cut(usize),
    /// After so many frames, closed with this code and reason.
    Close(usize, u16, &'static str),
    /// After so many frames, nothing more comes, as if it were served well; pings are answered.
    Silent(usize),
    /// The same, with pings of the server's own.
    Pinging(usize),
    /// After so many frames, nothing at all comes, and nothing is read.
    Dead(usize),
    /// First these bytes, in place of frames; then served well.
    Raw(Vec<u8>),
}

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub query: Vec<(String, String)>,
    /// Its words behind the handshake.
    pub said: Vec<String>,
    /// Signs of life that it gave or asked for.
    pub pongs: usize,
    pub pings: usize,
    /// Events that it took, as far as the network's buffers tell.
    pub taken: usize,
    /// It has taken nothing of the next one for a while.
    pub is_behind: bool,
}

impl Asked {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.query.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn cursor(&self) -> Option<i64> {
        self.all("cursor").first().map(|c| c.parse().unwrap())
    }
}

struct Shared {
    log: Mutex<Vec<String>>,
    grown: Condvar,
    script: Mutex<VecDeque<Step>>,
    asked: Mutex<Vec<Asked>>,
    noted: Condvar,
    stop: AtomicBool,
    /// Events before this place are gone.
    oldest: usize,
    dictionary: Option<Vec<u8>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// How a server is set up.
#[derive(Default)]
pub struct Setup {
    pub log: Vec<String>,
    pub script: Vec<Step>,
    pub oldest: usize,
    pub dictionary: Option<Vec<u8>>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(log: Vec<String>, script: Vec<Step>) -> Self {
        Self::start(Setup {
            log,
            script,
            ..Setup::default()
        })
    }

    pub fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            log: Mutex::new(setup.log),
            grown: Condvar::new(),
            script: Mutex::new(setup.script.into()),
            asked: Mutex::default(),
            noted: Condvar::new(),
            stop: AtomicBool::new(false),
            oldest: setup.oldest,
            dictionary: setup.dictionary,
            tls: setup.tls,
        });
        let of_thread = shared.clone();
        let accepting = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if of_thread.stop.load(SeqCst) {
                    return;
                }
                let (socket, shared) = (socket.unwrap(), of_thread.clone());
                let step = shared.script.lock().unwrap().pop_front();
                // A client that leaves ends its connection with an error, which is as it should be.
                std::thread::spawn(move || serve(socket, &shared, step.unwrap_or(Step::Serve)));
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub fn address(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "wss"
        } else {
            "ws"
        };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    pub fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// More events happen.
    pub fn append(&self, events: impl IntoIterator<Item = String>) {
        self.shared.log.lock().unwrap().extend(events);
        self.shared.grown.notify_all();
    }

    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.shared.script.lock().unwrap().extend(steps);
    }

    /// What clients have asked for, connection by connection.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits until the last connection's client has done something.
    pub fn until(&self, done: impl Fn(&Asked) -> bool) -> Asked {
        let asked = self.shared.asked.lock().unwrap();
        let is_open = |all: &mut Vec<Asked>| !all.last().is_some_and(&done);
        let noted = &self.shared.noted;
        let (asked, late) = noted.wait_timeout_while(asked, PATIENCE, is_open).unwrap();
        let last = asked.last().cloned();
        assert!(!late.timed_out(), "it was not done: {last:?}");
        last.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.grown.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(socket: TcpStream, shared: &Shared, step: Step) {
    if matches!(step, Step::HangUp) {
        return;
    }
    socket.set_nodelay(true).unwrap();
    if matches!(step, Step::Mute) {
        while !shared.stop.load(SeqCst) {
            let log = shared.log.lock().unwrap();
            let _ = shared.grown.wait_timeout(log, TICK).unwrap();
        }
        return;
    }
    if let Step::Page(page) = step {
        let _ = show(socket, page);
        return;
    }
    let control = socket.try_clone().unwrap();
    let _ = match &shared.tls {
        Some(config) => {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let stream = rustls::StreamOwned::new(connection, socket);
            answer(stream, &control, shared, step)
        }
        None => answer(socket, &control, shared, step),
    };
    let _ = control.shutdown(Shutdown::Both);
}

fn show(mut socket: TcpStream, page: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && socket.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let len = page.len();
    write!(
        socket,
        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{page}"
    )
}

#[expect(clippy::result_large_err, reason = "a refusal as the library has it")]
fn answer<S: Read + Write>(
    stream: S,
    control: &TcpStream,
    shared: &Shared,
    step: Step,
) -> Result<(), Error> {
    let number = Cell::new(0);
    let accepted = accept_hdr(stream, |request: &Request, response| {
        let url = reqwest::Url::parse(&format!("http://x{}", request.uri())).unwrap();
        let mut all = shared.asked.lock().unwrap();
        number.set(all.len());
        all.push(Asked {
            query: url.query_pairs().into_owned().collect(),
            ..Asked::default()
        });
        drop(all);
        if let Step::Refuse(status, headers, body) = &step {
            let mut refusal = ErrorResponse::new(Some((*body).to_owned()));
            *refusal.status_mut() = StatusCode::from_u16(*status).unwrap();
            for (name, value) in headers {
                refusal.headers_mut().insert(*name, value.parse().unwrap());
            }
            return Err(refusal);
        }
        if request.uri().path() != "/subscribe" {
            let mut refusal = Response::new(Some("no such page".to_owned()));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            return Err(refusal);
        }
        Ok(response)
    });
    let socket = accepted.map_err(|_| Error::ConnectionClosed)?;
    let asked = shared.asked.lock().unwrap()[number.get()].clone();
    Connection {
        socket,
        control,
        shared,
        number: number.get(),
        asked,
    }
    .run(step)
}

struct Connection<'a, S> {
    socket: WebSocket<S>,
    control: &'a TcpStream,
    shared: &'a Shared,
    number: usize,
    asked: Asked,
}

impl<S: Read + Write> Connection<'_, S> {
    fn run(mut self, step: Step) -> Result<(), Error> {
        if let Step::Raw(bytes) = &step {
            self.raw(bytes)?;
        }
        if self.asked.all("requireHello") == ["true"] {
            self.hello()?;
        }
        self.control.set_read_timeout(Some(TICK)).unwrap();
        self.control.set_write_timeout(Some(BEHIND)).unwrap();
        let end = match step {
            Step::Cut(n)
            | Step::Close(n, ..)
            | Step::Silent(n)
            | Step::Pinging(n)
            | Step::Dead(n) => n,
            _ => usize::MAX,
        };
        let mut sent = 0;
        let mut next = self.first();
        while let Some(event) = self.event(next)? {
            next += 1;
            if !self.wants(&event) {
                continue;
            }
            let frame = self.frame(event);
            if sent == end {
                return self.fault(step, &frame);
            }
            self.send(frame)?;
            sent += 1;
        }
        Ok(())
    }

    fn send(&mut self, frame: Message) -> Result<(), Error> {
        let mut sent = self.socket.send(frame);
        while let Err(Error::Io(e)) = &sent
            && e.kind() == std::io::ErrorKind::WouldBlock
            && !self.shared.stop.load(SeqCst)
        {
            self.note(|asked| asked.is_behind = true);
            sent = self.socket.flush();
        }
        sent?;
        self.note(|asked| {
            asked.taken += 1;
            asked.is_behind = false;
        });
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.get_mut().write_all(bytes)?;
        Ok(self.socket.get_mut().flush()?)
    }

    /// Where to begin. A cursor is inclusive; one before the oldest event is moved without a word,
    /// and without one, or with one from the future, only what comes from now on is sent.
    fn first(&self) -> usize {
        let log = self.shared.log.lock().unwrap();
        let found = self.asked.cursor().and_then(|cursor| {
            let kept = log.iter().skip(self.shared.oldest);
            kept.clone()
                .position(|event| time_of(event) >= cursor)
                .map(|place| place + self.shared.oldest)
        });
        found.unwrap_or(log.len())
    }

    /// The event at this place, once it is there; `None`: the server ends.
    fn event(&mut self, at: usize) -> Result<Option<String>, Error> {
        loop {
            let log = self.shared.log.lock().unwrap();
            if self.shared.stop.load(SeqCst) {
                return Ok(None);
            }
            if let Some(event) = log.get(at) {
                return Ok(Some(event.clone()));
            }
            let (log, _) = self.shared.grown.wait_timeout(log, TICK).unwrap();
            drop(log);
            self.listen()?;
        }
    }

    /// Takes what the client says.
    fn listen(&mut self) -> Result<(), Error> {
        match self.socket.read() {
            Ok(Message::Ping(_)) => self.note(|asked| asked.pings += 1),
            Ok(Message::Pong(_)) => self.note(|asked| asked.pongs += 1),
            Ok(_) => {}
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.socket.flush()
    }

    fn note(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.shared.asked.lock().unwrap()[self.number]);
        self.shared.noted.notify_all();
    }

    /// Waits for the client to say what it wants.
    fn hello(&mut self) -> Result<(), Error> {
        let text = loop {
            if let Message::Text(text) = self.socket.read()? {
                break text.to_string();
            }
        };
        let update: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(update["type"], "options_update");
        for (list, name) in [
            ("wantedCollections", "wantedCollections"),
            ("wantedDids", "wantedDids"),
        ] {
            for wanted in update["payload"][list].as_array().unwrap() {
                let wanted = wanted.as_str().unwrap().to_owned();
                self.asked.query.push((name.to_owned(), wanted));
            }
        }
        self.note(|asked| asked.said.push(text));
        Ok(())
    }

    /// Collections are asked of commits only; accounts of all.
    fn wants(&self, event: &str) -> bool {
        let Ok(event) = serde_json::from_str::<Value>(event) else {
            return true;
        };
        let dids = self.asked.all("wantedDids");
        let did = event["did"].as_str().unwrap_or_default();
        if !dids.is_empty() && !dids.contains(&did) {
            return false;
        }
        let collections = self.asked.all("wantedCollections");
        let Some(collection) = event["commit"]["collection"].as_str() else {
            return true;
        };
        let is_of = |wanted: &&str| match wanted.strip_suffix('*') {
            Some(beginning) => collection.starts_with(beginning),
            None => collection == *wanted,
        };
        collections.is_empty() || collections.iter().any(is_of)
    }

    fn frame(&self, event: String) -> Message {
        match &self.shared.dictionary {
            Some(dictionary) if self.asked.all("compress") == ["true"] => {
                Message::binary(compress(dictionary, event.as_bytes()))
            }
            _ => Message::text(event),
        }
    }

    fn fault(mut self, step: Step, frame: &Message) -> Result<(), Error> {
        match step {
            Step::Cut(_) => {
                let bytes = frame.clone().into_data();
                let mut cut = header(OpCode::Data(Data::Text), true, bytes.len());
                cut.extend_from_slice(&bytes[..bytes.len() / 2]);
                self.raw(&cut)
            }
            Step::Close(_, code, reason) => {
                let farewell = CloseFrame {
                    code: code.into(),
                    reason: reason.into(),
                };
                self.socket.close(Some(farewell))?;
                loop {
                    self.listen()?;
                }
            }
            Step::Silent(_) | Step::Pinging(_) => loop {
                if matches!(step, Step::Pinging(_)) {
                    self.socket.send(Message::Ping("are you there".into()))?;
                }
                self.listen()?;
                self.pause()?;
            },
            _ => loop {
                self.pause()?;
            },
        }
    }

    fn pause(&self) -> Result<(), Error> {
        let log = self.shared.log.lock().unwrap();
        if self.shared.stop.load(SeqCst) {
            return Err(Error::ConnectionClosed);
        }
        let _ = self.shared.grown.wait_timeout(log, TICK).unwrap();
        Ok(())
    }
}
