//! Reading of the JSON Schemas by which plugins describe their options.
//!
//! Only what `plugin_api::options!` makes is understood: types, enums, unions, objects, arrays,
//! bounds, `$ref` into `$defs`, and the marks `x-secret` and `format: "x-path"`. What is unknown
//! is not checked here; the plugin's own reading of its options has the last word.

use serde_json::{Map, Value as Json};

/// A node of a schema, with the root that its references point into.
#[derive(Clone, Copy)]
pub struct Node<'s> {
    root: &'s Json,
    node: &'s Json,
}

impl<'s> Node<'s> {
    /// The root of a schema.
    pub fn root(schema: &'s Json) -> Self {
        Self {
            root: schema,
            node: schema,
        }
    }

    fn with(self, node: &'s Json) -> Self {
        Self { node, ..self }
    }

    /// The node that `$ref` leads to, or itself.
    pub fn resolved(self) -> Self {
        let mut at = self;
        // A chain of references has an end; a circle of them has none.
        for _ in 0..16 {
            let target = at
                .node
                .get("$ref")
                .and_then(Json::as_str)
                .and_then(|r| r.strip_prefix('#'))
                .and_then(|pointer| at.root.pointer(pointer));
            match target {
                Some(target) => at = at.with(target),
                None => break,
            }
        }
        at
    }

    /// A keyword of the node itself or, failing that, of what it refers to.
    pub fn get(self, keyword: &str) -> Option<&'s Json> {
        self.node
            .get(keyword)
            .or_else(|| self.resolved().node.get(keyword))
    }

    /// A keyword that holds a text.
    pub fn text(self, keyword: &str) -> Option<&'s str> {
        self.get(keyword).and_then(Json::as_str)
    }

    /// The nodes of a keyword that holds an array of schemas.
    fn nodes(self, keyword: &str) -> Vec<Self> {
        self.get(keyword)
            .and_then(Json::as_array)
            .map(|list| list.iter().map(|n| self.with(n)).collect())
            .unwrap_or_default()
    }

    /// The alternatives of a union without `null`, which TOML cannot say; empty if it is none.
    pub fn branches(self) -> Vec<Self> {
        let mut branches = self.nodes("anyOf");
        branches.extend(self.nodes("oneOf"));
        branches.retain(|b| b.text("type") != Some("null"));
        branches
    }

    /// The node itself, or the only alternative besides `null`.
    pub fn single(self) -> Self {
        match self.branches()[..] {
            [only] => only.single(),
            _ => self,
        }
    }

    /// Whether a value here is a secret.
    pub fn is_secret(self) -> bool {
        let here = |n: Self| n.get("x-secret").and_then(Json::as_bool) == Some(true);
        here(self) || here(self.single())
    }

    /// Whether a value here is a path that starts at the folder of hosts.toml.
    pub fn is_path(self) -> bool {
        self.text("format") == Some("x-path")
    }

    /// Whether any value of the whole schema is a secret.
    pub fn has_secrets(self) -> bool {
        fn holds(node: &Json) -> bool {
            match node {
                Json::Object(map) => {
                    map.get("x-secret") == Some(&Json::Bool(true)) || map.values().any(holds)
                }
                Json::Array(list) => list.iter().any(holds),
                _ => false,
            }
        }
        holds(self.root)
    }

    /// The types that the node admits, `null` apart; empty if it does not say.
    pub fn types(self) -> Vec<&'s str> {
        let mut types = match self.get("type") {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        types.retain(|t| *t != "null");
        types
    }

    /// The strings that the node admits, if it is an enumeration of strings.
    pub fn words(self) -> Option<Vec<&'s str>> {
        if let Some(word) = self.get("const").and_then(Json::as_str) {
            return Some(vec![word]);
        }
        if let Some(list) = self.get("enum").and_then(Json::as_array) {
            return Some(list.iter().filter_map(Json::as_str).collect());
        }
        let branches = self.branches();
        if branches.is_empty() {
            return None;
        }
        let words: Option<Vec<Vec<&str>>> = branches.iter().map(|b| b.words()).collect();
        words.map(|w| w.concat())
    }

    /// What the node says about the keys of a table.
    pub fn object(self) -> Object<'s> {
        let mut object = Object::default();
        object.add(self);
        object
    }

    /// What the elements of an array must be.
    pub fn items(self) -> Option<Self> {
        self.get("items").map(|n| self.with(n))
    }

    /// "a string", "a whole number": for messages and tables.
    pub fn describe(self) -> String {
        if self.is_secret() {
            return "a secret, by reference".to_owned();
        }
        if let Some(words) = self.words() {
            return crate::diag::listed(&words, "or");
        }
        let branches = self.branches();
        if !branches.is_empty() {
            let mut parts: Vec<String> = Vec::new();
            for branch in branches {
                let part = branch.describe();
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            return match parts.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => parts.concat(),
            };
        }
        match self.text("format") {
            Some("x-path") => return "a path".to_owned(),
            Some("x-size") => return "a size like \"8 MiB\"".to_owned(),
            Some("x-duration") => return "a duration like \"30s\"".to_owned(),
            _ => {}
        }
        let types: Vec<String> = self
            .types()
            .into_iter()
            .map(|t| self.type_name(t))
            .collect();
        if types.is_empty() {
            "any value".to_owned()
        } else {
            types.join(" or ")
        }
    }

    fn type_name(self, name: &str) -> String {
        match name {
            "string" => "a string".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "object" => "a table".to_owned(),
            "array" => match self.items().map(|i| i.single()) {
                Some(items) if items.types() == ["string"] => "an array of strings".to_owned(),
                _ => "an array".to_owned(),
            },
            other => other.to_owned(),
        }
    }
}

/// What a schema says about the keys of a table.
#[derive(Default)]
pub struct Object<'s> {
    /// The keys that it names.
    pub properties: Vec<(&'s str, Node<'s>)>,
    /// The keys that must be there.
    pub required: Vec<&'s str>,
    /// What other keys hold, where they are allowed.
    pub others: Option<Node<'s>>,
    /// Whether other keys are an error.
    pub closed: bool,
}

impl<'s> Object<'s> {
    fn add(&mut self, node: Node<'s>) {
        let target = node.resolved();
        if !std::ptr::eq(target.node, node.node) {
            self.add(target);
        }
        for part in node.nodes("allOf") {
            self.add(part);
        }
        let own = node.node;
        if let Some(Json::Object(properties)) = own.get("properties") {
            self.properties.extend(in_order(properties, own, node));
        }
        if let Some(Json::Array(required)) = own.get("required") {
            self.required
                .extend(required.iter().filter_map(Json::as_str));
        }
        match own
            .get("additionalProperties")
            .or_else(|| own.get("unevaluatedProperties"))
        {
            Some(Json::Bool(false)) => self.closed = true,
            Some(others @ Json::Object(_)) => self.others = Some(node.with(others)),
            _ => {}
        }
    }
}

fn in_order<'s>(
    properties: &'s Map<String, Json>,
    own: &'s Json,
    node: Node<'s>,
) -> Vec<(&'s str, Node<'s>)> {
    let mut all: Vec<(&str, Node<'_>)> = properties
        .iter()
        .map(|(key, value)| (key.as_str(), node.with(value)))
        .collect();
    // The required ones first, in the author's order, which `required` keeps and a map may not.
    let rank = |key: &str| {
        own.get("required")
            .and_then(Json::as_array)
            .and_then(|r| r.iter().position(|k| k.as_str() == Some(key)))
            .unwrap_or(usize::MAX)
    };
    all.sort_by_key(|(key, _)| rank(key));
    all
}
