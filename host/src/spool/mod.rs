//! The disk buffer: batches that wait on disk between two regions of a host.
//!
//! To the region that writes it is a sink, to the one that reads it a source; both hold the same
//! [`Spool`]. Entries are numbered from 0 without a gap. Three positions say all the rest:
//!
//! ```text
//!   trimmed        the reader's       published              head
//!      │  may be asked │  readable        │   belongs to epochs │
//!      │  for again    │                  │   not yet committed │
//! ```
//!
//! A position is what the stages keep in their epochs: the writer's is the head as its barrier
//! passed, the reader's is the entry (and the record in it) that it sends next. So an epoch that
//! is true says which entries are, whatever numbers other epochs had: restoring the writer cuts
//! off what is behind its head, restoring the reader goes back to where it was, and an aborted
//! epoch needs nothing at all.
//!
//! `checkpoint` of the writer makes entries durable, `commit` publishes them, and `commit` of the
//! reader trims. The end of the stream is part of the writer's state, too, not an entry: it holds
//! at the published position, and only when the writer has been restored, since a stream that
//! ended in an earlier run may go on in this one.

mod buffer;
mod stages;
mod store;
#[cfg(test)]
mod tests;

pub use buffer::{Appended, Bounds, Found, Lease, Spool, WhenFull};
pub use stages::{BuiltIn, DiskBufferIn, DiskBufferOut, InOptions, OutOptions};
pub use store::{Entry, Extent};
