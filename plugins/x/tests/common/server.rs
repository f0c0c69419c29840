//! X's API v2 as far as the filtered stream needs it, on a real socket: rules with their state,
//! limits and dry runs, and streams with any fault.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

pub const TOKEN: &str = "CANARY-AAAA%2Fbearer";

/// What a connection to the stream gets.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200, then these.
    Stream(Vec<Part>),
    /// Another answer: its status line, headers and body.
    Status(&'static str, &'static str, String),
    /// The connection ends without an answer.
    Nothing,
}

#[derive(Debug, Clone)]
pub enum Part {
    /// A post, matched by all rules if it does not say by which.
    Post(Value),
    Bytes(Vec<u8>),
    KeepAlive,
    /// Waits until the client has read so many posts, so that no more are under way than it allows
    /// for; or until it is gone.
    WhenRead(Pace, u64),
    /// Nothing more, but the connection stays until the client leaves.
    Hold,
    /// The connection breaks within the body. Without it, the body ends in good order.
    Cut,
}

/// How many posts the client has read of a stream.
#[derive(Clone)]
pub struct Pace(pub Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pace")
    }
}

/// A stream of these posts, of which no more than `ahead` are under way.
pub fn paced(ids: impl IntoIterator<Item = u64>, ahead: u64, read: &Pace) -> Answer {
    let each = ids.into_iter().enumerate().flat_map(|(at, id)| {
        let before = (at as u64 + 1).saturating_sub(ahead);
        [
            Part::WhenRead(read.clone(), before),
            Part::Post(post(id, "rust")),
        ]
    });
    Answer::Stream(each.chain([Part::Hold]).collect())
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub target: String,
    pub head: String,
    pub body: Value,
}

#[derive(Default)]
pub struct State {
    pub rules: Vec<Value>,
    pub requests: Vec<Request>,
    /// What connections to the stream get, one after another; then 404.
    pub streams: VecDeque<Answer>,
    /// What requests for rules get in place of an answer.
    pub rules_faults: VecDeque<Answer>,
    pub max_rules: Option<usize>,
    /// Rules on a page, if there are pages.
    pub page: Option<usize>,
    /// Posts that were written to a socket.
    pub sent: u64,
    /// Connections that have ended.
    pub ended: u64,
    ids: u64,
}

#[derive(Clone)]
pub struct Api {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Api {
    pub fn start(streams: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        api.state().streams = streams.into_iter().collect();
        let server = api.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let server = server.clone();
                // It ends with its client.
                std::thread::spawn(move || server.serve(socket.unwrap()));
            }
        });
        api
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Methods and paths of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        let short = |r: &Request| match r.target.split_once('?') {
            Some((path, query)) if path.ends_with("/rules") => {
                format!("{} rules?{query}", r.method)
            }
            Some(_) => format!("{} stream", r.method),
            None => format!("{} rules", r.method),
        };
        self.state().requests.iter().map(short).collect()
    }

    /// The queries of the requests for the stream.
    pub fn stream_queries(&self) -> Vec<String> {
        let state = self.state();
        let queries = state
            .requests
            .iter()
            .filter_map(|r| r.target.split_once('?'));
        let of_stream = queries.filter(|(path, _)| path.ends_with("/stream"));
        of_stream.map(|(_, query)| query.to_owned()).collect()
    }

    fn serve(&self, socket: TcpStream) {
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        while let Some(request) = read_request(&mut reader) {
            let is_rules = request
                .target
                .split('?')
                .next()
                .unwrap()
                .ends_with("/rules");
            self.state().requests.push(request.clone());
            if !request
                .head
                .contains(&format!("authorization: Bearer {TOKEN}\r\n"))
            {
                let body =
                    json!({"title": "Unauthorized", "status": 401, "detail": "Unauthorized"});
                respond(&socket, "401 Unauthorized", "", &body.to_string());
                continue;
            }
            let answered = if is_rules {
                self.rules(&socket, &request)
            } else {
                self.stream(&socket, &request)
            };
            if answered.is_err() {
                break;
            }
        }
        let _ = socket.shutdown(Shutdown::Both);
        self.state().ended += 1;
    }

    fn rules(&self, socket: &TcpStream, request: &Request) -> io::Result<()> {
        if let Some(Answer::Status(status, headers, body)) = self.state().rules_faults.pop_front() {
            respond(socket, status, headers, &body);
            return Ok(());
        }
        let (status, body) = if request.method == "GET" {
            ("200 OK", self.list(request))
        } else if let Some(ids) = request.body["delete"]["ids"].as_array() {
            let mut state = self.state();
            let before = state.rules.len();
            state.rules.retain(|rule| !ids.contains(&rule["id"]));
            let deleted = before - state.rules.len();
            let summary = json!({"deleted": deleted, "not_deleted": ids.len() - deleted});
            ("200 OK", json!({"meta": {"summary": summary}}))
        } else {
            ("201 Created", self.add(request))
        };
        respond(socket, status, "", &body.to_string());
        Ok(())
    }

    fn list(&self, request: &Request) -> Value {
        let state = self.state();
        let from: usize = request
            .target
            .split_once("pagination_token=")
            .map_or(0, |(_, token)| token.parse().unwrap());
        let page = state.page.unwrap_or(usize::MAX);
        let rules: Vec<_> = state.rules.iter().skip(from).take(page).cloned().collect();
        let mut meta = json!({"sent": "2026-01-01T00:00:00.000Z", "result_count": rules.len()});
        if from + rules.len() < state.rules.len() {
            meta["next_token"] = (from + rules.len()).to_string().into();
        }
        // Without a rule, X leaves `data` out.
        match rules.is_empty() {
            true => json!({"meta": meta}),
            false => json!({"data": rules, "meta": meta}),
        }
    }

    fn add(&self, request: &Request) -> Value {
        let dry_run = request.target.contains("dry_run=true");
        let mut state = self.state();
        let (mut data, mut errors) = (Vec::new(), Vec::new());
        for rule in request.body["add"].as_array().unwrap() {
            let problem = |title: &str, kind: &str| {
                json!({"value": rule["value"], "title": title, "id": "1",
                    "type": format!("https://api.twitter.com/2/problems/{kind}")})
            };
            if state
                .rules
                .iter()
                .any(|other| other["value"] == rule["value"])
            {
                errors.push(problem("DuplicateRule", "duplicate-rules"));
            } else if rule["value"].as_str().unwrap().contains("nonsense:") {
                let mut problem = problem("UnprocessableEntity", "invalid-rules");
                problem["details"] =
                    json!(["Reference to invalid operator 'nonsense'. (at position 1)"]);
                errors.push(problem);
            } else if state
                .max_rules
                .is_some_and(|max| state.rules.len() + data.len() >= max)
            {
                let mut problem = problem("RulesCapExceeded", "rule-cap");
                problem["detail"] = "Rules cap exceeded".into();
                errors.push(problem);
            } else {
                state.ids += 1;
                let mut rule = rule.clone();
                rule["id"] = (1_000_000 + state.ids).to_string().into();
                data.push(rule);
            }
        }
        if !dry_run {
            state.rules.extend(data.iter().cloned());
        }
        let summary = json!({"created": data.len(), "not_created": errors.len(),
            "valid": data.len(), "invalid": errors.len()});
        let mut answer = json!({"meta": {"summary": summary}});
        for (key, list) in [("data", data), ("errors", errors)] {
            if !list.is_empty() {
                answer[key] = list.into();
            }
        }
        answer
    }

    /// Serves one stream; the connection ends with it.
    fn stream(&self, socket: &TcpStream, request: &Request) -> io::Result<()> {
        let next = self.state().streams.pop_front();
        let parts = match next {
            Some(Answer::Stream(parts)) => parts,
            Some(Answer::Status(status, headers, body)) => {
                respond(socket, status, headers, &body);
                return Ok(());
            }
            Some(Answer::Nothing) => return Err(io::ErrorKind::ConnectionAborted.into()),
            None => {
                respond(socket, "404 Not Found", "", "the script is over");
                return Ok(());
            }
        };
        let mut out = socket;
        let gzip = request.head.contains("accept-encoding: gzip");
        let encoding = if gzip {
            "Content-Encoding: gzip\r\n"
        } else {
            ""
        };
        write!(
            out,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{encoding}\r\n"
        )?;
        let mut packer = gzip.then(|| GzEncoder::new(Vec::new(), Compression::default()));
        for part in parts {
            let bytes = match part {
                Part::Post(post) => {
                    self.state().sent += 1;
                    format!("{}\r\n", self.matched(post)).into_bytes()
                }
                Part::Bytes(bytes) => bytes,
                Part::KeepAlive => b"\r\n".to_vec(),
                Part::WhenRead(read, posts) => {
                    out.set_nonblocking(true)?;
                    while (read.0)() < posts {
                        if matches!(out.peek(&mut [0]), Ok(0)) {
                            return Err(io::ErrorKind::ConnectionAborted.into());
                        }
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    out.set_nonblocking(false)?;
                    continue;
                }
                Part::Hold => {
                    // A client that leaves ends the read.
                    let _ = out.read(&mut [0]);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Part::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            let bytes = match &mut packer {
                Some(packer) => {
                    packer.write_all(&bytes)?;
                    packer.flush()?;
                    std::mem::take(packer.get_mut())
                }
                None => bytes,
            };
            chunk(out, &bytes)?;
        }
        if let Some(packer) = packer {
            chunk(out, &packer.finish()?)?;
        }
        out.write_all(b"0\r\n\r\n")?;
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    fn matched(&self, mut post: Value) -> Value {
        if post.get("data").is_some() && post.get("matching_rules").is_none() {
            let state = self.state();
            let rules = state.rules.iter();
            let rules = rules.map(|r| json!({"id": r["id"], "tag": r["tag"]}));
            post["matching_rules"] = rules.collect();
        }
        post
    }
}

fn chunk(mut out: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let frame = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    out.write_all(&frame)
}

fn respond(mut socket: &TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    let _ = socket.write_all(answer.as_bytes());
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request {
        method,
        target,
        head,
        body,
    })
}

pub fn post(id: u64, text: &str) -> Value {
    json!({
        "data": {"id": id.to_string(), "text": text, "author_id": "7",
            "edit_history_tweet_ids": [id.to_string()]},
        "includes": {"users": [{"id": "7", "name": "Seven", "username": "seven"}]},
    })
}

/// Posts of these ids about rust.
pub fn posts(ids: impl IntoIterator<Item = u64>) -> Vec<Part> {
    ids.into_iter()
        .map(|id| Part::Post(post(id, "rust")))
        .collect()
}

pub fn status(line: &'static str) -> Answer {
    Answer::Status(line, "", String::new())
}
