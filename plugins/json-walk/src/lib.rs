//! A borrowed walk over JSON bytes: finds the value at a path and the members of an object without
//! building a tree, for plugins that look at a few places of a record.
//!
//! It is lenient where real streams are: a lone surrogate becomes U+FFFD, of a repeated key the
//! last one counts (as in every JavaScript), and what lies beside the path is skipped, not
//! validated. It is strict about what it would otherwise misread: text that ends early or brackets
//! that do not match are [`Malformed`].
//!
//! Invariant: no recursion and no allocation that grows with the input; any bytes are safe input.

mod path;
mod paths;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod walk;

pub use path::{Path, PathError};
pub use paths::{Found, Kind, Paths};
pub use scan::{Malformed, Members, Value, elements, members, parse};
pub use text::{compact, push_string, unescape};
pub use walk::Walk;
