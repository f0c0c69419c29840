//! Places where stages of one process meet without an edge, such as an embedded broker's topic:
//! who must drain before whom, and who waits for somebody that is not there.

use plugin_api::content::{STDIN, STDOUT};

use super::host::Draft;
use super::{HostPlan, StageRef};
use crate::config::{StageConfig, StageKind};
use crate::diag::{Diagnostic, Report, Span, listed};

/// Places of this authority live and die with the process; others are outside it.
const INSIDE: &str = "://embedded/";

/// Warns of places inside the process that are read but not written, or written but not read.
pub(super) fn warn(running: &[Draft], idle: &[Draft], report: &mut Report) {
    for draft in running {
        for (stage, at) in draft.plan.stages.iter().zip(&draft.places) {
            for (places, verb, done) in [
                (&stage.reads, "writes to", false),
                (&stage.writes, "reads from", true),
            ] {
                for place in places.iter().filter(|p| p.contains(INSIDE)) {
                    let meets = |d: &&Draft| {
                        if done {
                            d.reads(place)
                        } else {
                            d.writes(place)
                        }
                    };
                    if running.iter().any(|d| meets(&d)) {
                        continue;
                    }
                    let others: Vec<&str> = idle
                        .iter()
                        .filter(meets)
                        .map(|d| d.plan.name.as_str())
                        .collect();
                    let mut diagnostic = Diagnostic::warning(format!(
                        "nothing in this process {verb} `{place}`, which `{}` {}",
                        stage.name,
                        if done { "writes" } else { "reads" }
                    ))
                    .at(at.plugin);
                    if let Some(first) = others.first() {
                        let verb = if others.len() == 1 { "does" } else { "do" };
                        diagnostic = diagnostic.hint(format!(
                            "{} of this file {verb}: add -n {first}",
                            listed(&others, "and")
                        ));
                    }
                    let inside: Vec<&str> = at
                        .defaulted
                        .iter()
                        .filter(|(_, default)| default == "embedded")
                        .map(|(name, _)| name.as_str())
                        .collect();
                    if !inside.is_empty() {
                        diagnostic = diagnostic.hint(format!(
                            "or set {} to meet outside this process",
                            listed(&inside, "and")
                        ));
                    }
                    report.push(diagnostic);
                }
            }
        }
    }
}

/// Why a stage that meets others at `place` cannot run in a process of its own.
pub(super) fn alone(stage: &StageConfig, isolate: Span, place: &str) -> Option<Diagnostic> {
    let name = &stage.name.value;
    let (message, hint) = match place {
        STDOUT => (
            format!("`{name}` prints to standard output, which belongs to the host's own process"),
            "leave out `isolate`, or write to a file",
        ),
        STDIN => (
            format!("`{name}` reads standard input, which belongs to the host's own process"),
            "leave out `isolate`, or read a file",
        ),
        _ if place.contains(INSIDE) => (
            format!("`{name}` meets others at `{place}`, which is inside the host's own process"),
            "leave out `isolate`, or meet outside, such as on a cluster",
        ),
        _ => return None,
    };
    Some(Diagnostic::error(message).at(isolate).hint(hint))
}

/// Fills in what each source waits for, and gives the order in which the hosts drain.
pub(super) fn join(hosts: &mut [HostPlan]) -> Vec<Vec<usize>> {
    let nodes: Vec<StageRef> = hosts
        .iter()
        .enumerate()
        .flat_map(|(host, h)| (0..h.stages.len()).map(move |stage| StageRef { host, stage }))
        .collect();
    let stage = |r: StageRef| &hosts[r.host].stages[r.stage];
    let meet = |from: StageRef, to: StageRef| {
        let reads = &stage(to).reads;
        stage(from).writes.iter().any(|w| reads.contains(w))
    };
    let flows: Vec<Vec<bool>> = nodes
        .iter()
        .map(|&from| {
            nodes
                .iter()
                .map(|&to| {
                    let edge = from.host == to.host
                        && stage(to).inputs.iter().any(|e| e.from == from.stage);
                    edge || meet(from, to)
                })
                .collect()
        })
        .collect();
    let reach = closure(flows);
    let mut upstream = Vec::new();
    for (t, &to) in nodes.iter().enumerate() {
        if stage(to).kind == StageKind::Source {
            let writers = nodes
                .iter()
                .enumerate()
                .filter(|&(f, &from)| meet(from, to) && !reach[t][f])
                .map(|(_, &from)| from)
                .collect();
            upstream.push((to, writers));
        }
    }
    let before: Vec<Vec<bool>> = (0..hosts.len())
        .map(|a| {
            (0..hosts.len())
                .map(|b| {
                    nodes.iter().any(|&from| {
                        from.host == a && nodes.iter().any(|&to| to.host == b && meet(from, to))
                    })
                })
                .collect()
        })
        .collect();
    for (to, writers) in upstream {
        hosts[to.host].stages[to.stage].upstream = writers;
    }
    order(&closure(before))
}

/// What can be reached over any number of steps.
fn closure(mut reach: Vec<Vec<bool>>) -> Vec<Vec<bool>> {
    let n = reach.len();
    for via in 0..n {
        for from in 0..n {
            if reach[from][via] {
                let further = reach[via].clone();
                for (there, further) in reach[from].iter_mut().zip(further) {
                    *there |= further;
                }
            }
        }
    }
    reach
}

/// Groups of nodes that reach each other, upstream groups first, else as numbered.
fn order(reach: &[Vec<bool>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut left: Vec<usize> = (0..reach.len()).collect();
    while !left.is_empty() {
        let together = |a: usize, b: usize| a == b || (reach[a][b] && reach[b][a]);
        let head = left
            .iter()
            .copied()
            .find(|&a| left.iter().all(|&b| !reach[b][a] || together(a, b)))
            .expect("groups of nodes that reach each other have an order");
        let (group, rest) = left.iter().partition(|&&b| together(head, b));
        groups.push(group);
        left = rest;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_comes_first_and_a_circle_stays_together() {
        let mut flows = vec![vec![false; 4]; 4];
        for (from, to) in [(3, 1), (1, 2), (2, 1), (2, 0)] {
            flows[from][to] = true;
        }
        assert_eq!(order(&closure(flows)), vec![vec![3], vec![1, 2], vec![0]]);
    }
}
