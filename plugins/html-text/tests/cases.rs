//! The cases of `cases/`: in each line of a file some HTML, its text and, where it has any, the
//! addresses of its links. A line more needs no code.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use serde_json::Value;

fn cases() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let place = format!("{name}, line {}", index + 1);
            cases.push((place, serde_json::from_str(line).unwrap()));
        }
    }
    assert!(!cases.is_empty(), "no cases");
    cases
}

fn read(html: &str) -> (String, Vec<String>) {
    let (mut text, mut links) = ("kept: ".to_owned(), Vec::new());
    html_text::to_text_and_links(html, &mut text, |link| links.push(link.to_owned()));
    (text.strip_prefix("kept: ").unwrap().to_owned(), links)
}

#[test]
fn every_case_gives_the_text_and_links_as_written() {
    let mut wrong = Vec::new();
    for (place, case) in cases() {
        let (text, links) = read(case["html"].as_str().unwrap());
        if case["text"] != text || case["links"].as_array().map_or(&[][..], |l| l) != links {
            wrong.push(format!("{place}: {text:?} {links:?}\n  {case}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cut_anywhere_no_case_panics_or_grows() {
    for (place, case) in cases() {
        let html = case["html"].as_str().unwrap();
        for (end, _) in html.char_indices() {
            let (text, _) = read(&html[..end]);
            assert!(text.len() <= 3 * html.len(), "{place}, cut at {end}");
        }
    }
}

#[test]
fn tags_within_tags_without_end_are_no_deeper_than_one() {
    for tag in ["<b>", "<pre>", "<ul><li>", "<blockquote>", "<template>"] {
        let (text, _) = read(&format!("a{}b", tag.repeat(100_000)));
        let hidden = tag == "<template>";
        assert_eq!(
            text.starts_with('a') && text.ends_with('b'),
            !hidden,
            "{tag}"
        );
        assert!(text.len() < 10, "{tag}");
    }
}
