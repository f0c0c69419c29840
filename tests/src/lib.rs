//! What the end-to-end tests share: the host as it was built, and the real parts it is held
//! against (Apache Kafka, Python's Avro and Twitter clients, Chromium, a second compiler).
//!
//! The real parts are brought by `tests/parts.sh`; a test whose part is missing is counted as
//! ignored, except where `CI=true`, where it fails: see the crate `needs`.

pub mod artifacts;
pub mod cluster;
pub mod host;
pub mod kafka;
pub mod needed;
mod node;
pub mod oracle;
pub mod parts;
pub mod process;
pub mod python;
pub mod summary;
pub mod thirdparty;

use std::path::PathBuf;

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}
