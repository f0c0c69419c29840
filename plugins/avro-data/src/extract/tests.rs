use super::*;
use crate::datum;

fn schema(fields: &str) -> Schema {
    let text = format!(r#"{{"type":"record","name":"T","fields":[{fields}]}}"#);
    Schema::parse(&text).unwrap()
}

/// The datum as JSON, or the error as people see it.
fn run(fields: &str, json: &str) -> String {
    let schema = schema(fields);
    let mut out = b"before".to_vec();
    match Extractor::new(&schema)
        .unwrap()
        .extract(json.as_bytes(), &mut out)
    {
        Ok(()) => {
            let mut json = Vec::new();
            datum::to_json(&schema, &out[6..], &mut json).unwrap();
            String::from_utf8(json).unwrap()
        }
        Err(error) => {
            assert_eq!(out, b"before");
            error.to_string()
        }
    }
}

#[test]
fn alternatives_in_order_and_nulls_passed_over() {
    let field = r#"{"name":"t","type":"string","from":["a.b","c","d"]}"#;
    assert_eq!(
        run(field, r#"{"d":"3","c":"2","a":{"b":"1"}}"#),
        r#"{"t":"1"}"#
    );
    assert_eq!(run(field, r#"{"d":"3","c":null,"a":{}}"#), r#"{"t":"3"}"#);
    assert_eq!(run(field, r#"{"a":5,"c":7}"#), r#"{"t":"7"}"#);
    assert_eq!(
        run(field, "{}"),
        "required field `t` is missing (looked at /a/b, /c, /d)"
    );
    assert_eq!(
        run(field, r#"{"c":null}"#),
        "required field `t` is null (looked at /a/b, /c, /d)"
    );
    assert_eq!(
        run(field, r#"{"c":true}"#),
        "field `t` wants string, but /c is a boolean"
    );
    assert_eq!(
        run(field, "[1]"),
        "not valid JSON at byte 0: not a JSON object"
    );
    assert_eq!(
        run(field, "{} {"),
        "not valid JSON at byte 3: something after the object"
    );
}

#[test]
fn defaults_and_nulls() {
    let field = r#"{"name":"a","type":["null","long"],"default":null}"#;
    assert_eq!(run(field, "{}"), r#"{"a":null}"#);
    let field = r#"{"name":"a","type":["long","null"],"default":7}"#;
    assert_eq!(run(field, "{}"), r#"{"a":7}"#);
    assert_eq!(run(field, r#"{"a":null}"#), r#"{"a":null}"#);
    let field = r#"{"name":"a","type":"boolean","default":false}"#;
    assert_eq!(run(field, r#"{"a":null}"#), r#"{"a":false}"#);
    let bad = schema(r#"{"name":"a","type":"long","default":"x"}"#);
    assert_eq!(
        Extractor::new(&bad).unwrap_err().to_string(),
        "field `a`: its default \"x\" is not long"
    );
}

#[test]
fn conversions() {
    let field = r#"{"name":"ms","type":"string","from":["ms",{"path":"id","as":"snowflake-ms"}]}"#;
    assert_eq!(
        run(field, r#"{"id":1345059463120621570}"#),
        r#"{"ms":"1609522140661"}"#
    );
    assert_eq!(
        run(field, r#"{"id":1345059463120621570,"ms":"5"}"#),
        r#"{"ms":"5"}"#
    );
    // An id from before ids held a time.
    assert_eq!(
        run(field, r#"{"id":6832057002}"#),
        "required field `ms` is missing (looked at /ms, /id)"
    );
    let field = r#"{"name":"ms","type":["null","long"],"from":{"path":"id","as":"snowflake-ms"}}"#;
    assert_eq!(
        run(field, r#"{"id":"1345059463120621570"}"#),
        r#"{"ms":1609522140661}"#
    );
    let field = r#"{"name":"t","type":"string","from":{"path":"t","as":"clean-text"}}"#;
    assert_eq!(
        run(field, r#"{"t":" a\n\t b\u00a0\u2003c"}"#),
        r#"{"t":" a b c"}"#
    );
    let bad = schema(r#"{"name":"a","type":"long","from":{"path":"t","as":"clean-text"}}"#);
    assert_eq!(
        Extractor::new(&bad).unwrap_err().to_string(),
        "field `a`: the conversion of `t` does not give long"
    );
}

#[test]
fn what_a_conversion_cannot_read_is_passed_over() {
    let field = r#"{"name":"at","type":"string",
        "from":[{"path":"a","as":["iso-ms","ms-date"]},{"path":"b","as":["us-ms","ms-date"]}]}"#;
    assert_eq!(
        run(field, r#"{"a":"2010-09-01T03:20:30Z","b":1}"#),
        r#"{"at":"Wed Sep 01 03:20:30 +0000 2010"}"#
    );
    for a in [r#""yesterday""#, "{}", "true", "7", "null"] {
        assert_eq!(
            run(field, &format!(r#"{{"a":{a},"b":1283311230000000}}"#)),
            r#"{"at":"Wed Sep 01 03:20:30 +0000 2010"}"#,
            "{a}"
        );
    }
    assert_eq!(
        run(field, r#"{"a":"yesterday"}"#),
        "field `at` wants string, but /a is a text (`yesterday`)"
    );
    assert_eq!(
        run(field, r#"{"a":"yesterday","b":[]}"#),
        "field `at` wants string, but /b is a list"
    );
    // Not even where it may be null: a date that is none is no missing date.
    let field = r#"{"name":"ms","type":["null","long"],"from":{"path":"a","as":"iso-ms"}}"#;
    assert_eq!(run(field, "{}"), r#"{"ms":null}"#);
    assert_eq!(
        run(field, r#"{"a":"yesterday"}"#),
        "field `ms` wants long, but /a is a text (`yesterday`)"
    );
    // A key that is no TID holds no number, as an old id holds no time.
    let field = r#"{"name":"n","type":["null","long"],"from":{"path":"k","as":"tid"}}"#;
    assert_eq!(run(field, r#"{"k":"2222222222234"}"#), r#"{"n":34}"#);
    assert_eq!(run(field, r#"{"k":"self"}"#), r#"{"n":null}"#);
    // The same within a record.
    let field = r#"{"name":"r","type":{"type":"record","name":"R","fields":[
        {"name":"n","type":"long","from":[{"path":"k","as":"tid"},"us"]},
        {"name":"t","type":["null","string"],"from":{"path":"h","as":["html-text","clean-text"]}},
        {"name":"is","type":"boolean","from":[{"path":"h","as":"present"},{"value":false}]},
        {"name":"ms","type":["null","long"],"from":{"path":"a","as":"iso-ms"}}]}}"#;
    assert_eq!(
        run(field, r#"{"r":{"k":"self","us":"5","h":"<p>a<p>b"}}"#),
        r#"{"r":{"n":5,"t":"a b","is":true,"ms":null}}"#
    );
    assert_eq!(
        run(
            field,
            r#"{"r":{"k":"2222222222234","us":5,"a":"1970-01-01T00:00:01Z"}}"#
        ),
        r#"{"r":{"n":34,"t":null,"is":false,"ms":1000}}"#
    );
    assert_eq!(
        run(field, r#"{"r":{"k":"2222222222234","a":"x"}}"#),
        "field `r.ms` wants null or long, but /r/a is a text (`x`)"
    );
}

#[test]
fn conversions_follow_each_other() {
    let field =
        r#"{"name":"t","type":"string","from":{"path":"h","as":["html-text","clean-text"]}}"#;
    assert_eq!(
        run(field, r#"{"h":"<p>A\u0026amp;B &lt;3<\/p><p>caf\u00e9"}"#),
        r#"{"t":"A&B <3 café"}"#
    );
    let field =
        r#"{"name":"u","type":["null","string"],"from":{"path":"u","as":["post-uri","did"]}}"#;
    assert_eq!(
        run(field, r#"{"u":"at://did:plc:x/app.bsky.feed.post/k"}"#),
        r#"{"u":"did:plc:x"}"#
    );
    assert_eq!(
        run(field, r#"{"u":"at://did:plc:x/app.bsky.graph.list/k"}"#),
        r#"{"u":null}"#
    );
    let field =
        r#"{"name":"n","type":"string","from":[{"path":"n","as":["clean-text","non-empty"]},"u"]}"#;
    assert_eq!(run(field, r#"{"n":"N","u":"u"}"#), r#"{"n":"N"}"#);
    assert_eq!(run(field, r#"{"n":"","u":"u"}"#), r#"{"n":"u"}"#);
    let field =
        r#"{"name":"d","type":"string","from":{"path":"id","as":["snowflake-ms","ms-date"]}}"#;
    assert_eq!(
        run(field, r#"{"id":"1345059463120621570"}"#),
        r#"{"d":"Fri Jan 01 17:29:00 +0000 2021"}"#
    );
}

#[test]
fn presence_and_constants() {
    let field = r#"{"name":"q","type":"boolean",
        "from":[{"path":"a.b","as":"present"},{"path":"c","as":"present"},{"value":false}]}"#;
    for (json, is) in [
        (r#"{"a":{"b":{}}}"#, true),
        (r#"{"a":{"b":false}}"#, true),
        (r#"{"a":{"b":""}}"#, true),
        (r#"{"a":{"b":null},"c":[1]}"#, true),
        (r#"{"a":{"b":null}}"#, false),
        (r#"{"a":7}"#, false),
        ("{}", false),
    ] {
        assert_eq!(run(field, json), format!(r#"{{"q":{is}}}"#), "{json}");
    }
    let never = r#"{"name":"n","type":["null","long"],"from":{"value":null},"default":null}"#;
    assert_eq!(run(never, r#"{"n":7}"#), r#"{"n":null}"#);
    // A constant stands for null, too, and for what no conversion can read.
    let field = r#"{"name":"n","type":["null","long"],"from":["a",{"path":"b","as":"iso-ms"},{"value":5}]}"#;
    for json in [r#"{"a":null}"#, r#"{"b":"yesterday"}"#, "{}"] {
        assert_eq!(run(field, json), r#"{"n":5}"#, "{json}");
    }
    // Constants beside each other, and beside what is none.
    let field = r#"{"name":"a","type":["null","long"],"from":{"value":null}},
        {"name":"b","type":"string","from":{"value":"x"}},
        {"name":"c","type":["null","long"]},
        {"name":"d","type":["long","null"],"from":{"value":7}},
        {"name":"e","type":"boolean","from":{"value":true}}"#;
    assert_eq!(
        run(field, r#"{"c":3}"#),
        r#"{"a":null,"b":"x","c":3,"d":7,"e":true}"#
    );
    assert_eq!(
        run(field, "{}"),
        r#"{"a":null,"b":"x","c":null,"d":7,"e":true}"#
    );
    let wrong = |field: &str| Extractor::new(&schema(field)).unwrap_err().to_string();
    assert_eq!(
        wrong(r#"{"name":"n","type":"long","from":{"value":"x"}}"#),
        "field `n`: its value \"x\" is not long"
    );
    assert_eq!(
        wrong(r#"{"name":"n","type":"long","from":{"value":null}}"#),
        "field `n`: its value null is not long"
    );
    assert_eq!(
        wrong(r#"{"name":"n","type":"long","from":{"path":"a","as":"present"}}"#),
        "field `n`: the conversion of `a` does not give long"
    );
}

#[test]
fn numbers_and_their_edges() {
    let long = r#"{"name":"n","type":"long"}"#;
    assert_eq!(
        run(long, r#"{"n":-9223372036854775808}"#),
        r#"{"n":-9223372036854775808}"#
    );
    assert_eq!(run(long, r#"{"n":"12"}"#), r#"{"n":12}"#);
    assert_eq!(
        run(long, r#"{"n":9223372036854775808}"#),
        "field `n` wants long, but /n is an integer (`9223372036854775808`)"
    );
    assert_eq!(
        run(long, r#"{"n":1.5}"#),
        "field `n` wants long, but /n is a number with a fraction (`1.5`)"
    );
    let int = r#"{"name":"n","type":"int"}"#;
    assert_eq!(run(int, r#"{"n":2147483647}"#), r#"{"n":2147483647}"#);
    assert!(run(int, r#"{"n":2147483648}"#).starts_with("field `n` wants int"));
    assert_eq!(
        run(r#"{"name":"n","type":"double"}"#, r#"{"n":1e-3}"#),
        r#"{"n":0.001}"#
    );
    assert_eq!(
        run(r#"{"name":"n","type":"float"}"#, r#"{"n":2}"#),
        r#"{"n":2.0}"#
    );
}

#[test]
fn types_within_types() {
    let user = r#"{"name":"user","type":["null",{"type":"record","name":"U","fields":[
        {"name":"id","type":"long"},
        {"name":"called","type":"string","from":["full","name"]},
        {"name":"tags","type":{"type":"array","items":"string"},"default":[]},
        {"name":"counts","type":{"type":"map","values":["null","int"]},"default":{}}]}]}"#;
    assert_eq!(
        run(
            user,
            r#"{"user":{"name":"x","id":1,"tags":["a","\u00e9"],"counts":{"k":2,"l":null}}}"#
        ),
        r#"{"user":{"id":1,"called":"x","tags":["a","é"],"counts":{"k":2,"l":null}}}"#
    );
    assert_eq!(
        run(user, r#"{"user":{"full":"y","name":"x","id":1}}"#),
        r#"{"user":{"id":1,"called":"y","tags":[],"counts":{}}}"#
    );
    assert_eq!(run(user, "{}"), r#"{"user":null}"#);
    assert_eq!(
        run(user, r#"{"user":{"name":"x"}}"#),
        "required field `user.id` is missing (looked at /user/id)"
    );
    assert_eq!(
        run(user, r#"{"user":{"name":"x","id":1,"tags":["a",true]}}"#),
        "field `user.tags.[]` wants string, but /user/tags/1 is a boolean"
    );
    let either = r#"{"name":"v","type":["null","long","string",{"type":"array","items":"long"}]}"#;
    assert_eq!(run(either, r#"{"v":1}"#), r#"{"v":1}"#);
    assert_eq!(run(either, r#"{"v":"x"}"#), r#"{"v":"x"}"#);
    assert_eq!(run(either, r#"{"v":[1,2]}"#), r#"{"v":[1,2]}"#);
    assert_eq!(run(either, r#"{"v":null}"#), r#"{"v":null}"#);
    assert_eq!(
        run(either, r#"{"v":{}}"#),
        "field `v` wants null or long or string or array, but /v is an object"
    );
    // Lists are checked in full where they are asked for.
    assert!(run(either, r#"{"v":[1 2]}"#).starts_with("not valid JSON at byte 8"));
    let rest = r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"x","type":{"type":"fixed","name":"F","size":2}},{"name":"b","type":"bytes"}"#;
    assert_eq!(
        run(rest, r#"{"e":"B","x":"\u00ffa","b":"\u0001"}"#),
        "{\"e\":\"B\",\"x\":\"ÿa\",\"b\":\"\\u0001\"}"
    );
    assert!(run(rest, r#"{"e":"C"}"#).starts_with("field `e` wants enum E"));
}

#[test]
fn texts_of_every_length_keep_their_length_right() {
    let schema = schema(r#"{"name":"t","type":"string"}"#);
    let mut extractor = Extractor::new(&schema).unwrap();
    // Around the lengths at which the length itself gets a byte longer.
    for len in (0..200).chain(8180..8200) {
        for (escape, plain) in [("\\n", "\n"), ("\\u00e9", "é"), ("\\ud83d\\ude04", "😄")] {
            for escapes in [0, 1, 3] {
                let text = format!("{}{}", escape.repeat(escapes), "a".repeat(len));
                let json = format!(r#"{{"t":"{text}"}}"#);
                let mut out = Vec::new();
                extractor.extract(json.as_bytes(), &mut out).unwrap();
                let expected = format!("{}{}", plain.repeat(escapes), "a".repeat(len));
                let mut datum = Vec::new();
                datum::wire::put_bytes(expected.as_bytes(), &mut datum);
                assert_eq!(out, datum, "{len} {escapes}");
            }
        }
    }
}

#[test]
fn keys_that_look_alike_are_told_apart() {
    let field = r#"{"name":"a","type":["null","long"],"from":"abcdefgh12345678abcdefgh"},
        {"name":"b","type":["null","long"],"from":"abcdefgh87654321abcdefgh"},
        {"name":"c","type":["null","long"],"from":"ab"},
        {"name":"d","type":["null","long"],"from":"/a\"b"}"#;
    assert_eq!(
        run(
            field,
            r#"{"abcdefgh12345678abcdefgh":1,"abcdefgh87654321abcdefgh":2,"ab":3,"a\"b":4,"abcdefgh00000000abcdefgh":5,"abc":6,"a":7}"#
        ),
        r#"{"a":1,"b":2,"c":3,"d":4}"#
    );
}
