//! Plugin `kafka`: source and sink for Apache Kafka, on librdkafka.
//!
//! Which offsets are done is decided by the host's epochs, never by a timer: a source commits in
//! `commit` only, and a sink's epoch waits for the broker's word on every record before it.
//! Trouble with a broker is waited out; only what a broker refuses for good becomes a dead letter.

mod background;
pub mod config;
mod connect;
mod delivery;
pub mod embedded;
mod events;
mod flow;
mod groups;
mod positions;
mod properties;
mod readers;
pub mod sink;
mod snapshot;
pub mod source;
mod start;
mod topic;

plugin_api::export_plugin! { sources: [source::KafkaSource], sinks: [sink::KafkaSink] }
