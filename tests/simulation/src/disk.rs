//! A disk that crashes. It knows what would outlive a loss of power: the bytes of a file as of its
//! last fsync, the names of a folder as of that folder's. A kill of the process keeps all that was
//! written; a loss of power keeps of the rest what chance says: of names, each change by itself; of
//! bytes none, all, the first few, or some blocks, with zeros for the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    mem::take,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use plugin_api::files::{FileHandle, FileSystem, Syncer};

use crate::mistake::Mistake;

/// Bytes that are torn apart from their neighbours: small, since files are.
const BLOCK: usize = 8;

/// An fsync that waits for its turn.
pub type Job = Box<dyn FnOnce() + Send>;

/// The disk; clones share it.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

struct State {
    files: Vec<Content>,
    /// Folders are durable as soon as they are made.
    folders: BTreeSet<String>,
    names: BTreeMap<String, usize>,
    /// Names that outlive a loss of power, and what happened to names since, in order.
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
    jobs: Vec<Job>,
    /// Changes that still happen before the process is dead.
    steps_left: Option<u32>,
    dead: bool,
    /// Bytes until it is full.
    room: Option<usize>,
    fail_sync: bool,
    rng: Rng,
    mistake: Option<Mistake>,
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Bytes whose fsync failed: they look written, and no later fsync writes them.
    dropped: Vec<Range<usize>>,
}

/// A file without the one name was created, without the other removed.
struct Change {
    from: Option<String>,
    to: Option<String>,
    file: usize,
}

impl Content {
    /// What is on the disk once all that is dirty was written.
    fn clean(&self) -> Vec<u8> {
        let mut bytes = self.now.clone();
        for range in &self.dropped {
            bytes[range.clone()].fill(0);
        }
        bytes
    }

    fn sync(&mut self) {
        if self.dropped.is_empty() && self.now.starts_with(&self.synced) {
            self.synced
                .extend_from_slice(&self.now[self.synced.len()..]);
        } else {
            self.synced = self.clean();
        }
    }

    fn sync_failed(&mut self) {
        let from = self.synced.len().min(self.now.len());
        self.dropped.push(from..self.now.len());
    }

    fn cut(&mut self, length: usize) {
        self.now.truncate(length);
        for range in &mut self.dropped {
            range.end = range.end.min(length);
        }
        self.dropped.retain(|range| range.start < range.end);
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        let all = self.clean();
        let kept = self.synced.len().min(all.len());
        let mut left = self.synced.clone();
        if all.len() > kept && left.len() == kept {
            match rng.u8(0..4) {
                0 => {}
                1 => left = all,
                2 => left.extend_from_slice(&all[kept..rng.usize(kept..=all.len())]),
                _ => {
                    for block in all[kept..].chunks(BLOCK) {
                        match rng.bool() {
                            true => left.extend_from_slice(block),
                            false => left.resize(left.len() + block.len(), 0),
                        }
                    }
                }
            }
        }
        *self = Self {
            synced: left.clone(),
            now: left,
            dropped: Vec::new(),
        };
    }
}

impl Disk {
    /// An empty disk, whose chances are those of `seed`.
    pub fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: Vec::new(),
            folders: BTreeSet::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            jobs: Vec::new(),
            steps_left: None,
            dead: false,
            room: None,
            fail_sync: false,
            rng: Rng::with_seed(seed),
            mistake,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets so many more changes happen; in the middle of the next the process is dead.
    pub fn kill_after(&self, changes: u32) {
        self.lock().steps_left = Some(changes);
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Accepts so many more bytes.
    pub fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// The next fsync fails.
    pub fn fail_sync(&self) {
        self.lock().fail_sync = true;
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        let mut state = self.lock();
        state.steps_left = None;
        (state.room, state.fail_sync) = (None, false);
    }

    /// Fsyncs that wait.
    pub fn jobs(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Runs one of the fsyncs that wait.
    pub fn run_job(&self, index: usize) {
        let job = self.lock().jobs.swap_remove(index);
        job();
    }

    /// The process is gone, and `power` as well. A new process may begin.
    pub fn crash(&self, power: bool) {
        let jobs = take(&mut self.lock().jobs);
        drop(jobs);
        self.calm();
        let state = &mut *self.lock();
        state.dead = false;
        if power {
            state.lose_power();
            return;
        }
        for file in &mut state.files {
            // What could not be written may be evicted: then the page is read as it is on the disk.
            if !file.dropped.is_empty() && state.rng.bool() {
                file.now = file.clean();
                file.dropped.clear();
            }
        }
    }

    /// Somebody takes all files of a folder away.
    pub fn take_away(&self, folder: &str) {
        let state = &mut *self.lock();
        let gone: Vec<String> = state
            .in_folder(folder)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            state.names.remove(&name);
        }
        state.pending.retain(|change| !change.is_in(folder));
        let names = &state.names;
        let prefix = format!("{folder}/");
        let stays = |name: &String| !name.starts_with(&prefix) || names.contains_key(name);
        state.durable.retain(|name, _| stays(name));
    }

    /// Names of all files in a folder, with their content.
    pub fn contents(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let inside = state.in_folder(folder);
        inside
            .map(|(name, file)| (name.clone(), state.files[*file].now.clone()))
            .collect()
    }
}

impl State {
    fn in_folder(&self, folder: &str) -> impl Iterator<Item = (&String, &usize)> {
        let prefix = format!("{folder}/");
        let end = prefix.len();
        self.names
            .range(prefix.clone()..)
            .take_while(move |(name, _)| name.starts_with(&prefix))
            .filter(move |(name, _)| !name[end..].contains('/'))
    }

    fn lose_power(&mut self) {
        for change in take(&mut self.pending) {
            if self.rng.bool() {
                change.apply(&mut self.durable);
            }
        }
        self.names.clone_from(&self.durable);
        let mut files = Vec::with_capacity(self.names.len());
        for file in self.names.values_mut() {
            let mut content = take(&mut self.files[*file]);
            content.lose_power(&mut self.rng);
            *file = files.len();
            files.push(content);
        }
        self.files = files;
        self.durable.clone_from(&self.names);
    }

    fn alive(&self) -> io::Result<()> {
        match self.dead {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }

    /// Before each change. False: it is the one in whose middle the process dies.
    fn step(&mut self) -> io::Result<bool> {
        self.alive()?;
        match &mut self.steps_left {
            Some(0) => self.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(!self.dead)
    }

    fn whole_step(&mut self) -> io::Result<()> {
        self.step()?;
        self.alive()
    }

    fn sync_step(&mut self) -> io::Result<()> {
        self.whole_step()?;
        match take(&mut self.fail_sync) {
            true => Err(io::Error::from_raw_os_error(5 /* EIO */)),
            false => Ok(()),
        }
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        self.alive()?;
        let file = self.names.get(path).copied();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, from: Option<&str>, to: Option<&str>, file: usize) {
        if let Some(from) = from {
            self.names.remove(from);
        }
        if let Some(to) = to {
            self.names.insert(to.to_owned(), file);
        }
        self.pending.push(Change {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            file,
        });
    }
}

impl Change {
    fn is_in(&self, folder: &str) -> bool {
        let name = self.to.as_ref().or(self.from.as_ref());
        name.and_then(|name| name.rsplit_once('/'))
            .is_some_and(|(f, _)| f == folder)
    }

    fn apply(self, names: &mut BTreeMap<String, usize>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some(to) = self.to {
            names.insert(to, self.file);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

struct Handle {
    disk: Disk,
    file: usize,
    is_epoch: bool,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let mut count = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let whole = state.step()?;
        if !whole {
            count = state.rng.usize(0..=count);
        }
        if let Some(room) = &mut state.room {
            *room -= count;
        }
        let file = self.file;
        state.files[file].now.extend_from_slice(&bytes[..count]);
        state.alive()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileHandle for Handle {
    fn syncer(&self) -> io::Result<Syncer> {
        let (disk, file, is_epoch) = (self.disk.clone(), self.file, self.is_epoch);
        Ok(Box::new(move || {
            let state = &mut *disk.lock();
            if is_epoch && state.mistake == Some(Mistake::RenameBeforeFsync) {
                return state.whole_step();
            }
            match state.sync_step() {
                Ok(()) => state.files[file].sync(),
                Err(e) => {
                    if !state.dead {
                        state.files[file].sync_failed();
                    }
                    return Err(e);
                }
            }
            Ok(())
        }))
    }
}

impl FileSystem for Disk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut state = self.lock();
        state.whole_step()?;
        let name = text(path);
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.change(None, Some(name), file);
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
            is_epoch: name.ends_with(".aside"),
        }))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.alive()?;
        if !state.folders.contains(text(path)) {
            let all = path.ancestors().map(|folder| text(folder).to_owned());
            state.folders.extend(all);
        }
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        let file = state.find(text(from))?;
        if state.names.contains_key(text(to)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change(Some(text(from)), Some(text(to)), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        let file = state.find(text(path))?;
        state.change(Some(text(path)), None, file);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.lock();
        state.sync_step()?;
        if state.mistake == Some(Mistake::NoFolderFsync) && text(path) == crate::graph::OUT {
            return Ok(());
        }
        let mut index = 0;
        while index < state.pending.len() {
            if state.pending[index].is_in(text(path)) {
                state.pending.remove(index).apply(&mut state.durable);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn FileHandle>> {
        let mut state = self.lock();
        let file = state.find(text(path))?;
        let length = usize::try_from(len).map_err(io::Error::other)?;
        if state.files[file].now.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if state.files[file].now.len() > length {
            state.whole_step()?;
            state.files[file].cut(length);
        }
        if let Err(e) = state.sync_step() {
            if !state.dead {
                state.files[file].sync_failed();
            }
            return Err(e);
        }
        state.files[file].sync();
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
            is_epoch: false,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        let file = state.find(text(from))?;
        state.change(Some(text(from)), Some(text(to)), file);
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let file = state.find(text(path))?;
        Ok(state.files[file].now.clone())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        state.alive()?;
        let kept = state.mistake == Some(Mistake::UnlistedKept);
        let inside = state.in_folder(text(folder)).map(|(name, _)| name);
        let seen = inside.filter(|name| !(kept && name.ends_with(".inprogress")));
        Ok(seen.map(PathBuf::from).collect())
    }

    fn folders(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        state.alive()?;
        let inside = state.folders.iter().map(PathBuf::from);
        Ok(inside.filter(|f| f.parent() == Some(folder)).collect())
    }

    fn run_sync(&self, job: Job) -> io::Result<()> {
        self.lock().jobs.push(job);
        Ok(())
    }
}
