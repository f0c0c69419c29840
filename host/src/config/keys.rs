//! Typed access to the entries of a table: each function reports what is wrong and gives nothing
//! then, so that reading goes on and finds the next error.

use std::time::Duration;

use super::model::Spanned;
use super::value::{Entry, Kind, Table, Value};
use crate::diag::{Diagnostic, Report, Span, did_you_mean, listed, nearest};

/// Reports the keys of `table` that are not `known`. `hint` may explain a key better than the
/// nearest word.
pub(super) fn unknown(
    table: &Table,
    known: &[&str],
    place: &str,
    report: &mut Report,
    hint: impl Fn(&Entry) -> Option<String>,
) {
    for entry in &table.0 {
        if !known.contains(&entry.key.as_str()) {
            let hint = did_you_mean(&entry.key, known.iter().copied()).or_else(|| hint(entry));
            report.push(
                Diagnostic::error(format!("unknown key `{}` in {place}", entry.key))
                    .at(entry.key_span)
                    .maybe_hint(hint),
            );
        }
    }
}

/// Whether `key` is missing because it stands there misspelt, which [`unknown`] reports.
pub(super) fn misspelt(table: &Table, known: &[&str], key: &str) -> bool {
    table.get(key).is_none()
        && table.0.iter().any(|e| {
            !known.contains(&e.key.as_str()) && nearest(&e.key, known.iter().copied()) == Some(key)
        })
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type(key: &str, wanted: &str, value: &Value, report: &mut Report) {
    let message = format!("`{key}` must be {wanted}, not {}", value.kind.name());
    report.push(Diagnostic::error(message).at(value.span));
}

pub(super) fn string(entry: &Entry, report: &mut Report) -> Option<Spanned<String>> {
    match &entry.value.kind {
        Kind::String(text) => Some(Spanned {
            value: text.clone(),
            span: entry.value.span,
        }),
        _ => {
            wrong_type(&entry.key, "a string", &entry.value, report);
            None
        }
    }
}

pub(super) fn boolean(entry: &Entry, report: &mut Report) -> Option<bool> {
    match entry.value.kind {
        Kind::Boolean(b) => Some(b),
        _ => {
            wrong_type(&entry.key, "`true` or `false`", &entry.value, report);
            None
        }
    }
}

/// A whole number from 1 to `max`.
pub(super) fn count(entry: &Entry, max: i64, report: &mut Report) -> Option<u64> {
    match entry.value.kind {
        Kind::Integer(n) if (1..=max).contains(&n) => Some(n.unsigned_abs()),
        Kind::Integer(n) => {
            let range = if max == i64::MAX {
                "at least 1".to_owned()
            } else {
                format!("from 1 to {max}")
            };
            let message = format!("`{}` must be {range}, not {n}", entry.key);
            report.push(Diagnostic::error(message).at(entry.value.span));
            None
        }
        _ => {
            wrong_type(&entry.key, "a whole number", &entry.value, report);
            None
        }
    }
}

pub(super) fn duration(entry: &Entry, report: &mut Report) -> Option<Duration> {
    let Kind::String(text) = &entry.value.kind else {
        wrong_type(&entry.key, "a duration like \"30s\"", &entry.value, report);
        return None;
    };
    positive(
        entry,
        plugin_api::Span::parse(text).map(plugin_api::Span::duration),
        |d| d.is_zero(),
        report,
    )
}

pub(super) fn size(entry: &Entry, report: &mut Report) -> Option<u64> {
    let size = match &entry.value.kind {
        Kind::Integer(n) => u64::try_from(*n).map_err(|_| format!("`{n}` is no size")),
        Kind::String(text) => plugin_api::ByteSize::parse(text).map(|s| s.0),
        _ => {
            wrong_type(&entry.key, "a size like \"8 MiB\"", &entry.value, report);
            return None;
        }
    };
    positive(entry, size, |n| *n == 0, report)
}

fn positive<T>(
    entry: &Entry,
    value: Result<T, String>,
    is_zero: impl Fn(&T) -> bool,
    report: &mut Report,
) -> Option<T> {
    let message = match value {
        Ok(value) if !is_zero(&value) => return Some(value),
        Ok(_) => format!("`{}` must be more than nothing", entry.key),
        Err(message) => message,
    };
    report.push(Diagnostic::error(message).at(entry.value.span));
    None
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    entry: &Entry,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let words: Vec<&str> = choices.iter().map(|c| c.0).collect();
    let wanted = listed(&words, "or");
    let Kind::String(text) = &entry.value.kind else {
        wrong_type(&entry.key, &wanted, &entry.value, report);
        return None;
    };
    let found = choices.iter().find(|c| c.0 == text).map(|c| c.1);
    if found.is_none() {
        let message = format!("`{}` must be {wanted}, not `{text}`", entry.key);
        report.push(
            Diagnostic::error(message)
                .at(entry.value.span)
                .maybe_hint(did_you_mean(text, words)),
        );
    }
    found
}

pub(super) fn table<'v>(entry: &'v Entry, report: &mut Report) -> Option<&'v Table> {
    match &entry.value.kind {
        Kind::Table(table) => Some(table),
        _ => {
            wrong_type(&entry.key, "a table", &entry.value, report);
            None
        }
    }
}

/// An array of strings.
pub(super) fn strings(entry: &Entry, report: &mut Report) -> Option<Vec<Spanned<String>>> {
    let Kind::Array(items) = &entry.value.kind else {
        let message = format!(
            "`{}` must be an array of strings, not {}",
            entry.key,
            entry.value.kind.name()
        );
        let hint = match &entry.value.kind {
            Kind::String(text) => Some(format!("write {} = [{text:?}]", entry.key)),
            _ => None,
        };
        report.push(
            Diagnostic::error(message)
                .at(entry.value.span)
                .maybe_hint(hint),
        );
        return None;
    };
    let mut strings = Vec::with_capacity(items.len());
    for item in items {
        match &item.kind {
            Kind::String(text) => strings.push(Spanned {
                value: text.clone(),
                span: item.span,
            }),
            _ => {
                let key = format!("each of `{}`", entry.key);
                let message = format!("{key} must be a string, not {}", item.kind.name());
                report.push(Diagnostic::error(message).at(item.span));
            }
        }
    }
    Some(strings)
}

/// Checks a name of a host, stage or plugin, which also names files and metrics.
pub(super) fn name(what: &str, name: &str, span: Span, report: &mut Report) {
    let ok = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !ok {
        report.push(
            Diagnostic::error(format!("`{name}` cannot name a {what}"))
                .at(span)
                .hint("a name has up to 64 letters, digits, `-` and `_`, and begins with a letter or digit"),
        );
    }
}
