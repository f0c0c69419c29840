//! Edges on disk: each becomes a sink that writes the buffer and a source that reads it, so that
//! the graph falls into regions there.

use std::path::Path;

use plugin_api::manifest::StageKind;
use serde_json::json;

use super::{EdgePlan, HostPlan, Options, StagePlan};
use crate::config::{Buffer, BufferKind, OnCrash, OnError, Ordering, WhenFull};

/// The stage that writes a buffer.
pub const DISK_IN: &str = "disk-buffer-in";
/// The stage that reads it.
pub const DISK_OUT: &str = "disk-buffer-out";

/// Cuts the edges on disk of a host; buffers lie in `folder`.
pub fn cut(host: &mut HostPlan, folder: &Path) {
    for to in 0..host.stages.len() {
        if host.stages[to].buffer.kind != BufferKind::Disk {
            continue;
        }
        let bounds = host.stages[to].buffer;
        for index in 0..host.stages[to].inputs.len() {
            let edge = host.stages[to].inputs[index];
            let (sink, source) = ends(host, to, edge, bounds, folder);
            host.stages.push(sink);
            host.stages.push(source);
            host.stages[to].inputs[index] = EdgePlan {
                from: host.stages.len() - 1,
                from_port: 0,
                to_port: edge.to_port,
            };
        }
        // What comes out of it waits in memory for a moment.
        host.stages[to].buffer = Buffer::default();
    }
}

fn ends(
    host: &HostPlan,
    to: usize,
    edge: EdgePlan,
    bounds: Buffer,
    folder: &Path,
) -> (StagePlan, StagePlan) {
    let (sender, receiver) = (&host.stages[edge.from], &host.stages[to]);
    let port = edge.from_port as usize;
    let content = sender.outputs[port].clone();
    let from = match sender.ports.len() {
        1 => sender.name.clone(),
        _ => format!("{}.{}", sender.name, sender.ports[port]),
    };
    // No name of a stage has these characters.
    let (into, out_of) = (
        format!("{from}>{}", receiver.name),
        format!("{from}>>{}", receiver.name),
    );
    // Neither `+` nor `.` is in a name, so no two edges share a folder.
    let path = folder.join(format!("{from}+{}.{}", receiver.name, edge.to_port));
    let path = path.display().to_string();
    let when_full = match bounds.when_full {
        WhenFull::Block => "block",
        WhenFull::DropOldest => "drop-oldest",
        WhenFull::DropNewest => "drop-newest",
    };
    let written = json!({"path": path, "max_bytes": bounds.max_bytes, "when_full": when_full});
    let read = json!({"path": path, "content": content});
    let stage = |name: String, kind, plugin: &str, options: serde_json::Value| StagePlan {
        name,
        kind,
        plugin: plugin.into(),
        package: String::new(),
        options: Options(options.to_string().into_bytes()),
        inputs: Vec::new(),
        input_types: Vec::new(),
        ports: Vec::new(),
        outputs: Vec::new(),
        workers: 1,
        ordering: Ordering::Total,
        limit: None,
        buffer: Buffer::default(),
        on_error: OnError::DeadLetter,
        on_crash: OnCrash::Restart,
        state_version: 1,
        memory: Vec::new(),
        isolate: None,
        live: false,
        alone: false,
        reads: Vec::new(),
        writes: Vec::new(),
        upstream: Vec::new(),
    };
    let sink = StagePlan {
        inputs: vec![EdgePlan { to_port: 0, ..edge }],
        input_types: vec![content.clone()],
        ..stage(into, StageKind::Sink, DISK_IN, written)
    };
    let source = StagePlan {
        ports: vec!["out".into()],
        outputs: vec![content],
        ..stage(out_of, StageKind::Source, DISK_OUT, read)
    };
    (sink, source)
}
