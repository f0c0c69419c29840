//! Avro data: schemas, datums, container files.
