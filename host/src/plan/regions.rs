//! Regions: stages joined by edges in memory, which pass epochs and start again together.

use std::collections::BTreeMap;

use plugin_api::manifest::StageKind;

use super::{HostPlan, host::Draft};
use crate::diag::{Diagnostic, Report, listed};

/// The region of each stage, numbered in the order of the stages: stages joined by edges in memory.
pub fn regions(host: &HostPlan) -> Vec<usize> {
    let mut region: Vec<usize> = (0..host.stages.len()).collect();
    for (to, stage) in host.stages.iter().enumerate() {
        for edge in &stage.inputs {
            let (a, b) = (region[edge.from], region[to]);
            let (low, high) = (a.min(b), a.max(b));
            region
                .iter_mut()
                .filter(|r| **r == high)
                .for_each(|r| *r = low);
        }
    }
    let mut numbers = BTreeMap::new();
    for r in &region {
        let next = numbers.len();
        numbers.entry(*r).or_insert(next);
    }
    region.iter().map(|r| numbers[r]).collect()
}

/// Refuses a sink beside one that must be alone.
pub(super) fn check(draft: &Draft, report: &mut Report) {
    let stages = &draft.plan.stages;
    let region = regions(&draft.plan);
    for (index, stage) in stages.iter().enumerate().filter(|(_, s)| s.alone) {
        let others: Vec<&str> = stages
            .iter()
            .enumerate()
            .filter(|(i, s)| {
                *i != index && s.kind == StageKind::Sink && region[*i] == region[index]
            })
            .map(|(_, s)| s.name.as_str())
            .collect();
        let Some(place) = draft.places.get(index).filter(|_| !others.is_empty()) else {
            continue;
        };
        let message = format!(
            "`{}` must be the only sink behind its sources, and there is {}",
            stage.name,
            listed(&others, "and")
        );
        report.push(
            Diagnostic::error(message)
                .at(place.plugin)
                .hint("put the other sinks behind a disk buffer: buffer = { type = \"disk\" }"),
        );
    }
}
