//! The cases of `cases/`: in each line of a file a `track` parameter, a tweet, and whether it
//! passes. A line more needs no code.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use serde_json::Value;
use track::{Detail, Filter, Reader, Scratch};

#[test]
fn every_case_passes_or_does_not_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let case: Value = serde_json::from_str(line).unwrap();
            let filter = Filter::from_params(case["track"].as_str(), None, None).unwrap();
            let tweet = case["tweet"].to_string();
            let mut reader = Reader::new(Detail::Filter);
            let tweet = reader.read(tweet.as_bytes()).unwrap();
            let passes = filter.matches(&tweet, &mut Scratch::default());
            if case["matches"] != passes {
                wrong.push(format!("{name}, line {}: {passes}: {line}", index + 1));
            }
            cases += 1;
        }
    }
    assert!(cases > 0, "no cases");
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
