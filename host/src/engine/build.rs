//! From a plan to regions: shared state, edges, and blueprints of instances.

use std::sync::{Arc, mpsc::Sender};

use plugin_api::{BatchLimits, StageError, context::Start, manifest::StageKind};

use super::{
    builtin,
    instance::{Blueprint, Lane, Recipe, services},
    outbox::{Route, Wiring},
    shared::StageShared,
    supervisor::Message,
};
use crate::{
    checkpoint::{
        coordinator::InstanceId,
        dead_letters::DeadLetters,
        shape::{self, Shape, StageShape},
    },
    plan::{HostPlan, Registry, StagePlan, disk::DISK_OUT, regions::regions},
};

/// A region of a host, ready to be started.
pub struct BuiltRegion {
    pub shape: Shape,
    /// Blueprints with the index of their stage in the host.
    pub prints: Vec<(usize, Blueprint)>,
    pub letters: Arc<DeadLetters>,
}

/// A host, ready to be started.
pub struct BuiltHost {
    pub stages: Vec<Arc<StageShared>>,
    pub regions: Vec<BuiltRegion>,
}

/// Where numbers begin.
#[derive(Debug, Clone, Copy)]
pub struct First {
    pub instance: InstanceId,
    pub region: usize,
}

/// Builds a host. Of its stages the first `own` are those of hosts.toml; if there are more, dead
/// letters are replayed, and its own sources read nothing.
pub fn host(
    host: &HostPlan,
    letters: &dyn Fn(&str) -> Arc<DeadLetters>,
    registry: &Registry,
    own: usize,
    first: First,
    tell: &Sender<Message>,
) -> Result<BuiltHost, StageError> {
    let stages: Vec<Arc<StageShared>> = host.stages.iter().map(|s| shared(host, s)).collect();
    let (routes, lanes) = edges(host, &stages);
    let replaying = own < host.stages.len();
    let region_of = regions(host);
    let count = region_of.iter().max().map_or(0, |last| last + 1);
    let mut regions: Vec<BuiltRegion> = (0..count)
        .map(|r| {
            let shape = shape(host, own, &region_of, r);
            BuiltRegion {
                letters: letters(&shape.folder()),
                shape,
                prints: Vec::new(),
            }
        })
        .collect();

    let mut id = first.instance;
    for (s, (stage, mut routes)) in host.stages.iter().zip(routes).enumerate() {
        let planner = builtin::planner(stage, registry)?;
        let region = first.region + region_of[s];
        let built = &mut regions[region_of[s]];
        for worker in 0..stage.workers {
            let start = Start {
                host: host.name.clone(),
                stage: stage.name.clone(),
                worker,
                workers: stage.workers,
                batch: BatchLimits::default(),
            };
            let recipe = Recipe {
                planner: planner.clone(),
                kind: stage.kind,
                plugin: stage.plugin.clone(),
                options: stage.options.0.clone(),
                inputs: stage.input_types.clone(),
                start,
                services: services(stages[s].clone(), region, tell.clone()),
            };
            let wiring = Wiring {
                stage: stages[s].clone(),
                worker: worker as usize,
                routes: std::mem::take(&mut routes[worker as usize]),
                outputs: stage.outputs.iter().map(|t| t.format).collect(),
                on_error: stage.on_error,
                letters: built.letters.clone(),
                formats: stage
                    .input_types
                    .iter()
                    .map(|t| t.format.to_string())
                    .collect(),
            };
            let print = Blueprint {
                id,
                name: shape::instance(&stage.name, worker as usize),
                region,
                recipe,
                shared: stages[s].clone(),
                worker: worker as usize,
                wiring,
                lanes: lanes[s].clone(),
                tell: tell.clone(),
                on_crash: stage.on_crash,
                state_version: stage.state_version,
                parked: replaying && s < own && reads_from_outside(stage),
            };
            built.prints.push((s, print));
            id += 1;
        }
    }
    Ok(BuiltHost { stages, regions })
}

fn reads_from_outside(stage: &StagePlan) -> bool {
    stage.kind == StageKind::Source && stage.plugin != DISK_OUT
}

fn shared(host: &HostPlan, stage: &StagePlan) -> Arc<StageShared> {
    Arc::new(StageShared::new(
        &host.name,
        &stage.name,
        stage.kind,
        stage.workers,
        stage.limit,
        stage.live,
    ))
}

fn shape(host: &HostPlan, own: usize, region_of: &[usize], region: usize) -> Shape {
    let stages = host.stages[..own].iter().zip(region_of);
    let stages = stages
        .filter(|(_, r)| **r == region)
        .map(|(s, _)| StageShape {
            name: s.name.clone(),
            kind: s.kind,
            plugin: s.plugin.clone(),
            workers: s.workers,
            inputs: s
                .inputs
                .iter()
                .filter(|e| e.from < own)
                .map(|e| (host.stages[e.from].name.clone(), e.from_port, e.to_port))
                .collect(),
        });
    Shape::new(stages.collect())
}

/// Routes of each stage, worker and port.
type Routes = Vec<Vec<Vec<Vec<Route>>>>;

/// Routes; and the lanes of the instances of each stage.
fn edges(host: &HostPlan, stages: &[Arc<StageShared>]) -> (Routes, Vec<Vec<Lane>>) {
    let mut routes: Routes = host
        .stages
        .iter()
        .map(|s| {
            (0..s.workers)
                .map(|_| s.ports.iter().map(|_| Vec::new()).collect())
                .collect()
        })
        .collect();
    let mut lanes: Vec<Vec<Lane>> = vec![Vec::new(); stages.len()];
    for (to, stage) in host.stages.iter().enumerate() {
        for edge in &stage.inputs {
            let from = &host.stages[edge.from].name;
            // Each instance of the sender has a lane of its own in each instance of the receiver.
            for (worker, sender) in routes[edge.from].iter_mut().enumerate() {
                lanes[to].push(Lane {
                    port: edge.to_port,
                    name: shape::lane(from, worker, edge.from_port, edge.to_port),
                });
                sender[edge.from_port as usize].push(Route {
                    to: stages[to].clone(),
                    lanes: stages[to]
                        .inboxes
                        .iter()
                        .map(|i| i.add_lane(stage.buffer))
                        .collect(),
                    ordering: stage.ordering,
                    turn: 0,
                    generation: 0,
                });
            }
        }
    }
    (routes, lanes)
}
