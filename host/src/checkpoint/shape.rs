//! Names by which state finds its stage again, and what a region looks like from outside.

use std::fmt::Write;

use plugin_api::manifest::StageKind;

/// An instance of a stage: `STAGE#WORKER`.
pub fn instance(stage: &str, worker: usize) -> String {
    format!("{stage}#{worker}")
}

/// What a stage runs, as snapshots say it.
pub fn plugin(kind: StageKind, name: &str) -> String {
    format!("{kind} {name}")
}

/// An edge at its receiver, by who sends: `STAGE#WORKER.PORT>INPUT`.
pub fn lane(stage: &str, worker: usize, port: u32, input: u32) -> String {
    format!("{stage}#{worker}.{port}>{input}")
}

/// A stage, as far as its state depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageShape {
    /// Its name.
    pub name: String,
    /// Source, processor or sink.
    pub kind: StageKind,
    /// The plugin's stage that it runs.
    pub plugin: String,
    /// How many instances.
    pub workers: u32,
    /// What it reads: sender, its port, own input.
    pub inputs: Vec<(String, u32, u32)>,
}

/// The stages of a region, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(Vec<StageShape>);

impl Shape {
    /// A region of these stages.
    pub fn new(mut stages: Vec<StageShape>) -> Self {
        stages.sort_by(|a, b| a.name.cmp(&b.name));
        for stage in &mut stages {
            stage.inputs.sort();
        }
        Self(stages)
    }

    /// Name of the region's folder: its first source or stage, and a sum over all. A changed
    /// graph has another.
    pub fn folder(&self) -> String {
        let mut text = String::new();
        for s in &self.0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{} {} {} {};", s.name, s.kind, s.plugin, s.workers);
            for (from, port, input) in &s.inputs {
                let _ = write!(text, "{from}.{port}>{input};");
            }
        }
        let first = self.0.iter().find(|s| s.kind == StageKind::Source);
        let first = first.or(self.0.first()).map_or("", |s| s.name.as_str());
        format!("{first}-{:08x}", crc32fast::hash(text.as_bytes()))
    }

    /// Its stages: name, kind and plugin as a snapshot says it, number of instances.
    pub fn stages(&self) -> impl Iterator<Item = (&str, String, u32)> {
        self.0
            .iter()
            .map(|s| (s.name.as_str(), plugin(s.kind, &s.plugin), s.workers))
    }
}
