//! Cutting a stream of bytes into rows, with the raw bytes of each at hand.
//!
//! csv-core does the parsing. What it is lenient about, a quote that is never closed, is found
//! here: such a row would swallow the rest of a file. Then only its first line is given up and
//! reading goes on behind it. Memory is bounded by the longest row plus one block.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr;

const BLOCK: usize = 64 * 1024;

/// What came out of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A row: see [`Rows::field`].
    Row,
    /// Bytes that are no row, their position and the reason.
    Bad(Vec<u8>, u64, String),
    /// Nothing whole: read on.
    Input,
    /// The end.
    End,
}

pub(crate) struct Rows {
    core: Reader,
    delimiter: u8,
    max_row: usize,
    buffer: Vec<u8>,
    /// Start of the row at hand; up to `at` the parser has seen it; bytes end at `end`.
    start: usize,
    at: usize,
    end: usize,
    /// Position of `buffer[0]` in the stream.
    base: u64,
    /// Passing over the rest of a line that is too long.
    skipping: bool,
    texts: Vec<u8>,
    ends: Vec<usize>,
    text_len: usize,
    fields: usize,
    complete: bool,
}

impl Rows {
    pub(crate) fn new(delimiter: u8, max_row: usize) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            max_row,
            buffer: vec![0; 2 * BLOCK],
            start: 0,
            at: 0,
            end: 0,
            base: 0,
            skipping: false,
            texts: vec![0; 4096],
            ends: vec![0; 64],
            text_len: 0,
            fields: 0,
            complete: false,
        }
    }

    /// A stream begins, at a row that stands at `position` or, `skipping`, within a line that is
    /// to be passed over.
    pub(crate) fn reset(&mut self, position: u64, skipping: bool) {
        self.core.reset();
        (self.start, self.at, self.end, self.base) = (0, 0, 0, position);
        (self.text_len, self.fields) = (0, 0);
        (self.skipping, self.complete) = (skipping, false);
    }

    /// Where the first row begins that `next` has not given.
    pub(crate) fn next_position(&self) -> u64 {
        let at = if self.complete { self.at } else { self.start };
        self.base + at as u64
    }

    /// Whether the rest of a line is being passed over.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Room to read into. Call it only after `next` asked for input.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.at -= self.start;
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < BLOCK {
            self.buffer.resize(self.end + 2 * BLOCK, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// How many fields the row has.
    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// A field of the row, without quotes.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.texts[start..self.ends[index]]
    }

    /// The row's bytes as they stand, without a line end.
    pub(crate) fn raw(&self) -> &[u8] {
        let mut raw = &self.buffer[self.start..self.at];
        while let [rest @ .., b'\r' | b'\n'] = raw {
            raw = rest;
        }
        raw
    }

    /// The row's position in the stream.
    pub(crate) fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// What a damaged stream leaves.
    pub(crate) fn torn(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Goes to the next row. `ended`: there will be no more input.
    pub(crate) fn next(&mut self, ended: bool) -> Next {
        if std::mem::take(&mut self.complete) {
            self.start = self.at;
            (self.text_len, self.fields) = (0, 0);
        }
        loop {
            if self.skipping && !self.skip_line() {
                return if ended { Next::End } else { Next::Input };
            }
            if self.text_len == 0 && self.fields == 0 && self.at == self.start {
                // The parser passes over blank lines and the LF of the CR LF before.
                while self.at < self.end && matches!(self.buffer[self.at], b'\r' | b'\n') {
                    self.at += 1;
                }
                self.start = self.at;
            }
            if self.base == 0 && self.start == 0 && self.pass_mark(ended) == Next::Input {
                return Next::Input;
            }
            if self.at == self.end && !ended {
                return self.unfinished();
            }
            let at_end = self.at == self.end;
            let (result, read, text_len, fields) = self.core.read_record(
                &self.buffer[self.at..self.end],
                &mut self.texts[self.text_len..],
                &mut self.ends[self.fields..],
            );
            self.at += read;
            self.text_len += text_len;
            self.fields += fields;
            match result {
                ReadRecordResult::InputEmpty if ended => {}
                ReadRecordResult::InputEmpty => return self.unfinished(),
                ReadRecordResult::OutputFull => self.texts.resize(2 * self.texts.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::End => return Next::End,
                ReadRecordResult::Record => {
                    if self.at - self.start > self.max_row {
                        return self.give_up(self.too_long());
                    }
                    if at_end && ends_in_quotes(&self.buffer[self.start..self.at], self.delimiter) {
                        return self.give_up("a quote is never closed".into());
                    }
                    self.complete = true;
                    return Next::Row;
                }
            }
        }
    }

    /// Passes over a byte order mark at the start of the stream.
    fn pass_mark(&mut self, ended: bool) -> Next {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let head = &self.buffer[..self.end.min(MARK.len())];
        if head == MARK {
            (self.start, self.at) = (MARK.len(), MARK.len());
        } else if MARK.starts_with(head) && !ended {
            return Next::Input;
        }
        Next::Row
    }

    fn unfinished(&mut self) -> Next {
        if self.at - self.start > self.max_row {
            return self.give_up(self.too_long());
        }
        Next::Input
    }

    fn too_long(&self) -> String {
        let max = self.max_row;
        format!("the row is longer than max_row_bytes = {max}; is a quote not closed?")
    }

    /// The first line of the row is no row; go on behind it.
    fn give_up(&mut self, reason: String) -> Next {
        let row = &self.buffer[self.start..self.end];
        let line = memchr(b'\n', row);
        let raw = &row[..line.unwrap_or(row.len()).min(self.max_row)];
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw).to_vec();
        let position = self.position();
        self.skipping = line.is_none();
        self.start = line.map_or(self.end, |line| self.start + line + 1);
        self.at = self.start;
        self.core.reset();
        (self.text_len, self.fields) = (0, 0);
        Next::Bad(raw, position, reason)
    }

    /// Passes over the rest of a line; false if it does not end here.
    fn skip_line(&mut self) -> bool {
        let line = memchr(b'\n', &self.buffer[self.at..self.end]);
        self.skipping = line.is_none();
        self.at = line.map_or(self.end, |line| self.at + line + 1);
        self.start = self.at;
        !self.skipping
    }
}

/// Whether a row ends inside a quoted field.
fn ends_in_quotes(row: &[u8], delimiter: u8) -> bool {
    let (mut at_start, mut quoted) = (true, false);
    let mut bytes = row.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.peek() == Some(&b'"') => drop(bytes.next()),
            b'"' if quoted => quoted = false,
            b'"' if at_start => quoted = true,
            _ => {}
        }
        at_start = !quoted && byte == delimiter;
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Line {
        Row(u64, Vec<String>, String),
        Bad(u64, String, String),
    }

    fn row(position: u64, fields: &[&str], raw: &str) -> Line {
        let fields = fields.iter().map(|&field| field.into()).collect();
        Line::Row(position, fields, raw.into())
    }

    fn read(input: &[u8], step: usize, max_row: usize) -> Vec<Line> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut rows = Rows::new(b',', max_row);
        let mut lines = Vec::new();
        let mut pieces = input.chunks(step);
        let mut ended = false;
        loop {
            match rows.next(ended) {
                Next::Row => {
                    let fields = (0..rows.fields()).map(|index| text(rows.field(index)));
                    lines.push(Line::Row(
                        rows.position(),
                        fields.collect(),
                        text(rows.raw()),
                    ));
                }
                Next::Bad(raw, position, why) => lines.push(Line::Bad(position, text(&raw), why)),
                Next::End => return lines,
                Next::Input => match pieces.next() {
                    None => ended = true,
                    Some(piece) => {
                        rows.room()[..piece.len()].copy_from_slice(piece);
                        rows.filled(piece.len());
                    }
                },
            }
        }
    }

    #[test]
    fn rows_are_the_same_however_they_arrive() {
        let input = "\u{feff}a,b\r\n\"x\"\"y\",\"two\r\nlines\"\n\n,\r\nlast,5\" disk";
        for step in 1..=input.len() {
            let wanted = [
                row(3, &["a", "b"], "a,b"),
                row(8, &["x\"y", "two\r\nlines"], "\"x\"\"y\",\"two\r\nlines\""),
                row(29, &["", ""], ","),
                row(32, &["last", "5\" disk"], "last,5\" disk"),
            ];
            assert_eq!(read(input.as_bytes(), step, 1000), wanted, "{step}");
        }
    }

    #[test]
    fn an_unclosed_quote_costs_one_line() {
        let input = "a,b\r\n1,\"open\r\n2,x\n3,y";
        for step in 1..=input.len() {
            let wanted = [
                row(0, &["a", "b"], "a,b"),
                Line::Bad(5, "1,\"open".into(), "a quote is never closed".into()),
                row(14, &["2", "x"], "2,x"),
                row(18, &["3", "y"], "3,y"),
            ];
            assert_eq!(read(input.as_bytes(), step, 1000), wanted, "{step}");
        }
    }

    #[test]
    fn a_row_too_long_costs_one_line_in_bounded_memory() {
        let long = "x".repeat(300_000);
        let input = format!("a,b\n1,\"open\n{long},2\n3,4\n5,\"{long}\n6,7\n");
        for step in [999, BLOCK] {
            let lines = read(input.as_bytes(), step, 10_000);
            let reason = "the row is longer than max_row_bytes = 10000; is a quote not closed?";
            let cut = |text: &str| text[..10_000].to_owned();
            let wanted = [
                row(0, &["a", "b"], "a,b"),
                Line::Bad(4, "1,\"open".into(), reason.into()),
                Line::Bad(12, cut(&long), reason.into()),
                row(300_015, &["3", "4"], "3,4"),
                Line::Bad(300_019, cut(&format!("5,\"{long}")), reason.into()),
                row(600_023, &["6", "7"], "6,7"),
            ];
            assert_eq!(lines, wanted, "{step}");
        }
    }
}
