//! Hosts files with mistakes: each `wrong/NAME.toml` gives exactly `wrong/NAME.txt`.
//!
//! A first line `# -n HOST` names hosts. `UPDATE_SNAPSHOTS=1` writes the texts anew, to be read
//! before they are committed.

mod common;

use std::fs;
use std::path::PathBuf;

use host::diag::render;

#[test]
fn each_mistake_is_shown_at_its_place() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "only {} cases", names.len());
    let mut differ = Vec::new();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let hosts: Vec<&str> = text
            .lines()
            .next()
            .and_then(|l| l.strip_prefix("# -n "))
            .map(|l| l.split(' ').collect())
            .unwrap_or_default();
        let planned = common::plan(&text, &hosts, false);
        let shown = format!(
            "{}\n{}\nexit {}\n",
            render::render(&planned.report, false),
            render::summary(&planned.report),
            planned.report.exit()
        );
        assert_eq!(
            planned.plan.is_none(),
            planned.report.exit() != 0 || planned.config.is_none()
        );
        for secret in ["hunter2", "open-sesame"] {
            assert!(
                !shown.contains(secret),
                "{} shows a secret:\n{shown}",
                path.display()
            );
        }
        let expected_path = path.with_extension("txt");
        if update {
            fs::write(&expected_path, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != shown {
            differ.push(format!(
                "{}:\n{shown}--- expected\n{expected}",
                path.display()
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
