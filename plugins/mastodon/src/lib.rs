//! Mastodon's streaming API: a source that reads public timelines, hashtags and lists of a server.
//!
//! One websocket carries all streams, rather than a connection of server-sent events for each: it
//! is kinder to the server. What is missed while there is none is fetched from the server's
//! timelines, whose ids are ordered.

mod catch_up;
mod config;
mod event;
#[doc(hidden)]
pub mod fuzzed;
mod id;
mod ledger;
mod listener;
mod rest;
mod socket;
mod sorter;
mod source;
mod status;
mod timeline;
mod verdict;
mod window;

pub use config::{Edits, Options, Public};
pub use source::Mastodon;

plugin_api::export_plugin! { sources: [Mastodon] }
