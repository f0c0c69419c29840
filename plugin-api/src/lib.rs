//! What a plugin of the stream-mining host implements.
//!
//! An author implements [`Source`], [`Processor`], [`Sink`] or, for one record at a time, [`Map`],
//! and names the types in [`export_plugin!`]. The crate is built as a `cdylib` and dropped into a
//! folder of `plugin_dirs`; it needs no other dependency than this one.
//!
//! ```
//! use plugin_api::prelude::*;
//!
//! options! {
//!     /// Writes each record in capitals.
//!     pub struct Options {
//!         /// Put behind each record. Default: nothing.
//!         #[serde(default)]
//!         pub suffix: String,
//!     }
//! }
//!
//! struct Shout(Options);
//!
//! impl Map for Shout {
//!     const NAME: &'static str = "shout";
//!     type Options = Options;
//!     fn open(options: Options, _: &Context) -> Result<Self, StageError> {
//!         Ok(Shout(options))
//!     }
//!     fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
//!         out.extend(record.text()?.to_uppercase().bytes());
//!         out.extend(self.0.suffix.bytes());
//!         Ok(Fate::Keep)
//!     }
//! }
//!
//! export_plugin! { processors: [PerRecord<Shout>] }
//! # fn main() {}
//! ```
#![warn(missing_docs)]

pub mod abi;
pub mod batch;
pub mod content;
pub mod context;
pub mod error;
pub mod export;
pub mod feed;
pub mod files;
pub mod manifest;
pub mod map;
pub mod options;
pub mod out;
pub mod stage;
pub mod testing;
pub mod time;
pub mod upstream;
mod verbs;

pub use batch::{Batch, BatchBuilder, BatchLimits, Record};
pub use content::{ContentType, Format, Memory, Planned};
pub use context::Context;
pub use error::{Code, Reject, StageError};
pub use map::{Fate, Map, PerRecord};
pub use options::{ByteSize, FilePath, Secret, Span};
pub use out::{Emit, Out};
pub use stage::{
    Checkpoint, Commit, Drain, Input, Poll, PortSpec, Processor, Progress, Recover, Sink, Source,
};
pub use upstream::Upstream;
#[doc(hidden)]
pub use {schemars, serde};

/// Name of the header by which a reader knows a record that it has seen. A source gives each
/// record an id that is the same whenever it reads that record: a tweet's own, or where it stands
/// (topic, partition and offset; file and position). Stages that make one record of one keep it,
/// those that make several append `/0`, `/1`, …; aggregates have none.
pub const ID_HEADER: &str = "id";

/// Everything that an author usually needs.
pub mod prelude {
    pub use crate::{
        Batch, BatchBuilder, ByteSize, Checkpoint, Commit, ContentType, Context, Drain, Emit, Fate,
        FilePath, Format, Input, Map, Out, PerRecord, Planned, Poll, PortSpec, Processor, Progress,
        Record, Recover, Reject, Secret, Sink, Source, Span, StageError, Upstream, export_plugin,
        options,
    };
}
