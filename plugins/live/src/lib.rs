//! What every source of a live stream needs: a thread that reads, beside the engine's thread that
//! hands on.
//!
//! - [`Live`] is the stage's side: it starts the thread, hands on what it has read under the
//!   engine's budget, drains and closes.
//! - [`Intake`] is the thread's side: batches of records, counts and dead letters, sent on when
//!   full or due, waiting while the engine is behind.
//! - [`http`] keeps a stream of HTTP: a network's plugin says what to ask and what bytes mean
//!   ([`http::Stream`]), the loop connects, notices silence, and waits by the rules.
//! - [`Backoff`], [`Refusal`], [`Framing`], [`client`]: the parts of it, for streams that are
//!   no HTTP too.

mod backoff;
mod client;
mod framing;
pub mod http;
mod inflate;
mod intake;
mod refusal;
mod stage;

pub use backoff::Backoff;
pub use client::{Setup, client, is_loopback, reason};
pub use framing::{Framing, Piece};
pub use inflate::Inflate;
pub use intake::{Gone, Intake};
pub use refusal::{Refusal, Verdict, printable};
pub use stage::{Live, PARCEL_BYTES, Passed, Shared};
