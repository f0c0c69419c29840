//! Cutting a stream of bytes into lines, a block at a time.
//!
//! Lines are found with memchr and handed out as ranges of one block, so that a batch is made by
//! one copy of that block. Memory is bounded by the longest line plus one block.

use crate::config::Delimiter;
use memchr::memchr;

/// Bytes read at once. Larger blocks leave the second-level cache before they are copied.
pub(crate) const BLOCK: usize = 256 * 1024;

/// What came out of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Lines: see [`Splitter::lines`].
    Lines,
    /// A line longer than allowed: its beginning, its position and its length.
    TooLong {
        head: Vec<u8>,
        position: u64,
        len: u64,
    },
    /// Nothing whole: read on.
    Nothing,
}

pub(crate) struct Splitter {
    delimiter: Delimiter,
    skip_blank: bool,
    max_line: usize,
    buffer: Vec<u8>,
    /// Unread bytes are `start..end`; up to `searched` there is no delimiter.
    start: usize,
    end: usize,
    searched: usize,
    /// Position of `buffer[0]` in the stream.
    base: u64,
    /// The line being passed over because it is too long.
    too_long: Option<(Vec<u8>, u64, u64)>,
    /// Lines of the last `take`: offset and length from `region_start`.
    ranges: Vec<(u32, u32)>,
    region: std::ops::Range<usize>,
    blank: u64,
}

impl Splitter {
    pub(crate) fn new(delimiter: Delimiter, skip_blank: bool, max_line: usize) -> Self {
        Self {
            delimiter,
            skip_blank,
            max_line,
            buffer: vec![0; BLOCK],
            start: 0,
            end: 0,
            searched: 0,
            base: 0,
            too_long: None,
            ranges: Vec::new(),
            region: 0..0,
            blank: 0,
        }
    }

    /// Forgets everything: a stream begins, at the start of a line that stands at `position`.
    pub(crate) fn reset(&mut self, position: u64) {
        (self.start, self.end, self.searched, self.base) = (0, 0, 0, position);
        self.too_long = None;
    }

    /// Where the next line begins, also one that is too long and being passed over.
    pub(crate) fn position(&self) -> u64 {
        let unread = self.base + self.start as u64;
        self.too_long.as_ref().map_or(unread, |(_, from, _)| *from)
    }

    /// Room to read into. Call it only after `take` found nothing.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        // One byte more: it may be the CR of a delimiter.
        if self.end > self.max_line + 1 || self.too_long.is_some() {
            self.pass_over();
        }
        if self.buffer.len() - self.end < BLOCK / 4 {
            self.buffer.resize(self.buffer.len() + BLOCK, 0);
        } else if self.end == 0 && self.buffer.len() > 2 * BLOCK {
            self.buffer.truncate(BLOCK);
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// How many blank lines were passed over since the last call.
    pub(crate) fn blank(&mut self) -> u64 {
        std::mem::take(&mut self.blank)
    }

    /// The block that holds the lines of the last `take`, their ranges in it, and the position of
    /// its first byte in the stream.
    pub(crate) fn lines(&self) -> (&[u8], &[(u32, u32)], u64) {
        let position = self.base + self.region.start as u64;
        (&self.buffer[self.region.clone()], &self.ranges, position)
    }

    /// Takes whole lines, at most `max_records` of them and, beyond the first, `max_bytes`.
    pub(crate) fn take(&mut self, max_records: usize, max_bytes: usize) -> Taken {
        self.ranges.clear();
        let from = self.start;
        while self.ranges.len() < max_records && self.start - from < max_bytes {
            let Some((line_end, next)) = self.find_end() else {
                break;
            };
            if self.too_long.is_some() || line_end - self.start > self.max_line {
                if self.ranges.is_empty() {
                    return self.end_too_long(line_end, next);
                }
                self.searched = self.start;
                break;
            }
            self.accept(line_end, from);
            self.start = next;
        }
        self.region = from..self.start;
        if self.ranges.is_empty() {
            Taken::Nothing
        } else {
            Taken::Lines
        }
    }

    /// The stream ended: takes what it ends in.
    pub(crate) fn take_last(&mut self) -> Taken {
        self.ranges.clear();
        let (from, end) = (self.start, self.end);
        if self.too_long.is_some() || end - from > self.max_line {
            return self.end_too_long(end, end);
        }
        if end > from {
            let stray_cr = self.delimiter == Delimiter::Any && self.buffer[end - 1] == b'\r';
            self.accept(end - usize::from(stray_cr), from);
            (self.start, self.searched) = (end, end);
        }
        self.region = from..end;
        if self.ranges.is_empty() {
            Taken::Nothing
        } else {
            Taken::Lines
        }
    }

    /// The unfinished line, for what a damaged stream leaves.
    pub(crate) fn torn(&self) -> (&[u8], u64) {
        let bytes = &self.buffer[self.start..self.end];
        (bytes, self.base + self.start as u64)
    }

    fn accept(&mut self, line_end: usize, from: usize) {
        let line = &self.buffer[self.start..line_end];
        if self.skip_blank && line.first().is_none_or(u8::is_ascii_whitespace) && is_blank(line) {
            self.blank += 1;
            return;
        }
        self.ranges
            .push(((self.start - from) as u32, line.len() as u32));
    }

    /// End of the line at `start`, and where the next begins.
    fn find_end(&mut self) -> Option<(usize, usize)> {
        loop {
            let Some(found) = memchr(b'\n', &self.buffer[self.searched..self.end]) else {
                self.searched = self.end;
                return None;
            };
            let at = self.searched + found;
            let cr = at > self.start && self.buffer[at - 1] == b'\r';
            self.searched = at + 1;
            match self.delimiter {
                Delimiter::Crlf if !cr => {}
                Delimiter::Lf => return Some((at, at + 1)),
                _ => return Some((at - usize::from(cr), at + 1)),
            }
        }
    }

    /// Drops the buffered part of a line that is too long; a CR at its end may be half a delimiter.
    fn pass_over(&mut self) {
        let keep = usize::from(self.end > 0 && self.buffer[self.end - 1] == b'\r');
        let cut = self.end - keep;
        match &mut self.too_long {
            Some((_, _, len)) => *len += cut as u64,
            None => {
                let head = self.buffer[..self.max_line.min(cut)].to_vec();
                self.too_long = Some((head, self.base, cut as u64));
            }
        }
        self.base += cut as u64;
        self.buffer.copy_within(cut..self.end, 0);
        (self.end, self.searched) = (keep, keep);
    }

    fn end_too_long(&mut self, line_end: usize, next: usize) -> Taken {
        let rest = line_end - self.start;
        let (head, position, len) = self.too_long.take().unwrap_or_else(|| {
            let line = &self.buffer[self.start..line_end];
            let head = line[..self.max_line.min(rest)].to_vec();
            (head, self.base + self.start as u64, 0)
        });
        (self.start, self.searched) = (next, next);
        Taken::TooLong {
            head,
            position,
            len: len + rest as u64,
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Line {
        Is(u64, String),
        TooLong(u64, u64, String),
    }

    fn is(position: u64, text: &str) -> Line {
        Line::Is(position, text.into())
    }

    /// Feeds `input` in pieces of `step` bytes and gives all lines and the number of blank ones.
    fn split(mut splitter: Splitter, input: &[u8], step: usize, max: usize) -> (Vec<Line>, u64) {
        let mut lines = Vec::new();
        let mut collect = |splitter: &Splitter, taken: Taken| match taken {
            Taken::Nothing => false,
            Taken::TooLong {
                head,
                position,
                len,
            } => {
                let head = String::from_utf8(head).unwrap();
                lines.push(Line::TooLong(position, len, head));
                true
            }
            Taken::Lines => {
                let (block, ranges, position) = splitter.lines();
                for &(offset, len) in ranges {
                    let line = &block[offset as usize..][..len as usize];
                    let text = String::from_utf8(line.to_vec()).unwrap();
                    lines.push(Line::Is(position + u64::from(offset), text));
                }
                true
            }
        };
        for piece in input.chunks(step) {
            splitter.room()[..piece.len()].copy_from_slice(piece);
            splitter.filled(piece.len());
            loop {
                let taken = splitter.take(max, 1 << 20);
                if !collect(&splitter, taken) {
                    break;
                }
            }
        }
        let taken = splitter.take_last();
        collect(&splitter, taken);
        (lines, splitter.blank())
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let input = b"one\r\n\ntwo\n  \nthree\rx\nlast";
        for step in 1..=input.len() {
            for max in [1, 2, 100] {
                let splitter = Splitter::new(Delimiter::Any, true, 100);
                let wanted = vec![
                    is(0, "one"),
                    is(6, "two"),
                    is(13, "three\rx"),
                    is(21, "last"),
                ];
                assert_eq!(
                    split(splitter, input, step, max),
                    (wanted, 2),
                    "{step} {max}"
                );
            }
        }
    }

    #[test]
    fn delimiters_are_told_apart() {
        let input = b"a\r\nb\nc\r\n\r\n";
        for step in 1..=input.len() {
            let all =
                |delimiter, blank| split(Splitter::new(delimiter, blank, 100), input, step, 100);
            let lf = vec![is(0, "a\r"), is(3, "b"), is(5, "c\r"), is(8, "\r")];
            assert_eq!(all(Delimiter::Lf, false), (lf, 0));
            let crlf = vec![is(0, "a"), is(3, "b\nc")];
            assert_eq!(all(Delimiter::Crlf, true), (crlf, 1));
            let any = vec![is(0, "a"), is(3, "b"), is(5, "c"), is(8, "")];
            assert_eq!(all(Delimiter::Any, false), (any, 0));
        }
    }

    #[test]
    fn a_line_too_long_is_passed_over_in_bounded_memory() {
        let long = "x".repeat(3 * BLOCK);
        let input = format!("before\n{long}\r\nafter\n{long}");
        let len = long.len() as u64;
        for step in [1000, BLOCK / 8, BLOCK / 4] {
            for delimiter in [Delimiter::Any, Delimiter::Crlf] {
                let splitter = Splitter::new(delimiter, true, 10);
                let (lines, _) = split(splitter, input.as_bytes(), step, 100);
                let head = "x".repeat(10);
                let after = len + 9;
                if delimiter == Delimiter::Any {
                    let wanted = vec![
                        is(0, "before"),
                        Line::TooLong(7, len, head.clone()),
                        is(after, "after"),
                        Line::TooLong(after + 6, len, head),
                    ];
                    assert_eq!(lines, wanted, "{step}");
                } else {
                    let wanted = vec![
                        Line::TooLong(0, len + 7, "before\nxxx".into()),
                        Line::TooLong(after, len + 6, "after\nxxxx".into()),
                    ];
                    assert_eq!(lines, wanted, "{step}");
                }
            }
        }
        let splitter = Splitter::new(Delimiter::Any, true, 4 * BLOCK);
        let (lines, _) = split(splitter, input.as_bytes(), 1000, 100);
        assert_eq!(lines.len(), 4, "a line as long as allowed passes");
    }

    #[test]
    fn a_line_of_just_the_allowed_length_passes() {
        for step in 1..8 {
            let splitter = Splitter::new(Delimiter::Any, true, 3);
            let (lines, _) = split(splitter, b"abc\r\nabcd\nabc", step, 100);
            let wanted = vec![
                is(0, "abc"),
                Line::TooLong(5, 4, "abc".into()),
                is(10, "abc"),
            ];
            assert_eq!(lines, wanted, "{step}");
        }
    }
}
