//! Which files a path means.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Deepest folder that `**` descends to; links may form a circle.
const MAX_DEPTH: usize = 64;

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Standard input.
    Stdin,
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its path below the folder that was named, or its own name: part of each record's id.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl Origin {
    /// Short name for ids.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Stdin => "stdin",
            Self::File { name, .. } => name,
        }
    }
}

/// The files that `path` means, in the order of their names: `-` is standard input, a folder every
/// file in it, and a path with `*`, `?` or `**` (any folders, also none) every file that fits.
/// Hidden files and those still being written (`.inprogress`) are left out unless named outright.
///
/// # Errors
/// If a file or folder cannot be read, or none fits.
pub fn find(path: &Path) -> io::Result<Vec<Origin>> {
    if path == Path::new("-") {
        return Ok(vec![Origin::Stdin]);
    }
    let mut files = Vec::new();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => walk(path, &["*"], "", 0, &mut files)?,
        Ok(_) => {
            let name = path.file_name().unwrap_or_default();
            files.push((name.to_string_lossy().into_owned(), path.to_owned()));
        }
        Err(error) => {
            let Some((folder, pattern)) = split_pattern(path) else {
                return Err(error);
            };
            let pattern: Vec<&str> = pattern.split('/').collect();
            walk(&folder, &pattern, "", 0, &mut files)?;
        }
    }
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no file fits"));
    }
    files.sort();
    files.dedup();
    Ok(files
        .into_iter()
        .map(|(name, path)| Origin::File { path, name })
        .collect())
}

/// The folder before the first part with a wildcard, and the rest.
fn split_pattern(path: &Path) -> Option<(PathBuf, String)> {
    let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?']);
    let mut parts = path.components();
    let folder: PathBuf = parts.by_ref().take_while(|part| !is_wild(part)).collect();
    let depth = folder.components().count();
    let pattern: PathBuf = path.components().skip(depth).collect();
    let pattern = pattern.to_str()?.to_owned();
    if pattern.is_empty() {
        return None;
    }
    Some((folder, pattern))
}

fn walk(
    folder: &Path,
    pattern: &[&str],
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    let Some((&first, rest)) = pattern.split_first() else {
        return Ok(());
    };
    if depth > MAX_DEPTH {
        return Ok(());
    }
    if first == "**" {
        walk(folder, rest, prefix, depth, files)?;
    }
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    for entry in fs::read_dir(here)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.starts_with('.') || !(first == "**" || fits(first, name)) {
            continue;
        }
        // A link that leads nowhere is no file.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let below = format!("{prefix}{name}");
        if metadata.is_dir() {
            let next = if first == "**" { pattern } else { rest };
            walk(&path, next, &format!("{below}/"), depth + 1, files)?;
        } else if first != "**" && rest.is_empty() && !name.ends_with(".inprogress") {
            files.push((below, path));
        }
    }
    Ok(())
}

/// Whether a name fits a pattern of `*` (any characters) and `?` (one).
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}
