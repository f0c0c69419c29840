//! Dead letters: records that could not be used, with the reason and their raw bytes, in Avro
//! container files under `state_dir/HOST/dead-letters/`.
//!
//! They are part of an epoch: the file is on the disk before the epoch is kept, and what came
//! behind the epoch's barrier is held back until then, so that a restart finds the letters of
//! just the records that it does not read again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use apache_avro::{Codec, Schema, Writer, types::Value};
use plugin_api::files::{FileHandle, FileSystem};

use super::{epoch::LettersMark, store::WriteError};
use crate::plan::memory::WAITING_LETTERS;

/// Folder of a host's dead letters within its folder of state.
pub const DEAD_LETTERS: &str = "dead-letters";

/// A file that is larger is not written on.
const ROLL_BYTES: u64 = 64 << 20;
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

/// The dead letters of one region.
pub struct DeadLetters {
    fs: Arc<dyn FileSystem>,
    host: String,
    folder: PathBuf,
    region: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// An epoch whose barrier is under way.
    in_flight: Option<u64>,
    /// Letters of the epoch after that.
    held: Vec<Value>,
    count: u64,
    next: u64,
    /// How often it was restored.
    life: u64,
}

struct Open {
    writer: Writer<'static, Vec<u8>>,
    handle: Box<dyn FileHandle>,
    name: String,
    /// Bytes that the file holds.
    length: u64,
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

/// Number of a region's file, if it is one.
pub fn number(region: &str, file_name: &str) -> Option<u64> {
    let rest = file_name.strip_prefix(region)?.strip_prefix('-')?;
    rest.strip_suffix(".avro")?.parse().ok()
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

impl DeadLetters {
    /// Letters of a region go below the host's folder of state.
    pub fn new(fs: Arc<dyn FileSystem>, host_folder: &Path, host: &str, region: &str) -> Self {
        Self {
            fs,
            host: host.into(),
            folder: host_folder.join(DEAD_LETTERS),
            region: region.into(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the letters are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts from what an epoch knew: what was written after it goes.
    ///
    /// # Errors
    /// The file system's.
    pub fn restore(&self, mark: &LettersMark) -> io::Result<()> {
        let mut state = self.lock();
        *state = State {
            life: state.life + 1,
            ..State::default()
        };
        for path in self.fs.list(&self.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(number) = number(&self.region, &name) else {
                continue;
            };
            state.next = state.next.max(number + 1);
            match &mark.file {
                Some((known, length)) if *known == name => {
                    self.fs.resume(&path, *length)?.syncer()?()?;
                }
                _ if number >= mark.next => {
                    self.fs.remove(&path)?;
                }
                _ => {}
            }
        }
        // Also for what an earlier process removed that died before it came to this.
        match self.fs.sync_folder(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        state.next = state.next.max(mark.next);
        state.count = mark.count;
        Ok(())
    }

    /// The barrier of an epoch is about to be sent.
    pub fn begin(&self, epoch: u64) {
        self.lock().in_flight = Some(epoch);
    }

    /// The epoch will not be: its letters belong to the next one, like those behind it.
    ///
    /// # Errors
    /// The file system's.
    pub fn abort(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.in_flight = None;
        self.release(&mut state)
    }

    /// Which of its lives this is: each restore begins one.
    pub fn life(&self) -> u64 {
        self.lock().life
    }

    /// Writes a letter. `epoch`: the last epoch whose barrier its record followed. `life`: when the
    /// writer began; what comes from an earlier life is passed over, since it is sent again.
    ///
    /// # Errors
    /// The file system's, once no more can wait for it.
    pub fn write(&self, life: u64, epoch: u64, letter: &DeadLetter<'_>) -> io::Result<()> {
        let mut state = self.lock();
        if life != state.life {
            return Ok(());
        }
        state.count += 1;
        let value = self.value(letter, state.count);
        if state.in_flight.is_some_and(|e| epoch >= e) {
            state.held.push(value);
            return Ok(());
        }
        self.append(&mut state, value)
    }

    fn append(&self, state: &mut State, value: Value) -> io::Result<()> {
        if state.open.is_none() {
            state.open = Some(self.open(state.next)?);
            state.next += 1;
        }
        let Some(open) = state.open.as_mut() else {
            return Ok(());
        };
        open.writer.append_value(value).map_err(io::Error::other)?;
        match open.spill(BUFFER) {
            // It shows when the epoch cannot be kept, which waits for room.
            Err(_) if open.writer.get_ref().len() < WAITING_LETTERS => Ok(()),
            spilt => spilt,
        }
    }

    fn release(&self, state: &mut State) -> io::Result<()> {
        for value in std::mem::take(&mut state.held) {
            self.append(state, value)?;
        }
        Ok(())
    }

    /// Makes the letters of an epoch durable. What came behind its barrier follows in the file.
    ///
    /// # Errors
    /// The epoch cannot be kept: its letters wait for the next, or, after a failed fsync, nothing is
    /// certain but by a restart.
    pub fn checkpoint(&self) -> Result<LettersMark, WriteError> {
        let mut state = self.lock();
        let mut mark = LettersMark {
            file: None,
            count: state.count - state.held.len() as u64,
            next: state.next,
        };
        if let Some(open) = state.open.as_mut() {
            let gathered = open.writer.flush().map_err(io::Error::other);
            gathered
                .and_then(|_| open.spill(0))
                .map_err(WriteError::Undone)?;
            let synced = open.handle.syncer().and_then(|sync| sync());
            synced
                .and_then(|()| self.fs.sync_folder(&self.folder))
                .map_err(WriteError::InDoubt)?;
            mark.file = Some((open.name.clone(), open.length));
            if open.length >= ROLL_BYTES {
                state.open = None;
            }
        }
        state.in_flight = None;
        self.release(&mut state).map_err(WriteError::Undone)?;
        Ok(mark)
    }

    fn open(&self, number: u64) -> io::Result<Open> {
        self.fs.create_folders(&self.folder)?;
        let name = format!("{}-{number:06}.avro", self.region);
        let handle = self.fs.create_new(&self.folder.join(&name))?;
        let writer =
            Writer::with_codec(schema()?, Vec::new(), Codec::Null).map_err(io::Error::other)?;
        Ok(Open {
            writer,
            handle,
            name,
            length: 0,
        })
    }

    /// How many letters this run and those before it that it goes on wrote.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    fn value(&self, letter: &DeadLetter<'_>, number: u64) -> Value {
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
        let null = || Value::Union(0, Box::new(Value::Null));
        let some = |value| Value::Union(1, Box::new(value));
        let id = format!("{}/{}/{at_us}/{number}", self.host, letter.stage);
        let fields = [
            ("id", Value::String(id)),
            ("stage", Value::String(letter.stage.into())),
            (
                "input",
                letter.input.map_or_else(null, |i| some(Value::Int(int(i)))),
            ),
            ("content_type", Value::String(letter.content_type.into())),
            ("reason", Value::String(letter.reason.into())),
            ("pointer", Value::String(letter.pointer.into())),
            ("payload", maybe(letter.payload)),
            ("key", maybe(letter.record.and_then(|r| r.key()))),
            ("headers", Value::Array(headers.collect())),
            ("ts_us", ts.map_or_else(null, |t| some(Value::Long(t)))),
            ("at_us", Value::Long(at_us)),
        ];
        Value::Record(fields.map(|(n, v)| (n.to_owned(), v)).into())
    }
}

impl Open {
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

#[cfg(test)]
mod tests {
    use plugin_api::{BatchBuilder, files::MemoryFiles};

    use super::*;

    fn letters(fs: &MemoryFiles) -> DeadLetters {
        DeadLetters::new(Arc::new(fs.clone()), Path::new("h"), "h", "r")
    }

    fn letter<'a>(reason: &'a str) -> DeadLetter<'a> {
        DeadLetter {
            stage: "s",
            input: Some(0),
            content_type: "text",
            reason,
            pointer: "",
            payload: Some(b"\xff"),
            record: None,
        }
    }

    fn reasons(fs: &MemoryFiles) -> Vec<String> {
        let mut reasons = Vec::new();
        for path in fs.names() {
            let bytes = fs.read(path).unwrap();
            for value in apache_avro::Reader::new(&bytes[..]).unwrap() {
                let Value::Record(fields) = value.unwrap() else {
                    panic!("a record")
                };
                let Some((_, Value::String(reason))) = fields.iter().find(|f| f.0 == "reason")
                else {
                    panic!("a reason")
                };
                reasons.push(reason.clone());
            }
        }
        reasons
    }

    #[test]
    fn a_letter_reads_back_with_all_its_parts() {
        let fs = MemoryFiles::default();
        let letters = letters(&fs);
        assert_eq!(letters.checkpoint().unwrap(), LettersMark::default());
        let mut b = BatchBuilder::new();
        b.push(Some(b"\xff"))
            .key(Some(b"k"))
            .ts_us(Some(5))
            .header("id", Some(b"1"));
        let batch = b.finish();
        let record = batch.record(0);
        let full = DeadLetter {
            payload: record.value(),
            record: Some(record),
            ..letter("not UTF-8")
        };
        letters.write(0, 0, &full).unwrap();
        let mark = letters.checkpoint().unwrap();
        assert_eq!((mark.count, mark.next, letters.count()), (1, 1, 1));
        let bytes = fs.read("h/dead-letters/r-000000.avro").unwrap();
        assert_eq!(
            mark.file,
            Some(("r-000000.avro".into(), bytes.len() as u64))
        );
        let reader = apache_avro::Reader::new(&bytes[..]).unwrap();
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
    }

    #[test]
    fn what_follows_a_barrier_is_in_the_next_epoch_and_gone_if_that_never_was() {
        let fs = MemoryFiles::default();
        let before = letters(&fs);
        before.begin(1);
        before.write(0, 0, &letter("in 1")).unwrap();
        before.write(0, 1, &letter("in 2")).unwrap();
        let mark = before.checkpoint().unwrap();
        assert_eq!(mark.count, 1);
        before.begin(2);
        before.write(0, 1, &letter("also in 2")).unwrap();
        let second = before.checkpoint().unwrap();
        assert_eq!(reasons(&fs), ["in 1", "in 2", "also in 2"]);

        let again = letters(&fs);
        again.restore(&second).unwrap();
        assert_eq!(reasons(&fs).len(), 3);
        again.restore(&mark).unwrap();
        assert_eq!(reasons(&fs), ["in 1"]);
        again.write(1, 1, &letter("of another life")).unwrap();
        again.write(2, 1, &letter("in 2 again")).unwrap();
        again.checkpoint().unwrap();
        assert_eq!(reasons(&fs), ["in 1", "in 2 again"]);
        again.restore(&LettersMark::default()).unwrap();
        assert!(reasons(&fs).is_empty());
    }

    #[test]
    fn an_epoch_that_is_undone_leaves_its_letters_to_the_next() {
        let fs = MemoryFiles::default();
        let letters = letters(&fs);
        letters.begin(1);
        letters.write(0, 0, &letter("one")).unwrap();
        letters.write(0, 1, &letter("two")).unwrap();
        fs.set_room(Some(0));
        assert!(letters.checkpoint().is_err());
        fs.set_room(None);
        letters.abort().unwrap();
        assert_eq!(letters.checkpoint().unwrap().count, 2);
        assert_eq!(reasons(&fs), ["one", "two"]);
    }
}
