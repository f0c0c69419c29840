//! Plugin `avro`: processors `avro-encode` and `avro-decode`, source and sink `avro-file`.
//!
//! The work itself is in the crate `avro-data`; here it meets the host.
#![forbid(unsafe_code)]

mod config;
mod decode;
mod encode;
mod resolve;
mod sink;
mod source;

pub use config::{DecodeOptions, EncodeOptions, SinkOptions, SourceOptions};
pub use decode::Decode;
pub use encode::Encode;
pub use sink::{AvroFiles, Container};
pub use source::AvroSource;

plugin_api::export_plugin! {
    sources: [AvroSource],
    processors: [plugin_api::PerRecord<Encode>, plugin_api::PerRecord<Decode>],
    sinks: [plugin_api::files::FileSink<AvroFiles>]
}
