//! Plugin `filter`: processors `filter` (keeps or drops records) and `route` (parts a stream).
#![forbid(unsafe_code)]

mod condition;
mod config;
mod field;
mod processor;

pub use config::{CaseOptions, FilterOptions, RouteOptions};
pub use processor::{Filter, Route};

plugin_api::export_plugin! { processors: [Filter, Route] }
