//! Dead letters: records that could not be used, with the reason and their raw bytes, in Avro
//! container files under `state_dir/HOST/dead-letters/`.
//!
//! They are part of an epoch: its file is on the disk before the epoch is kept, and what came
//! behind the epoch's barrier is held back until then, or goes to the next file, so that a restart
//! finds the letters of just the records that it does not read again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use apache_avro::types::Value;
use plugin_api::files::FileSystem;

pub use super::letter_writer::{DeadLetter, SCHEMA};
use super::{epoch::LettersMark, letter_writer::LetterWriter, store::WriteError};
use crate::plan::memory::{HELD_LETTERS, WAITING_LETTERS};

/// Folder of a host's dead letters within its folder of state.
pub const DEAD_LETTERS: &str = "dead-letters";

/// A file that is larger is not written on.
const ROLL_BYTES: u64 = 64 << 20;

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
    open: Option<LetterWriter>,
    /// Files of the same epoch before it.
    full: Vec<LetterWriter>,
    /// An epoch whose barrier is under way.
    in_flight: Option<u64>,
    behind: Behind,
    count: u64,
    next: u64,
    /// How often it was restored.
    life: u64,
}

/// Letters of the epoch after the one whose barrier is under way.
#[derive(Default)]
struct Behind {
    count: u64,
    held: Vec<Value>,
    bytes: usize,
    /// Where they go once they are too many to be held.
    file: Option<(u64, LetterWriter)>,
}

/// Number of a region's file, if it is one.
pub fn number(region: &str, file_name: &str) -> Option<u64> {
    let rest = file_name.strip_prefix(region)?.strip_prefix('-')?;
    rest.strip_suffix(".avro")?.parse().ok()
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
        self.release(&mut self.lock())
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
        let value = letter.value(&self.host, state.count);
        if state.in_flight.is_none_or(|e| epoch < e) {
            return self.append(&mut state, value);
        }
        state.behind.count += 1;
        state.behind.bytes += letter.memory();
        state.behind.held.push(value);
        if state.behind.file.is_none() && state.behind.bytes <= HELD_LETTERS {
            return Ok(());
        }
        self.append_behind(&mut state)
    }

    fn append(&self, state: &mut State, value: Value) -> io::Result<()> {
        let file = match &mut state.open {
            Some(file) => file,
            none => none.insert(self.create(&mut state.next)?.1),
        };
        let written = file.append(value);
        bear(written, file)
    }

    fn append_behind(&self, state: &mut State) -> io::Result<()> {
        let (_, file) = match &mut state.behind.file {
            Some(file) => file,
            none => none.insert(self.create(&mut state.next)?),
        };
        state.behind.bytes = 0;
        for value in state.behind.held.drain(..) {
            let written = file.append(value);
            bear(written, file)?;
        }
        Ok(())
    }

    /// The epoch in flight is over: what came behind its barrier is in the next one.
    fn release(&self, state: &mut State) -> io::Result<()> {
        state.in_flight = None;
        let behind = std::mem::take(&mut state.behind);
        if let Some((_, file)) = behind.file {
            state.full.extend(state.open.replace(file));
        }
        for value in behind.held {
            self.append(state, value)?;
        }
        Ok(())
    }

    /// Makes the letters of an epoch durable. What came behind its barrier follows.
    ///
    /// # Errors
    /// The epoch cannot be kept: its letters wait for the next, or, after a failed fsync, nothing is
    /// certain but by a restart.
    pub fn checkpoint(&self) -> Result<LettersMark, WriteError> {
        let state = &mut *self.lock();
        let behind = state.behind.file.as_ref().map(|(number, _)| *number);
        let mut mark = LettersMark {
            file: None,
            count: state.count - state.behind.count,
            next: behind.unwrap_or(state.next),
        };
        for file in state.full.iter_mut().chain(&mut state.open) {
            file.flush().map_err(WriteError::Undone)?;
            file.sync().map_err(WriteError::InDoubt)?;
        }
        if let Some(open) = &state.open {
            let synced = self.fs.sync_folder(&self.folder);
            synced.map_err(WriteError::InDoubt)?;
            mark.file = Some((open.name.clone(), open.length));
            if open.length >= ROLL_BYTES {
                state.open = None;
            }
        }
        if behind.is_some() {
            state.open = None;
        }
        state.full.clear();
        self.release(state).map_err(WriteError::Undone)?;
        Ok(mark)
    }

    fn create(&self, next: &mut u64) -> io::Result<(u64, LetterWriter)> {
        let number = *next;
        let name = format!("{}-{number:06}.avro", self.region);
        let file = LetterWriter::create(&*self.fs, &self.folder, name)?;
        *next += 1;
        Ok((number, file))
    }

    /// How many letters this run and those before it that it goes on wrote.
    pub fn count(&self) -> u64 {
        self.lock().count
    }
}

/// What the operating system does not take waits; it shows when the epoch cannot be kept, which
/// waits for room.
fn bear(written: io::Result<()>, file: &LetterWriter) -> io::Result<()> {
    match written {
        Err(_) if file.gathered() < WAITING_LETTERS => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{BatchBuilder, files::MemoryFiles};

    use super::*;
    use crate::checkpoint::letter_writer::maybe;

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
    fn more_than_can_be_held_behind_a_barrier_goes_to_a_file_of_its_own() {
        let fs = MemoryFiles::default();
        let payload = vec![b'x'; 100_000];
        let large = |reason| DeadLetter {
            payload: Some(&payload),
            ..letter(reason)
        };
        let names = ["before", "one", "two", "three", "behind", "later"];
        for kept in [true, false] {
            let letters = letters(&fs);
            let start = letters.life();
            letters.begin(1);
            letters.write(start, 0, &large("before")).unwrap();
            for reason in &names[1..4] {
                for _ in 0..HELD_LETTERS / 100_000 {
                    letters.write(start, 1, &large(reason)).unwrap();
                }
            }
            assert_eq!(fs.names().len(), 2);
            let first = match kept {
                true => letters.checkpoint().unwrap(),
                false => {
                    letters.abort().unwrap();
                    LettersMark::default()
                }
            };
            letters.begin(2);
            letters.write(start, 1, &large("behind")).unwrap();
            letters.write(start, 2, &large("later")).unwrap();
            let second = letters.checkpoint().unwrap();
            fs.lose_power(|| false);
            let mut found = reasons(&fs);
            assert_eq!(second.count, found.len() as u64);
            found.dedup();
            assert_eq!(found, &names[..5], "an epoch is kept: {kept}");

            letters.restore(&first).unwrap();
            assert_eq!(reasons(&fs).len() as u64, first.count);
            letters.restore(&LettersMark::default()).unwrap();
            assert!(fs.names().is_empty());
        }
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
