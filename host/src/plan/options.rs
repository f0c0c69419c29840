//! What stands under `with` → the JSON that a plugin reads: references resolved, paths made
//! absolute, every value held against the plugin's schema, every error at its place.

use std::path::Path;

use serde_json::{Map, Number, Value as Json};

use super::schema::{Node, Object};
use crate::config::reference::{self, Environment, Reference};
use crate::config::{Entry, StageConfig, Table, Value, ValueKind};
use crate::diag::{Diagnostic, Report, Span, did_you_mean, listed, nearest};

/// Host keys that people put under `with` by mistake.
const HOST_KEYS: [&str; 8] = [
    "plugin", "inputs", "workers", "ordering", "limit", "buffer", "on_error", "on_crash",
];

/// Options as a plugin gets them.
pub struct Resolved {
    /// The options.
    pub json: Json,
    /// Whether a value could not be resolved, so that the plugin cannot judge the options.
    pub incomplete: bool,
    /// Environment variables that are not set, with the default that was taken.
    pub defaulted: Vec<(String, String)>,
    /// JSON pointers of what stands in the file, with their places.
    places: Vec<(String, Span)>,
}

impl Resolved {
    /// The place of what `pointer` names, or of the nearest thing around it that the file has.
    /// The second part says whether it is the thing itself.
    pub fn place(&self, pointer: &str) -> Option<(Span, bool)> {
        let mut at = pointer;
        loop {
            if let Some((_, span)) = self.places.iter().find(|(p, _)| p == at) {
                return Some((*span, at == pointer));
            }
            at = &at[..at.rfind('/')?];
        }
    }
}

/// What the references of a stage may resolve to.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where relative paths start.
    pub folder: &'a Path,
    /// Where `env:` is looked up.
    pub environment: &'a dyn Environment,
    /// Whether what is missing is passed over in silence.
    pub lenient: bool,
}

/// Resolves and checks the options of a stage.
pub fn resolve(
    stage: &StageConfig,
    schema: &Json,
    context: Context<'_>,
    report: &mut Report,
) -> Resolved {
    let root = Node::root(schema);
    let mut walk = Walk {
        plugin: stage.plugin.as_ref().map_or("", |p| &p.value),
        secrets: root.has_secrets(),
        context,
        report,
        out: Resolved {
            json: Json::Null,
            incomplete: false,
            defaulted: Vec::new(),
            places: Vec::new(),
        },
    };
    let span = stage.with_span.unwrap_or(stage.name.span);
    walk.out.places.push((String::new(), span));
    let json = walk.table(root.single(), &stage.with, span, &Place::default());
    walk.out.json = json;
    walk.out
}

/// Where in the options the walk is.
#[derive(Clone, Default)]
struct Place {
    pointer: String,
    /// As people write it: `credentials.token`.
    dotted: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        Self {
            pointer: format!("{}/{escaped}", self.pointer),
            dotted: if self.dotted.is_empty() {
                key.to_owned()
            } else {
                format!("{}.{key}", self.dotted)
            },
        }
    }

    fn index(&self, index: usize) -> Self {
        Self {
            pointer: format!("{}/{index}", self.pointer),
            dotted: format!("{}[{index}]", self.dotted),
        }
    }
}

struct Walk<'a, 'r> {
    plugin: &'a str,
    secrets: bool,
    context: Context<'a>,
    report: &'r mut Report,
    out: Resolved,
}

impl Walk<'_, '_> {
    fn error(&mut self, span: Span, message: String) {
        self.report.push(Diagnostic::error(message).at(span));
    }

    fn table(&mut self, node: Node<'_>, table: &Table, span: Span, place: &Place) -> Json {
        let object = node.object();
        let mut json = Map::new();
        for entry in &table.0 {
            let at = place.key(&entry.key);
            let known = object
                .properties
                .iter()
                .find(|(key, _)| *key == entry.key)
                .map(|(_, node)| *node)
                .or(object.others);
            match known {
                Some(node) => {
                    let value = self.value(node, &entry.value, &at);
                    json.insert(entry.key.clone(), value);
                }
                None if object.closed => self.unknown(&object, entry, place),
                None => {
                    let any = Node::root(&Json::Bool(true));
                    let value = self.value(any, &entry.value, &at);
                    json.insert(entry.key.clone(), value);
                }
            }
        }
        let names: Vec<&str> = object.properties.iter().map(|p| p.0).collect();
        for key in &object.required {
            let misspelt = table.0.iter().find(|e| {
                !names.contains(&e.key.as_str())
                    && nearest(&e.key, names.iter().copied()) == Some(key)
            });
            match misspelt {
                _ if table.get(key).is_some() => {}
                // It was reported as unknown.
                Some(_) if object.closed => {}
                Some(entry) => self.missing(&object, key, entry.key_span, place),
                None => self.missing(&object, key, span, place),
            }
        }
        Json::Object(json)
    }

    fn unknown(&mut self, object: &Object<'_>, entry: &Entry, place: &Place) {
        let known: Vec<&str> = object.properties.iter().map(|p| p.0).collect();
        let message = if place.dotted.is_empty() {
            format!("`{}` has no option `{}`", self.plugin, entry.key)
        } else {
            format!(
                "`{}` of `{}` has no `{}`",
                place.dotted, self.plugin, entry.key
            )
        };
        let hint = if nearest(&entry.key, known.iter().copied()).is_some() {
            did_you_mean(&entry.key, known.iter().copied())
        } else if place.dotted.is_empty() && HOST_KEYS.contains(&entry.key.as_str()) {
            Some(format!(
                "`{}` is a key of the stage, not of its plugin: write it outside `with`",
                entry.key
            ))
        } else if known.is_empty() {
            Some("it has no options".to_owned())
        } else if known.len() <= 10 {
            Some(format!("there are {}", listed(&known, "and")))
        } else {
            Some(format!("`host inspect {}` lists the options", self.plugin))
        };
        // A misspelt key may hold a secret that no schema speaks of.
        if self.secrets {
            mask_strings(&entry.value, self.report);
        }
        self.report.push(
            Diagnostic::error(message)
                .at(entry.key_span)
                .maybe_hint(hint),
        );
    }

    fn missing(&mut self, object: &Object<'_>, key: &str, span: Span, place: &Place) {
        let node = object.properties.iter().find(|p| p.0 == key).map(|p| p.1);
        let what = place.key(key).dotted;
        let prefix = if place.dotted.is_empty() { "with." } else { "" };
        let hint = node.map(|n| {
            let doc = n
                .text("description")
                .and_then(|d| d.split("\n\n").next())
                .map(|d| format!(": {}", d.replace('\n', " ").trim_end_matches('.')))
                .unwrap_or_default();
            format!("`{prefix}{what}` must be {}{doc}", n.describe())
        });
        self.report.push(
            Diagnostic::error(format!("`{}` needs the option `{what}`", self.plugin))
                .at(span)
                .maybe_hint(hint),
        );
    }

    fn value(&mut self, node: Node<'_>, value: &Value, place: &Place) -> Json {
        self.out.places.push((place.pointer.clone(), value.span));
        let node = node.single();
        if node.is_secret() {
            return self.secret(value, place);
        }
        match &value.kind {
            ValueKind::String(text) => self.string(node, text, value.span, place),
            _ => self.checked(node, value, place),
        }
    }

    /// A value that is no string, so that it is what it says.
    fn checked(&mut self, node: Node<'_>, value: &Value, place: &Place) -> Json {
        if node.words().is_none() && !node.branches().is_empty() {
            return self.union(node, value, place);
        }
        if !admits(node, &value.kind) {
            let message = format!(
                "`{}` must be {}, not {}",
                place.dotted,
                node.describe(),
                value.kind.name()
            );
            self.error(value.span, message);
            return Json::Null;
        }
        match &value.kind {
            ValueKind::String(text) => self.string(node, text, value.span, place),
            ValueKind::Datetime(text) => Json::String(text.clone()),
            ValueKind::Boolean(b) => Json::Bool(*b),
            ValueKind::Integer(n) => {
                self.bounds(node, *n as f64, &n.to_string(), value.span, place);
                Json::Number((*n).into())
            }
            ValueKind::Float(n) => {
                self.bounds(node, *n, &n.to_string(), value.span, place);
                match Number::from_f64(*n) {
                    Some(number) => Json::Number(number),
                    None => {
                        let message = format!("`{}` must be a finite number", place.dotted);
                        self.error(value.span, message);
                        Json::Null
                    }
                }
            }
            ValueKind::Array(items) => self.array(node, items, value.span, place),
            ValueKind::Table(table) => self.table(node, table, value.span, place),
        }
    }

    fn array(&mut self, node: Node<'_>, items: &[Value], span: Span, place: &Place) -> Json {
        let any = Json::Bool(true);
        let item_node = node.items().unwrap_or(Node::root(&any));
        let bound = |keyword| node.get(keyword).and_then(Json::as_u64);
        let n = items.len() as u64;
        if let Some(min) = bound("minItems").filter(|min| n < *min) {
            let message = format!("`{}` must have at least {min}, not {n}", place.dotted);
            self.error(span, message);
        }
        if let Some(max) = bound("maxItems").filter(|max| n > *max) {
            let message = format!("`{}` must have at most {max}, not {n}", place.dotted);
            self.error(span, message);
        }
        let items = items
            .iter()
            .enumerate()
            .map(|(i, item)| self.value(item_node, item, &place.index(i)))
            .collect();
        Json::Array(items)
    }

    /// Takes the alternative that fits; where none does, reports what the nearest one misses.
    fn union(&mut self, node: Node<'_>, value: &Value, place: &Place) -> Json {
        let branches = node.branches();
        let mut candidates: Vec<Node<'_>> = branches
            .iter()
            .copied()
            .filter(|b| admits(b.single(), &value.kind))
            .collect();
        if let ValueKind::Table(table) = &value.kind {
            candidates.sort_by_key(|b| distance(b.single(), table));
        }
        let places = self.out.places.len();
        for (i, candidate) in candidates.iter().enumerate() {
            let before = self.report.items.len();
            let json = self.checked(candidate.single(), value, place);
            if self.report.items.len() == before {
                return json;
            }
            if i + 1 < candidates.len() {
                self.report.items.truncate(before);
                self.out.places.truncate(places);
            }
        }
        match candidates.first() {
            // The errors of the nearest tell more than those of the last tried.
            Some(nearest) if candidates.len() > 1 => {
                while self
                    .report
                    .items
                    .last()
                    .and_then(|d| d.span)
                    .is_some_and(|s| s.start >= value.span.start && s.end <= value.span.end)
                {
                    self.report.items.pop();
                }
                self.out.places.truncate(places);
                self.checked(nearest.single(), value, place)
            }
            Some(_) => Json::Null,
            None => {
                let message = format!(
                    "`{}` must be {}, not {}",
                    place.dotted,
                    node.describe(),
                    value.kind.name()
                );
                self.error(value.span, message);
                Json::Null
            }
        }
    }

    fn secret(&mut self, value: &Value, place: &Place) -> Json {
        let ValueKind::String(text) = &value.kind else {
            mask_strings(value, self.report);
            self.report.mask(value.span);
            let message = format!(
                "`{}` must be a secret, by reference, not {}",
                place.dotted,
                value.kind.name()
            );
            self.error(value.span, message);
            return Json::Null;
        };
        let reference = reference::parse(text);
        if let Reference::Literal(_) = reference {
            self.report.mask(value.span);
            let variable: String = place
                .dotted
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        c.to_ascii_uppercase()
                    } else {
                        '_'
                    }
                })
                .collect();
            self.report.push(
                Diagnostic::error(format!(
                    "`{}` is a secret and must not stand in the file",
                    place.dotted
                ))
                .at(value.span)
                .hint(format!(
                    "refer to it: \"env:{variable}\" is an environment variable, \"file:PATH\" a file"
                )),
            );
            return Json::Null;
        }
        if let Reference::Env {
            default: Some(_), ..
        } = reference
        {
            self.report.mask(value.span);
        }
        match self.looked_up(&reference, value.span, place) {
            Some(text) if text.is_empty() => {
                let message = format!(
                    "`{}` is a secret, and what it refers to is empty",
                    place.dotted
                );
                self.error(value.span, message);
                Json::Null
            }
            Some(text) => {
                self.report.secret(&text);
                Json::String(text)
            }
            // Something must stand there, or the plugin would miss the option.
            None => Json::String("not-set".to_owned()),
        }
    }

    /// What a reference stands for; nothing if it cannot be resolved.
    fn looked_up(
        &mut self,
        reference: &Reference<'_>,
        span: Span,
        place: &Place,
    ) -> Option<String> {
        if let Reference::Env {
            name,
            default: Some(default),
        } = reference
            && self.context.environment.var(name).is_none()
        {
            let taken = ((*name).to_owned(), (*default).to_owned());
            self.out.defaulted.push(taken);
        }
        match reference::resolve(reference, self.context.folder, self.context.environment) {
            Ok(text) => Some(text),
            Err(_) if self.context.lenient => None,
            Err(why) => {
                let hint = match reference {
                    Reference::Env { name, .. } => format!(
                        "set it, or write a default: \"env:{name}?DEFAULT\"; `host validate --allow-missing-secrets` checks the rest without it"
                    ),
                    _ => "`host validate --allow-missing-secrets` checks the rest without it"
                        .to_owned(),
                };
                self.report.push(
                    Diagnostic::error(format!("`{}`: {why}", place.dotted))
                        .at(span)
                        .hint(hint),
                );
                None
            }
        }
    }

    fn string(&mut self, node: Node<'_>, raw: &str, span: Span, place: &Place) -> Json {
        let reference = reference::parse(raw);
        if let Reference::Literal(text) = reference {
            return self.text(node, text, span, place);
        }
        match self.looked_up(&reference, span, place) {
            None => {
                self.out.incomplete = true;
                Json::Null
            }
            Some(text) => match typed(node, &text) {
                // A variable is text; a number or a boolean is read from it.
                Some(kind) => self.checked(node, &Value { span, kind }, place),
                None if !admits(node, &ValueKind::String(String::new())) => {
                    let (name, wanted) = (&place.dotted, node.describe());
                    let message = format!("`{name}` must be {wanted}, and `{raw}` holds none");
                    self.error(span, message);
                    Json::Null
                }
                None => self.text(node, &text, span, place),
            },
        }
    }

    fn text(&mut self, node: Node<'_>, text: &str, span: Span, place: &Place) -> Json {
        let name = &place.dotted;
        if let Some(words) = node.words() {
            if !words.contains(&text) {
                let message = format!("`{name}` must be {}, not `{text}`", listed(&words, "or"));
                self.report.push(
                    Diagnostic::error(message)
                        .at(span)
                        .maybe_hint(did_you_mean(text, words)),
                );
            }
            return Json::String(text.to_owned());
        }
        let branches = node.branches();
        let node = match branches
            .iter()
            .find(|b| admits(b.single(), &ValueKind::String(String::new())))
        {
            Some(branch) => branch.single(),
            None => node,
        };
        if let Some(words) = node.words().filter(|w| !w.contains(&text)) {
            let wanted: Vec<String> = branches.iter().map(|b| b.describe()).collect();
            let message = format!("`{name}` must be {}, not `{text}`", wanted.join(" or "));
            self.report.push(
                Diagnostic::error(message)
                    .at(span)
                    .maybe_hint(did_you_mean(text, words)),
            );
            return Json::Null;
        }
        if !admits(node, &ValueKind::String(String::new())) {
            let message = format!("`{name}` must be {}, not a string", node.describe());
            self.error(span, message);
            return Json::Null;
        }
        self.text_rules(node, text, span, name);
        if node.is_path() && text != "-" && !text.is_empty() {
            let path = self.context.folder.join(text);
            return Json::String(path.to_string_lossy().into_owned());
        }
        Json::String(text.to_owned())
    }

    fn text_rules(&mut self, node: Node<'_>, text: &str, span: Span, name: &str) {
        let length = text.chars().count() as u64;
        let unit = match node.text("format") {
            Some("x-size") => plugin_api::ByteSize::parse(text).err(),
            Some("x-duration") => plugin_api::Span::parse(text).err(),
            _ => None,
        };
        if let Some(why) = unit {
            self.error(span, format!("`{name}`: {why}"));
        }
        let bound = |keyword| node.get(keyword).and_then(Json::as_u64);
        if bound("minLength").is_some_and(|min| length < min) {
            let message = if length == 0 {
                format!("`{name}` must not be empty")
            } else {
                format!("`{name}` is too short")
            };
            self.error(span, message);
        }
        if let Some(max) = bound("maxLength").filter(|max| length > *max) {
            self.error(
                span,
                format!("`{name}` has {length} characters, at most {max} are allowed"),
            );
        }
        if let Some(pattern) = node.text("pattern")
            && let Ok(regex) = regex::Regex::new(pattern)
            && !regex.is_match(text)
        {
            self.report.push(
                Diagnostic::error(format!(
                    "`{name}` must be {}, not `{text}`",
                    node.describe()
                ))
                .at(span)
                .maybe_hint(
                    node.text("description")
                        .and_then(|d| d.lines().next())
                        .map(str::to_owned),
                ),
            );
        }
    }

    fn bounds(&mut self, node: Node<'_>, number: f64, shown: &str, span: Span, place: &Place) {
        let bound = |keyword| node.get(keyword).and_then(Json::as_f64);
        let rules = [
            (
                bound("minimum"),
                "at least",
                number >= bound("minimum").unwrap_or(number),
            ),
            (
                bound("maximum"),
                "at most",
                number <= bound("maximum").unwrap_or(number),
            ),
            (
                bound("exclusiveMinimum"),
                "more than",
                bound("exclusiveMinimum").is_none_or(|b| number > b),
            ),
            (
                bound("exclusiveMaximum"),
                "less than",
                bound("exclusiveMaximum").is_none_or(|b| number < b),
            ),
        ];
        for (bound, words, holds) in rules {
            if let (Some(bound), false) = (bound, holds) {
                let message = format!("`{}` must be {words} {bound}, not {shown}", place.dotted);
                self.error(span, message);
            }
        }
    }
}

/// Whether a value of this kind can be right here at all.
fn admits(node: Node<'_>, kind: &ValueKind) -> bool {
    let branches = node.branches();
    if !branches.is_empty() {
        return branches.iter().any(|b| admits(b.single(), kind));
    }
    let types = node.types();
    if types.is_empty() {
        return match node.words() {
            Some(_) => matches!(kind, ValueKind::String(_)),
            None => true,
        };
    }
    types.iter().any(|name| match kind {
        ValueKind::String(_) | ValueKind::Datetime(_) => *name == "string",
        ValueKind::Integer(_) => *name == "integer" || *name == "number",
        ValueKind::Float(_) => *name == "number",
        ValueKind::Boolean(_) => *name == "boolean",
        ValueKind::Array(_) => *name == "array",
        ValueKind::Table(_) => *name == "object",
    })
}

/// How far a table is from an alternative: tags that differ count most.
fn distance(node: Node<'_>, table: &Table) -> usize {
    let object = node.object();
    let missing = object
        .required
        .iter()
        .filter(|key| table.get(key).is_none())
        .count();
    let foreign = table
        .0
        .iter()
        .filter(|e| !object.properties.iter().any(|(key, _)| *key == e.key))
        .count();
    let tags = object
        .properties
        .iter()
        .filter(|(key, node)| {
            let word = node.get("const").and_then(Json::as_str);
            match (word, table.get(key).map(|e| &e.value.kind)) {
                (Some(word), Some(ValueKind::String(text))) => word != text,
                _ => false,
            }
        })
        .count();
    tags * 100 + missing + foreign
}

/// Text from a variable or file as the number or boolean that the schema wants; nothing where it
/// admits strings, or the text is none.
fn typed(node: Node<'_>, text: &str) -> Option<ValueKind> {
    if node.types().is_empty() || admits(node, &ValueKind::String(String::new())) {
        return None;
    }
    let text = text.trim();
    let kinds = [
        text.parse().ok().map(ValueKind::Integer),
        text.parse().ok().map(ValueKind::Float),
        text.parse().ok().map(ValueKind::Boolean),
    ];
    kinds.into_iter().flatten().find(|kind| admits(node, kind))
}

/// Masks every string inside a value.
fn mask_strings(value: &Value, report: &mut Report) {
    match &value.kind {
        ValueKind::String(_) => report.mask(value.span),
        ValueKind::Array(items) => items.iter().for_each(|v| mask_strings(v, report)),
        ValueKind::Table(table) => table.0.iter().for_each(|e| mask_strings(&e.value, report)),
        _ => {}
    }
}
