//! From a graph to shared stages, edges and what is needed to make instances, as `engine::build`
//! does from a plan.

use std::sync::Arc;

use host::{
    checkpoint::{coordinator::InstanceId, dead_letters::DeadLetters, shape},
    config::{OnError, Ordering},
    engine::{
        outbox::{Outbox, Route, Wiring},
        shared::StageShared,
    },
};
use plugin_api::{BatchLimits, ContentType, context::Start, manifest::StageKind};

use crate::{
    graph::{Graph, Role},
    instance::Instance,
};

/// Name of the simulated host.
pub const HOST: &str = "h";

/// What an instance is made from.
pub struct Print {
    pub id: InstanceId,
    pub name: String,
    pub kind: StageKind,
    pub stage: usize,
    pub worker: usize,
    pub region: usize,
    routes: Vec<Route>,
    lanes: Vec<String>,
}

/// A graph of one process.
pub struct Wired {
    pub graph: Graph,
    pub shared: Vec<Arc<StageShared>>,
    pub prints: Vec<Print>,
}

impl Wired {
    /// Wires a graph.
    pub fn new(graph: Graph) -> Self {
        let shared: Vec<_> = graph
            .stages
            .iter()
            .map(|s| {
                let live = s.role == Role::Live;
                let kind = s.role.kind();
                Arc::new(StageShared::new(
                    HOST, &s.name, kind, s.workers, s.limit, live,
                ))
            })
            .collect();
        let mut prints: Vec<Print> = Vec::new();
        for (index, stage) in graph.stages.iter().enumerate() {
            for worker in 0..stage.workers as usize {
                prints.push(Print {
                    id: prints.len(),
                    name: shape::instance(&stage.name, worker),
                    kind: stage.role.kind(),
                    stage: index,
                    worker,
                    region: stage.region,
                    routes: Vec::new(),
                    lanes: Vec::new(),
                });
            }
        }
        for (to, stage) in graph.stages.iter().enumerate() {
            for from in &stage.inputs {
                for sender in 0..prints.len() {
                    if prints[sender].stage != *from {
                        continue;
                    }
                    let inboxes = shared[to].inboxes.iter();
                    let lanes = inboxes.map(|i| i.add_lane(stage.buffer)).collect();
                    let worker = prints[sender].worker;
                    let name = shape::lane(&graph.stages[*from].name, worker, 0, 0);
                    prints[sender].routes.push(Route {
                        to: shared[to].clone(),
                        lanes,
                        ordering: Ordering::Key,
                        turn: 0,
                        generation: 0,
                    });
                    let receivers = prints.iter_mut().filter(|p| p.stage == to);
                    receivers.for_each(|p| p.lanes.push(name.clone()));
                }
            }
        }
        Self {
            graph,
            shared,
            prints,
        }
    }

    /// Makes an instance that is to be opened.
    pub fn instance(&self, id: InstanceId, letters: &Arc<DeadLetters>) -> Instance {
        let print = &self.prints[id];
        let stage = &self.graph.stages[print.stage];
        let format = ContentType::bytes().format;
        let out = Outbox::new(Wiring {
            stage: self.shared[print.stage].clone(),
            worker: print.worker,
            routes: match print.kind {
                StageKind::Sink => Vec::new(),
                _ => vec![print.routes.clone()],
            },
            outputs: vec![format],
            on_error: OnError::DeadLetter,
            letters: letters.clone(),
            formats: vec![format.to_string()],
        });
        let start = Start {
            host: HOST.into(),
            stage: stage.name.clone(),
            worker: print.worker as u32,
            workers: stage.workers,
            batch: BatchLimits::default(),
        };
        Instance::new(
            id,
            stage.role.plugin(),
            self.shared[print.stage].clone(),
            out,
            print.lanes.clone(),
            start,
        )
    }
}
