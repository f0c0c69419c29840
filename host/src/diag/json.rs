//! Diagnostics as JSON, for editors and scripts.

use serde_json::{Value, json};

use super::{Report, Severity, Span};

/// The report as one object:
/// `{"ok", "file", "errors", "warnings", "diagnostics": [{"severity", "message", "line",
/// "column", "end_line", "end_column", "notes", "hints"}]}`; lines and columns count from 1.
pub fn json(report: &Report) -> Value {
    let diagnostics: Vec<Value> = report
        .sorted()
        .into_iter()
        .map(|item| {
            let notes: Vec<Value> = item
                .notes
                .iter()
                .map(|note| {
                    let mut value = json!({"message": report.scrub(&note.message)});
                    place(report, Some(note.span), &mut value);
                    value
                })
                .collect();
            let hints: Vec<String> = item.hints.iter().map(|h| report.scrub(h)).collect();
            let mut value = json!({
                "severity": item.severity.word(),
                "message": report.scrub(&item.message),
                "notes": notes,
                "hints": hints,
            });
            place(report, item.span, &mut value);
            value
        })
        .collect();
    json!({
        "ok": !report.has_errors(),
        "file": report.file.as_ref().map(|f| f.name()),
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "diagnostics": diagnostics,
    })
}

fn place(report: &Report, span: Option<Span>, value: &mut Value) {
    let (Some(file), Some(span)) = (&report.file, span) else {
        return;
    };
    let (line, column) = file.position(span.start);
    let (end_line, end_column) = file.position(span.end);
    value["line"] = line.into();
    value["column"] = column.into();
    value["end_line"] = end_line.into();
    value["end_column"] = end_column.into();
}
