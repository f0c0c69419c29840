//! A schema as one line of JSON, in the order people write it, without `"from"`.

use serde_json::Value;

/// Keys of a named type in the customary order; others follow.
const ORDER: &[&str] = &[
    "type",
    "name",
    "namespace",
    "doc",
    "aliases",
    "fields",
    "symbols",
    "size",
    "default",
];
/// The same for fields and unnamed types.
const FIELD_ORDER: &[&str] = &[
    "name", "type", "doc", "aliases", "items", "values", "default",
];

pub(super) fn one_line(schema: &Value) -> String {
    let mut out = String::new();
    write(schema, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let named = matches!(
                object.get("type").and_then(Value::as_str),
                Some("record" | "error" | "enum" | "fixed")
            );
            // A type begins with what it is, a field with its name.
            let order = if named { ORDER } else { FIELD_ORDER };
            let known = order.iter().filter_map(|key| object.get_key_value(*key));
            let others = object
                .iter()
                .filter(|(key, _)| !order.contains(&key.as_str()) && *key != "from");
            out.push('{');
            for (i, (key, value)) in known.chain(others).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                if key == "default" {
                    // A default is data: a key `from` in it stays.
                    out.push_str(&value.to_string());
                } else {
                    write(value, out);
                }
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
