//! A stage of this binary, driven through the real boundary.

use plugin_api::{Code, prelude::*, testing::*};
use serde_json::json;

options! {
    /// Writes each record in capitals.
    pub struct Options {
        /// Put behind each record. Default: nothing.
        #[serde(default)]
        pub suffix: String,
    }
}

struct Shout(Options);

impl Map for Shout {
    const NAME: &'static str = "shout";
    type Options = Options;
    fn open(options: Options, _: &Context) -> Result<Self, StageError> {
        Ok(Self(options))
    }
    fn map(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<Fate, Reject> {
        match record.text()? {
            "" => Ok(Fate::Drop),
            "panic" => panic!("as asked"),
            text => {
                out.extend(text.to_uppercase().bytes());
                out.extend(self.0.suffix.bytes());
                Ok(Fate::Keep)
            }
        }
    }
}

impl Drop for Shout {
    fn drop(&mut self) {
        assert_ne!(self.0.suffix, "panic in drop");
    }
}

export_plugin! { processors: [PerRecord<Shout>] }

fn shout(options: &serde_json::Value) -> Result<Harness<ThisPlugin>, StageError> {
    Harness::processor("shout", options, &[ContentType::text()])
}

#[test]
fn each_record_has_one_fate() {
    let mut stage = shout(&json!({"suffix": "!"})).unwrap();
    let out = stage
        .process(0, &batch_of([&b"one"[..], b"", b"\xff", b"two"]))
        .unwrap();
    assert_eq!(out.texts(), ["ONE!", "TWO!"]);
    assert_eq!((out.consumed_count(), out.filtered_count()), (2, 1));
    assert_eq!(
        out.rejected,
        [(1, 2, "not UTF-8 from byte 0".into(), String::new())]
    );
    stage.close().unwrap();
}

#[test]
fn a_panic_is_an_error_and_then_only_drop_is_called() {
    let mut stage = shout(&json!({})).unwrap();
    let error = stage.process(0, &batch_of(["panic"])).unwrap_err();
    assert_eq!(error.code, Code::PANIC);
    assert!(
        error
            .message
            .contains("as asked at plugin-api/tests/stage.rs:"),
        "{error}"
    );
    assert!(
        stage
            .process(0, &batch_of(["x"]))
            .unwrap_err()
            .message
            .contains("after a panic")
    );
}

#[test]
fn a_panic_in_drop_stays_inside() {
    drop(shout(&json!({"suffix": "panic in drop"})).unwrap());
}

#[test]
fn a_wrong_option_is_named_by_pointer() {
    let error = shout(&json!({"suffix": 3})).err().unwrap();
    assert_eq!((error.code, &*error.pointer), (Code::CONFIG, "/suffix"));
    let error = shout(&json!({"sufix": "x"})).err().unwrap();
    assert!(error.message.contains("sufix"), "{error}");
}

#[test]
fn the_manifest_tells_the_options_in_the_authors_words() {
    let manifest = plugin_api::manifest::Manifest::of::<ThisPlugin>();
    assert_eq!(
        manifest.stages[0].description,
        "Writes each record in capitals."
    );
    let suffix = &manifest.stages[0].options["properties"]["suffix"];
    assert_eq!(
        suffix["description"],
        "Put behind each record. Default: nothing."
    );
}

#[test]
fn the_exported_name_is_the_one_that_the_loader_looks_for() {
    let ours = include_str!("../src/export.rs");
    assert!(ours.contains(&format!(
        "\"{}\"",
        abi_stable::library::ROOT_MODULE_LOADER_NAME
    )));
}

#[test]
fn cases_come_out_as_written_or_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join("loud").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let run = || {
        let run = || cases::run::<ThisPlugin>(folder.path());
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        caught.map_err(|said| said.downcast_ref::<String>().unwrap().clone())
    };
    assert!(run().unwrap_err().starts_with("no case in"));
    write(
        "case.json",
        r#"{"stage": "shout", "input": "text", "with": {"suffix": "!"}}"#,
    );
    write("in.bytes", "one\\x21\n\n\\xff\ntwo\n");
    write("out.txt", "ONE!!\nTWO!\n");
    let dead = r#"{"reason": "not UTF-8 from byte 0", "index": 2}"#;
    write("dead.jsonl", dead);
    run().unwrap();
    write("out.txt", "ONE!!\n");
    let said = run().unwrap_err();
    assert!(
        said.contains("loud: out, line 2: TWO!\n  instead of: nothing"),
        "{said}"
    );
    write("out.txt", "ONE!!\nTWO!\n");
    write("dead.jsonl", "");
    let said = run().unwrap_err();
    assert!(said.contains("loud: dead, line 1"), "{said}");
}
