//! The account at the end of a run.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, time::Duration};

use plugin_api::{Code, StageError};
use serde::Serialize;

use super::{View, account::Account, shared::StageShared};
use crate::diag::{EXIT_CONFIG, EXIT_OK, EXIT_PLUGIN, EXIT_UNAVAILABLE};

/// A stage that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    pub host: String,
    pub stage: String,
    pub error: StageError,
}

/// What a stage did.
#[derive(Debug, Serialize)]
pub struct Stage {
    #[serde(skip)]
    pub name: String,
    #[serde(flatten)]
    pub account: Account,
    /// What it counted and measured itself, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl Stage {
    fn of(stage: &StageShared) -> Self {
        let metrics = stage.metrics().into_iter();
        Self {
            name: stage.name.clone(),
            account: stage.account(),
            metrics: metrics.map(|(name, metric)| (name, metric.value)).collect(),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// The stages of each host, in the order of the plan.
    pub hosts: Vec<(String, Vec<Stage>)>,
    /// Stages that failed, the first one first.
    pub failures: Vec<Failure>,
    /// Stages (`HOST/STAGE`) that had not drained when the grace was over.
    pub unfinished: Vec<String>,
    /// Files of dead letters, with how many are in each.
    pub letters: Vec<(PathBuf, u64)>,
    /// How long it took.
    pub took: Duration,
}

#[derive(Serialize)]
struct Json<'a> {
    hosts: BTreeMap<&'a str, Stages<'a>>,
}

#[derive(Serialize)]
struct Stages<'a> {
    stages: BTreeMap<&'a str, &'a Stage>,
}

impl Report {
    pub(super) fn new(
        view: &View,
        failures: Vec<Failure>,
        unfinished: Vec<String>,
        letters: Vec<(PathBuf, u64)>,
        took: Duration,
    ) -> Self {
        let hosts = view.hosts.iter();
        let hosts = hosts.map(|(name, stages)| {
            let stages = stages.iter().map(|stage| Stage::of(stage));
            (name.clone(), stages.collect())
        });
        Self {
            hosts: hosts.collect(),
            failures,
            unfinished,
            letters,
            took,
        }
    }

    /// Exit code that the run asks for.
    pub fn exit(&self) -> u8 {
        match self.failures.first().map(|f| f.error.code) {
            None if self.unfinished.is_empty() => EXIT_OK,
            Some(Code::CONFIG) => EXIT_CONFIG,
            Some(Code::UNAVAILABLE) => EXIT_UNAVAILABLE,
            None | Some(_) => EXIT_PLUGIN,
        }
    }

    /// One line for programs.
    pub fn json(&self) -> String {
        let mut hosts = BTreeMap::new();
        for (name, s) in &self.hosts {
            let stages = s.iter().map(|stage| (stage.name.as_str(), stage)).collect();
            hosts.insert(name.as_str(), Stages { stages });
        }
        serde_json::to_string(&Json { hosts }).expect("names and numbers are JSON")
    }

    /// A table for people, then what stages counted themselves, and what to look at.
    pub fn text(&self) -> String {
        let head = [
            "stage",
            "received",
            "emitted",
            "consumed",
            "filtered",
            "dead",
            "dropped",
            "in flight",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for (host, stages) in &self.hosts {
            for Stage {
                name, account: a, ..
            } in stages
            {
                let n = [
                    a.received,
                    a.emitted,
                    a.consumed,
                    a.filtered,
                    a.dead_lettered,
                    a.dropped,
                    a.in_flight,
                ];
                let mut row = [const { String::new() }; 8];
                row[0] = format!("{host}/{name}");
                for (cell, n) in row[1..].iter_mut().zip(n) {
                    *cell = n.to_string();
                }
                rows.push(row);
            }
        }
        let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..8).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = format!("{:<w$}", row[0], w = widths[0]);
            for (cell, w) in row.iter().zip(&widths).skip(1) {
                // Writing to a String cannot fail.
                let _ = write!(line, "  {cell:>w$}");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for (host, stages) in &self.hosts {
            for stage in stages.iter().filter(|stage| !stage.metrics.is_empty()) {
                let metrics: Vec<_> = stage
                    .metrics
                    .iter()
                    .map(|(name, value)| format!("{name} {value}"))
                    .collect();
                let _ = writeln!(text, "{host}/{}: {}", stage.name, metrics.join(", "));
            }
        }
        for (path, n) in &self.letters {
            let _ = writeln!(text, "{n} dead letters in {}", path.display());
        }
        for stage in &self.unfinished {
            let _ = writeln!(text, "{stage} had not drained when the grace was over");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stage_counts_itself_stands_beside_its_account() {
        let stage = |name: &str, metrics: &[(&str, f64)]| Stage {
            name: name.into(),
            account: Account {
                received: 7,
                ..Account::default()
            },
            metrics: metrics.iter().map(|(k, v)| ((*k).into(), *v)).collect(),
        };
        let stages = vec![
            stage("posts", &[("x_delete", 2.0), ("x_posts_left_day", 98.0)]),
            stage("file", &[]),
        ];
        let report = Report {
            hosts: vec![("h".into(), stages)],
            failures: Vec::new(),
            unfinished: Vec::new(),
            letters: Vec::new(),
            took: Duration::ZERO,
        };
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let stages = &json["hosts"]["h"]["stages"];
        assert_eq!(stages["posts"]["received"], 7);
        assert_eq!(stages["posts"]["metrics"]["x_posts_left_day"], 98.0);
        assert!(stages["file"].get("metrics").is_none());
        let text = report.text();
        assert!(text.ends_with("\nh/posts: x_delete 2, x_posts_left_day 98\n"));
    }
}
