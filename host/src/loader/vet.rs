//! Vets a file before it is opened: who may write to it, and what exactly it is.
//!
//! From here on only a private copy under its content's name is read: a file that is renamed
//! over, truncated or reused while mapped gives the old library, or a SIGBUS.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use object::ReadCache;
use plugin_api::abi::tag::Tag;
use sha2::{Digest, Sha256};

use super::{Refusal, store, tag};

/// Largest plugin file that is read, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// A vetted copy of a plugin's file.
pub struct Copy {
    /// Where the copy lies.
    pub path: PathBuf,
    /// SHA-256 in hex.
    pub sha256: String,
    bytes: Vec<u8>,
}

impl Copy {
    pub fn tag(&self) -> Result<Tag, Refusal> {
        tag::read(&*self.bytes)
    }
}

/// The tag of a file as it lies there, without any promise. Reads headers and symbols only.
pub fn peek(file: &Path) -> Option<Tag> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(file).ok()?.is_file() {
        return None;
    }
    tag::read(&ReadCache::new(File::open(file).ok()?)).ok()
}

/// Checks who may write to the file and copies it.
pub fn private_copy(file: &Path) -> Result<Copy, Refusal> {
    let cannot = |e: io::Error| Refusal::new(format!("it cannot be read: {e}"));
    let folder = file
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    owned_and_closed("its folder", folder, &fs::metadata(folder).map_err(cannot)?)?;
    if !fs::symlink_metadata(file).map_err(cannot)?.is_file() {
        return Err(Refusal::new("it is no regular file")
            .hint("put the file itself there, not a link to it"));
    }
    let mut source = File::open(file).map_err(cannot)?;
    // Of what was opened, not of what the name means by now.
    let meta = source.metadata().map_err(cannot)?;
    owned_and_closed("it", file, &meta)?;
    if meta.len() > MAX_FILE {
        return Err(Refusal::new(format!(
            "it has {} bytes; a plugin has at most {MAX_FILE}",
            meta.len()
        )));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    Read::by_ref(&mut source)
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    // The tag first: a file that is no plugin is not copied either.
    tag::read(&*bytes)?;
    let sha256 = hex(&Sha256::digest(&bytes));
    let path = store::folder()
        .and_then(|folder| store::keep(&folder, &sha256, &bytes))
        .map_err(|e| Refusal::new(format!("no private copy of it can be made: {e}")))?;
    Ok(Copy {
        path,
        sha256,
        bytes,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn owned_and_closed(what: &str, path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    let me = rustix::process::geteuid().as_raw();
    let shown = path.display();
    if meta.uid() != 0 && meta.uid() != me {
        return Err(Refusal::new(format!(
            "{what} belongs to another user (uid {})",
            meta.uid()
        ))
        .hint(format!(
            "`chown` it to root or to the user who runs the host: {shown}"
        )));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(Refusal::new(format!("{what} is writable by everybody"))
            .hint(format!("`chmod o-w {shown}`")));
    }
    // Users' own groups bear the number of the user, or are the group this process runs with.
    let own_group = meta.gid() == meta.uid()
        || (meta.uid() == me && meta.gid() == rustix::process::getegid().as_raw());
    if meta.mode() & 0o020 != 0 && !own_group {
        return Err(Refusal::new(format!(
            "{what} is writable by a group (gid {})",
            meta.gid()
        ))
        .hint(format!("`chmod g-w {shown}`")));
    }
    Ok(())
}
