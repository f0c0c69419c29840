//! The private copies of plugins, under their content's names in a folder that is only the user's.
//!
//! A copy stays after the run, for backtraces, debuggers and the next start. Each start removes
//! those that no run has used for [`KEEP`], and of the others the ones used longest ago, as far as
//! all together are more than [`MOST_BYTES`]: who builds a plugin all day leaves a copy each time.
//! A process locks the copies that it has open (shared, until it ends), and only what nobody has
//! locked is removed, so a run may be older than that.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How long a copy is kept after its last use.
pub const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bytes of all copies, beyond which those that are not in use go.
pub const MOST_BYTES: u64 = 1 << 30;

/// The folder of the copies: below the user's cache folder, only for the user.
pub fn folder() -> io::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let base = cache
        .or_else(|| std::env::home_dir().map(|h| h.join(".cache")))
        .ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
    let dir = base.join("stream-mining-host").join("plugins");
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let meta = fs::symlink_metadata(&dir)?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "{} is not this user's own folder",
            dir.display()
        )));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(dir)
}

/// The copy of these bytes, made if it is not there, and in use until this process ends.
pub fn keep(folder: &Path, sha256: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(format!("{sha256}.so"));
    if hold(&path, bytes)? {
        return Ok(path);
    }
    // Hosts that start at once on a new plugin write one after the other: a copy over which another
    // is put is no file of the folder any more. Where there are no locks, they take their chance.
    let writers = File::open(folder)?;
    let _ = writers.lock();
    if !hold(&path, bytes)? {
        write(&path, bytes)?;
        if !hold(&path, bytes)? {
            let message = format!("{} changed while it was written", path.display());
            return Err(io::Error::other(message));
        }
    }
    Ok(path)
}

/// Takes a copy into use, if it is there and whole.
fn hold(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    // Where the file system knows no locks, nothing is removed either.
    let _ = file.lock_shared();
    let mut there = Vec::with_capacity(bytes.len());
    file.read_to_end(&mut there)?;
    // Another process may have removed it between its opening and the lock.
    if there != bytes || file.metadata()?.nlink() == 0 {
        return Ok(false);
    }
    file.set_modified(SystemTime::now())?;
    // Locked for as long as the process lives, as the library is never closed either.
    std::mem::forget(file);
    Ok(true)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    // A process of the same number may have died over it, and what it left cannot be written to.
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&aside, path)
}

/// Removes what was last used before `before` or, the newest first, goes beyond `most` bytes, and
/// is not in use. What cannot be removed stays for the next start.
pub fn clean(folder: &Path, before: SystemTime, most: u64) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let copy = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path)
            .ok()
            .filter(fs::Metadata::is_file)?;
        Some((meta.modified().ok()?, meta.len(), path))
    };
    let copies = entries.flatten().map(|entry| entry.path());
    let mut copies: Vec<_> = copies.filter_map(copy).collect();
    copies.sort_unstable_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    for (used, length, path) in copies {
        bytes += length;
        // Others are being written, or were when their process died.
        let copy = path.extension().is_some_and(|kind| kind == "so");
        if used < before || copy && bytes > most {
            let _ = remove_unused(&path, used);
        }
    }
}

/// Removes a copy that was last used at this time, unless it is in use or was since.
fn remove_unused(path: &Path, used: SystemTime) -> io::Result<()> {
    let file = File::open(path)?;
    if file.try_lock().is_ok() && file.metadata()?.modified()? == used {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn age(path: &Path, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
        File::open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn copies_that_nobody_used_for_long_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in [("old.so", 31), ("new.so", 29), ("torn.7.tmp", 31)] {
            fs::write(folder.path().join(name), name).unwrap();
            age(&folder.path().join(name), days);
        }
        clean(folder.path(), SystemTime::now() - KEEP, MOST_BYTES);
        assert_eq!(names(folder.path()), ["new.so"]);
    }

    #[test]
    fn of_more_than_may_stay_the_ones_used_last_do() {
        let folder = tempfile::tempdir().unwrap();
        let used = keep(folder.path(), "used", &[0; 40]).unwrap();
        age(&used, 9);
        for days in 1..=5 {
            let path = folder.path().join(format!("{days}.so"));
            fs::write(&path, [0; 40]).unwrap();
            age(&path, days);
        }
        clean(folder.path(), SystemTime::now() - KEEP, 120);
        assert_eq!(names(folder.path()), ["1.so", "2.so", "3.so", "used.so"]);
    }

    #[test]
    fn a_copy_in_use_stays_however_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = keep(folder.path(), "a", b"content").unwrap();
        age(&path, 400);
        clean(folder.path(), SystemTime::now() - KEEP, MOST_BYTES);
        assert_eq!(names(folder.path()), ["a.so"]);
    }

    #[test]
    fn all_who_come_at_once_get_the_copy() {
        let bytes = vec![7; 1 << 20];
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        together.wait();
                        let path = keep(folder.path(), "a", &bytes).unwrap();
                        assert_eq!(fs::read(path).unwrap(), bytes);
                    });
                }
            });
            assert_eq!(names(folder.path()), ["a.so"]);
        }
    }

    #[test]
    fn a_use_makes_a_copy_young_and_mends_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.so");
        fs::write(&path, b"content").unwrap();
        age(&path, 400);
        keep(folder.path(), "a", b"content").unwrap();
        let idle = path.metadata().unwrap().modified().unwrap().elapsed();
        assert!(idle.unwrap() < Duration::from_secs(3600));
        fs::write(folder.path().join("b.so"), b"cont").unwrap();
        let mended = keep(folder.path(), "b", b"content").unwrap();
        assert_eq!(fs::read(mended).unwrap(), b"content");
        assert_eq!(names(folder.path()), ["a.so", "b.so"]);
    }
}
