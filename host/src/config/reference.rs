//! Values that stand elsewhere: `env:NAME`, `env:NAME?default`, `file:PATH`; and `literal:TEXT`
//! for a text that only looks like one of these.

use std::path::{Path, PathBuf};

/// The largest file that a reference may name.
const MAX_FILE: u64 = 1 << 20;

/// A string option, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// The text itself.
    Literal(&'a str),
    /// An environment variable, and what stands for it if it is not set.
    Env {
        /// The variable.
        name: &'a str,
        /// The text after `?`.
        default: Option<&'a str>,
    },
    /// The content of a file, without the line end at its end.
    File(&'a str),
}

/// Takes a string apart. What is no well-formed reference is a literal.
pub fn parse(text: &str) -> Reference<'_> {
    if let Some(rest) = text.strip_prefix("env:") {
        let (name, default) = match rest.split_once('?') {
            Some((name, default)) => (name, Some(default)),
            None => (rest, None),
        };
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if valid {
            return Reference::Env { name, default };
        }
    } else if let Some(path) = text.strip_prefix("file:") {
        if !path.is_empty() {
            return Reference::File(path);
        }
    } else if let Some(literal) = text.strip_prefix("literal:") {
        return Reference::Literal(literal);
    }
    Reference::Literal(text)
}

/// Where references are looked up.
pub trait Environment {
    /// The value of an environment variable.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// An environment of its own, for tests.
impl Environment for std::collections::BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// Reads what a reference stands for; relative paths start at `folder`.
///
/// # Errors
/// One sentence that names the variable or file.
pub fn resolve(
    reference: &Reference<'_>,
    folder: &Path,
    environment: &dyn Environment,
) -> Result<String, String> {
    match reference {
        Reference::Literal(text) => Ok((*text).to_owned()),
        Reference::Env { name, default } => environment
            .var(name)
            .or_else(|| default.map(str::to_owned))
            .ok_or_else(|| format!("the environment variable `{name}` is not set")),
        Reference::File(path) => read(&folder.join(path)),
    }
}

fn read(path: &PathBuf) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
    if size > MAX_FILE {
        return Err(failed(&"it is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_taken_apart() {
        let env = |name, default| Reference::Env { name, default };
        assert_eq!(parse("env:A_1"), env("A_1", None));
        assert_eq!(parse("env:A?b?c"), env("A", Some("b?c")));
        assert_eq!(parse("env:A?"), env("A", Some("")));
        assert_eq!(parse("file:run/x"), Reference::File("run/x"));
        assert_eq!(parse("literal:env:A"), Reference::Literal("env:A"));
        assert_eq!(parse("env:no name"), Reference::Literal("env:no name"));
        assert_eq!(parse("tweets"), Reference::Literal("tweets"));
    }
}
