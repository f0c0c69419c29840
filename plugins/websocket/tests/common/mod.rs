//! What the tests over real sockets share.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use plugin_api::ContentType;
use plugin_api::testing::Harness;
use plugin_websocket::ThisPlugin;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

pub type Stage = Harness<ThisPlugin>;

/// Longest that anything may take.
const WAIT: Duration = Duration::from_secs(20);

/// A sink with these options, on a free port unless they name one, and where it listens.
pub fn open(mut options: Value) -> (Stage, SocketAddr) {
    if options.get("listen").is_none() {
        options["listen"] = json!("127.0.0.1:0");
    }
    let stage = Stage::sink("websocket", &options, &[ContentType::json()]).unwrap();
    let lines = stage.host().log_lines();
    let address = lines
        .iter()
        .find_map(|line| line.message.strip_prefix("page on ")?.split("://").nth(1))
        .unwrap();
    let address = address.parse().unwrap();
    (stage, address)
}

pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.set_write_timeout(Some(WAIT)).unwrap();
    stream
}

/// A reader over `stream`, and the protocol that was agreed on; or the status that was answered.
pub fn connect_over<S: Read + Write>(
    stream: S,
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocket<S>, Option<String>), u16> {
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tungstenite::client(request, stream) {
        Ok((reader, response)) => {
            let protocol = response.headers().get("sec-websocket-protocol");
            let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
            Ok((reader, protocol))
        }
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

/// The next text; pings are passed over.
pub fn text<S: Read + Write>(reader: &mut WebSocket<S>) -> String {
    loop {
        match reader.read().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// An answer of HTTP.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends `request` as it is and reads until the server closes.
pub fn http(address: SocketAddr, request: &str) -> Answer {
    let mut stream = dial(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Asks for `path` with these lines of headers more.
pub fn get(address: SocketAddr, path: &str, more: &str) -> Answer {
    http(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n"),
    )
}

/// Reads until a server has had enough: it closes or resets, but before the read times out.
pub fn until_cut_off(mut stranger: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    if let Err(error) = stranger.read_to_end(&mut heard) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    heard
}
