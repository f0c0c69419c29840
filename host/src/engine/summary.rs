//! The account at the end of a run.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, time::Duration};

use plugin_api::{Code, StageError};
use serde::Serialize;

use super::{View, account::Account};
use crate::diag::{EXIT_CONFIG, EXIT_OK, EXIT_PLUGIN, EXIT_UNAVAILABLE};

/// A stage that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    pub host: String,
    pub stage: String,
    pub error: StageError,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// Accounts of the stages of each host, in the order of the plan.
    pub hosts: Vec<(String, Vec<(String, Account)>)>,
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
    stages: BTreeMap<&'a str, Account>,
}

impl Report {
    pub(super) fn new(
        view: &View,
        failures: Vec<Failure>,
        unfinished: Vec<String>,
        letters: Vec<(PathBuf, u64)>,
        took: Duration,
    ) -> Self {
        let account =
            |s: &std::sync::Arc<super::shared::StageShared>| (s.name.clone(), s.account());
        let hosts = view
            .hosts
            .iter()
            .map(|(n, s)| (n.clone(), s.iter().map(account).collect()))
            .collect();
        Self {
            hosts,
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
            let stages: BTreeMap<&str, Account> = s.iter().map(|(n, a)| (n.as_str(), *a)).collect();
            hosts.insert(name.as_str(), Stages { stages });
        }
        serde_json::to_string(&Json { hosts }).expect("names and numbers are JSON")
    }

    /// A table for people, ending with what to look at.
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
            for (name, a) in stages {
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
        for (path, n) in &self.letters {
            let _ = writeln!(text, "{n} dead letters in {}", path.display());
        }
        for stage in &self.unfinished {
            let _ = writeln!(text, "{stage} had not drained when the grace was over");
        }
        text
    }
}
