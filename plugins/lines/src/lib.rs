//! Plugin `lines`: source and sink `lines`, from and to files, pipes and standard streams; and sink
//! `files`, which makes a file of each record.
#![forbid(unsafe_code)]

mod config;
mod sink;
mod source;
mod split;
mod whole;

pub use config::{SinkOptions, SourceOptions};
pub use sink::LinesSink;
pub use source::LinesSource;
pub use whole::{FilesSink, WholeOptions};

plugin_api::export_plugin! { sources: [LinesSource], sinks: [LinesSink, FilesSink] }
