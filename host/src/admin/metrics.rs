//! Accounts and stages' own metrics in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::Ordering::Relaxed,
    time::{SystemTime, UNIX_EPOCH},
};

use plugin_api::abi::services::MetricKind;

use crate::engine::{View, account::Account, region::RegionShared};

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
    regions(&mut out, view);
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

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// A metric of a region: name, help, kind, and its value if it has one.
type RegionField = (
    &'static str,
    &'static str,
    &'static str,
    fn(&RegionShared) -> Option<f64>,
);

const REGION_FIELDS: [RegionField; 6] = [
    ("epoch", "Number of the last durable epoch", "gauge", |r| {
        Some(r.epoch.load(Relaxed) as f64)
    }),
    (
        "epoch_age_seconds",
        "Time since an epoch of this run became durable",
        "gauge",
        |r| {
            let at = r.at_us.load(Relaxed);
            (at > 0).then(|| now_us().saturating_sub(at).max(0) as f64 / 1e6)
        },
    ),
    (
        "epoch_bytes",
        "Size of the last epoch's file",
        "gauge",
        |r| Some(r.bytes.load(Relaxed) as f64),
    ),
    (
        "epoch_duration_seconds",
        "Time from the last epoch's barrier to its last commit",
        "gauge",
        |r| Some(r.took_ns.load(Relaxed) as f64 / 1e9),
    ),
    (
        "restarts_total",
        "How often the region was started again after a crash",
        "counter",
        |r| Some(r.restarts.load(Relaxed) as f64),
    ),
    (
        "restarting",
        "Whether the region is being started again",
        "gauge",
        |r| Some(f64::from(u8::from(r.restarting.load(Relaxed)))),
    ),
];

fn regions(out: &mut String, view: &View) {
    for (field, help, kind, get) in REGION_FIELDS {
        let name = format!("host_region_{field}");
        head(out, &name, help, kind);
        for r in &view.regions {
            if let Some(value) = get(r) {
                let (host, region) = (escape(&r.host), escape(&r.name));
                let _ = writeln!(out, "{name}{{host=\"{host}\",region=\"{region}\"}} {value}");
            }
        }
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
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
