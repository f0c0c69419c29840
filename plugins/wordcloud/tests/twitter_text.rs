//! Twitter's own conformance cases for what a link, a mention, a hashtag and a cashtag is.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use plugin_wordcloud::entities::{self, Entity, Kind};

/// What is expected in a case: names, with the places of those that have them, in characters.
#[derive(Debug)]
struct Case {
    section: String,
    what: String,
    text: String,
    expected: Vec<(String, Option<(usize, usize)>)>,
}

/// Reads the subset of YAML that the conformance file uses.
fn cases(yaml: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section = String::new();
    for line in yaml.lines() {
        let bare = line.trim();
        let value = |key: &str| {
            let rest = bare.trim_start_matches("- ").strip_prefix(key)?;
            rest.strip_prefix(':').map(str::trim)
        };
        if line.starts_with("  ") && !line.starts_with("   ") && bare.ends_with(':') {
            section = bare.trim_end_matches(':').to_owned();
        } else if let Some(what) = value("description") {
            cases.push(Case {
                section: section.clone(),
                what: scalar(what),
                text: String::new(),
                expected: Vec::new(),
            });
        } else if let Some(case) = cases.last_mut() {
            if let Some(text) = value("text") {
                case.text = scalar(text);
            } else if let Some(list) = value("expected") {
                let list = list
                    .strip_prefix('[')
                    .and_then(|list| list.strip_suffix(']'));
                let names = list.map(items).unwrap_or_default();
                case.expected = names.into_iter().map(|name| (name, None)).collect();
            } else if let Some(slug) = value("list_slug") {
                case.expected.last_mut().unwrap().0 += &scalar(slug);
            } else if let Some(place) = value("indices") {
                let place = items(place.trim_matches(['[', ']']));
                let place: Vec<usize> = place.iter().map(|at| at.parse().unwrap()).collect();
                case.expected.last_mut().unwrap().1 = Some((place[0], place[1]));
            } else {
                let keys = ["url", "screen_name", "hashtag", "cashtag"];
                if let Some(name) = keys.into_iter().find_map(value) {
                    case.expected.push((scalar(name), None));
                }
            }
        }
    }
    cases
}

fn items(list: &str) -> Vec<String> {
    let (mut items, mut quote, mut from) = (Vec::new(), None, 0);
    for (at, letter) in list.char_indices().chain([(list.len(), ',')]) {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (',', None) => {
                items.push(scalar(list[from..at].trim()));
                from = at + 1;
            }
            (other, Some(open)) if other == open => quote = None,
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

fn scalar(value: &str) -> String {
    if let Some(inner) = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return inner.replace("''", "'");
    }
    if !value.starts_with('"') {
        return value.to_owned();
    }
    // YAML's \U with eight digits is the one escape that JSON lacks.
    let mut json = value.to_owned();
    while let Some(at) = json.find("\\U") {
        let letter =
            char::from_u32(u32::from_str_radix(&json[at + 2..at + 10], 16).unwrap()).unwrap();
        json.replace_range(at..at + 10, &letter.to_string());
    }
    serde_json::from_str(&json).unwrap()
}

fn file() -> needs::Need {
    needs::data("twitter-text/extract.yml")
}

/// The kind that a section is about; `None`: nothing that a cloud needs.
fn kind(section: &str) -> Option<Kind> {
    Some(match section {
        "mentions" | "mentions_with_indices" => Kind::Mention,
        "mentions_or_lists_with_indices" => Kind::Mention,
        "urls" | "urls_with_indices" => Kind::Link,
        "urls_with_directional_markers" | "tco_urls_with_params" => Kind::Link,
        "hashtags" | "hashtags_from_astral" | "hashtags_with_indices" => Kind::Hashtag,
        "cashtags" | "cashtags_with_indices" => Kind::Cashtag,
        // Whom a tweet answers.
        "replies" => return None,
        other => panic!("a section that is not known: {other}"),
    })
}

fn name(case: &Case, entity: &Entity) -> String {
    let text = &case.text[entity.start..entity.end];
    let name = text.trim_start_matches(['#', '＃', '@', '＠', '$']);
    if case.section.starts_with("mentions") && !case.section.contains("lists") {
        return name.split('/').next().unwrap().to_owned();
    }
    name.to_owned()
}

fn every_applicable_case_for_links_mentions_and_tags() {
    let yaml = String::from_utf8(file().read()).unwrap();
    let (mut sections, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for case in cases(&yaml) {
        *sections.entry(case.section.clone()).or_default() += 1;
        let Some(kind) = kind(&case.section) else {
            continue;
        };
        let mut found = Vec::new();
        entities::find(&case.text, &mut found);
        let characters = |byte: usize| case.text[..byte].chars().count();
        let came = found.iter().filter(|entity| entity.kind == kind);
        let came: Vec<_> = came
            .map(|entity| {
                let place = (characters(entity.start), characters(entity.end));
                (name(&case, entity), place)
            })
            .collect();
        let same = came.len() == case.expected.len()
            && came.iter().zip(&case.expected).all(|(came, wanted)| {
                came.0 == wanted.0 && wanted.1.is_none_or(|place| place == came.1)
            });
        if !same {
            wrong.push(format!(
                "{}, {}: {:?} gave {came:?}, not {:?}",
                case.section, case.what, case.text, case.expected
            ));
        }
    }
    let applicable = sections.iter().filter(|section| kind(section.0).is_some());
    let applicable: usize = applicable.map(|section| section.1).sum();
    println!(
        "{applicable} applicable cases, {} wrong: {sections:?}",
        wrong.len()
    );
    assert!(applicable > 170, "{applicable}");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

needs::tests! {
    every_applicable_case_for_links_mentions_and_tags: file();
}
