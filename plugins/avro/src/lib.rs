//! Plugin `avro`.
