//! Ids in files while these are written.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use crate::ledger;

/// Files of lines that grow, and that a stage cuts back when it begins again from an epoch.
pub struct Tail {
    folders: Vec<PathBuf>,
    /// By inode: names change.
    files: HashMap<u64, Seen>,
}

/// What was seen of a file.
#[derive(Default)]
struct Seen {
    /// How far it was read: to the end of a line.
    to: u64,
    /// Its bytes up to there that tell whether it is still the same.
    last: Vec<u8>,
    ids: HashSet<String>,
}

impl Tail {
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            files: HashMap::new(),
        }
    }

    /// Looks again; whether all these are in whole lines now.
    pub fn has(&mut self, ids: &BTreeSet<String>) -> bool {
        let seen = self.seen();
        ids.iter().all(|id| seen.contains(id))
    }

    /// Looks again; how many different ones there are.
    pub fn count(&mut self) -> usize {
        self.seen().len()
    }

    fn seen(&mut self) -> HashSet<&String> {
        self.look();
        self.files.values().flat_map(|seen| &seen.ids).collect()
    }

    fn look(&mut self) {
        let mut present = HashSet::new();
        for folder in &self.folders {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // It may just have been renamed: the next look sees it.
                let Ok(file) = File::open(entry.path()) else {
                    continue;
                };
                let Ok(inode) = file.metadata().map(|data| data.ino()) else {
                    continue;
                };
                present.insert(inode);
                // What cannot be read now is read by the next look.
                let _ = self.files.entry(inode).or_default().read_on(file);
            }
        }
        self.files.retain(|inode, _| present.contains(inode));
    }
}

impl Seen {
    fn read_on(&mut self, mut file: File) -> io::Result<()> {
        let from = self.to - self.last.len() as u64;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let news = if bytes.starts_with(&self.last) {
            &bytes[self.last.len()..]
        } else {
            // It was cut back, and has perhaps grown again since.
            *self = Self::default();
            bytes.clear();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
            &bytes[..]
        };
        let Some(end) = memchr::memrchr(b'\n', news) else {
            return Ok(());
        };
        let whole = &news[..=end];
        self.last = match memchr::memrchr(b'\n', &whole[..end]) {
            Some(before) => whole[before + 1..].to_vec(),
            None => whole.to_vec(),
        };
        self.to += whole.len() as u64;
        // A line that is none is the ledger's matter, when all has ended.
        for line in String::from_utf8_lossy(whole).split_inclusive('\n') {
            self.ids.extend(ledger::of_lines(line).unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _};

    use e2e::host::Folder;

    use super::*;

    fn lines(ids: &[&str]) -> String {
        ids.iter()
            .map(|id| format!("{{\"id_str\":\"{id}\"}}\n"))
            .collect()
    }

    fn ids(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn sees_whole_lines_also_behind_a_cut() {
        let folder = Folder::new();
        let mut tail = Tail::of(vec![folder.path("out")]);
        assert_eq!(tail.count(), 0);
        folder.write("out/t.jsonl", &lines(&["1", "2", "33"]));
        assert!(tail.has(&ids(&["1", "2", "33"])));
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.path("out/t.jsonl"))
            .expect("it is there");
        file.write_all(b"{\"id_str\":\"4").expect("written");
        assert!(!tail.has(&ids(&["4"])), "its line has not ended");
        file.write_all(b"\"}\n").expect("written");
        assert!(tail.has(&ids(&["1", "2", "33", "4"])));

        // Begun again behind the first line, and longer than before when it is looked at.
        file.set_len(lines(&["1"]).len() as u64).expect("cut");
        file.write_all(lines(&["5", "66", "777", "8", "9"]).as_bytes())
            .expect("written");
        assert!(!tail.has(&ids(&["33"])), "cut off");
        assert!(tail.has(&ids(&["1", "5", "66", "777", "8", "9"])));
        fs::remove_file(folder.path("out/t.jsonl")).expect("removed");
        assert_eq!(tail.count(), 0);
    }
}
