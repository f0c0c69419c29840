//! Text → [`Table`], with all syntax errors and doubled keys of the text.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::value::{Entry, Kind, Table, Value};
use crate::diag::{Diagnostic, Report, Span};

/// What the parser calls a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// The root table; absent where the syntax is broken, so that what follows from a guess at the
/// rest is not reported as well.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Table> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut converted = Converter { report };
    let root = converted.table(root.get_ref());
    let mut sound = true;
    // In a table that stands twice, keys stand twice too, which says nothing more.
    let mut doubled = 0..0;
    for error in &errors {
        if error.message() != DUPLICATE {
            sound = false;
            report.push(syntax(error));
            continue;
        }
        let span: Span = error.span().unwrap_or_default().into();
        let key = text.get(span.start..span.end).unwrap_or_default();
        let line_start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
        let first = if text[line_start..].trim_start().starts_with('[') {
            let section = text[span.start..]
                .find("\n[")
                .unwrap_or(text.len() - span.start);
            doubled = span.start..span.start + section;
            same_header(text, line_start, key)
        } else if doubled.contains(&span.start) {
            continue;
        } else {
            nearest_before(&root, key, span.start)
        };
        let diagnostic = Diagnostic::error(format!("`{key}` stands twice")).at(span);
        report.push(match first {
            Some(first) => diagnostic.note("it stands here first", first),
            None => diagnostic,
        });
    }
    sound.then_some(root)
}

fn syntax(error: &Error) -> Diagnostic {
    let mut lines = error.message().lines();
    let first = lines.next().unwrap_or("it cannot be parsed");
    let rest: Vec<&str> = lines.map(str::trim).filter(|l| !l.is_empty()).collect();
    let message = std::iter::once(first)
        .chain(rest)
        .collect::<Vec<_>>()
        .join(", ");
    let diagnostic = Diagnostic::error(format!("this is no TOML: {message}"));
    match error.span() {
        Some(span) => diagnostic.at(span.into()),
        None => diagnostic,
    }
}

/// Where `key` stands in the first header that is the same as the one at `line_start`.
fn same_header(text: &str, line_start: usize, key: &str) -> Option<Span> {
    let path = |line: &str| header_path(line.split('#').next().unwrap_or_default());
    let wanted = path(text[line_start..].lines().next()?)?;
    let mut at = 0;
    for line in text[..line_start].split_inclusive('\n') {
        if line.trim_start().starts_with('[') && path(line).is_some_and(|p| p == wanted) {
            let start = at + line.rfind(key)?;
            return Some(Span::from(start..start + key.len()));
        }
        at += line.len();
    }
    None
}

/// The keys of a header line.
fn header_path(line: &str) -> Option<Vec<String>> {
    let table = DeTable::parse(line).ok()?;
    let mut path = Vec::new();
    let mut at = table.get_ref();
    while let Some((key, value)) = at.iter().next() {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(table) => at = table,
            _ => break,
        }
    }
    Some(path)
}

/// The last place before `offset` where `key` is a key: between a key and its double there can
/// be no other table, so that it is the first of the two.
fn nearest_before(table: &Table, key: &str, offset: usize) -> Option<Span> {
    let mut best: Option<Span> = None;
    for entry in &table.0 {
        let own = (entry.key == key && entry.key_span.start < offset).then_some(entry.key_span);
        let inner = match &entry.value.kind {
            Kind::Table(inner) => nearest_before(inner, key, offset),
            _ => None,
        };
        for span in own.into_iter().chain(inner) {
            if best.is_none_or(|b| b.start < span.start) {
                best = Some(span);
            }
        }
    }
    best
}

struct Converter<'r> {
    report: &'r mut Report,
}

impl Converter<'_> {
    fn table(&mut self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_span: key.span().into(),
                value: self.value(value),
            })
            .collect();
        entries.sort_by_key(|e| e.key_span.start);
        Table(entries)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) -> Value {
        let span: Span = value.span().into();
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::String(text.to_string()),
            DeValue::Boolean(b) => Kind::Boolean(*b),
            DeValue::Datetime(time) => Kind::Datetime(time.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Kind::Integer(number),
                    Err(_) => {
                        let message = "this integer does not fit into 64 bits";
                        self.report.push(Diagnostic::error(message).at(span));
                        Kind::Integer(i64::MAX)
                    }
                }
            }
            DeValue::Float(number) => Kind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Array(items) => Kind::Array(items.iter().map(|v| self.value(v)).collect()),
            DeValue::Table(table) => Kind::Table(self.table(table)),
        };
        Value { span, kind }
    }
}
