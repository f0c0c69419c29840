//! Plugin `websocket`: an HTTP server with a live page, and a websocket that feeds it.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
mod http;
pub mod hub;
mod limits;
pub mod message;
pub mod page;
mod quota;
mod readers;
pub mod server;
pub mod sink;
mod tls;
pub mod trust;
mod visitors;
mod wire;

use sink::WebSocket;

plugin_api::export_plugin! { sinks: [WebSocket] }
