//! What every source of a live stream needs: a thread that reads, beside the engine's thread that
//! hands on.
//!
//! - [`Live`] is the stage's side: it starts the thread, hands on what it has read under the
//!   engine's budget, drains and closes.
//! - [`Intake`] is the thread's side: batches of records, counts and dead letters, sent on when
//!   full or due, waiting while the engine is behind.
//! - [`keep`] makes one attempt after the other, notices silence, and waits by the rules; what an
//!   attempt is, a network's plugin says ([`Network`]).
//! - [`http`] is the attempt for streams of HTTP: what to ask and what bytes mean is the plugin's
//!   ([`http::Stream`]).
//! - [`Handshake`] makes a websocket of such a request.
//! - [`base_url`], [`track()`] and [`check_languages`] read the options that networks share.
//! - [`Backoff`], [`Refusal`], [`Framing`], [`client()`]: the parts of it, for streams that are
//!   no HTTP too.

mod backoff;
mod client;
mod farewell;
mod framing;
pub mod http;
mod inflate;
mod intake;
mod keep;
mod refusal;
mod stage;
mod wanted;
mod websocket;

pub use backoff::Backoff;
pub use client::{Setup, base_url, client, is_loopback, keeps_secrets, reason};
pub use farewell::farewell;
pub use framing::{Framing, Piece};
pub use inflate::Inflate;
pub use intake::{Gone, Intake};
pub use keep::{Brought, End, Line, Network, Trouble, keep};
pub use refusal::{Refusal, Verdict, printable};
pub use stage::{Live, PARCEL_BYTES, Passed, Shared};
pub use wanted::{NO_LANGUAGE, check_languages, is_language, track};
pub use websocket::Handshake;
