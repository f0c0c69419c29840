//! Accounts and stages' own metrics in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{collections::BTreeMap, fmt::Write};

use plugin_api::abi::services::MetricKind;

use crate::engine::{View, account::Account};

type Field = (&'static str, &'static str, fn(&Account) -> u64);

const FIELDS: [Field; 6] = [
    ("received", "Records that came in", |a| a.received),
    ("emitted", "Records that went out", |a| a.emitted),
    ("consumed", "Records that were used", |a| a.consumed),
    ("filtered", "Records passed over on purpose", |a| a.filtered),
    ("dead_lettered", "Records that could not be used", |a| {
        a.dead_lettered
    }),
    ("dropped", "Records dropped by policy", |a| a.dropped),
];

/// All metrics.
pub fn text(view: &View) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let head = |out: &mut String, name: &str, help: &str, kind: &str| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let stages: Vec<_> = view.hosts.iter().flat_map(|(_, stages)| stages).collect();
    for (field, help, get) in FIELDS {
        let name = format!("host_stage_{field}_records_total");
        head(&mut out, &name, help, "counter");
        for s in &stages {
            let _ = writeln!(
                out,
                "{name}{} {}",
                labels(&s.host, &s.name),
                get(&s.account())
            );
        }
    }
    head(
        &mut out,
        "host_stage_queued_records",
        "Records waiting in the edges into a stage",
        "gauge",
    );
    for s in &stages {
        let _ = writeln!(
            out,
            "host_stage_queued_records{} {}",
            labels(&s.host, &s.name),
            s.queued()
        );
    }
    let mut own: BTreeMap<String, (MetricKind, Vec<String>)> = BTreeMap::new();
    for s in &stages {
        for (name, metric) in s.metrics() {
            let total = if metric.kind == MetricKind::Counter {
                "_total"
            } else {
                ""
            };
            let name = format!("plugin_{}{total}", clean(&name));
            let line = format!("{name}{} {}", labels(&s.host, &s.name), metric.value);
            own.entry(name)
                .or_insert_with(|| (metric.kind, Vec::new()))
                .1
                .push(line);
        }
    }
    for (name, (kind, lines)) in own {
        let kind = if kind == MetricKind::Counter {
            "counter"
        } else {
            "gauge"
        };
        head(&mut out, &name, "Reported by the plugin", kind);
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn labels(host: &str, stage: &str) -> String {
    format!("{{host=\"{}\",stage=\"{}\"}}", escape(host), escape(stage))
}

fn escape(s: &str) -> String {
    s.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// A name as Prometheus allows it.
fn clean(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}
