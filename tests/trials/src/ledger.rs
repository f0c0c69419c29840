//! Which records lie in which finished file: each id at most once at any moment, each exactly once
//! at the end, and a finished file never changes again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

const IN_PROGRESS: &str = ".inprogress";

/// The output of one sink in a folder of its own, or of several that share the records.
pub struct Ledger {
    folders: Vec<PathBuf>,
    files: BTreeMap<PathBuf, u64>,
    ids: HashMap<String, PathBuf>,
}

impl Ledger {
    /// Nothing has been seen in these folders, which need not exist yet.
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            files: BTreeMap::new(),
            ids: HashMap::new(),
        }
    }

    /// Looks at what is finished now: reads each new file whole and holds it against the others.
    pub fn look(&mut self) -> Result<(), String> {
        let (finished, _) = listed(&self.folders)?;
        for (path, len) in &self.files {
            match finished.get(path) {
                Some(now) if now == len => {}
                Some(now) => {
                    return Err(format!(
                        "{} had {len} bytes when it was finished and has {now} now",
                        path.display()
                    ));
                }
                None => return Err(format!("{} was finished and is gone", path.display())),
            }
        }
        for (path, len) in finished {
            if self.files.contains_key(&path) {
                continue;
            }
            let ids = ids(&path).map_err(|why| {
                format!(
                    "{} is finished and does not read whole: {why}",
                    path.display()
                )
            })?;
            for id in ids {
                if let Some(other) = self.ids.insert(id.clone(), path.clone()) {
                    return Err(format!(
                        "{id} is in {} and in {}",
                        other.display(),
                        path.display()
                    ));
                }
            }
            self.files.insert(path, len);
        }
        Ok(())
    }

    /// Looks once more, after everything has ended well: exactly these ids, nothing half done.
    pub fn close(&mut self, expected: &BTreeSet<String>) -> Result<(), String> {
        self.look()?;
        let (_, rest) = listed(&self.folders)?;
        if let Some(path) = rest.first() {
            return Err(format!("{} was left behind", path.display()));
        }
        let missing: Vec<_> = expected
            .iter()
            .filter(|id| !self.ids.contains_key(*id))
            .collect();
        if let Some(first) = missing.first() {
            return Err(format!(
                "{} of {} records are missing in {:?}, the first is {first}",
                missing.len(),
                expected.len(),
                self.folders
            ));
        }
        if let Some((id, path)) = self.ids.iter().find(|(id, _)| !expected.contains(*id)) {
            return Err(format!("nobody sent {id}, which is in {}", path.display()));
        }
        Ok(())
    }
}

/// Finished files with their lengths, and those in progress.
fn listed(folders: &[PathBuf]) -> Result<(BTreeMap<PathBuf, u64>, Vec<PathBuf>), String> {
    let (mut finished, mut rest) = (BTreeMap::new(), Vec::new());
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| e.to_string())?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| e.to_string())?;
            let path = entry.path();
            if path.to_string_lossy().contains(IN_PROGRESS) {
                rest.push(path);
            } else {
                let len = entry.metadata().map_err(|e| e.to_string())?.len();
                finished.insert(path, len);
            }
        }
    }
    Ok((finished, rest))
}

/// The ids of a finished file's records, in its order; an error unless the file reads whole.
fn ids(path: &Path) -> Result<Vec<String>, String> {
    let name = path.to_string_lossy();
    let file = || {
        let file = File::open(path).map(BufReader::new);
        file.map_err(|e| e.to_string())
    };
    let text = || fs::read_to_string(path).map_err(|e| e.to_string());
    if name.ends_with(".csv") {
        of_csv(&text()?)
    } else if name.ends_with(".avro") {
        of_avro(file()?)
    } else if name.ends_with(".gz") {
        let mut text = String::new();
        let mut whole = MultiGzDecoder::new(file()?);
        whole.read_to_string(&mut text).map_err(|e| e.to_string())?;
        of_lines(&text)
    } else {
        of_lines(&text()?)
    }
}

fn of_csv(text: &str) -> Result<Vec<String>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("its last row has no end".to_owned());
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut ids = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| e.to_string())?;
        ids.push(row.get(0).unwrap_or_default().to_owned());
    }
    Ok(ids)
}

fn of_avro(file: BufReader<File>) -> Result<Vec<String>, String> {
    use apache_avro::{Reader, types::Value};

    let mut ids = Vec::new();
    for record in Reader::new(file).map_err(|e| e.to_string())? {
        let Value::Record(fields) = record.map_err(|e| e.to_string())? else {
            return Err("no record".to_owned());
        };
        match fields.into_iter().next() {
            Some((_, Value::String(id))) => ids.push(id),
            other => return Err(format!("no id but {other:?}")),
        }
    }
    Ok(ids)
}

/// Lines of JSON; the last one, too, must have its line end.
pub fn of_lines(text: &str) -> Result<Vec<String>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("its last line has no end".to_owned());
    }
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
            let id = value["id_str"].as_str();
            id.map(str::to_owned)
                .ok_or_else(|| format!("no id: {line}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use e2e::host::Folder;

    use super::*;

    fn expected(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn line(id: &str) -> String {
        format!("{{\"id_str\":\"{id}\"}}\n")
    }

    #[test]
    fn each_kind_of_wrong_is_seen() {
        let folder = Folder::new();
        folder.write("out/a.jsonl", &(line("1") + &line("2")));
        let mut ledger = Ledger::of(vec![folder.path("out")]);
        ledger.look().unwrap();
        ledger.close(&expected(&["1", "2"])).unwrap();
        let wrong = |result: Result<(), String>, word: &str| {
            let why = result.unwrap_err();
            assert!(why.contains(word), "{why}");
        };
        wrong(ledger.close(&expected(&["1", "2", "3"])), "missing");
        wrong(ledger.close(&expected(&["1"])), "nobody sent 2");
        folder.write("out/b.jsonl.inprogress", "");
        ledger.look().unwrap();
        wrong(ledger.close(&expected(&["1", "2"])), "left behind");
        folder.write("out/c.jsonl", "{\"id_str\":\"4\"}");
        wrong(ledger.look(), "does not read whole");
        folder.write("out/c.jsonl", &line("2"));
        wrong(ledger.look(), "2 is in");
        folder.write("out/a.jsonl", &line("1"));
        wrong(ledger.look(), "bytes when it was finished");
        fs::remove_file(folder.path("out/a.jsonl")).unwrap();
        wrong(ledger.look(), "is gone");
    }

    #[test]
    fn torn_tables_and_containers_do_not_read_whole() {
        let folder = Folder::new();
        let csv = folder.write("a.csv", "id,text\n1,\"a\nb\"\n2,c\n");
        assert_eq!(ids(&csv).unwrap(), ["1", "2"]);
        let torn = folder.write("b.csv", "id,text\n1,a\n2");
        ids(&torn).unwrap_err();
        let none = folder.write("c.avro", "Obj");
        ids(&none).unwrap_err();
    }
}
