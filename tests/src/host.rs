//! Runs of the host in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    artifacts,
    process::{Finished, Process},
    summary::Summary,
};

/// Longest time that a run of these tests may take, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The folder of one test: its hosts.toml, its input, what comes out, the state.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    ///
    /// # Panics
    /// If none can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder on disk")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// Leaves it on the disk, to be looked at: its path.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }

    /// The finished files of a folder in it, by name.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        files
    }

    /// The host, to be run here. Its copies of plugins go where `cargo clean` finds them.
    #[must_use]
    pub fn host(&self, args: &[&str]) -> Command {
        let mut host = Command::new(artifacts::host());
        host.args(args).current_dir(self.0.path());
        host.env("XDG_CACHE_HOME", artifacts::folder().join("plugin-cache"));
        for name in [
            "KAFKA_BROKERS",
            "TWITTER_URL",
            "TWITTER_LISTEN",
            "PAGE_LISTEN",
        ] {
            host.env_remove(name);
        }
        host
    }

    /// Runs a hosts.toml to its end.
    ///
    /// # Panics
    /// If that takes longer than [`PATIENCE`].
    #[must_use]
    pub fn run(&self, hosts: &str, args: &[&str]) -> Finished {
        self.write("hosts.toml", hosts);
        let mut all = vec!["--config", "hosts.toml", "--summary", "json"];
        all.extend_from_slice(args);
        Process::start(&mut self.host(&all)).finish(PATIENCE)
    }

    /// Runs a hosts.toml that must end well and account for every record.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn account(&self, hosts: &str, args: &[&str]) -> Summary {
        let finished = self.run(hosts, args);
        finished.account()
    }
}

impl Finished {
    /// The account of a run that ended well.
    ///
    /// # Panics
    /// If it did not, or a stage does not balance.
    #[must_use]
    pub fn account(&self) -> Summary {
        assert_eq!(self.code, Some(0), "the host failed:\n{}", self.stderr);
        let summary = Summary::read(&self.stdout);
        summary.assert_balanced();
        summary
    }
}

/// A path as a TOML string.
#[must_use]
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
