//! Reads dead letters back: the files of a host as far as epochs hold them, and the letters in them.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use apache_avro::{Reader, Schema, types::Value};

use super::{
    dead_letters::DEAD_LETTERS,
    epoch::{Epoch, LettersMark},
    inherit::EPOCHS,
    letter_writer,
};

/// A file of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFile {
    /// Its name, which is never used again.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of it that an epoch holds: what is behind them is not safe yet.
    pub length: u64,
}

/// A dead letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// HOST/STAGE/time/number, unique.
    pub id: String,
    /// The stage that rejected it.
    pub stage: String,
    /// Number of that stage's input; none: a source read it from outside.
    pub input: Option<u32>,
    /// Format of the payload.
    pub content_type: String,
    /// Why.
    pub reason: String,
    /// JSON pointer into the record, empty if none.
    pub pointer: String,
    /// The raw bytes; none: an absent value.
    pub payload: Option<Vec<u8>>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Event time, microseconds since 1970.
    pub ts_us: Option<i64>,
    /// When it was rejected, microseconds since 1970.
    pub at_us: i64,
}

/// The newest epoch of each region that left one in a host's folder of state, with the region's
/// name and whether all have committed it as the last one of a run; and, in words, the epochs that
/// cannot be read.
///
/// # Errors
/// The file system's.
pub fn newest_epochs(host_folder: &Path) -> io::Result<(Vec<Newest>, Vec<String>)> {
    let (mut epochs, mut damaged) = (Vec::new(), Vec::new());
    for folder in entries(&host_folder.join(EPOCHS))? {
        let files = entries(&folder)?;
        let numbered = files
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "epoch"));
        // Names are numbers of the same width.
        let Some(path) = numbered.max() else { continue };
        let bytes = match fs::read(path) {
            // A run has just replaced it: what it wrote since is newer, and the next look finds it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        match Epoch::decode(&bytes) {
            Ok(epoch) => epochs.push(Newest {
                region: file_name(&folder),
                is_final: path.with_extension("final").exists(),
                bytes: bytes.len() as u64,
                epoch,
            }),
            Err(why) => damaged.push(format!("{} {why}", path.display())),
        }
    }
    Ok((epochs, damaged))
}

/// The newest epoch of a region.
#[derive(Debug, Clone)]
pub struct Newest {
    /// The region.
    pub region: String,
    /// Whether all have committed it as the last one of a run.
    pub is_final: bool,
    /// Size of its file.
    pub bytes: u64,
    /// What it holds.
    pub epoch: Epoch,
}

/// Paths in a folder, sorted; none if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries
        .map(|e| e.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// The files of a host, as far as these epochs hold them; those of regions whose epochs somebody
/// removed, whole.
///
/// # Errors
/// The file system's.
pub fn files(host_folder: &Path, epochs: &[Newest]) -> io::Result<Vec<LetterFile>> {
    let mut files = Vec::new();
    for path in entries(&host_folder.join(DEAD_LETTERS))? {
        let name = file_name(&path);
        let Some((region, number)) = name
            .strip_suffix(".avro")
            .and_then(|stem| stem.rsplit_once('-'))
            .and_then(|(region, number)| Some((region, number.parse::<u64>().ok()?)))
        else {
            continue;
        };
        let mark = epochs
            .iter()
            .find(|e| e.region == region)
            .map(|e| &e.epoch.letters);
        let whole = fs::metadata(&path)?.len();
        let length = match mark {
            Some(mark) => held(mark, &name, number, whole),
            // Its first epoch is still to come, and reads them again if it never does.
            None if host_folder.join(EPOCHS).join(region).exists() => 0,
            None => whole,
        };
        if length > 0 {
            files.push(LetterFile { name, path, length });
        }
    }
    Ok(files)
}

/// How much of a file an epoch holds.
fn held(mark: &LettersMark, name: &str, number: u64, whole: u64) -> u64 {
    match &mark.file {
        Some((open, length)) if open == name => *length,
        _ if number >= mark.next => 0,
        _ => whole,
    }
}

/// The letters of a file, one after the other.
pub struct Letters<R: Read = BufReader<io::Take<File>>> {
    reader: Reader<'static, R>,
    path: PathBuf,
    broken: bool,
}

impl Letters {
    /// Opens a file.
    ///
    /// # Errors
    /// Why it does not read, in words.
    pub fn open(path: &Path, length: u64) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| damaged(path, &e))?;
        Self::read(BufReader::new(file.take(length)), path)
    }
}

impl<R: Read> Letters<R> {
    /// Reads what a file holds; `path` is for what is said.
    ///
    /// # Errors
    /// Why it does not read, in words.
    pub fn read(from: R, path: &Path) -> Result<Self, String> {
        let reader = Reader::new(from).map_err(|e| damaged(path, &e))?;
        if !is_ours(reader.writer_schema()) {
            return Err(damaged(path, &NO_LETTERS));
        }
        Ok(Self {
            reader,
            path: path.to_owned(),
            broken: false,
        })
    }
}

const NO_LETTERS: &str = "it holds no dead letters";

fn damaged(path: &Path, why: &dyn Display) -> String {
    format!("{} does not read: {why}", path.display())
}

/// Whether values of this schema may be letters: fields that are known as they are known, and what
/// a later host may have appended as plain values. A schema that a damaged file makes up may be
/// endless (a type within itself), or ask for more memory than there is.
fn is_ours(schema: &Schema) -> bool {
    let (Schema::Record(found), Ok(Schema::Record(ours))) = (schema, letter_writer::schema())
    else {
        return false;
    };
    found.fields.iter().all(|field| {
        let known = ours.fields.iter().find(|ours| ours.name == field.name);
        known.map_or_else(
            || is_plain(&field.schema),
            |ours| ours.schema == field.schema,
        )
    })
}

fn is_plain(schema: &Schema) -> bool {
    match schema {
        Schema::Union(union) => union.variants().iter().all(is_plain),
        Schema::Null | Schema::Boolean | Schema::Int | Schema::Long => true,
        Schema::Float | Schema::Double | Schema::Bytes | Schema::String => true,
        _ => false,
    }
}

impl<R: Read> Iterator for Letters<R> {
    type Item = Result<Letter, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let letter = match self.reader.next()? {
            Ok(value) => letter(value).ok_or_else(|| NO_LETTERS.to_owned()),
            Err(e) => Err(e.to_string()),
        };
        self.broken = letter.is_err();
        let path = self.path.display();
        Some(letter.map_err(|e| format!("{path} is damaged, what follows is lost: {e}")))
    }
}

/// A letter, if the value is one.
fn letter(value: Value) -> Option<Letter> {
    let Value::Record(fields) = value else {
        return None;
    };
    let mut letter = Letter::default();
    for (name, value) in fields {
        match name.as_str() {
            "id" => letter.id = text(value)?,
            "stage" => letter.stage = text(value)?,
            "input" => letter.input = int(value).and_then(|i| u32::try_from(i).ok()),
            "content_type" => letter.content_type = text(value)?,
            "reason" => letter.reason = text(value)?,
            "pointer" => letter.pointer = text(value)?,
            "payload" => letter.payload = bytes(value),
            "key" => letter.key = bytes(value),
            "headers" => letter.headers = headers(value)?,
            "ts_us" => letter.ts_us = int(value),
            "at_us" => letter.at_us = int(value)?,
            _ => {}
        }
    }
    (!letter.id.is_empty()).then_some(letter)
}

fn headers(value: Value) -> Option<Vec<(String, Option<Vec<u8>>)>> {
    let Value::Array(items) = value else {
        return None;
    };
    let header = |item| {
        let Value::Record(fields) = item else {
            return None;
        };
        let mut fields = fields.into_iter();
        let (name, content) = (fields.next()?.1, fields.next()?.1);
        Some((text(name)?, bytes(content)))
    };
    items.into_iter().map(header).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s),
        _ => None,
    }
}

fn int(value: Value) -> Option<i64> {
    match value {
        Value::Int(i) => Some(i.into()),
        Value::Long(l) => Some(l),
        Value::Union(_, inner) => int(*inner),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(b) => Some(b),
        Value::Union(_, inner) => bytes(*inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugin_api::{BatchBuilder, files::Os};

    use super::*;
    use crate::checkpoint::dead_letters::{DeadLetter, DeadLetters};

    fn write(folder: &Path, reasons: &[&str]) -> LettersMark {
        let letters = DeadLetters::new(Arc::new(Os), folder, "h", "r-00");
        letters.restore(&LettersMark::default()).unwrap();
        let mut b = BatchBuilder::new();
        b.push(Some(b"\xff"))
            .key(Some(b"k"))
            .ts_us(Some(5))
            .header("id", Some(b"1"))
            .header("none", None);
        let batch = b.finish();
        for reason in reasons {
            let record = batch.record(0);
            let letter = DeadLetter {
                stage: "s",
                input: Some(3),
                content_type: "bytes",
                reason,
                pointer: "/a",
                payload: record.value(),
                record: Some(record),
            };
            letters.write(letters.life(), 0, &letter).unwrap();
        }
        letters.checkpoint().unwrap()
    }

    #[test]
    fn letters_read_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["one", "two"]);
        let files = files(dir.path(), &[]).unwrap();
        let all: Vec<Letter> = Letters::open(&files[0].path, files[0].length)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(all.len(), 2);
        let first = Letter {
            id: all[0].id.clone(),
            stage: "s".into(),
            input: Some(3),
            content_type: "bytes".into(),
            reason: "one".into(),
            pointer: "/a".into(),
            payload: Some(b"\xff".to_vec()),
            key: Some(b"k".to_vec()),
            headers: vec![("id".into(), Some(b"1".to_vec())), ("none".into(), None)],
            ts_us: Some(5),
            at_us: all[0].at_us,
        };
        assert_eq!(all[0], first);
    }

    #[test]
    fn what_no_epoch_holds_is_not_read_and_a_torn_file_gives_what_reads() {
        let dir = tempfile::tempdir().unwrap();
        let mark = write(dir.path(), &["one"]);
        let newest = |letters: LettersMark| Newest {
            region: "r-00".into(),
            is_final: false,
            bytes: 0,
            epoch: Epoch {
                letters,
                ..Epoch::default()
            },
        };
        let held = files(dir.path(), &[newest(mark)]).unwrap();
        assert_eq!(held.len(), 1);
        assert!(
            files(dir.path(), &[newest(LettersMark::default())])
                .unwrap()
                .is_empty()
        );
        let torn = Letters::open(&held[0].path, held[0].length - 1).unwrap();
        let said = torn.last().unwrap().unwrap_err();
        assert!(said.contains("r-00-000000.avro is damaged"), "{said}");
    }

    #[test]
    fn a_schema_that_is_none_of_letters_is_refused() {
        let header = |schema: &str| {
            let schema = Schema::parse_str(schema).unwrap();
            let mut bytes = apache_avro::Writer::new(&schema, Vec::new())
                .unwrap()
                .into_inner()
                .unwrap();
            let marker = bytes[bytes.len() - 16..].to_vec();
            // A block of one value that takes no byte.
            bytes.extend([2, 0]);
            bytes.extend(marker);
            bytes
        };
        let said = |schema: &str| {
            let bytes = header(schema);
            let read = Letters::read(&*bytes, Path::new("a.avro"));
            read.and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .unwrap_err()
        };
        for schema in [
            r#"{"type": "record", "name": "T", "fields": [{"name": "more", "type": "T"}]}"#,
            r#"{"type": "record", "name": "T", "fields": [
                {"name": "more", "type": {"type": "fixed", "name": "F", "size": 4000000000000000000}}]}"#,
            r#"{"type": "record", "name": "T", "fields": [
                {"name": "headers", "type": {"type": "array", "items": "null"}}]}"#,
            r#""string""#,
        ] {
            assert_eq!(
                said(schema),
                "a.avro does not read: it holds no dead letters"
            );
        }
        let later = r#"{"type": "record", "name": "T", "fields": [
            {"name": "more", "type": ["null", "string"]}]}"#;
        assert!(said(later).contains("is damaged, what follows is lost"));
    }
}
