//! Parts for what is no test of a list, which says beforehand what it needs (see the crate
//! `needs`), such as a program that brings up a broker.

use std::{io::Write as _, path::PathBuf};

/// One of the parts, or `None` after saying so.
#[must_use]
pub fn part(path: &str) -> Option<PathBuf> {
    let part = needs::part(path);
    match part.missing() {
        None => Some(part.path()),
        Some(why) => {
            skip(&why);
            None
        }
    }
}

/// Says why nothing is done.
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
