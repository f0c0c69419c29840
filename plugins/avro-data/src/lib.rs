//! Avro data without a framework around it: schemas, datums, container files, and the
//! schema-driven extraction of datums from JSON.
//!
//! A schema may say of each field where in a JSON document it comes from (`"from"`, see
//! [`schema::Origin`]). [`Extractor`] compiles those paths once and then reads each document in
//! one pass, straight into an Avro datum, without allocating.
//!
//! Invariant: this crate does no IO but through the `Read` and `Write` it is handed, and no
//! input, however broken, makes it panic or allocate more than its limits.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod container;
pub mod datum;
pub mod extract;
mod json;
pub mod schema;

pub use extract::{ExtractError, Extractor};
pub use schema::{Schema, SchemaError};
