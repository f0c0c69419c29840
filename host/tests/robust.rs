//! Whatever is done to a hosts file, the host says something about it and does not fall over.

mod common;

use host::diag::{json, render};

const SHIPPED: &str = include_str!("../../hosts.toml");

fn survives(text: &str) {
    let prepared = common::plan(text, &[], false);
    let shown = render::render(&prepared.report, true);
    assert_eq!(
        prepared.plan.is_none(),
        prepared.report.has_errors(),
        "{shown}"
    );
    let value = json::json(&prepared.report);
    let lines = text.split('\n').count();
    for diagnostic in value["diagnostics"].as_array().expect("an array") {
        if let Some(line) = diagnostic["line"].as_u64() {
            assert!((1..=lines as u64).contains(&line), "line {line} of {lines}");
        }
    }
}

#[test]
fn a_file_cut_off_anywhere() {
    let text = SHIPPED.replace("demo", "dé🦀mo");
    for (at, _) in text.char_indices().step_by(23) {
        survives(&text[..at]);
    }
}

#[test]
fn lines_left_out_doubled_and_swapped() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for at in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        survives(&fewer.join("\n"));
        let mut more = lines.clone();
        more.insert(at, lines[at]);
        survives(&more.join("\r\n"));
        let mut other = lines.clone();
        other.swap(at, lines.len() / 2);
        survives(&other.join("\n"));
    }
}

#[test]
fn characters_exchanged() {
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % n as u64).expect("it is less than n")
    };
    let chars: Vec<char> = SHIPPED.chars().collect();
    let strange: Vec<char> = "\"'[]{}=.,#\n\r\t\\0-ə🦀\u{0}\u{7f}\u{feff}"
        .chars()
        .collect();
    for _ in 0..400 {
        let mut changed = chars.clone();
        for _ in 0..=next(3) {
            let at = next(changed.len());
            match next(3) {
                0 => changed[at] = strange[next(strange.len())],
                1 => changed.insert(at, strange[next(strange.len())]),
                _ => drop(changed.remove(at)),
            }
        }
        survives(&changed.into_iter().collect::<String>());
    }
}
