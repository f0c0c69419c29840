//! Twitter's v1.1 streams.
//!
//! - [`Twitter`], a source: reads `statuses/filter` or `statuses/sample` of Twitter or of a
//!   compatible server, as a well-behaved client does.
//! - [`TwitterServer`], a sink: serves what it is fed as such a server, to this source, to tweepy
//!   or to any other old client.

mod config;
#[doc(hidden)]
pub mod oauth;
mod server;
mod source;

pub use config::Credentials;
pub use server::{Options as ServerOptions, TwitterServer};
pub use source::{Options as SourceOptions, Twitter};

plugin_api::export_plugin! { sources: [Twitter], sinks: [TwitterServer] }
