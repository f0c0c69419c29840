//! Output files in which each record stands exactly once, whatever crashes when, and that are never
//! seen half-written and never overwrite another.
//!
//! A file is written as `NAME.HOST.STAGE.WORKER-NUMBER.inprogress` and takes its name only when an
//! epoch that holds all of it is true: fsync, the epoch, rename without replacing (a taken name gets
//! `-1`, `-2`, … before its extension), fsync of the folder. After a crash it is cut back to the
//! last epoch and gone on with, and what no epoch lists is deleted. One instance of a host may
//! therefore write to a folder at a time; hosts of different names do not meet.
//!
//! A sink describes its format by [`FileFormat`] and its options by [`FileSpec`]: then it is a
//! [`FileSink`]. Below that are [`FileWriter`], for a sink that has more to do; [`Rolling`], which
//! decides when one file ends and the next begins and knows what an epoch lists; and [`OutputFile`],
//! one file in progress. By hand it goes like this:
//!
//! ```
//! use plugin_api::files::{Names, Roll, Rolling, Template};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("tweets-{date}.txt");
//! # let (now_us, path) = (0, path.to_str().ok_or("path")?);
//! let mut files = Rolling::new(Template::parse(path)?, Names::default(), Roll::default());
//! files.restore(0, None)?;
//! if files.due(now_us) {
//!     files.roll()?; // a format with a tail writes it first, through `files.current()`
//! }
//! let file = files.open(now_us)?; // a format with a head writes it when `file.is_empty()`
//! file.append(b"one record\n");
//! files.add_records(1);
//! files.flush_if_full()?;
//! files.roll()?; // the last epoch ends the open file
//! files.checkpoint(1, String::new());
//! let state = loop {
//!     match files.checkpoint_poll(1)? {
//!         Some(state) => break state, // to be kept, durably, and given to `restore` after a crash
//!         None => std::thread::yield_now(),
//!     }
//! };
//! let finished = files.commit(1)?;
//! assert!(finished[0].path.ends_with("tweets-1970-01-01.txt"));
//! # Ok(()) }
//! ```
//!
//! Bytes go to a buffer first and are never refused there: [`Rolling::flush_if_full`], called
//! between batches, is where a full disk shows. What could not be written stays in the buffer, in
//! order, so the same call is simply made again later. The buffer is therefore bounded by its
//! usual 256 KiB and one batch.
//!
//! Invariant: all access to the disk goes through [`FileSystem`], so that tests can run it out of
//! space, fail an fsync and lose power.

mod epoch;
mod error;
mod format;
mod fs;
mod memory;
mod output;
mod owner;
mod rolling;
mod sink;
mod template;
#[cfg(test)]
mod tests;

pub use epoch::Finished;
pub use error::FileError;
pub use format::{FileFormat, FileWriter};
pub use fs::{FileHandle, FileSystem, Os, Syncer};
pub use memory::MemoryFiles;
pub use output::OutputFile;
pub use rolling::{Roll, Rolling};
pub use sink::{FileSink, FileSpec};
pub use template::{Names, Template, TemplateError};
