//! A file of dead letters that is being written: an Avro container, with the reason of each and its
//! raw bytes.

use std::{
    io,
    path::Path,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use apache_avro::{Codec, Schema, Writer, types::Value};
use plugin_api::files::{FileHandle, FileSystem};

/// Bytes gathered before they are handed to the operating system.
const BUFFER: usize = 64 << 10;

/// Schema of the files.
pub const SCHEMA: &str = r#"{
  "type": "record", "name": "DeadLetter",
  "doc": "A record that a stage could not use",
  "fields": [
    {"name": "id", "type": "string", "doc": "HOST/STAGE/time/number, unique"},
    {"name": "stage", "type": "string", "doc": "The stage that rejected it"},
    {"name": "input", "type": ["null", "int"], "doc": "Number of its input; null: a source read it from outside"},
    {"name": "content_type", "type": "string", "doc": "Format of the payload"},
    {"name": "reason", "type": "string"},
    {"name": "pointer", "type": "string", "doc": "JSON pointer into the record, empty if none"},
    {"name": "payload", "type": ["null", "bytes"], "doc": "The raw bytes; null: an absent value"},
    {"name": "key", "type": ["null", "bytes"]},
    {"name": "headers", "type": {"type": "array", "items": {"type": "record", "name": "Header", "fields": [
      {"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}]}}},
    {"name": "ts_us", "type": ["null", "long"], "doc": "Event time, microseconds since 1970"},
    {"name": "at_us", "type": "long", "doc": "When it was rejected, microseconds since 1970"}
  ]}"#;

/// A record that could not be used.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    pub stage: &'a str,
    pub input: Option<u32>,
    pub content_type: &'a str,
    pub reason: &'a str,
    pub pointer: &'a str,
    pub payload: Option<&'a [u8]>,
    pub record: Option<plugin_api::Record<'a>>,
}

impl DeadLetter<'_> {
    /// The letter as it is written. `number`: how many there were with it.
    pub(super) fn value(&self, host: &str, number: u64) -> Value {
        let at_us = now_us();
        let headers = self
            .record
            .iter()
            .flat_map(|r| r.headers())
            .map(|(name, value)| {
                Value::Record(vec![
                    ("name".into(), Value::String(name.into())),
                    ("value".into(), maybe(value)),
                ])
            });
        let ts = self.record.and_then(|r| r.ts_us());
        let int = |i: u32| i32::try_from(i).unwrap_or(i32::MAX);
        let null = || Value::Union(0, Box::new(Value::Null));
        let some = |value| Value::Union(1, Box::new(value));
        let id = format!("{host}/{}/{at_us}/{number}", self.stage);
        let fields = [
            ("id", Value::String(id)),
            ("stage", Value::String(self.stage.into())),
            (
                "input",
                self.input.map_or_else(null, |i| some(Value::Int(int(i)))),
            ),
            ("content_type", Value::String(self.content_type.into())),
            ("reason", Value::String(self.reason.into())),
            ("pointer", Value::String(self.pointer.into())),
            ("payload", maybe(self.payload)),
            ("key", maybe(self.record.and_then(|r| r.key()))),
            ("headers", Value::Array(headers.collect())),
            ("ts_us", ts.map_or_else(null, |t| some(Value::Long(t)))),
            ("at_us", Value::Long(at_us)),
        ];
        Value::Record(fields.map(|(n, v)| (n.to_owned(), v)).into())
    }

    /// About how much memory it takes until it is written.
    pub(super) fn memory(&self) -> usize {
        let record = self.record.iter();
        let headers = record.flat_map(|r| r.headers());
        let headers: usize = headers
            .map(|(n, v)| 256 + n.len() + v.map_or(0, <[u8]>::len))
            .sum();
        let key = self.record.and_then(|r| r.key()).map_or(0, <[u8]>::len);
        let payload = self.payload.map_or(0, <[u8]>::len);
        1024 + payload + key + headers + self.reason.len() + self.pointer.len()
    }
}

fn now_us() -> i64 {
    let d = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn maybe(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(b) => Value::Union(1, Box::new(Value::Bytes(b.to_vec()))),
    }
}

/// The parsed schema; the writer borrows it for as long as it lives.
pub(super) fn schema() -> io::Result<&'static Schema> {
    static PARSED: OnceLock<Schema> = OnceLock::new();
    if let Some(schema) = PARSED.get() {
        return Ok(schema);
    }
    let parsed = Schema::parse_str(SCHEMA).map_err(io::Error::other)?;
    Ok(PARSED.get_or_init(|| parsed))
}

/// An open file.
pub(super) struct LetterWriter {
    writer: Writer<'static, Vec<u8>>,
    handle: Box<dyn FileHandle>,
    /// Its name.
    pub name: String,
    /// Bytes that the file holds.
    pub length: u64,
}

impl LetterWriter {
    /// A new file in a folder.
    pub fn create(fs: &dyn FileSystem, folder: &Path, name: String) -> io::Result<Self> {
        fs.create_folders(folder)?;
        let handle = fs.create_new(&folder.join(&name))?;
        let writer =
            Writer::with_codec(schema()?, Vec::new(), Codec::Null).map_err(io::Error::other)?;
        Ok(Self {
            writer,
            handle,
            name,
            length: 0,
        })
    }

    /// Bytes that the operating system has not taken yet.
    pub fn gathered(&self) -> usize {
        self.writer.get_ref().len()
    }

    /// Writes a letter.
    ///
    /// # Errors
    /// The operating system takes no more; the letter is gathered all the same.
    pub fn append(&mut self, letter: Value) -> io::Result<()> {
        self.writer.append_value(letter).map_err(io::Error::other)?;
        self.spill(BUFFER)
    }

    /// Hands all letters to the operating system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(io::Error::other)?;
        self.spill(0)
    }

    /// Makes what was handed over durable.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.syncer()?()
    }

    /// Hands more than `limit` gathered bytes to the operating system; what it does not take stays.
    fn spill(&mut self, limit: usize) -> io::Result<()> {
        let bytes = self.writer.get_mut();
        if bytes.len() <= limit {
            return Ok(());
        }
        let mut written = 0;
        let result = loop {
            if written == bytes.len() {
                break Ok(());
            }
            match self.handle.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        bytes.drain(..written);
        self.length += written as u64;
        result
    }
}
