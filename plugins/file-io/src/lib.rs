//! Files for plugins that read or write them as streams of bytes: which files a path means and a
//! source's way through them, their decompression by magic bytes, a reader that never blocks for
//! long, ids of records, compression on the way out, and standard output.
//!
//! Invariant: nothing here knows what the bytes mean.

mod compress;
mod decompress;
mod find;
mod fingerprint;
mod id;
mod reader;
mod stdout;
#[cfg(test)]
mod tests;
mod walk;

pub use compress::{Codec, Encoder};
pub use decompress::{Compression, decoder};
pub use find::{Origin, find};
pub use fingerprint::fingerprint;
pub use id::Id;
pub use reader::{Got, Reader};
pub use stdout::Stdout;
pub use walk::Walk;
