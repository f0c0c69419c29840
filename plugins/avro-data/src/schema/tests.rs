use super::*;

#[test]
fn reads_dotted_names_and_from() {
    let schema = Schema::parse(
        r#"{"type":"record","name":"T","namespace":"a.b","fields":[
            {"name":"t.id","type":"long"},
            {"name":"x","type":["null","string"],"default":null,
             "from":["u.n",{"path":"/d.e/f","as":"clean-text"}]}]}"#,
    )
    .unwrap();
    let fields = schema.fields();
    assert_eq!(fields[0].name, "t.id");
    assert_eq!(fields[0].from, [Origin::key("t.id")]);
    assert_eq!(fields[1].from[0].path, ["u", "n"]);
    assert_eq!(fields[1].from[1].path, ["d.e", "f"]);
    assert_eq!(fields[1].from[1].convert, [Convert::CleanText]);
    assert_eq!(fields[1].from[1].pointer(), "/d.e/f");
    assert_eq!(
        schema.json(),
        r#"{"type":"record","name":"T","namespace":"a.b","fields":[{"name":"t.id","type":"long"},{"name":"x","type":["null","string"],"default":null}]}"#
    );
    assert_eq!(schema.type_name(schema.root()), "record a.b.T");
    // What was printed reads back as the same.
    assert_eq!(Schema::parse(schema.json()).unwrap().json(), schema.json());
}

#[test]
fn resolves_references() {
    let schema = Schema::parse(
        r#"{"type":"record","name":"List","namespace":"n","fields":[
            {"name":"v","type":{"type":"enum","name":"E","symbols":["A","B"]}},
            {"name":"w","type":"E"},
            {"name":"next","type":["null","List"]}]}"#,
    )
    .unwrap();
    assert_eq!(schema.fields()[0].node, schema.fields()[1].node);
    let Node::Union(branches) = schema.node(schema.fields()[2].node) else {
        panic!()
    };
    assert_eq!(branches[1], schema.root());
}

#[test]
fn says_what_is_wrong() {
    let field = |field: &str| {
        let text = format!(r#"{{"type":"record","name":"T","fields":[{field}]}}"#);
        Schema::parse(&text).unwrap_err().to_string()
    };
    assert_eq!(
        field(r#"{"name":"a","type":"strin"}"#),
        "field `a`: unknown type `strin`"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":{"path":"x","as":"snow"}}"#),
        "field `a`: unknown conversion `snow` in `from`: there are `snowflake-ms`, `id-number`, `iso-ms`, `us-ms`, `ms-date`, `clean-text`, `non-empty`, `html-text`, `post-uri`, `tid`, `did`, `present`"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":{"path":"x","as":["html-text","us-ms"]}}"#),
        "field `a`: the conversion `us-ms` does not take what `html-text` gives"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":{"path":"x","as":[7]}}"#),
        "field `a`: `as` in `from` is neither a text nor a list of texts"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":[{"value":1},"x"]}"#),
        "field `a`: nothing in `from` can follow a `value`, which is always there"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":{"value":1,"path":"x"}}"#),
        "field `a`: a `value` in `from` takes no other key"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long","from":"x..y"}"#),
        "field `a`: the path `x..y` has an empty key"
    );
    assert_eq!(
        field(r#"{"name":"a","type":"long"},{"name":"a","type":"long"}"#),
        "field `a`: there twice"
    );
    assert_eq!(
        field(r#"{"name":"a","type":["long","long"]}"#),
        "field `a`: a union with two types of the same kind"
    );
    assert!(
        Schema::parse("{")
            .unwrap_err()
            .to_string()
            .starts_with("not JSON: ")
    );
    let deep = format!("{}\"long\"{}", "{\"type\":".repeat(100), "}".repeat(100));
    assert!(
        Schema::parse(&deep)
            .unwrap_err()
            .to_string()
            .contains("types within types")
    );
}
