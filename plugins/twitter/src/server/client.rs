//! One connected client: what waits for it, how far it was sent, and the body that sends it.
//!
//! A piece of the body is given to hyper only when the one before was written to the socket, so
//! `flushed` says exactly what has left this process.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use hyper::body::{Bytes, Frame};
use memchr::memmem;
use tokio::time::{Instant, Sleep, sleep};
use track::Filter;

use super::shared::Shared;

/// Empty lines before the end. tweepy reads in blocks, and throws away what the last, incomplete
/// one holds: these, which mean nothing, are lost in place of the last messages.
const PADDING: usize = 1024;

/// What a client asked for, and what became of it so far.
pub(crate) struct Client {
    /// Its predicates; `None`: it takes the sample stream, which is everything.
    pub filter: Option<Filter>,
    delimited: bool,
    buffer_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Waiting, framed.
    buffer: Vec<u8>,
    /// Positions in the stream of framed messages.
    appended: u64,
    handed: u64,
    flushed: u64,
    /// End the stream when the buffer is empty.
    closing: bool,
    /// Nobody reads any more.
    gone: bool,
    waker: Option<Waker>,
    /// Tweets left out because it was too slow, and how many it was told of.
    left_out: u64,
    told: u64,
}

impl Client {
    pub fn new(filter: Option<Filter>, delimited: bool, buffer_bytes: usize) -> Self {
        Self {
            filter,
            delimited,
            buffer_bytes,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another message may wait. The last one may go over the limit.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.gone || state.buffer.len() < self.buffer_bytes
    }

    /// Appends a message; its position. Does nothing for a client that left.
    pub fn send(&self, message: &[u8]) -> u64 {
        let mut state = self.lock();
        if state.gone {
            return u64::MAX;
        }
        if state.left_out > state.told {
            state.told = state.left_out;
            let notice = format!("{{\"limit\":{{\"track\":{}}}}}", state.told);
            self.frame(&mut state, notice.as_bytes());
        }
        self.frame(&mut state, message);
        state.wake();
        state.appended
    }

    /// A tweet is left out, since there is no room for it.
    pub fn leave_out(&self) {
        self.lock().left_out += 1;
    }

    fn frame(&self, state: &mut State, message: &[u8]) {
        let message = message.trim_ascii();
        let start = state.buffer.len();
        if self.delimited {
            // Writing to a Vec cannot fail.
            let _ = write!(state.buffer, "{}\r\n", message.len() + 2);
        }
        append_line(&mut state.buffer, message);
        state.appended += (state.buffer.len() - start) as u64;
    }

    /// Puts bytes into the stream as they are; for faults.
    pub fn send_raw(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.buffer.extend_from_slice(bytes);
        state.appended += bytes.len() as u64;
        state.wake();
    }

    pub fn is_delimited(&self) -> bool {
        self.delimited
    }

    /// How far it was sent, and whether it has left.
    pub fn progress(&self) -> (u64, bool) {
        let state = self.lock();
        (state.flushed, state.gone)
    }

    /// Ends the stream after what waits.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.wake();
    }

    /// The socket took everything that was handed on. True if that was news.
    pub fn mark_flushed(&self) -> bool {
        let mut state = self.lock();
        if state.flushed == state.handed {
            return false;
        }
        state.flushed = state.handed;
        state.wake();
        true
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.buffer = Vec::new();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A message and its line end. A line end inside, which JSON allows between its parts, would be
/// taken for the end of the message.
fn append_line(buffer: &mut Vec<u8>, message: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(message);
    if memmem::find(message, b"\r\n").is_some() {
        for byte in &mut buffer[start..] {
            if *byte == b'\r' {
                *byte = b' ';
            }
        }
    }
    buffer.extend_from_slice(b"\r\n");
}

/// The body of a stream's response.
pub(crate) struct StreamBody {
    client: Arc<Client>,
    shared: Arc<Shared>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    keep_alive: Duration,
    quiet: Pin<Box<Sleep>>,
    padded: bool,
    ended: bool,
}

impl StreamBody {
    pub fn new(client: Arc<Client>, shared: Arc<Shared>, gzip: bool) -> Self {
        let keep_alive = shared.keep_alive;
        Self {
            client,
            shared,
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            keep_alive,
            quiet: Box::pin(sleep(keep_alive)),
            padded: false,
            ended: false,
        }
    }

    pub fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Frame<Bytes>>> {
        let mut state = self.client.lock();
        if state.flushed < state.handed {
            state.waker = Some(task.waker().clone());
            return Poll::Pending;
        }
        let plain = if !state.buffer.is_empty() {
            state.handed = state.appended;
            let capacity = state.buffer.len();
            let plain = std::mem::replace(&mut state.buffer, Vec::with_capacity(capacity));
            drop(state);
            plain
        } else if state.closing {
            let padding = (state.appended > 0).then(|| "\r\n".repeat(PADDING).into_bytes());
            drop(state);
            match padding.filter(|_| !std::mem::replace(&mut self.padded, true)) {
                Some(padding) => padding,
                None => return Poll::Ready(self.end()),
            }
        } else {
            state.waker = Some(task.waker().clone());
            drop(state);
            if self.quiet.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            b"\r\n".to_vec()
        };
        self.quiet.as_mut().reset(Instant::now() + self.keep_alive);
        self.shared.room();
        Poll::Ready(Some(Frame::data(self.pack(plain))))
    }

    fn pack(&mut self, plain: Vec<u8>) -> Bytes {
        match &mut self.gzip {
            None => plain.into(),
            Some(encoder) => {
                // Writing to a Vec cannot fail.
                let _ = encoder.write_all(&plain).and_then(|()| encoder.flush());
                std::mem::take(encoder.get_mut()).into()
            }
        }
    }

    /// The end in good order; of a compressed stream, with its trailer.
    fn end(&mut self) -> Option<Frame<Bytes>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let trailer = self.gzip.take()?.finish().ok()?;
        Some(Frame::data(trailer.into()))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.client.leave();
        self.shared.remove(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(client: &Client) -> String {
        String::from_utf8(client.lock().buffer.clone()).unwrap()
    }

    #[test]
    fn messages_are_framed_by_line_ends_or_lengths() {
        let client = Client::new(None, false, 10);
        assert_eq!(client.send(b"{}\n"), 4);
        client.send(b"{\r\n\"a\":1}");
        assert_eq!(waiting(&client), "{}\r\n{ \n\"a\":1}\r\n");
        assert!(!client.has_room());
        let client = Client::new(None, true, 10);
        client.send(b"{}");
        assert_eq!(waiting(&client), "4\r\n{}\r\n");
    }

    #[test]
    fn a_slow_client_is_told_what_it_missed() {
        let client = Client::new(None, false, 10);
        client.leave_out();
        client.leave_out();
        client.send(b"{}");
        client.send(b"[]");
        assert_eq!(
            waiting(&client),
            "{\"limit\":{\"track\":2}}\r\n{}\r\n[]\r\n"
        );
    }

    #[test]
    fn one_who_left_takes_nothing() {
        let client = Client::new(None, false, 10);
        client.leave();
        assert_eq!(client.send(b"{}"), u64::MAX);
        assert!(client.has_room());
        assert_eq!(client.progress(), (0, true));
    }
}
