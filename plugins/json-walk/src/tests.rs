use super::*;

fn find(path: &str, json: &str) -> Option<String> {
    let path = Path::parse(path).unwrap();
    let value = path.find(json.as_bytes()).unwrap()?;
    Some(String::from_utf8(value.raw().to_vec()).unwrap())
}

#[test]
fn a_path_finds_its_value() {
    let json = r#" {"a": 1, "b": {"c": [10, {"d": "x"}], "e.f": null}, "g\u0068": true} "#;
    assert_eq!(find("a", json).as_deref(), Some("1"));
    assert_eq!(find("b.c.1.d", json).as_deref(), Some("\"x\""));
    assert_eq!(find("b.c.0", json).as_deref(), Some("10"));
    assert_eq!(find("/b/e.f", json).as_deref(), Some("null"));
    assert_eq!(find("gh", json).as_deref(), Some("true"));
    for absent in ["z", "a.b", "b.c.2", "b.c.x", "b.x.y"] {
        assert_eq!(find(absent, json), None, "{absent}");
    }
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    assert_eq!(find("a", r#"{"a":1,"a":2}"#).as_deref(), Some("2"));
}

#[test]
fn a_pointer_knows_its_escapes_and_prints_itself() {
    let path = Path::parse("/a~1b/c~0d").unwrap();
    assert_eq!(path.steps(), ["a/b", "c~d"]);
    assert_eq!(path.to_string(), "/a~1b/c~0d");
    assert_eq!(Path::parse("a.b").unwrap().to_string(), "/a/b");
    assert!(Path::parse("a..b").is_err());
    assert!(Path::parse("").is_err());
}

#[test]
fn torn_or_mismatched_json_is_malformed() {
    for json in [
        "",
        " ",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "\"abc",
        "\"a\\",
        "{]",
        "[}",
        "[[}]",
        "{\"a\":1}x",
        "nul",
        "truex",
        "x",
        "{\"a\":[}",
        ",",
    ] {
        assert!(parse(json.as_bytes()).is_err(), "{json}");
    }
    let find = |json: &str| Path::parse("z").unwrap().find(json.as_bytes()).map(drop);
    for json in [
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":,}",
        "{,\"a\":1}",
    ] {
        assert!(find(json).is_err(), "{json}");
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(deep(512).as_bytes()).is_ok());
    assert!(parse(deep(513).as_bytes()).is_err());
}

#[test]
fn text_is_unescaped_and_borrowed_where_it_can_be() {
    let text = |json: &str| {
        let mut scratch = Vec::new();
        let value = parse(json.as_bytes()).unwrap();
        let text = String::from_utf8(value.text(&mut scratch).to_vec()).unwrap();
        let mut pushed = Vec::new();
        value.push_text(&mut pushed);
        assert_eq!(text.as_bytes(), pushed);
        text
    };
    assert_eq!(text(r#""plain ü""#), "plain ü");
    assert_eq!(text(r#""\"\\\/\b\f\n\r\t""#), "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(text(r#""\u00e9 \ud83d\ude00!""#), "é 😀!");
    assert_eq!(text(r#""\ud83d""#), "\u{fffd}");
    assert_eq!(text(r#""\ud83dx\ude00""#), "\u{fffd}x\u{fffd}");
    assert_eq!(text(r#""\ud83d\ud83d\ude00""#), "\u{fffd}😀");
    assert_eq!(text(r#""\u12""#), "\u{fffd}12");
    assert_eq!(text("12.5"), "12.5");
    assert_eq!(text("{\"a\":1}"), "{\"a\":1}");
}

#[test]
fn numbers_are_read() {
    let value = |json: &'static str| parse(json.as_bytes()).unwrap();
    assert_eq!(value("-12").as_i64(), Some(-12));
    assert_eq!(value("1e3").as_f64(), Some(1000.0));
    assert_eq!(value("1e3").as_i64(), None);
    assert_eq!(value("\"1\"").as_f64(), None);
    assert_eq!(value("null").as_f64(), None);
    assert_eq!(
        value("1345059463120621570").as_i64(),
        Some(1_345_059_463_120_621_570)
    );
}

#[test]
fn strings_are_written_as_json() {
    let text = "a\"b\\c\nd\te\u{1}ü😀";
    let mut out = Vec::new();
    push_string(text.as_bytes(), &mut out);
    assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    out.clear();
    push_string(b"a\xff\xfeb", &mut out);
    assert_eq!(out, "\"a\u{fffd}\u{fffd}b\"".as_bytes());
}

#[test]
fn compact_keeps_strings() {
    let mut out = Vec::new();
    compact(b"{ \"a b\" :\n [ 1 , \"x \\\" y\" ] }", &mut out);
    assert_eq!(out, b"{\"a b\":[1,\"x \\\" y\"]}");
}

#[test]
fn no_cut_of_a_record_is_misread() {
    let json = br#"{"a":{"b":[1,2.5,"x\u00e9\"y",{"c":null}]},"d":true}"#;
    let path = Path::parse("a.b.3.c").unwrap();
    assert!(path.find(json).unwrap().unwrap().is_null());
    for end in 0..json.len() {
        assert!(path.find(&json[..end]).is_err(), "cut at {end}");
    }
    for at in 0..json.len() {
        let mut broken = json.to_vec();
        for byte in 0..=255 {
            broken[at] = byte;
            // Whatever comes out, it comes out without a panic.
            let _ = path.find(&broken);
        }
    }
}

fn find_all(sought: &[(&[&str], Kind)], json: &str) -> Vec<Option<String>> {
    let mut paths = Paths::default();
    for (texts, kind) in sought {
        let texts: Vec<Path> = texts
            .iter()
            .map(|text| Path::parse(text).unwrap())
            .collect();
        paths.seek(&texts, *kind).unwrap();
    }
    let mut found = vec![None; sought.len()];
    paths
        .find(parse(json.as_bytes()).unwrap(), &mut found)
        .unwrap();
    let raw = |found: Found<'_>| String::from_utf8(found.value.raw().to_vec()).unwrap();
    found.into_iter().map(|found| found.map(raw)).collect()
}

#[test]
fn of_several_paths_the_first_that_holds_one_counts_wherever_it_stands() {
    let texts: &[&str] = &["extended.full_text", "full_text", "text"];
    let find = |json| find_all(&[(texts, Kind::Text)], json)[0].clone();
    let whole = r#"{"id":1,"text":"short","user":{"text":"no"},"extended":{"a":[1,{}],"full_text":"whole"}}"#;
    assert_eq!(find(whole).as_deref(), Some("\"whole\""));
    let other = r#"{"full_text":null,"text":"x","extended":null}"#;
    assert_eq!(find(other).as_deref(), Some("\"x\""));
    for without in [r#"{"delete":{"text":"no"}}"#, "[1,2]", "17", "\"text\""] {
        assert_eq!(find(without), None, "{without}");
    }
    assert_eq!(find(r#"{"text":"a","text":"b"}"#).as_deref(), Some("\"b\""));
}

#[test]
fn several_things_are_found_in_one_pass_through_arrays_and_pointers_too() {
    let json = r#"{"id":7,"a":{"b":[{"c":"x"},{"c":true}]},"d.e":"y"}"#;
    let found = find_all(
        &[
            (&["a.b.0.c"], Kind::Text),
            (&["a.b.1.c"], Kind::Text),
            (&["a.b.1.c"], Kind::Scalar),
            (&["/d.e"], Kind::Text),
            (&["a", "id"], Kind::Scalar),
        ],
        json,
    );
    let wanted = [Some("\"x\""), None, Some("true"), Some("\"y\""), Some("7")];
    assert_eq!(
        found.iter().map(Option::as_deref).collect::<Vec<_>>(),
        wanted
    );
}

#[test]
fn a_path_that_stands_there_twice_is_named() {
    let path = Path::parse("a").unwrap();
    let mut paths = Paths::default();
    assert_eq!(
        paths.seek(&[path.clone(), path.clone()], Kind::Text),
        Err(1)
    );
    let mut paths = Paths::default();
    assert_eq!(paths.seek(std::slice::from_ref(&path), Kind::Text), Ok(0));
    assert_eq!(paths.seek(&[path], Kind::Text), Ok(1));
}

/// All that a walk gives, each object gone into as far as `depth`: keys, `{`, `}` and values.
fn walked(json: &str, depth: usize) -> Result<String, Malformed> {
    let mut walk = Walk::begin(json.as_bytes())?;
    let mut out = String::new();
    let mut open = 1;
    while open > 0 {
        match walk.key()? {
            None => {
                out.push('}');
                open -= 1;
            }
            Some(key) => {
                out.push_str(std::str::from_utf8(key).unwrap());
                if key == b"skip" {
                    continue;
                }
                if open < depth && walk.enter() {
                    out.push('{');
                    open += 1;
                } else {
                    out.push('=');
                    out.push_str(std::str::from_utf8(walk.value()?.raw()).unwrap());
                    out.push(';');
                }
            }
        }
    }
    walk.end()?;
    Ok(out)
}

#[test]
fn a_walk_goes_into_objects_and_over_the_rest() {
    let json = r#" {"a": 1 , "b":{ "c":{} ,"d":[{"}":2}]},"skip":{"x":["}"]},"e":"\"}" } "#;
    assert_eq!(
        walked(json, 1).unwrap(),
        r#"a=1;b={ "c":{} ,"d":[{"}":2}]};skipe="\"}";}"#
    );
    assert_eq!(
        walked(json, 9).unwrap(),
        r#"a=1;b{c{}d=[{"}":2}];}skipe="\"}";}"#
    );
    assert_eq!(walked("{}", 1).unwrap(), "}");
}

#[test]
fn a_walk_finds_what_is_not_json() {
    for json in [
        "",
        "7",
        "[1]",
        "{",
        "{}x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":{\"b\":1}",
        "{\"a\":{]}",
        "{a:1}",
        "{\"a\":{},,\"b\":1}",
        "{\"skip\":tru}",
    ] {
        assert!(walked(json, 9).is_err(), "{json}");
    }
    let mut walk = Walk::begin(b"{\"a\":1}").unwrap();
    assert!(walk.value().is_err() && !walk.enter());
}
