//! Plugin `websocket`: an HTTP server with a live page, and a websocket that feeds it.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod hub;
pub mod page;
pub mod server;
pub mod sink;
pub mod trust;

use sink::WebSocket;

plugin_api::export_plugin! { sinks: [WebSocket] }
