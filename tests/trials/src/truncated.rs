//! Every truncation of Avro container files: each whole record before the cut is read, then one
//! error says where the file broke off.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use apache_avro::types::Record as AvroRecord;
use avro_data::{
    Schema,
    container::{Codec, Writer},
};
use e2e::{host::Folder, python};
use fastrand::Rng;
use plugin_api::testing::{Harness, Level};
use plugin_avro::ThisPlugin;
use serde_json::json;

use crate::frame::{Job, Run, Trial};

pub const TRIAL: Trial = Trial {
    name: "truncated",
    about: "Avro containers of three writers cut at every byte, through the source avro-file",
    ci: u64::MAX,
    long: None,
    begin: || Some(Box::new(Truncated::new())),
};

const SCHEMA: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "id", "type": "long"}, {"name": "text", "type": "string"}]}"#;
/// Bytes of a file, at least.
const LEN: u64 = 27_000;
const BLOCK: usize = 4 << 10;
/// Cuts of one call of [`Job::run`].
const CUTS: u64 = 500;
const MARKER: usize = 16;

struct Truncated {
    folder: Folder,
    files: Vec<Container>,
}

/// A whole file, and what is known of it without a reader of ours.
struct Container {
    what: &'static str,
    bytes: Vec<u8>,
    /// Its records, as datums.
    datums: Vec<Vec<u8>>,
    /// Where the header ends and where each block does.
    ends: Vec<usize>,
    /// Where each record ends, if the file is not compressed.
    record_ends: Option<Vec<usize>>,
    /// How many records a file has that is cut at each of `ends`, found by reading it whole.
    before: Vec<usize>,
}

impl Truncated {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("t.avsc", SCHEMA);
        let mut files = vec![
            Container::new("ours", &ours(Codec::Null), true),
            Container::new("ours, deflated", &ours(Codec::Deflate), false),
            Container::new("apache-avro's", &apache(), true),
        ];
        if let Some(why) = e2e::needed::python().missing() {
            println!("  without fastavro's: {why}");
        } else {
            for (codec, what) in [("null", "fastavro's"), ("deflate", "fastavro's, deflated")] {
                let bytes = fastavro(&folder, codec);
                files.push(Container::new(what, &bytes, codec == "null"));
            }
        }
        for file in &mut files {
            file.count();
        }
        Self { folder, files }
    }
}

impl Job for Truncated {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let mut at = usize::try_from(run.seed).unwrap_or(usize::MAX);
        let Some(file) = self.files.iter().find(|file| {
            let here = at < file.bytes.len();
            if !here {
                at -= file.bytes.len();
            }
            here
        }) else {
            return Ok(0);
        };
        // The longest first, so that one file is cut again and again.
        let most = usize::try_from(run.most.min(CUTS)).unwrap_or(usize::MAX);
        let longest = file.bytes.len() - 1 - at;
        let cuts = (longest + 1).min(most);
        let path = self.folder.path("cut.avro");
        std::fs::write(&path, &file.bytes).map_err(|e| e.to_string())?;
        let cut = File::options().write(true).open(&path);
        let cut = cut.map_err(|e| e.to_string())?;
        for len in (longest + 1 - cuts..=longest).rev() {
            cut.set_len(len as u64).map_err(|e| e.to_string())?;
            file.check(&path, len, &self.folder.path("t.avsc"))
                .map_err(|why| format!("{}, {len} bytes of it: {why}", file.what))?;
        }
        Ok(cuts as u64)
    }
}

/// What the source made of a file.
pub struct Read {
    pub datums: Vec<Vec<u8>>,
    pub errors: Vec<String>,
    pub letters: usize,
}

/// Reads a file by the source.
pub fn read(path: &Path, schema: &Path) -> Result<Read, String> {
    let options = json!({"path": path, "schema": schema});
    let mut source = Harness::<ThisPlugin>::source("avro-file", &options).map_err(|e| e.message)?;
    let out = source.poll_to_end().map_err(|e| e.message)?;
    let lines = source.host().log_lines();
    let errors = lines.into_iter().filter(|line| line.level == Level::Error);
    Ok(Read {
        datums: out.values(),
        errors: errors.map(|line| line.message).collect(),
        letters: out.rejected_raw.len(),
    })
}

impl Container {
    fn new(what: &'static str, bytes: &[u8], plain: bool) -> Self {
        let marker = &bytes[bytes.len() - MARKER..];
        let ends = memchr::memmem::find_iter(bytes, marker).map(|at| at + MARKER);
        let (datums, ends): (Vec<_>, Vec<_>) = (datums(), ends.collect());
        let record_ends = plain.then(|| {
            let mut from = ends[0];
            let end = |datum: &Vec<u8>| {
                let at = memchr::memmem::find(&bytes[from..], datum)?;
                from += at + datum.len();
                Some(from)
            };
            datums.iter().map_while(end).collect::<Vec<_>>()
        });
        Self {
            what,
            bytes: bytes.to_vec(),
            datums,
            ends,
            record_ends,
            before: Vec::new(),
        }
    }

    /// Counts the records before each end of a block with apache-avro, which needs whole blocks.
    fn count(&mut self) {
        for end in &self.ends {
            let reader = apache_avro::Reader::new(&self.bytes[..*end]).expect("a whole header");
            let mut count = 0;
            for record in reader {
                record.expect("a record");
                count += 1;
            }
            self.before.push(count);
        }
        let all = *self.before.last().expect("an end");
        self.datums.truncate(all);
        assert!(
            self.ends.len() > 5 && all > 100,
            "{} is too small",
            self.what
        );
        if let Some(ends) = &self.record_ends {
            assert_eq!(ends.len(), all, "{}: each datum was found", self.what);
        }
    }

    fn check(&self, path: &Path, len: usize, schema: &Path) -> Result<(), String> {
        let header = self.ends[0];
        if len < header {
            let planned =
                Harness::<ThisPlugin>::plan("source", "avro-file", &json!({"path": path}), &[]);
            match planned {
                Ok(_) => return Err("half a header was taken for a schema".to_owned()),
                Err(e) if e.pointer == "/path" && e.message.contains("cut.avro") => {}
                Err(e) => return Err(format!("the plan's error does not say where: {e:?}")),
            }
        }
        let read = read(path, schema)?;
        let count = read.datums.len();
        if self.datums.get(..count) != Some(&*read.datums) {
            return Err("other records than were written".to_owned());
        }
        // Whole blocks before the cut, and where the block begins that is cut.
        let whole = self.ends.partition_point(|end| *end <= len);
        let least = if whole == 0 {
            0
        } else {
            self.before[whole - 1]
        };
        let most = self.before.get(whole).copied().unwrap_or(least);
        let exact = self.record_ends.as_ref().map(|ends| {
            if len < header {
                0
            } else {
                ends.partition_point(|end| *end <= len)
            }
        });
        if exact.is_some_and(|exact| exact != count) || count < least || count > most {
            return Err(format!(
                "{count} records, and not {exact:?}; at least {least}, at most {most}"
            ));
        }
        let at_end = self.ends.contains(&len);
        // Only the last marker is not there: nothing is lost, and it is said all the same.
        let only_marker = self
            .ends
            .get(whole)
            .is_some_and(|end| whole > 0 && len + MARKER >= *end);
        let expected = (usize::from(!at_end), usize::from(!at_end && !only_marker));
        if (read.errors.len(), read.letters) != expected {
            return Err(format!(
                "{} errors and {} dead letters, and not {expected:?}: {:?}",
                read.errors.len(),
                read.letters,
                read.errors
            ));
        }
        if let Some(error) = read.errors.iter().find(|error| !error.contains("cut.avro")) {
            return Err(format!("an error does not name the file: {error}"));
        }
        Ok(())
    }
}

/// The text of each record: letters of which none follows from the last.
fn texts() -> Vec<String> {
    let mut rng = Rng::with_seed(27_444);
    let letter = |rng: &mut Rng| rng.alphanumeric();
    let one = |_| (0..rng.usize(20..180)).map(|_| letter(&mut rng)).collect();
    (0..2_000).map(one).collect()
}

/// A record as Avro has it: a long and a string.
fn datums() -> Vec<Vec<u8>> {
    let datum = |(id, text): (usize, String)| {
        let mut datum = Vec::new();
        long(id as u64, &mut datum);
        string(&text, &mut datum);
        datum
    };
    texts().into_iter().enumerate().map(datum).collect()
}

/// Appends a string as Avro has it.
pub fn string(text: &str, out: &mut Vec<u8>) {
    long(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a long as Avro has it, of one that is not negative.
pub fn long(value: u64, out: &mut Vec<u8>) {
    let mut rest = value << 1;
    while rest > 0x7F {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn ours(codec: Codec) -> Vec<u8> {
    let schema = Schema::parse(SCHEMA).expect("a schema");
    let mut writer = Writer::new(Vec::new(), &schema, codec, BLOCK).expect("a writer");
    for datum in datums() {
        writer.append(&datum).expect("memory takes it");
        if writer.written() > LEN {
            break;
        }
    }
    writer.finish().expect("memory takes it")
}

fn apache() -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(SCHEMA).expect("a schema");
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).expect("a writer");
    let mut len = 0;
    for (id, text) in texts().into_iter().enumerate() {
        let mut record = AvroRecord::new(&schema).expect("a record");
        record.put("id", id as i64);
        record.put("text", text);
        writer.append_value(record).expect("memory takes it");
        if id % 40 == 39 {
            len += writer.flush().expect("memory takes it");
        }
        if len as u64 > LEN {
            break;
        }
    }
    writer.into_inner().expect("memory takes it")
}

fn fastavro(folder: &Folder, codec: &str) -> Vec<u8> {
    let texts: PathBuf = folder.write("texts.json", &json!(texts()).to_string());
    let file = folder.path("fast.avro");
    let mut script = python::python().script("write_avro.py");
    script.arg(folder.path("t.avsc")).arg(texts).arg(&file);
    let done = script.arg(codec).arg(LEN.to_string()).status();
    assert!(done.expect("python runs").success(), "fastavro failed");
    std::fs::read(file).expect("its file")
}
