//! X's filtered stream (API v2).
//!
//! - [`X`], a source: keeps the rules of an account in step with its options, reads the stream
//!   within a budget, and makes each post one document.

mod budget;
mod config;
mod document;
mod messages;
mod phrases;
mod posts;
mod request;
mod rules;
mod source;
mod sync;
mod verdict;
mod window;

pub use config::Options;
pub use source::X;

plugin_api::export_plugin! { sources: [X] }
