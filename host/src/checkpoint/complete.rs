//! The mark of a run that came to its end: which epoch of each region of the host was its last.
//!
//! Epochs are each region's own, so none of them says that the others ended too. The mark is one
//! file, written when all have. A region that would go on from the epoch that it names begins anew;
//! from its first epoch on, the next run is gone on with.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use plugin_api::files::FileSystem;
use serde::{Deserialize, Serialize};

use super::store::{self, WriteError};

/// Name of the mark within a host's folder of state.
const MARK: &str = "complete.json";

/// The last epochs of a complete run, by region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Complete(BTreeMap<String, u64>);

impl FromIterator<(String, u64)> for Complete {
    fn from_iter<T: IntoIterator<Item = (String, u64)>>(regions: T) -> Self {
        Self(regions.into_iter().collect())
    }
}

impl Complete {
    /// The mark that a host left; empty if there is none.
    ///
    /// # Errors
    /// The file system's, or the file is damaged.
    pub fn read(fs: &dyn FileSystem, host_folder: &Path) -> io::Result<Self> {
        let path = path(host_folder);
        let bytes = match fs.read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            let message = format!("{} is damaged: {e}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// The epoch of a region with which a complete run ended.
    pub fn of(&self, region: &str) -> Option<u64> {
        self.0.get(region).copied()
    }

    /// Whether a complete run ended with this epoch of a region: the next one begins anew.
    pub fn ended_with(&self, region: &str, epoch: u64) -> bool {
        self.of(region) == Some(epoch)
    }

    /// Keeps the mark, durably, in the place of the one before.
    ///
    /// # Errors
    /// See [`WriteError`]; the mark before may still be there.
    pub fn write(&self, fs: &dyn FileSystem, host_folder: &Path) -> Result<(), WriteError> {
        let bytes = serde_json::to_vec(self).expect("names and numbers are JSON");
        store::replace(fs, &path(host_folder), &bytes)
    }

    /// Forgets all but what still `holds`, so that no epoch of a later run is ever taken for the end
    /// of this one.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn keep_only(
        self,
        holds: &Self,
        fs: &dyn FileSystem,
        host_folder: &Path,
    ) -> Result<(), WriteError> {
        let regions = self.0.clone().into_iter();
        let kept: Self = regions.filter(|(r, n)| holds.ended_with(r, *n)).collect();
        if kept == self {
            return Ok(());
        }
        kept.write(fs, host_folder)
    }
}

fn path(host_folder: &Path) -> PathBuf {
    host_folder.join(MARK)
}

#[cfg(test)]
mod tests {
    use plugin_api::files::MemoryFiles;

    use super::*;

    fn mark(regions: &[(&str, u64)]) -> Complete {
        regions.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect()
    }

    #[test]
    fn it_outlives_a_loss_of_power_and_is_replaced_as_a_whole() {
        let (fs, folder) = (MemoryFiles::default(), Path::new("h"));
        assert_eq!(Complete::read(&fs, folder).unwrap(), Complete::default());
        let (first, second) = (mark(&[("a", 5), ("b", 9)]), mark(&[("a", 7)]));
        first.write(&fs, folder).unwrap();
        for steps in 0.. {
            fs.stop_after(Some(steps));
            let _ = second.write(&fs, folder);
            let killed = fs.stopped();
            fs.stop_after(None);
            fs.lose_power(|| false);
            let found = Complete::read(&fs, folder).unwrap();
            assert!(
                found == first || found == second,
                "killed after {steps} steps: {found:?}"
            );
            if !killed {
                assert_eq!(found, second);
                break;
            }
        }
    }

    #[test]
    fn what_does_not_hold_is_forgotten() {
        let (fs, folder) = (MemoryFiles::default(), Path::new("h"));
        let left = mark(&[("a", 5), ("b", 9), ("gone", 2)]);
        left.write(&fs, folder).unwrap();
        assert!(left.ended_with("a", 5) && !left.ended_with("a", 6) && !left.ended_with("c", 5));
        left.keep_only(&mark(&[("a", 6), ("b", 9)]), &fs, folder)
            .unwrap();
        assert_eq!(Complete::read(&fs, folder).unwrap(), mark(&[("b", 9)]));
    }

    #[test]
    fn a_damaged_mark_is_named() {
        let (fs, folder) = (MemoryFiles::default(), Path::new("h"));
        store::replace(&fs, &path(folder), b"{").unwrap();
        let said = Complete::read(&fs, folder).unwrap_err().to_string();
        assert!(said.contains("complete.json is damaged"), "{said}");
    }
}
