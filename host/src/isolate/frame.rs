//! What crosses the socket between a host and the process of a stage.
//!
//! A frame is a head of fixed size and a body whose length the head says. The body of a batch is
//! its head as [`wire`] writes it, and the payload lies behind the frame as it lies in memory.
//! Numbers are little-endian. Invariant: no length is believed before it was held against a bound.

use std::{
    io::{self, BufReader, IoSlice, Read, Write},
    os::unix::net::UnixStream,
};

use plugin_api::{Batch, Code, StageError};

use crate::wire;

/// What a frame is.
pub mod op {
    /// Host: load this plugin and make this stage.
    pub const HELLO: u32 = 1;
    /// Host: the calls of a stage.
    pub const PLAN: u32 = 2;
    pub const OPEN: u32 = 3;
    pub const RECOVER: u32 = 4;
    pub const RESTORE: u32 = 5;
    pub const POLL: u32 = 6;
    pub const DRAIN: u32 = 7;
    pub const PROCESS: u32 = 8;
    pub const RESUME: u32 = 9;
    pub const WRITE: u32 = 10;
    pub const END: u32 = 11;
    pub const TICK: u32 = 12;
    pub const CHECKPOINT: u32 = 13;
    pub const CHECKPOINT_POLL: u32 = 14;
    pub const COMMIT: u32 = 15;
    pub const ABORT: u32 = 16;
    pub const CLOSE: u32 = 17;
    /// Stage: the call is over, well or with an error.
    pub const DONE: u32 = 32;
    pub const FAILED: u32 = 33;
    /// Stage, during a call: what it puts out.
    pub const EMIT: u32 = 48;
    pub const CONSUMED: u32 = 49;
    pub const FILTERED: u32 = 50;
    pub const REJECT: u32 = 51;
    pub const REJECT_RAW: u32 = 52;
    /// Stage, at any time, beside the calls.
    pub const LOG: u32 = 64;
    pub const METRIC: u32 = 65;
    pub const WANT_CHECKPOINT: u32 = 66;
    /// Host, at any time, beside the calls.
    pub const CANCEL: u32 = 80;
}

/// Bytes of a head.
const HEAD: usize = 32;
/// Longest body that is taken: options, a state, a raw record.
pub const MAX_BODY: usize = wire::MAX_DATA;
/// Longest message, pointer or name that is taken.
pub const MAX_TEXT: usize = 64 << 10;
/// What is set aside at a time for bytes that are only announced.
const TRUSTED: usize = 4 << 20;

/// The head of a frame; what `a`, `b` and `c` mean depends on `op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub op: u32,
    /// Bytes of the body.
    len: usize,
    pub a: u64,
    pub b: u64,
    pub c: u64,
}

impl Head {
    fn write(&self, out: &mut Vec<u8>) {
        let len = u32::try_from(self.len).expect("a body has at most 1 GiB");
        out.extend_from_slice(&self.op.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        for n in [self.a, self.b, self.c] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }

    fn read(bytes: &[u8; HEAD]) -> Self {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let u64_at = |at| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            op: u32_at(0),
            len: u32_at(4) as usize,
            a: u64_at(8),
            b: u64_at(16),
            c: u64_at(24),
        }
    }
}

/// An error for what the other side should not have sent.
pub fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Frames on their way in.
pub struct Incoming(BufReader<UnixStream>);

impl Incoming {
    pub fn new(socket: UnixStream) -> Self {
        Self(BufReader::with_capacity(64 << 10, socket))
    }

    /// The next head; `None`: the other side has closed.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD];
        let first = loop {
            match self.0.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if first == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut bytes[first..])?;
        Ok(Some(Head::read(&bytes)))
    }

    /// The body of a frame, at most `max` bytes.
    pub fn body(&mut self, head: &Head, max: usize) -> io::Result<Vec<u8>> {
        if head.len > max {
            return Err(broken(format!(
                "a frame {} of {} bytes, of which at most {max} are taken",
                head.op, head.len
            )));
        }
        self.bytes(head.len)
    }

    /// The texts of a frame, whose lengths stand in `lens`; the last takes the rest.
    pub fn texts<const N: usize>(
        &mut self,
        head: &Head,
        lens: [u64; N],
    ) -> io::Result<([String; N], String)> {
        let body = self.body(head, MAX_TEXT * (N + 1))?;
        let mut rest = body.as_slice();
        let mut texts = [const { String::new() }; N];
        for (text, len) in texts.iter_mut().zip(lens) {
            let (first, behind) = usize::try_from(len)
                .ok()
                .and_then(|len| rest.split_at_checked(len))
                .ok_or_else(|| broken("a text that is longer than its frame"))?;
            *text = String::from_utf8_lossy(first).into_owned();
            rest = behind;
        }
        Ok((texts, String::from_utf8_lossy(rest).into_owned()))
    }

    /// A batch, its ranges checked.
    pub fn batch(&mut self, head: &Head) -> io::Result<Batch> {
        let mut fixed = [0; wire::FIXED];
        if head.len < fixed.len() {
            return Err(broken("a batch without a head"));
        }
        self.0.read_exact(&mut fixed)?;
        let sizes = wire::sizes(&fixed).map_err(broken)?;
        if sizes.tables != head.len - fixed.len() {
            return Err(broken("a batch whose tables are not as long as its frame"));
        }
        let tables = self.bytes(sizes.tables)?;
        let data = self.bytes(sizes.data)?;
        wire::batch(&sizes, &tables, data).map_err(broken)
    }

    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Read at once into what is zeroed before: faster than growing by steps.
        while bytes.len() < len {
            let from = bytes.len();
            bytes.resize(len.min(from + TRUSTED), 0);
            self.0.read_exact(&mut bytes[from..])?;
        }
        Ok(bytes)
    }
}

/// Frames that are put together to be sent at once. Keeps its allocation.
#[derive(Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// Batches whose payload goes in at an offset of `bytes`.
    payloads: Vec<(usize, Batch)>,
    pinned: usize,
}

impl Outgoing {
    /// Adds a frame.
    pub fn push(&mut self, op: u32, [a, b, c]: [u64; 3], parts: &[&[u8]]) {
        let len = parts.iter().map(|p| p.len()).sum();
        Head { op, len, a, b, c }.write(&mut self.bytes);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds a frame with a batch, which is not copied.
    pub fn push_batch(&mut self, op: u32, [a, b, c]: [u64; 3], batch: Batch) {
        let at = self.bytes.len();
        self.bytes.resize(at + HEAD, 0);
        wire::head(&batch, &mut self.bytes);
        let len = self.bytes.len() - at - HEAD;
        let mut head = Vec::with_capacity(HEAD);
        Head { op, len, a, b, c }.write(&mut head);
        self.bytes[at..at + HEAD].copy_from_slice(&head);
        self.pinned += batch.pinned_bytes();
        self.payloads.push((self.bytes.len(), batch));
    }

    /// Adds the frame of an error.
    pub fn push_error(&mut self, e: &StageError) {
        let retry = e
            .retry_after
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        let (pointer, message) = (clipped(&e.pointer), clipped(&e.message));
        self.push(
            op::FAILED,
            [u64::from(e.code.0), retry, pointer.len() as u64],
            &[pointer.as_bytes(), message.as_bytes()],
        );
    }

    /// Bytes that wait, with those of batches.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.pinned
    }

    /// Sends everything and is empty again, also after an error.
    pub fn send(&mut self, mut socket: &UnixStream) -> io::Result<()> {
        let mut slices = Vec::with_capacity(2 * self.payloads.len() + 1);
        let mut from = 0;
        for (at, batch) in &self.payloads {
            slices.push(IoSlice::new(&self.bytes[from..*at]));
            slices.push(IoSlice::new(wire::payload(batch)));
            from = *at;
        }
        slices.push(IoSlice::new(&self.bytes[from..]));
        let sent = write_all(&mut socket, &mut slices);
        self.bytes.clear();
        self.payloads.clear();
        self.pinned = 0;
        sent
    }
}

fn write_all(socket: &mut &UnixStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty slices in front would look like a socket that takes nothing.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match socket.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut slices, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// As much of a text as is taken on the other side.
pub fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The error of a frame `FAILED`.
pub fn error(head: &Head, incoming: &mut Incoming) -> io::Result<StageError> {
    let ([pointer], message) = incoming.texts(head, [head.c])?;
    let code = u32::try_from(head.a).map_or(Code::FATAL, Code);
    let retry_after = (head.b > 0).then(|| std::time::Duration::from_millis(head.b));
    Ok(StageError {
        code,
        retry_after,
        pointer,
        message,
    })
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    fn pair() -> (UnixStream, Incoming) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Incoming::new(theirs))
    }

    #[test]
    fn frames_and_batches_come_as_they_went() {
        let (ours, mut theirs) = pair();
        let mut batch = BatchBuilder::new();
        batch.push(Some(b"one")).key(Some(b"k")).header("h", None);
        let batch = batch.finish();
        let mut out = Outgoing::default();
        out.push(op::PLAN, [1, 2, 3], &[b"ab", b"c"]);
        out.push_batch(op::EMIT, [4, 5, 6], batch.clone());
        out.push_batch(op::EMIT, [7, 0, 0], BatchBuilder::new().finish());
        out.push_error(
            &StageError::config("/x", "why").retry_after(std::time::Duration::from_secs(1)),
        );
        out.send(&ours).unwrap();
        drop(ours);

        let head = theirs.head().unwrap().unwrap();
        assert_eq!((head.op, head.a, head.b, head.c), (op::PLAN, 1, 2, 3));
        assert_eq!(theirs.body(&head, 3).unwrap(), b"abc");
        let head = theirs.head().unwrap().unwrap();
        let back = theirs.batch(&head).unwrap();
        assert_eq!((head.op, head.a), (op::EMIT, 4));
        assert_eq!(back.raw().recs(), batch.raw().recs());
        assert_eq!(back.raw().data(), batch.raw().data());
        let head = theirs.head().unwrap().unwrap();
        assert!(theirs.batch(&head).unwrap().is_empty());
        let head = theirs.head().unwrap().unwrap();
        let e = error(&head, &mut theirs).unwrap();
        assert_eq!(
            (e.code, &*e.pointer, &*e.message),
            (Code::CONFIG, "/x", "why")
        );
        assert_eq!(e.retry_after, Some(std::time::Duration::from_secs(1)));
        assert!(theirs.head().unwrap().is_none());
    }

    #[test]
    fn lengths_beyond_their_bounds_are_refused() {
        let (ours, mut theirs) = pair();
        let mut out = Outgoing::default();
        out.push(op::LOG, [0; 3], &[b"four"]);
        out.push(op::REJECT, [0, 0, 9], &[b"short"]);
        out.push(op::EMIT, [0; 3], &[&[0xFF; wire::FIXED]]);
        out.send(&ours).unwrap();
        let head = theirs.head().unwrap().unwrap();
        assert!(theirs.body(&head, 3).is_err());
        theirs.body(&head, 4).unwrap();
        let head = theirs.head().unwrap().unwrap();
        assert!(theirs.texts(&head, [head.c]).is_err());
        let head = theirs.head().unwrap().unwrap();
        assert!(theirs.batch(&head).is_err());
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_and_no_end() {
        let (ours, mut theirs) = pair();
        (&ours).write_all(&[0; HEAD - 1]).unwrap();
        drop(ours);
        assert!(theirs.head().is_err());
    }
}
