//! The host's keys of one stage.

use super::keys;
use super::model::{
    Buffer, BufferKind, InputRef, Isolate, OnCrash, OnError, Ordering, Spanned, StageConfig,
    StageKind, WhenFull,
};
use super::value::{Entry, Kind, Table};
use crate::diag::{Diagnostic, Report, Span};

/// Keys that every stage may have.
const COMMON: [&str; 6] = [
    "plugin", "workers", "on_error", "on_crash", "isolate", "with",
];
/// Keys of stages with inputs.
const FED: [&str; 3] = ["inputs", "ordering", "buffer"];

/// Most instances of a stage.
const MAX_WORKERS: i64 = 256;

pub(super) fn read(entry: &Entry, kind: StageKind, report: &mut Report) -> Option<StageConfig> {
    keys::name("stage", &entry.key, entry.key_span, report);
    let table = keys::table(entry, report)?;
    let place = format!("{kind} `{}`", entry.key);
    let known = known_keys(kind);
    for key in &table.0 {
        if !known.contains(&key.key.as_str())
            && let Some(why) = misplaced(&key.key)
        {
            let message = format!("a {kind} has no `{}`", key.key);
            report.push(Diagnostic::error(message).at(key.key_span).hint(why));
        }
    }
    let others = Table(
        table
            .0
            .iter()
            .filter(|e| known.contains(&e.key.as_str()) || misplaced(&e.key).is_none())
            .cloned()
            .collect(),
    );
    keys::unknown(&others, &known, &place, report, |e| {
        Some(format!(
            "options of the plugin stand under `with`: with.{}",
            e.key
        ))
    });

    let (inputs, inputs_span) = inputs(entry, table, kind, &known, &place, report);
    let (workers, ordering) = workers(entry, table, kind, report);
    let with = table.get("with");
    Some(StageConfig {
        name: Spanned {
            value: entry.key.clone(),
            span: entry.key_span,
        },
        kind,
        plugin: plugin(entry, table, &known, &place, report),
        inputs,
        inputs_span,
        workers,
        ordering,
        limit: table
            .get("limit")
            .filter(|_| kind == StageKind::Source)
            .and_then(|e| keys::count(e, i64::MAX, report)),
        buffer: table
            .get("buffer")
            .filter(|_| kind != StageKind::Source)
            .and_then(|e| buffer(e, &place, report))
            .unwrap_or_default(),
        on_error: table
            .get("on_error")
            .and_then(|e| {
                let choices = [
                    ("dead-letter", OnError::DeadLetter),
                    ("drop", OnError::Drop),
                    ("stop", OnError::Stop),
                ];
                keys::choice(e, &choices, report)
            })
            .unwrap_or_default(),
        on_crash: table
            .get("on_crash")
            .and_then(|e| {
                let choices = [("restart", OnCrash::Restart), ("stop", OnCrash::Stop)];
                keys::choice(e, &choices, report)
            })
            .unwrap_or_default(),
        isolate: table
            .get("isolate")
            .and_then(|e| isolate(e, &place, report)),
        with: with
            .and_then(|e| keys::table(e, report))
            .cloned()
            .unwrap_or_default(),
        with_span: with.map(|e| e.key_span),
    })
}

fn known_keys(kind: StageKind) -> Vec<&'static str> {
    let mut known = COMMON.to_vec();
    match kind {
        StageKind::Source => known.push("limit"),
        _ => known.extend(FED),
    }
    known
}

/// Why a key that other kinds of stages have does not fit here.
fn misplaced(key: &str) -> Option<&'static str> {
    match key {
        "inputs" => Some(
            "a source brings records in from outside; processors and sinks name it in their `inputs`",
        ),
        "limit" => Some("set `limit` on the sources; the rest stops when they are drained"),
        "buffer" => {
            Some("a buffer stands before a stage: set it on the stages that read from this source")
        }
        "ordering" => Some(
            "records are put in order where they are spread: set `ordering` on the stages that \
             read from this source",
        ),
        _ => None,
    }
}

fn plugin(
    entry: &Entry,
    table: &Table,
    known: &[&str],
    place: &str,
    report: &mut Report,
) -> Option<Spanned<String>> {
    match table.get("plugin") {
        Some(plugin) => keys::string(plugin, report),
        None if keys::misspelt(table, known, "plugin") => None,
        None => {
            report.push(
                Diagnostic::error(format!("{place} does not say its `plugin`"))
                    .at(entry.key_span)
                    .hint("`host list` shows the plugins"),
            );
            None
        }
    }
}

fn inputs(
    entry: &Entry,
    table: &Table,
    kind: StageKind,
    known: &[&str],
    place: &str,
    report: &mut Report,
) -> (Vec<InputRef>, Span) {
    if kind == StageKind::Source || keys::misspelt(table, known, "inputs") {
        return (Vec::new(), entry.key_span);
    }
    let missing = |span| {
        Diagnostic::error(format!("{place} has no inputs"))
            .at(span)
            .hint("name the stages that it reads from: inputs = [\"STAGE\"]")
    };
    let Some(inputs) = table.get("inputs") else {
        report.push(missing(entry.key_span));
        return (Vec::new(), entry.key_span);
    };
    let span = inputs.value.span;
    let Some(names) = keys::strings(inputs, report) else {
        return (Vec::new(), span);
    };
    if names.is_empty() {
        report.push(missing(span));
    }
    let mut refs: Vec<InputRef> = Vec::with_capacity(names.len());
    for name in names {
        let (stage, port) = match name.value.split_once('.') {
            Some((stage, port)) => (stage, Some(port.to_owned())),
            None => (name.value.as_str(), None),
        };
        let input = InputRef {
            stage: stage.to_owned(),
            port,
            span: name.span,
        };
        let double = refs
            .iter()
            .find(|r| r.stage == input.stage && r.port == input.port);
        if let Some(first) = double {
            let message = format!("{place} names the input `{}` twice", name.value);
            report.push(
                Diagnostic::error(message)
                    .at(name.span)
                    .note("it stands here first", first.span),
            );
        }
        refs.push(input);
    }
    (refs, span)
}

fn workers(
    entry: &Entry,
    table: &Table,
    kind: StageKind,
    report: &mut Report,
) -> (Spanned<u32>, Ordering) {
    let count = table
        .get("workers")
        .and_then(|e| Some((keys::count(e, MAX_WORKERS, report)?, e.value.span)));
    let workers = Spanned {
        value: count.map_or(1, |(n, _)| u32::try_from(n).expect("at most 256")),
        span: count.map_or(entry.key_span, |(_, span)| span),
    };
    if kind == StageKind::Source {
        return (workers, Ordering::default());
    }
    let ordering = table.get("ordering").and_then(|e| {
        let choices = [
            ("none", Ordering::None),
            ("key", Ordering::Key),
            ("total", Ordering::Total),
        ];
        keys::choice(e, &choices, report)
    });
    if let (Some(Ordering::Total), Some(entry), true) =
        (ordering, table.get("ordering"), workers.value > 1)
    {
        let count = workers.value;
        report.push(
            Diagnostic::error(format!("{count} workers cannot keep a total order"))
                .at(entry.value.span)
                .hint("use `ordering = \"key\"`, or one worker"),
        );
    }
    (workers, ordering.unwrap_or_default())
}

fn isolate(entry: &Entry, place: &str, report: &mut Report) -> Option<Spanned<Isolate>> {
    let memory = match &entry.value.kind {
        Kind::Boolean(false) => return None,
        Kind::Boolean(true) => None,
        Kind::Table(table) => {
            let place = format!("`isolate` of {place}");
            keys::unknown(table, &["memory"], &place, report, |_| None);
            table.get("memory").and_then(|e| keys::size(e, report))
        }
        _ => {
            let wanted = "`true`, `false` or a table like { memory = \"512 MiB\" }";
            keys::wrong_type(&entry.key, wanted, &entry.value, report);
            return None;
        }
    };
    Some(Spanned {
        value: Isolate { memory },
        span: entry.value.span,
    })
}

/// Bytes that a disk buffer holds where the file does not say.
const DISK_BYTES: u64 = 1 << 30;

fn buffer(entry: &Entry, place: &str, report: &mut Report) -> Option<Buffer> {
    let table = keys::table(entry, report)?;
    let known = ["type", "max_bytes", "max_records", "when_full"];
    let place = format!("`buffer` of {place}");
    keys::unknown(table, &known, &place, report, |_| None);
    let kind = table
        .get("type")
        .and_then(|e| {
            let choices = [("memory", BufferKind::Memory), ("disk", BufferKind::Disk)];
            keys::choice(e, &choices, report)
        })
        .unwrap_or_default();
    let default = Buffer::default();
    let records = table.get("max_records");
    if let (BufferKind::Disk, Some(records)) = (kind, records) {
        report.push(
            Diagnostic::error("a disk buffer is bounded by bytes, not by records")
                .at(records.key_span)
                .hint("set `max_bytes`"),
        );
    }
    Some(Buffer {
        kind,
        max_bytes: table
            .get("max_bytes")
            .and_then(|e| keys::size(e, report))
            .unwrap_or(match kind {
                BufferKind::Memory => default.max_bytes,
                BufferKind::Disk => DISK_BYTES,
            }),
        max_records: records
            .and_then(|e| keys::count(e, i64::MAX, report))
            .unwrap_or(default.max_records),
        when_full: table
            .get("when_full")
            .and_then(|e| {
                let choices = [
                    ("block", WhenFull::Block),
                    ("drop-oldest", WhenFull::DropOldest),
                    ("drop-newest", WhenFull::DropNewest),
                ];
                keys::choice(e, &choices, report)
            })
            .unwrap_or(default.when_full),
    })
}
