//! Where the parts lie that are not built here, and what a test does without one.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// The folder that `tests/parts.sh` fills: `PARTS_DIR`, by default `target/parts`.
#[must_use]
pub fn dir() -> PathBuf {
    std::env::var_os("PARTS_DIR").map_or_else(|| crate::root().join("target/parts"), PathBuf::from)
}

/// One of the parts, or `None` after saying so.
#[must_use]
pub fn part(path: &str) -> Option<PathBuf> {
    present(&dir().join(path), "tests/parts.sh brings it")
}

/// A folder or file of the real cases that lie beside the project, or `None` after saying so.
#[must_use]
pub fn data(path: &str) -> Option<PathBuf> {
    present(
        &crate::root().join("../shared/data").join(path),
        "real cases, not part of the project",
    )
}

fn present(path: &Path, hint: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path.to_path_buf());
    }
    skip(&format!("{} is missing ({hint})", path.display()));
    None
}

/// Says why a test does nothing, past the test runner's capture.
///
/// # Panics
/// Where `CI=true`: there, nothing may be skipped.
pub fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "not to be skipped in CI: {why}"
    );
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
