//! Datums: a value in Avro's binary encoding, without a container around it.
//!
//! [`visit`] walks the fields of a record without allocating, [`to_json`] writes a datum as
//! JSON, [`length`] tells where a datum ends.

mod json;
mod visit;
pub mod wire;

use std::fmt;

pub use json::to_json;
pub use visit::{Nested, Value, length, visit};

/// Types within types before a datum is refused (a schema may contain itself).
pub(crate) const MAX_DEPTH: u32 = 64;

/// Why a datum could not be read, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatumError {
    /// Position of the byte at fault.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
    /// Whether the bytes ended before the datum did.
    pub cut: bool,
}

impl fmt::Display for DatumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a datum of the schema at byte {}: {}",
            self.at, self.what
        )
    }
}

impl std::error::Error for DatumError {}

#[cfg(test)]
mod tests;
