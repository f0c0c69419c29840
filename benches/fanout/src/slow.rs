//! Those who hold something up: readers that never read, and strangers that never end a request.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Error;
use crate::read::HANDSHAKE;

/// Connects readers that read the answer to their handshake and nothing else, until it is ended.
pub fn hold(address: &str, count: &str) -> Result<(), Error> {
    let mut held = Vec::new();
    for _ in 0..count.parse::<usize>()? {
        held.push(handshake(address)?);
    }
    println!("ready");
    for _ in std::io::stdin().lock().lines() {}
    Ok(())
}

/// Strangers in the middle of a request.
pub fn strangers(address: &str, count: usize) -> Result<Vec<TcpStream>, Error> {
    let stranger = |_| {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /feed HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")?;
        Ok(stream)
    };
    (0..count).map(stranger).collect()
}

/// The longest of some handshakes, one after the other.
pub fn longest_handshake(address: &str, count: usize) -> Result<Duration, Error> {
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let begun = Instant::now();
        handshake(address)?;
        longest = longest.max(begun.elapsed());
    }
    Ok(longest)
}

fn handshake(address: &str) -> Result<TcpStream, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(HANDSHAKE.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    match head.starts_with(b"HTTP/1.1 101") {
        true => Ok(stream),
        false => Err("no websocket".into()),
    }
}
