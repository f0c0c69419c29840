//! Output files that are never seen half-written and never overwrite another.
//!
//! A file is written as `NAME.inprogress` and takes its name only when every byte of it is on the
//! disk: fsync, rename without replacing (a taken name gets `-1`, `-2`, … before its extension),
//! fsync of the folder. [`Rolling`] decides when one file ends and the next begins; [`OutputFile`]
//! is one such file. A sink needs neither: it describes its format by [`FileFormat`] and passes its
//! calls on to a [`FileWriter`]. By hand it goes like this:
//!
//! ```
//! use plugin_api::files::{Names, Roll, Rolling, Template};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("tweets-{date}.txt");
//! # let (now_us, path) = (0, path.to_str().ok_or("path")?);
//! let mut files = Rolling::new(Template::parse(path)?, Names::default(), Roll::default());
//! if files.due(now_us) {
//!     files.finish()?; // a format with a tail writes it first, through `files.current()`
//! }
//! let file = files.open(now_us)?; // a format with a head writes it when `file.is_empty()`
//! file.append(b"one record\n");
//! files.add_records(1);
//! files.flush_if_full()?;
//! let finished = files.finish()?.ok_or("a file was open")?;
//! assert!(finished.path.ends_with("tweets-1970-01-01.txt"));
//! # Ok(()) }
//! ```
//!
//! Bytes go to a buffer first and are never refused there: [`Rolling::flush_if_full`], called
//! between batches, is where a full disk shows. What could not be written stays in the buffer, in
//! order, so the same call is simply made again later. The buffer is therefore bounded by its
//! usual 256 KiB and one batch.
//!
//! Invariant: all access to the disk goes through [`FileSystem`], so that tests can run it out of
//! space or fail an fsync.

mod error;
mod format;
mod fs;
mod memory;
mod output;
mod rolling;
mod template;
#[cfg(test)]
mod tests;

pub use error::FileError;
pub use format::{FileFormat, FileWriter};
pub use fs::{FileHandle, FileSystem, Os, Syncer};
pub use memory::MemoryFiles;
pub use output::OutputFile;
pub use rolling::{Finished, Roll, Rolling};
pub use template::{Names, Template, TemplateError};
