use super::*;
use crate::Schema;

const LIST: &str = r#"{"type":"record","name":"L","fields":[
    {"name":"n","type":"int"},
    {"name":"items","type":{"type":"array","items":"string"}},
    {"name":"next","type":["null","L"]}]}"#;

#[test]
fn integers_of_every_width() {
    for value in [0, -1, 1, 63, 64, -64, -65, 8191, 8192, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        wire::put_long(value, &mut out);
        assert_eq!(wire::Cursor::new(&out).long(), Ok(value));
    }
    assert!(wire::Cursor::new(&[0x80; 11]).long().is_err());
}

#[test]
fn lists_in_blocks_with_and_without_their_size() {
    let schema = Schema::parse(LIST).unwrap();
    // n 1; a block of one item; a block of two (negative count, size 4); end; no next.
    let datum = [2, 2, 2, b'a', 3, 8, 2, b'b', 2, b'c', 0, 0];
    let mut json = Vec::new();
    to_json(&schema, &datum, &mut json).unwrap();
    assert_eq!(json, br#"{"n":1,"items":["a","b","c"],"next":null}"#);
    assert_eq!(length(&schema, &datum), Ok(datum.len()));
    for cut in 0..datum.len() {
        assert!(length(&schema, &datum[..cut]).unwrap_err().cut, "{cut}");
    }
    let mut nested = Vec::new();
    visit(&schema, &datum, |name, value| {
        if let ("items", Value::Nested(items)) = (name, value) {
            items.to_json(&mut nested).unwrap();
        }
    })
    .unwrap();
    assert_eq!(nested, br#"["a","b","c"]"#);
}

#[test]
fn lying_datums_are_refused_in_bounded_time() {
    let nulls = Schema::parse(r#"{"type":"array","items":"null"}"#).unwrap();
    let mut datum = Vec::new();
    wire::put_long(1 << 60, &mut datum);
    assert_eq!(
        length(&nulls, &datum).unwrap_err().what,
        "too many items without bytes"
    );
    // A record within itself, without end.
    let list = Schema::parse(LIST).unwrap();
    let datum = [0, 0, 2].repeat(10_000);
    assert_eq!(
        length(&list, &datum).unwrap_err().what,
        "too many types within types"
    );
    let text = Schema::parse(r#""string""#).unwrap();
    assert_eq!(length(&text, &[3]).unwrap_err().what, "a negative length");
    let mut out = b"x".to_vec();
    assert!(to_json(&text, &[4, b'a', 0xff], &mut out).is_err());
    assert!(to_json(&text, &[2, b'a', 0], &mut out).is_err());
    assert_eq!(out, b"x");
}

#[test]
fn json_that_any_parser_takes() {
    let schema = Schema::parse(
        r#"{"type":"record","name":"T","fields":[{"name":"t.x","type":"string"},
            {"name":"d","type":"double"},{"name":"b","type":"bytes"}]}"#,
    )
    .unwrap();
    let mut datum = Vec::new();
    wire::put_bytes("\"\\\n\u{1}é😄".as_bytes(), &mut datum);
    datum.extend_from_slice(&f64::NAN.to_le_bytes());
    wire::put_bytes(&[0, b'"', 0xff], &mut datum);
    let mut json = Vec::new();
    to_json(&schema, &datum, &mut json).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["t.x"], "\"\\\n\u{1}é😄");
    assert!(value["d"].is_null());
    assert_eq!(value["b"], "\0\"\u{ff}");
}
