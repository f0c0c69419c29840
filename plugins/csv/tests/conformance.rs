//! The contract of every stage.

use std::{fs, path::Path};

use plugin_api::{
    ContentType,
    testing::{batch_of, conformance},
};
use plugin_csv::ThisPlugin;
use serde_json::json;

#[test]
fn the_source_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "id,name\n1,Ann\n2,\"B\no\"\n3\n4,\"D\"\"e\"\n5,Eve\n";
    fs::write(folder.path().join("a.csv"), text).expect("a file");
    fs::write(folder.path().join("b.csv"), "id,name\n6,F").expect("a file");
    let options = json!({"path": folder.path()});
    conformance::source::<ThisPlugin>("csv-file", &options, 100);
}

#[test]
fn the_sink_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |n: u32| format!(r#"{{"a":{n},"b":"x\ny"}}"#);
    conformance::sink::<ThisPlugin, _>(
        "csv-file",
        &ContentType::json(),
        &[
            batch_of([row(1), row(2)]),
            batch_of(["{torn".to_owned(), row(3)]),
            batch_of([row(4)]),
        ],
        folder.path(),
        |dir: &Path| {
            let path = dir.join("out.csv");
            json!({"path": path, "columns": ["a", "b"], "roll": {"max_records": 3}})
        },
        conformance::files,
    );
}
