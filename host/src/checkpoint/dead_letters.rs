//! Dead letters: records that could not be used, with the reason and their raw bytes, in Avro
//! container files under `state_dir/HOST/dead-letters/`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use apache_avro::{Codec, Schema, Writer, types::Value};

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

/// Writer of one host. The file is begun with its first letter.
pub struct DeadLetters {
    host: String,
    dir: PathBuf,
    open: Mutex<Option<Open>>,
}

struct Open {
    writer: Writer<'static, BufWriter<File>>,
    path: PathBuf,
    count: u64,
}

fn now_us() -> i64 {
    let d = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

fn maybe(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(b) => Value::Union(1, Box::new(Value::Bytes(b.to_vec()))),
    }
}

impl DeadLetters {
    /// Letters of `host` go below `state_dir`.
    pub fn new(state_dir: &Path, host: &str) -> Self {
        Self {
            host: host.into(),
            dir: state_dir.join(host).join("dead-letters"),
            open: Mutex::new(None),
        }
    }

    /// Writes a letter.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, letter: &DeadLetter<'_>) -> io::Result<()> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(self.begin()?);
        }
        let Some(open) = slot.as_mut() else {
            return Ok(());
        };
        open.count += 1;
        let at_us = now_us();
        let headers = letter
            .record
            .iter()
            .flat_map(|r| r.headers())
            .map(|(name, value)| {
                Value::Record(vec![
                    ("name".into(), Value::String(name.into())),
                    ("value".into(), maybe(value)),
                ])
            });
        let ts = letter.record.and_then(|r| r.ts_us());
        let int = |i: u32| i32::try_from(i).unwrap_or(i32::MAX);
        let fields = [
            (
                "id",
                Value::String(format!(
                    "{}/{}/{at_us}/{}",
                    self.host, letter.stage, open.count
                )),
            ),
            ("stage", Value::String(letter.stage.into())),
            (
                "input",
                letter
                    .input
                    .map_or(Value::Union(0, Box::new(Value::Null)), |i| {
                        Value::Union(1, Box::new(Value::Int(int(i))))
                    }),
            ),
            ("content_type", Value::String(letter.content_type.into())),
            ("reason", Value::String(letter.reason.into())),
            ("pointer", Value::String(letter.pointer.into())),
            ("payload", maybe(letter.payload)),
            ("key", maybe(letter.record.and_then(|r| r.key()))),
            ("headers", Value::Array(headers.collect())),
            (
                "ts_us",
                ts.map_or(Value::Union(0, Box::new(Value::Null)), |t| {
                    Value::Union(1, Box::new(Value::Long(t)))
                }),
            ),
            ("at_us", Value::Long(at_us)),
        ];
        let record = Value::Record(fields.map(|(n, v)| (n.to_owned(), v)).into());
        open.writer.append_value(record).map_err(io::Error::other)?;
        Ok(())
    }

    fn begin(&self) -> io::Result<Open> {
        // Parsed once a process and kept: the writer borrows it for as long as it lives.
        static PARSED: std::sync::OnceLock<Schema> = std::sync::OnceLock::new();
        let schema = match PARSED.get() {
            Some(schema) => schema,
            None => {
                let parsed = Schema::parse_str(SCHEMA).map_err(io::Error::other)?;
                PARSED.get_or_init(|| parsed)
            }
        };
        fs::create_dir_all(&self.dir)?;
        let path = self
            .dir
            .join(format!("{}-{}.avro", now_us() / 1_000, std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let writer = Writer::with_codec(schema, BufWriter::new(file), Codec::Null)
            .map_err(io::Error::other)?;
        Ok(Open {
            writer,
            path,
            count: 0,
        })
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The file system's.
    pub fn flush(&self) -> io::Result<()> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = slot.as_mut() else {
            return Ok(());
        };
        open.writer.flush().map_err(io::Error::other)?;
        let file = open.writer.get_mut();
        file.flush()?;
        file.get_ref().sync_data()
    }

    /// Where the letters are and how many, if there are any.
    pub fn written(&self) -> Option<(PathBuf, u64)> {
        let slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|o| (o.path.clone(), o.count))
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    #[test]
    fn a_letter_reads_back_with_all_its_parts() {
        let dir = std::env::temp_dir().join(format!("dead-letters-{}", std::process::id()));
        let letters = DeadLetters::new(&dir, "h");
        assert!(letters.written().is_none() && letters.flush().is_ok());
        let mut b = BatchBuilder::new();
        b.push(Some(b"\xff"))
            .key(Some(b"k"))
            .ts_us(Some(5))
            .header("id", Some(b"1"));
        let batch = b.finish();
        let record = batch.record(0);
        let letter = DeadLetter {
            stage: "s",
            input: Some(0),
            content_type: "text",
            reason: "not UTF-8",
            pointer: "",
            payload: record.value(),
            record: Some(record),
        };
        letters.write(&letter).unwrap();
        letters.flush().unwrap();
        let (path, 1) = letters.written().unwrap() else {
            panic!("one letter")
        };
        let reader = apache_avro::Reader::new(File::open(path).unwrap()).unwrap();
        let values: Vec<_> = reader.map(Result::unwrap).collect();
        let Value::Record(fields) = &values[0] else {
            panic!("a record")
        };
        let field = |name: &str| &fields.iter().find(|f| f.0 == name).unwrap().1;
        assert_eq!(field("payload"), &maybe(Some(b"\xff")));
        assert_eq!(field("key"), &maybe(Some(b"k")));
        assert_eq!(field("ts_us"), &Value::Union(1, Box::new(Value::Long(5))));
        let Value::Array(headers) = field("headers") else {
            panic!("headers")
        };
        assert_eq!(headers.len(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
