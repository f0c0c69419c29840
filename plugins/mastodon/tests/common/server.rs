//! A Mastodon server as far as the source sees it: it keeps posts, serves its timelines, and
//! streams what is published, each on a real socket. Faults are put in by the tests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::protocol::{CloseFrame, Role, WebSocket};
use tungstenite::{Message, handshake::derive_accept_key};

use super::http::{Answer, Request};

pub const TOKEN: &str = "a-token-of-a-user";

/// A post in the timelines.
#[derive(Debug, Clone)]
pub struct Post {
    pub id: u64,
    pub json: String,
    /// The streams that carry it, such as `hashtag:rust`.
    pub channels: Vec<&'static str>,
}

/// What a websocket is told to do.
enum Order {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    /// Half a frame, and the end of the connection.
    Cut,
    /// A goodbye, with or without words.
    Close(Option<CloseFrame>),
}

struct Client {
    number: usize,
    orders: Sender<Order>,
    channels: Vec<String>,
}

#[derive(Default)]
struct World {
    posts: Vec<Post>,
    clients: Vec<Client>,
    /// Answers to the next requests for a websocket, in place of one.
    refusals: VecDeque<Answer>,
    /// Answers to the next requests for a timeline; none: the timeline.
    troubles: VecDeque<Option<Answer>>,
    /// Headers of each timeline.
    headers: Vec<(String, String)>,
    instance: Option<Answer>,
    /// What is said to each subscription, in place of subscribing.
    error: Option<Value>,
    /// Requests for a websocket are not answered.
    is_mute: bool,
    /// Paths and queries of the requests for timelines.
    asked: Vec<String>,
    connections: usize,
    pongs: usize,
}

/// The server; its threads end with their sockets.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    world: Arc<Mutex<World>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let server = Self { url, world };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (server, socket) = (accepting.clone(), socket.unwrap());
                std::thread::spawn(move || server.serve(socket));
            }
        });
        server
    }

    fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.world.lock().unwrap())
    }

    /// Writes a post into the timelines, and streams it to all who have subscribed to it.
    pub fn publish(&self, post: Post) {
        self.with(|world| {
            stream(world, &post.channels, "update", &post.json);
            world.posts.push(post);
        });
    }

    /// Writes a post into the timelines; it is not streamed.
    pub fn write(&self, post: Post) {
        self.with(|world| world.posts.push(post));
    }

    /// Streams an event.
    pub fn event(&self, channels: &[&str], event: &str, payload: &str) {
        self.with(|world| stream(world, channels, event, payload));
    }

    /// Changes a post, and streams it as edited.
    pub fn edit(&self, id: u64, json: &str) {
        self.with(|world| {
            let post = world.posts.iter_mut().find(|post| post.id == id).unwrap();
            post.json = json.into();
            let channels = post.channels.clone();
            stream(world, &channels, "status.update", json);
        });
    }

    /// Sends a text to each client.
    pub fn say(&self, text: &str) {
        self.order(|| Order::Text(text.into()));
    }

    /// Sends bytes to each client.
    pub fn say_bytes(&self, bytes: &[u8]) {
        self.order(|| Order::Binary(bytes.into()));
    }

    pub fn ping(&self) {
        self.order(|| Order::Ping);
    }

    /// How many pings were answered.
    pub fn pongs(&self) -> usize {
        self.with(|world| world.pongs)
    }

    /// Cuts all connections in the middle of a frame.
    pub fn cut(&self) {
        self.order(|| Order::Cut);
        self.with(|world| world.clients.clear());
    }

    /// Ends all connections in good order.
    pub fn close(&self) {
        self.order(|| Order::Close(None));
        self.with(|world| world.clients.clear());
    }

    /// The same, and says why.
    pub fn close_with(&self, code: u16, reason: &'static str) {
        self.order(|| {
            Order::Close(Some(CloseFrame {
                code: code.into(),
                reason: reason.into(),
            }))
        });
        self.with(|world| world.clients.clear());
    }

    fn order(&self, order: impl Fn() -> Order) {
        self.with(|world| {
            for client in &world.clients {
                // A client that has gone needs none.
                let _ = client.orders.send(order());
            }
        });
    }

    /// How many streams are subscribed to.
    pub fn subscriptions(&self) -> usize {
        self.with(|world| world.clients.iter().map(|c| c.channels.len()).sum())
    }

    /// How many websockets there are.
    pub fn clients(&self) -> usize {
        self.with(|world| world.clients.len())
    }

    /// How many websockets there were.
    pub fn connections(&self) -> usize {
        self.with(|world| world.connections)
    }

    /// The requests for timelines so far.
    pub fn asked(&self) -> Vec<String> {
        self.with(|world| world.asked.clone())
    }

    /// The next request for a websocket gets this.
    pub fn refuse(&self, answer: Answer) {
        self.with(|world| world.refusals.push_back(answer));
    }

    /// The next request for a timeline gets this; none: what it asks for.
    pub fn trouble(&self, answer: Option<Answer>) {
        self.with(|world| world.troubles.push_back(answer));
    }

    /// Each timeline comes with these headers.
    pub fn headers(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        self.with(|world| world.headers = headers.collect());
    }

    /// What the server says of itself.
    pub fn instance(&self, answer: Answer) {
        self.with(|world| world.instance = Some(answer));
    }

    /// Subscriptions are answered with this.
    pub fn error(&self, error: Value) {
        self.with(|world| world.error = Some(error));
    }

    /// Requests for a websocket are taken, and not answered.
    pub fn mute(&self, is_mute: bool) {
        self.with(|world| world.is_mute = is_mute);
    }

    fn serve(&self, mut socket: TcpStream) {
        while let Some(request) = Request::read(&mut socket) {
            let answer = match &*request.path {
                "/api/v2/instance" | "/api/v1/instance" => self
                    .with(|world| world.instance.clone())
                    .unwrap_or_else(|| Answer::new(404, "")),
                "/api/v1/streaming" => match self.websocket(&request) {
                    Some(answer) => answer,
                    None => return self.stream(socket, &request),
                },
                _ => self.timeline(&request),
            };
            if answer.write(&mut socket).is_err() {
                return;
            }
        }
    }

    /// The answer to a request for a websocket, if it is not one.
    fn websocket(&self, request: &Request) -> Option<Answer> {
        while self.with(|world| world.is_mute) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let refusal = self.with(|world| world.refusals.pop_front());
        if refusal.is_some() {
            return refusal;
        }
        let authorization = request.header("authorization");
        let protocol = request.header("sec-websocket-protocol");
        // Both ways, so that a server that looks at one of them finds it.
        if authorization != Some(&format!("Bearer {TOKEN}")) || protocol != Some(TOKEN) {
            let answer = Answer::new(401, "");
            return Some(answer.with("X-Error-Message", "Invalid access token"));
        }
        assert_eq!(request.header("upgrade"), Some("websocket"));
        None
    }

    fn stream(&self, mut socket: TcpStream, request: &Request) {
        let key = request.header("sec-websocket-key").unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {TOKEN}\r\n\r\n"
        );
        let (orders, received) = channel();
        // Before it is told so: whoever sees that it is connected finds it here.
        let number = self.with(|world| {
            world.connections += 1;
            let number = world.connections;
            world.clients.push(Client {
                number,
                orders: orders.clone(),
                channels: Vec::new(),
            });
            world.connections
        });
        if socket.write_all(answer.as_bytes()).is_ok() {
            socket
                .set_read_timeout(Some(Duration::from_millis(2)))
                .unwrap();
            let mut websocket = WebSocket::from_raw_socket(socket, Role::Server, None);
            while self.step(&mut websocket, &orders, &received, number) {}
        }
        self.with(|world| world.clients.retain(|client| client.number != number));
    }

    /// One step of a connection; false: it is over.
    fn step(
        &self,
        websocket: &mut WebSocket<TcpStream>,
        orders: &Sender<Order>,
        received: &Receiver<Order>,
        number: usize,
    ) -> bool {
        for order in received.try_iter() {
            let sent = match order {
                Order::Text(text) => websocket.send(Message::text(text)),
                Order::Binary(bytes) => websocket.send(Message::binary(bytes)),
                Order::Ping => websocket.send(Message::Ping(Default::default())),
                Order::Close(words) => websocket.close(words),
                Order::Cut => {
                    let socket = websocket.get_mut();
                    // A text of 100 bytes of which 12 come.
                    let _ = socket.write_all(b"\x81\x64{\"stream\":[");
                    let _ = socket.shutdown(Shutdown::Both);
                    return false;
                }
            };
            if sent.is_err() {
                return false;
            }
        }
        match websocket.read() {
            Ok(Message::Text(text)) => {
                let message: Value = serde_json::from_str(text.as_str()).unwrap();
                assert_eq!(message["type"], "subscribe");
                let refusal = self.with(|world| {
                    // It may have been cut already.
                    let client = world.clients.iter_mut().find(|c| c.number == number);
                    if let (Some(client), None) = (client, &world.error) {
                        client.channels.push(channel_of(&message));
                    }
                    world.error.clone()
                });
                if let Some(refusal) = refusal {
                    let _ = orders.send(Order::Text(refusal.to_string()));
                }
                true
            }
            Ok(message) => {
                let is_pong = matches!(message, Message::Pong(_));
                self.with(|world| world.pongs += usize::from(is_pong));
                true
            }
            Err(tungstenite::Error::Io(e)) => {
                matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
            }
            Err(_) => false,
        }
    }

    fn timeline(&self, request: &Request) -> Answer {
        let query: Vec<String> = request
            .query
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let asked = format!("{}?{}", request.path, query.join("&"));
        let (trouble, headers) = self.with(|world| {
            world.asked.push(asked);
            (world.troubles.pop_front().flatten(), world.headers.clone())
        });
        if let Some(answer) = trouble {
            return answer;
        }
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Answer::new(401, r#"{"error":"The access token is invalid"}"#);
        }
        let Some(channel) = channel_of_path(request) else {
            return Answer::new(404, r#"{"error":"Record not found"}"#);
        };
        let number = |name: &str| request.parameter(name).map(|n| n.parse::<u64>().unwrap());
        let limit = number("limit").unwrap_or(20).min(40) as usize;
        let mut posts = self.with(|world| world.posts.clone());
        posts.retain(|post| post.channels.iter().any(|c| *c == channel));
        posts.sort_by_key(|post| post.id);
        let mut page: Vec<&Post> = match number("min_id") {
            Some(min) => posts.iter().filter(|p| p.id > min).take(limit).collect(),
            None => posts.iter().rev().take(limit).rev().collect(),
        };
        page.reverse();
        let page: Vec<&str> = page.iter().map(|post| &*post.json).collect();
        Answer {
            headers,
            ..Answer::new(200, format!("[{}]", page.join(",")))
        }
    }
}

fn stream(world: &World, channels: &[&str], event: &str, payload: &str) {
    for client in &world.clients {
        for subscribed in &client.channels {
            if !channels.contains(&&**subscribed) {
                continue;
            }
            let name: Vec<&str> = match subscribed.rsplit_once(':') {
                Some((name @ ("hashtag" | "hashtag:local" | "list"), which)) => vec![name, which],
                _ => vec![subscribed],
            };
            let message = json!({"stream": name, "event": event, "payload": payload});
            let _ = client.orders.send(Order::Text(message.to_string()));
        }
    }
}

fn channel_of(message: &Value) -> String {
    let stream = message["stream"].as_str().unwrap();
    let which = message["tag"].as_str().or(message["list"].as_str());
    which.map_or(stream.into(), |which| format!("{stream}:{which}"))
}

fn channel_of_path(request: &Request) -> Option<String> {
    let is = |name: &str| request.parameter(name) == Some("true");
    let path = request.path.strip_prefix("/api/v1/timelines/")?;
    let local = if is("local") { ":local" } else { "" };
    let media = if is("only_media") { ":media" } else { "" };
    match path.split_once('/') {
        None if path == "public" && is("remote") => Some(format!("public:remote{media}")),
        None if path == "public" => Some(format!("public{local}{media}")),
        Some(("tag", tag)) => Some(format!("hashtag{local}:{tag}")),
        Some(("list", list)) if list != "404" => Some(format!("list:{list}")),
        _ => None,
    }
}
