//! The plugins found: see [`crate::loader::registry`].

pub use crate::loader::registry::*;
