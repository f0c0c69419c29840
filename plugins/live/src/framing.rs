//! Cuts the byte stream into messages. A message ends with `\r\n` (a `\n` may be inside), an empty
//! one is a keep-alive; with `delimited=length`, its length stands on a line before it.
//!
//! The line end is trusted more than the length: a server that counts wrong loses nothing.
//!
//! Invariant: never holds more than the longest message allowed, plus one read.

/// Of a message that is too long, this much is kept to show.
const HEAD_BYTES: usize = 64 << 10;
/// A line of digits longer than this is no length.
const MAX_DIGITS: usize = 10;
/// Neither is one that is longer than this with the white space around it.
const MAX_LENGTH_LINE: usize = 32;

/// One step through the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A message, without its line end.
    Message(&'a [u8]),
    /// The same, but the length before it was wrong.
    Miscounted(&'a [u8]),
    /// An empty line.
    KeepAlive,
    /// A message longer than allowed: its beginning and its whole length.
    TooLong {
        /// The first 64 KiB at most.
        head: &'a [u8],
        /// Bytes in all.
        total: usize,
    },
}

/// The stream's state.
#[derive(Debug)]
pub struct Framing {
    buffer: Vec<u8>,
    /// Bytes before this are used up.
    start: usize,
    /// No line end begins before this.
    scanned: usize,
    delimited: bool,
    /// The length that was announced.
    expected: Option<usize>,
    max: usize,
    ended: bool,
    /// Skipping a message that is too long: its length so far. Its head stands in `buffer[..start]`.
    skipped: Option<usize>,
}

impl Framing {
    pub fn new(max_message_bytes: usize, delimited: bool) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            delimited,
            expected: None,
            max: max_message_bytes,
            ended: false,
            skipped: None,
        }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.skipped.is_none() && self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; `None`: more must be read.
    pub fn next_piece(&mut self) -> Option<Piece<'_>> {
        if self.skipped.is_some() {
            return self.skip();
        }
        loop {
            let Some(end) = self.find_line_end() else {
                // One more may be the first half of the line end.
                if self.buffer.len() - self.start > self.max + 1 {
                    return self.skip();
                }
                return None;
            };
            let (start, len) = (self.start, end - self.start);
            if len == 0 {
                self.advance(end + 2);
                return Some(Piece::KeepAlive);
            }
            let Some(expected) = self.expected else {
                if self.delimited
                    && let Some(length) = as_length(&self.buffer[start..end])
                {
                    self.expected = Some(length);
                    self.advance(end + 2);
                    continue;
                }
                return Some(self.message(start, end, false));
            };
            if expected == len + 2 {
                return Some(self.message(start, end, false));
            }
            if expected > len + 2 && expected <= self.max {
                // White space inside, or a wrong count: what stands at its end will tell.
                match self.buffer.get(start..start + expected) {
                    Some(whole) if whole.ends_with(b"\r\n") => {
                        return Some(self.message(start, start + expected - 2, false));
                    }
                    None if !self.ended => return None,
                    _ => {}
                }
            }
            return Some(self.message(start, end, true));
        }
    }

    /// The connection has ended: what is complete no longer waits for more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// What is left in the end: the beginning of a message without its line end, and its length.
    pub fn finish(&mut self) -> Option<(&[u8], usize)> {
        if let Some(skipped) = self.skipped.take() {
            let total = skipped + (self.buffer.len() - self.start);
            return Some((&self.buffer[..self.start], total));
        }
        let rest = &self.buffer[self.start..];
        (!rest.trim_ascii().is_empty()).then(|| (&rest[..rest.len().min(HEAD_BYTES)], rest.len()))
    }

    fn message(&mut self, start: usize, end: usize, miscounted: bool) -> Piece<'_> {
        self.expected = None;
        self.advance(end + 2);
        let bytes = &self.buffer[start..end];
        if bytes.len() > self.max {
            return Piece::TooLong {
                head: &bytes[..bytes.len().min(HEAD_BYTES)],
                total: bytes.len(),
            };
        }
        if miscounted {
            Piece::Miscounted(bytes)
        } else {
            Piece::Message(bytes)
        }
    }

    /// Throws away all but the head of a message that is too long, up to its line end.
    fn skip(&mut self) -> Option<Piece<'_>> {
        let so_far = match self.skipped {
            Some(bytes) => bytes,
            None => {
                self.expected = None;
                self.buffer.drain(..self.start);
                let kept_cr = usize::from(self.buffer.ends_with(b"\r"));
                self.start = (self.buffer.len() - kept_cr).min(HEAD_BYTES);
                self.scanned = self.start;
                self.start
            }
        };
        // The `\r` of a line end may be the last byte kept of an earlier read.
        let from = self.start;
        match find_line_end(&self.buffer, from) {
            Some(end) => {
                let total = so_far + (end - from);
                self.skipped = None;
                // The head moves up to the end of the message, where it is free to be lent.
                let head = from.min(end);
                self.buffer.copy_within(..head, end - head);
                self.advance(end + 2);
                Some(Piece::TooLong {
                    head: &self.buffer[end - head..end],
                    total,
                })
            }
            None => {
                let kept_cr = usize::from(self.buffer.len() > from && self.buffer.ends_with(b"\r"));
                let dropped = self.buffer.len() - from - kept_cr;
                self.buffer.drain(from..from + dropped);
                self.skipped = Some(so_far + dropped);
                None
            }
        }
    }

    fn find_line_end(&mut self) -> Option<usize> {
        let found = find_line_end(&self.buffer, self.scanned.max(self.start));
        if found.is_none() {
            // A `\r` at the very end may be the first half.
            self.scanned = self.buffer.len().saturating_sub(1).max(self.start);
        }
        found
    }

    fn advance(&mut self, to: usize) {
        self.start = to;
        self.scanned = to;
    }
}

fn find_line_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(&bytes[from..], b"\r\n").map(|at| from + at)
}

fn as_length(line: &[u8]) -> Option<usize> {
    // White space counts, too: else it would depend on what one read brought whether a line that is
    // too long for a message is a length.
    if line.len() > MAX_LENGTH_LINE {
        return None;
    }
    let line = line.trim_ascii();
    if line.len() > MAX_DIGITS || !line.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Seen {
        Message(String),
        Miscounted(String),
        KeepAlive,
        TooLong(usize),
        Rest(usize),
    }
    use Seen::{KeepAlive, Rest, TooLong};

    fn message(text: &str) -> Seen {
        Seen::Message(text.into())
    }

    fn see(piece: Piece<'_>, stream: &[u8], max: usize) -> Seen {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match piece {
            Piece::Message(bytes) => Seen::Message(text(bytes)),
            Piece::Miscounted(bytes) => Seen::Miscounted(text(bytes)),
            Piece::KeepAlive => KeepAlive,
            Piece::TooLong { head, total } => {
                // How much of it is kept depends on the reads.
                assert!(head.len() >= max && head.len() <= HEAD_BYTES && total > max);
                assert!(memchr::memmem::find(stream, head).is_some());
                TooLong(total)
            }
        }
    }

    /// Runs the stream through in reads of each size, which must not matter.
    fn frames(stream: &[u8], max: usize, delimited: bool) -> Vec<Seen> {
        let mut first: Option<Vec<Seen>> = None;
        for size in [1, 2, 3, 7, 64, stream.len().max(1)] {
            let mut framing = Framing::new(max, delimited);
            let mut seen = Vec::new();
            for read in stream.chunks(size) {
                framing.push(read);
                while let Some(piece) = framing.next_piece() {
                    seen.push(see(piece, stream, max));
                }
                assert!(framing.buffer.len() <= max.max(HEAD_BYTES) + 2 * size + 2);
            }
            framing.end();
            while let Some(piece) = framing.next_piece() {
                seen.push(see(piece, stream, max));
            }
            if let Some((head, total)) = framing.finish() {
                assert!(head.len() <= total && head.len() <= HEAD_BYTES);
                seen.push(Rest(total));
            }
            match &first {
                None => first = Some(seen),
                Some(first) => assert_eq!(*first, seen, "reads of {size} bytes"),
            }
        }
        first.unwrap()
    }

    #[test]
    fn lines_and_keep_alives() {
        assert_eq!(
            frames(b"{\"a\":\n1}\r\n\r\n\r\n{}\r\r\n{\"cut", 100, false),
            [
                message("{\"a\":\n1}"),
                KeepAlive,
                KeepAlive,
                message("{}\r"),
                Rest(5)
            ]
        );
        assert_eq!(frames(b"", 100, false), []);
        assert_eq!(frames(b"\r\n \n", 100, false), [KeepAlive]);
    }

    #[test]
    fn lengths() {
        assert_eq!(
            frames(
                b"4\r\n{}\r\n\r\n11\r\n{\"a\":\r\n1}\r\n4\r\n[]\r\n",
                100,
                true
            ),
            [
                message("{}"),
                KeepAlive,
                message("{\"a\":\r\n1}"),
                message("[]")
            ]
        );
        assert_eq!(
            frames(b"{\"no\":1}\r\n4\r\n{}\r\n", 100, true),
            [message("{\"no\":1}"), message("{}")],
            "a server without lengths is understood"
        );
        assert_eq!(frames(b"12\r\n{}\r\n", 100, false)[0], message("12"));
    }

    #[test]
    fn wrong_lengths_lose_nothing() {
        let wrong = |text: &str| Seen::Miscounted(text.into());
        for count in ["3", "5", "9", "99", "9999999999"] {
            let stream = format!(
                "{count}\r\n{{}}\r\n6\r\n[1,2]\r\n7\r\n[1,2]\r\n{}",
                " ".repeat(90)
            );
            let seen = frames(stream.as_bytes(), 100, true);
            assert_eq!(
                seen[..3],
                [wrong("{}"), wrong("[1,2]"), message("[1,2]")],
                "{count}"
            );
        }
    }

    #[test]
    fn a_length_that_never_comes_is_wrong() {
        let seen = frames(b"99\r\n{}\r\n", 100, true);
        assert_eq!(seen, [Seen::Miscounted("{}".into())]);
    }

    #[test]
    fn messages_that_are_too_long_are_skipped() {
        let x = |n| "x".repeat(n);
        let stream = format!("{}\r\n{{}}\r\n{}\r\n{}\r\n\r\n", x(100), x(101), x(150_000));
        let expected = [
            message(&x(100)),
            message("{}"),
            TooLong(101),
            TooLong(150_000),
            KeepAlive,
        ];
        assert_eq!(frames(stream.as_bytes(), 100, false), expected);
        let stream = format!("{}\r\n{{}}\r\n{}", x(70_000), x(90));
        let seen = frames(stream.as_bytes(), 65_536, false);
        assert_eq!(seen, [TooLong(70_000), message("{}"), Rest(90)]);
        let seen = frames(x(70_000).as_bytes(), 65_536, false);
        assert_eq!(seen, [Rest(70_000)]);
    }

    /// Whatever comes, the size of the reads does not matter, and nothing is held beyond bounds.
    #[test]
    fn random_streams_are_cut_alike_by_any_reads() {
        let parts = [
            "\r",
            "\n",
            "\r\n",
            "x",
            "xxxxx",
            "7\r\n",
            "0",
            "4\r\n{}\r\n",
            "12\r\n",
            " ",
        ];
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for round in 0..2_000 {
            let mut stream = String::new();
            for _ in 0..round % 40 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                stream.push_str(parts[(seed % parts.len() as u64) as usize]);
            }
            frames(stream.as_bytes(), 8, round % 2 == 0);
        }
    }
}
