//! Bounds messages below the websocket library, which breaks a connection over a message that is
//! too long: the next one would meet the same message, for ever. Here its end is thrown away, and
//! the stream goes on.
//!
//! Of a longer message one byte more than allowed is let through, by which it is known. All
//! messages are passed on as binary ones: the cut may be within a character, and what a message
//! holds is checked where it is read.
//!
//! Invariant: holds one read and one header, whatever lengths are announced.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const READ_BYTES: usize = 64 << 10;
/// The longest header of a frame.
const MAX_HEADER: usize = 14;

/// A websocket's bytes, as they come from a server.
pub(crate) struct Trim<S> {
    inner: S,
    frames: Frames,
    read: Box<[u8]>,
    /// What was read and trimmed; handed on up to `given`.
    ready: Vec<u8>,
    given: usize,
}

/// Where the stream is among its frames.
struct Frames {
    max: u64,
    /// A header that is not complete.
    header: Vec<u8>,
    /// Of the frame at hand, what is to be let through, and then thrown away.
    pass: u64,
    drop: u64,
    /// Of the message at hand, what may still be let through.
    room: u64,
}

impl<S> Trim<S> {
    pub fn new(inner: S, max_message_bytes: usize) -> Self {
        Self {
            inner,
            frames: Frames {
                max: max_message_bytes as u64,
                header: Vec::with_capacity(MAX_HEADER),
                pass: 0,
                drop: 0,
                room: 0,
            },
            read: vec![0; READ_BYTES].into(),
            ready: Vec::with_capacity(READ_BYTES),
            given: 0,
        }
    }
}

impl Frames {
    /// Appends to `out` what is to be let through of `bytes`.
    fn trim(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.pass > 0 {
                out.extend_from_slice(split(&mut bytes, &mut self.pass));
            } else if self.drop > 0 {
                split(&mut bytes, &mut self.drop);
            } else {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                self.begin(out)?;
            }
        }
        Ok(())
    }

    /// Begins a frame, if its header is complete.
    fn begin(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let parsed =
            FrameHeader::parse(&mut Cursor::new(&self.header)).map_err(io::Error::other)?;
        let Some((mut header, len)) = parsed else {
            return Ok(());
        };
        self.header.clear();
        self.pass = len;
        if let OpCode::Data(data) = header.opcode {
            if data != Data::Continue {
                header.opcode = OpCode::Data(Data::Binary);
                self.room = self.max + 1;
            }
            self.pass = len.min(self.room);
            self.room -= self.pass;
            self.drop = len - self.pass;
        }
        header.format(self.pass, out).map_err(io::Error::other)
    }
}

/// Takes up to `count` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], count: &mut u64) -> &'a [u8] {
    let len = usize::try_from(*count).map_or(bytes.len(), |count| count.min(bytes.len()));
    let (front, rest) = bytes.split_at(len);
    *bytes = rest;
    *count -= len as u64;
    front
}

impl<S: AsyncRead + Unpin> AsyncRead for Trim<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.given == this.ready.len() {
            let mut read = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.given = 0;
            this.frames.trim(read.filled(), &mut this.ready)?;
        }
        let rest = &this.ready[this.given..];
        let len = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..len]);
        this.given += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trim<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// What is let through of a server's bytes that come in pieces of this size; `None`: they are no
/// frames. For fuzzing.
#[doc(hidden)]
pub fn trimmed(wire: &[u8], piece: usize, max_message_bytes: usize) -> Option<Vec<u8>> {
    let mut frames = Trim::new((), max_message_bytes).frames;
    let mut out = Vec::new();
    for bytes in wire.chunks(piece.max(1)) {
        frames.trim(bytes, &mut out).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            is_final,
            opcode,
            ..FrameHeader::default()
        };
        let mut out = Vec::new();
        header.format(payload.len() as u64, &mut out).unwrap();
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn only_what_is_too_long_is_cut_however_it_comes() {
        const TEXT: OpCode = OpCode::Data(Data::Text);
        const BINARY: OpCode = OpCode::Data(Data::Binary);
        const MORE: OpCode = OpCode::Data(Data::Continue);
        const PING: OpCode = OpCode::Control(Control::Ping);
        let wire = [
            frame(TEXT, true, &[b'a'; 1_000]),
            frame(PING, true, b"between"),
            frame(BINARY, true, &[b'b'; 100_000]),
            // In parts, with a ping between them, the second too much.
            frame(TEXT, false, &[b'c'; 700]),
            frame(PING, true, &[b'p'; 125]),
            frame(MORE, false, &[b'c'; 700]),
            frame(MORE, true, &[b'c'; 70_000]),
            frame(TEXT, true, b""),
            frame(TEXT, true, b"end"),
        ]
        .concat();
        let expected = [
            frame(BINARY, true, &[b'a'; 1_000]),
            frame(PING, true, b"between"),
            frame(BINARY, true, &[b'b'; 1_001]),
            frame(BINARY, false, &[b'c'; 700]),
            frame(PING, true, &[b'p'; 125]),
            frame(MORE, false, &[b'c'; 301]),
            frame(MORE, true, b""),
            frame(BINARY, true, b""),
            frame(BINARY, true, b"end"),
        ]
        .concat();
        for pieces in [1, 2, 3, 7, 1_000, wire.len()] {
            assert!(
                trimmed(&wire, pieces, 1_000).unwrap() == expected,
                "in pieces of {pieces} bytes"
            );
        }
    }

    #[test]
    fn an_absurd_length_costs_no_memory() {
        let mut wire = vec![0x82, 127];
        wire.extend(u64::MAX.to_be_bytes());
        wire.extend([b'x'; 5_000]);
        let out = trimmed(&wire, 100, 1_000).unwrap();
        assert_eq!(out.len(), 4 + 1_001);
    }

    #[test]
    fn a_header_that_is_none_ends_the_stream() {
        assert_eq!(trimmed(&[0x83, 0], 1, 1_000), None);
    }
}
