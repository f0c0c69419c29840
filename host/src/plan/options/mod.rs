//! What stands under `with` → the JSON that a plugin reads: references resolved, paths made
//! absolute, every value held against the plugin's schema, every error at its place.

mod text;
mod value;

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::schema::{Node, Object};
use crate::config::reference::Environment;
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
