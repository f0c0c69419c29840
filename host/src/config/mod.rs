//! hosts.toml → [`Config`], with every error of the file at once.
//!
//! [`toml`] parses into values that keep their spans, [`read`] takes the host's own keys from
//! them, [`graph`] checks how the stages of a host are joined. What stands under `with` stays a
//! value: only the plan knows the plugins that it is for. [`reference`] resolves `env:` and
//! `file:`, when the plan asks.

mod graph;
mod keys;
mod model;
mod read;
pub mod reference;
mod stage;
mod toml;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use model::*;
pub use read::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_PLUGIN_DIR, DEFAULT_STATE_DIR};
pub use value::{Entry, Kind as ValueKind, Table, Value};

use crate::diag::{Diagnostic, Report, SourceFile};

/// The largest hosts.toml that is read.
const MAX_FILE: u64 = 4 << 20;

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub enum ConfigSource {
    /// A file.
    File(PathBuf),
    /// A text that is part of the program.
    BuiltIn {
        /// The name to show.
        name: String,
        /// The text.
        text: String,
        /// Where its relative paths start.
        folder: PathBuf,
    },
}

impl ConfigSource {
    /// Reads and parses. The configuration may be used in part though the report has errors; it
    /// is absent where the text is no TOML or cannot be read.
    pub fn load(&self) -> (Option<Config>, Report) {
        match self {
            ConfigSource::BuiltIn { name, text, folder } => {
                parse(Arc::new(SourceFile::new(name, text)), folder)
            }
            ConfigSource::File(path) => match read_file(path) {
                Ok(text) => {
                    let file = Arc::new(SourceFile::new(path.display().to_string(), text));
                    parse(file, &folder_of(path))
                }
                Err(diagnostic) => (None, Report::of(diagnostic)),
            },
        }
    }
}

fn read_file(path: &Path) -> Result<String, Diagnostic> {
    let failed = |why: String| Diagnostic::error(format!("cannot read {}: {why}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|e| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            failed(e.to_string()).maybe_hint(missing.then(|| {
                "name a hosts.toml with `--config`; `host demo` runs the one built in".to_owned()
            }))
        })?
        .len();
    if size > MAX_FILE {
        return Err(failed(format!("it has {size} bytes, more than 4 MiB")));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        failed(format!("line {line} is not UTF-8"))
    })
}

/// The absolute folder of a file.
fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map(Path::to_owned).unwrap_or(absolute)
}

/// Parses a text; relative paths start at `folder`.
pub fn parse(file: Arc<SourceFile>, folder: &Path) -> (Option<Config>, Report) {
    let mut report = Report::about(Arc::clone(&file));
    let Some(root) = toml::parse(file.text(), &mut report) else {
        return (None, report);
    };
    let config = read::config(&root, file, folder, &mut report);
    for host in &config.hosts {
        graph::check(host, &config.hosts, &mut report);
    }
    (Some(config), report)
}
