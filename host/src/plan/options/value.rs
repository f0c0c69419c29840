//! Values that are no texts, and the choice between the alternatives of a union.

use serde_json::{Number, Value as Json};

use super::{Place, Walk};
use crate::config::{Table, Value, ValueKind};
use crate::diag::Span;
use crate::plan::schema::Node;

impl Walk<'_, '_> {
    pub(super) fn value(&mut self, node: Node<'_>, value: &Value, place: &Place) -> Json {
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
    pub(super) fn checked(&mut self, node: Node<'_>, value: &Value, place: &Place) -> Json {
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
pub(super) fn admits(node: Node<'_>, kind: &ValueKind) -> bool {
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
