//! Plugin `generate`: source `generate`, synthetic tweets and users.
#![forbid(unsafe_code)]

mod config;
mod languages;
mod people;
mod rng;
mod source;
mod stream;
mod text;
mod topics;
mod tweet;

pub use config::Options;
pub use source::Generate;

plugin_api::export_plugin! { sources: [Generate] }
