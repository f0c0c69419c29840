//! Plugin `csv`: source and sink `csv-file`, RFC 4180.
#![forbid(unsafe_code)]

mod config;
mod rows;
mod sink;
mod source;
mod typed;
mod write;

pub use config::{SinkOptions, SourceOptions};
pub use sink::{CsvFiles, Rows};
pub use source::CsvSource;

plugin_api::export_plugin! { sources: [CsvSource], sinks: [plugin_api::files::FileSink<CsvFiles>] }
