//! `host demo`: the shipped hosts.toml, built in, so that it runs in any folder.

use std::path::{Path, PathBuf};

use super::{DemoArgs, Run, output};
use crate::config::ConfigSource;
use crate::diag::{Diagnostic, EXIT_UNAVAILABLE, Report};

/// The file.
pub const HOSTS_TOML: &str = include_str!("../../../hosts.toml");

/// The schemas that it reads, written beside it where they are missing.
const SCHEMAS: [(&str, &str); 3] = [
    (
        "schemas/tweet.avsc",
        include_str!("../../../schemas/tweet.avsc"),
    ),
    (
        "schemas/tweet_full.avsc",
        include_str!("../../../schemas/tweet_full.avsc"),
    ),
    (
        "schemas/user.avsc",
        include_str!("../../../schemas/user.avsc"),
    ),
];

pub(super) fn demo(args: &DemoArgs, run: &Run<'_>) -> u8 {
    if args.print {
        return output::data(HOSTS_TOML);
    }
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    if let Err(message) = schemas(&folder) {
        output::show(&Report::of(
            Diagnostic::error(message).exit(EXIT_UNAVAILABLE),
        ));
        return EXIT_UNAVAILABLE;
    }
    let source = ConfigSource::BuiltIn {
        name: "hosts.toml (built in)".to_owned(),
        text: HOSTS_TOML.to_owned(),
        folder,
    };
    run(&args.options, &source, None)
}

fn schemas(folder: &Path) -> Result<(), String> {
    for (name, text) in SCHEMAS {
        let path = folder.join(name);
        if path.exists() {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        output::note(&format!("wrote {}, which the demo reads\n", path.display()));
    }
    Ok(())
}
