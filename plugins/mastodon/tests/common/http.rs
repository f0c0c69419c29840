//! As much of HTTP/1.1 as the server needs.

use std::io::{Read, Write};
use std::net::TcpStream;

/// The head of a request.
pub struct Request {
    pub path: String,
    pub query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Reads one; none: the client has gone.
    pub fn read(socket: &mut TcpStream) -> Option<Self> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if socket.read(&mut byte).ok()? == 0 || head.len() > 16 << 10 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Some(Self {
            path: decoded(path),
            query: query.map(|(k, v)| (k.into(), decoded(v))).collect(),
            headers: headers
                .map(|(k, v)| (k.to_ascii_lowercase(), v.into()))
                .collect(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| &**value)
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| &**value)
    }
}

fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

/// An answer that is no websocket.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0: none, and the end of the connection.
    pub status: u16,
    /// Bytes that were announced and do not come.
    pub missing: usize,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            missing: 0,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn write(&self, socket: &mut TcpStream) -> std::io::Result<()> {
        if self.status == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let mut text = format!(
            "HTTP/1.1 {} Something\r\nContent-Length: {}\r\nContent-Type: application/json\r\n",
            self.status,
            self.body.len() + self.missing
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        socket.write_all(format!("{text}\r\n{}", self.body).as_bytes())
    }
}
