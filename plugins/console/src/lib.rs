//! Plugin `console`: sink `console`, records on standard output.
#![forbid(unsafe_code)]

mod config;
mod people;
mod programs;
mod safe;
mod sink;

pub use config::Options;
pub use sink::Console;

plugin_api::export_plugin! { sinks: [Console] }
