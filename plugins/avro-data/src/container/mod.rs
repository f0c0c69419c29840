//! Avro container files: a header with the schema, then compressed blocks of datums.
//!
//! The reader takes files as they are found: by other writers (bytes after a deflate stream,
//! dotted field names), and torn ones, of which it gives every whole record and then one error.

mod codec;
mod header;
mod reader;
mod writer;

pub use codec::Codec;
pub use reader::{Limits, Position, ReadError, Reader};
pub use writer::{Blocks, DEFAULT_BLOCK_SIZE, Writer, random_sync};

/// What marks the end of each block: 16 bytes, random for each file.
pub type Sync = [u8; 16];

const MAGIC: &[u8; 4] = b"Obj\x01";

#[cfg(test)]
mod tests;
