//! The contract of every stage.

use std::{fs, path::Path};

use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use plugin_lines::ThisPlugin;
use serde_json::json;

#[test]
fn the_source_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write(
        "a.txt",
        "one\n\ntwo\r\na line that is too long to be a record\nthree\n",
    );
    write("b.txt", "");
    write("c.txt", "four\nfive");
    let options = json!({"path": folder.path(), "max_line_bytes": 20});
    conformance::source::<ThisPlugin>("lines", &options, 100);
}

#[test]
fn the_sink_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    conformance::sink::<ThisPlugin, _>(
        "lines",
        &ContentType::text(),
        &[
            batch_of(["one", "two"]),
            batch_of(["three"]),
            batch_of(["four", "five"]),
        ],
        folder.path(),
        |dir: &Path| json!({"path": dir.join("out.txt"), "roll": {"max_records": 3}}),
        conformance::files,
    );
}

#[test]
fn the_sink_of_whole_files_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    conformance::sink::<ThisPlugin, _>(
        "files",
        &ContentType::text(),
        &[
            batch_of(["one\ntwo", "three"]),
            batch_of(["four"]),
            batch_of([""]),
        ],
        folder.path(),
        |dir: &Path| json!({"path": dir.join("out.txt")}),
        conformance::files,
    );
}
