//! Whose a file in progress is, by its name: `NAME.HOST.STAGE.WORKER-NUMBER.inprogress`.
//!
//! A sink that restarts deletes what no epoch lists, and must then neither touch a file of another
//! sink in the same folder nor miss one of its own in a folder named by a date long past.

use super::fs::FileSystem;
use super::template::{DIGIT, Names, Template};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".inprogress";

/// Files with their numbers.
pub(super) type Found = Vec<(PathBuf, u64)>;

/// A sink, as the owner of files in progress.
pub(super) struct Owner {
    /// What stands between a file's final name and its number.
    mark: String,
    /// Its files' paths, with any digit for those of a date or time.
    shape: String,
}

impl Owner {
    pub(super) fn new(template: &Template, names: &Names) -> Self {
        let Names {
            host,
            stage,
            worker,
        } = names;
        Self {
            mark: format!(".{host}.{stage}.{worker}-"),
            shape: template.shape(names),
        }
    }

    /// The name of file `number` until it is called `wanted`.
    pub(super) fn in_progress(&self, wanted: &Path, number: u64) -> PathBuf {
        let mut name = OsString::from(wanted);
        name.push(format!("{}{number}{SUFFIX}", self.mark));
        name.into()
    }

    /// The number of a file that is this sink's.
    fn number(&self, shape: &str, path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (name, number) = name.rsplit_once('-')?;
        let wanted = name.strip_suffix(self.mark.strip_suffix('-')?)?;
        fits(shape, wanted).then(|| number.parse().ok())?
    }

    /// All files in progress of this sink, with their numbers, and the folders that may hold some.
    pub(super) fn find(&self, fs: &dyn FileSystem) -> io::Result<(Found, Vec<PathBuf>)> {
        let (parents, name) = self.shape.rsplit_once('/').unwrap_or(("", &self.shape));
        let root = if self.shape.starts_with('/') { "/" } else { "" };
        let mut folders = vec![PathBuf::from(root)];
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(DIGIT) {
                folders.iter_mut().for_each(|folder| folder.push(part));
                continue;
            }
            let mut fitting = Vec::new();
            for folder in &folders {
                let inside = fs.folders(folder)?.into_iter();
                fitting.extend(inside.filter(|path| {
                    let name = path.file_name().and_then(|name| name.to_str());
                    name.is_some_and(|name| fits(part, name))
                }));
            }
            folders = fitting;
        }
        let mut found = Vec::new();
        for folder in &folders {
            let files = fs.list(folder)?.into_iter();
            found.extend(files.filter_map(|path| {
                let number = self.number(name, &path)?;
                Some((path, number))
            }));
        }
        Ok((found, folders))
    }
}

fn fits(shape: &str, name: &str) -> bool {
    shape.len() == name.len()
        && shape
            .bytes()
            .zip(name.bytes())
            .all(|(shape, byte)| shape == byte || (shape == b'\0' && byte.is_ascii_digit()))
}
