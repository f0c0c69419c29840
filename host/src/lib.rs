//! The host: reads hosts.toml, finds plugins, plans the graph and runs it.
//!
//! Dependencies flow one way: `cli → engine → plan → {config, loader} → plugin-api`. `diag` is
//! used by all of them and uses none.

pub mod admin;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod diag;
pub mod engine;
pub mod isolate;
pub mod loader;
pub mod plan;
pub mod spool;
pub mod wire;
