//! Bluesky's public stream.
//!
//! [`Bluesky`], a source: reads the posts of everybody from a Jetstream server, which asks for no
//! credentials, and goes on after a break or a crash where it was.

mod config;
mod endpoints;
mod event;
mod frames;
mod inflate;
mod ledger;
mod listener;
mod past;
mod post;
mod selection;
mod source;
mod subscribe;
mod trim;

pub use config::{Emit, Options};
#[doc(hidden)]
pub use frames::Converter;
pub use source::Bluesky;
#[doc(hidden)]
pub use trim::trimmed;

plugin_api::export_plugin! { sources: [Bluesky] }
