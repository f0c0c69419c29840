//! From a plan to instances: shared state, edges, recipes.

use std::sync::{Arc, mpsc::Sender};

use plugin_api::{BatchLimits, StageError, context::Start};

use super::{
    instance::{Instance, Recipe, services},
    outbox::{Outbox, Route},
    shared::StageShared,
    supervisor::{InstanceId, Message},
};
use crate::{
    checkpoint::dead_letters::DeadLetters,
    isolate,
    plan::{HostPlan, Plan, Registry},
};

/// A host, ready to be started.
pub struct BuiltHost {
    pub stages: Vec<Arc<StageShared>>,
    /// Instances with the index of their stage.
    pub instances: Vec<(usize, Instance)>,
    pub letters: Arc<DeadLetters>,
}

/// Builds a host. Instances are numbered from `first_id`.
pub fn host(
    plan: &Plan,
    index: usize,
    registry: &Registry,
    first_id: InstanceId,
    tell: &Sender<Message>,
) -> Result<BuiltHost, StageError> {
    let host = &plan.hosts[index];
    let stages: Vec<Arc<StageShared>> = host
        .stages
        .iter()
        .map(|s| {
            Arc::new(StageShared::new(
                &host.name, &s.name, s.kind, s.workers, s.limit,
            ))
        })
        .collect();
    let letters = Arc::new(DeadLetters::new(&plan.state_dir, &host.name));
    let (routes, lane_ports) = edges(host, &stages);

    let mut instances = Vec::new();
    let mut id = first_id;
    for (s, (stage, mut routes)) in host.stages.iter().zip(routes).enumerate() {
        let (entry, _) = registry.stage(stage.kind, &stage.plugin).ok_or_else(|| {
            StageError::fatal(format!("no plugin has {} `{}`", stage.kind, stage.plugin))
        })?;
        for worker in 0..stage.workers {
            let batch = BatchLimits::default();
            let start = Start {
                host: host.name.clone(),
                stage: stage.name.clone(),
                worker,
                workers: stage.workers,
                batch,
            };
            let recipe = Recipe {
                planner: stage
                    .isolate
                    .map_or_else(|| entry.planner.clone(), |i| isolate::planner(entry, i)),
                kind: stage.kind,
                plugin: stage.plugin.clone(),
                options: stage.options.0.clone(),
                inputs: stage.input_types.clone(),
                start,
                services: services(stages[s].clone(), index, tell.clone()),
            };
            let formats = stage
                .input_types
                .iter()
                .map(|t| t.format.to_string())
                .collect();
            let out = Outbox::new(
                stages[s].clone(),
                std::mem::take(&mut routes[worker as usize]),
                stage.on_error,
                letters.clone(),
                formats,
            );
            let instance = Instance {
                id,
                recipe,
                stage: None,
                shared: stages[s].clone(),
                inbox: stages[s].inboxes[worker as usize].clone(),
                out,
                tell: tell.clone(),
                on_crash: stage.on_crash,
                lane_ports: lane_ports[s].clone(),
            };
            instances.push((s, instance));
            id += 1;
        }
    }
    Ok(BuiltHost {
        stages,
        instances,
        letters,
    })
}

/// Routes of each stage, worker and port; and the input port of each lane of each stage.
#[allow(clippy::type_complexity)]
fn edges(
    host: &HostPlan,
    stages: &[Arc<StageShared>],
) -> (Vec<Vec<Vec<Vec<Route>>>>, Vec<Vec<u32>>) {
    let mut routes: Vec<Vec<Vec<Vec<Route>>>> = host
        .stages
        .iter()
        .map(|s| {
            (0..s.workers)
                .map(|_| s.ports.iter().map(|_| Vec::new()).collect())
                .collect()
        })
        .collect();
    let mut lane_ports: Vec<Vec<u32>> = vec![Vec::new(); stages.len()];
    for (to, stage) in host.stages.iter().enumerate() {
        for edge in &stage.inputs {
            // Each instance of the sender has a lane of its own in each instance of the receiver.
            for sender in &mut routes[edge.from] {
                let lanes = stages[to]
                    .inboxes
                    .iter()
                    .map(|i| i.add_lane(stage.buffer))
                    .collect();
                lane_ports[to].push(edge.to_port);
                sender[edge.from_port as usize].push(Route {
                    to: stages[to].clone(),
                    lanes,
                    ordering: stage.ordering,
                    turn: 0,
                });
            }
        }
    }
    (routes, lane_ports)
}
