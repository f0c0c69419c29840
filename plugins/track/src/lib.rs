//! Twitter's filter predicates, as documented for `statuses/filter` of API v1.1: which tweets
//! a `track`, `follow` or `locations` parameter lets through.
//!
//! Two halves that meet in [`Filter::matches`]:
//! - [`Reader`] takes one message of a stream (JSON bytes) apart: what kind of message it is, its
//!   id and time, and, if asked for, everything the predicates look at. It builds no tree of
//!   values and allocates nothing per message in steady state.
//! - [`Filter`] holds the predicates of one client, compiled once.
//!
//! Posts of other networks go into a [`Post`], on which [`Track::finds`] decides by the same rules.
//!
//! ```
//! use track::{Detail, Filter, Reader};
//! let filter = Filter::new(&["rust", "apache kafka"], &[], &[])?;
//! let mut reader = Reader::new(Detail::Filter);
//! let tweet = reader.read(br#"{"id":1,"text":"Kafka, by Apache"}"#)?;
//! assert!(filter.matches(&tweet, &mut Default::default()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod collect;
mod filter;
mod fold;
mod matcher;
mod message;
mod node;
mod phrases;
mod post;
mod surrogates;
mod time;

pub use filter::{BoundingBox, Filter, FilterError, MAX_FOLLOW, MAX_LOCATIONS, Predicate};
pub use matcher::{Scratch, Track};
pub use message::{Controls, Detail, Kind, Message, NotJson, Notice, Reader};
pub use phrases::{MAX_PHRASE_BYTES, MAX_PHRASES, PhraseError, PhraseErrorKind};
pub use post::Post;
pub use time::{FIRST_SNOWFLAKE, created_at_ms, snowflake_ms};
