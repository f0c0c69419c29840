//! Plugin `lines`: source and sink `lines`, from and to files, pipes and standard streams.
#![forbid(unsafe_code)]

mod config;
mod sink;
mod source;
mod split;

pub use config::{SinkOptions, SourceOptions};
pub use sink::LinesSink;
pub use source::LinesSource;

plugin_api::export_plugin! { sources: [LinesSource], sinks: [LinesSink] }
