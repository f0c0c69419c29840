//! What is run: small graphs of all kinds of stages, drawn by chance.

use fastrand::Rng;
use host::{
    checkpoint::shape::{Shape, StageShape},
    config::{Buffer, BufferKind, WhenFull},
};
use plugin_api::manifest::StageKind;

/// Folder of output files.
pub const OUT: &str = "out";

/// What a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads records that can be read again.
    Replay,
    /// Reads records that come once.
    Live,
    /// Filters, rejects and counts.
    Map,
    /// Makes two records of one.
    Split,
    /// Gathers records and sends them joined, the rest at its end.
    Window,
    /// The real files.
    Files,
    /// Knows what became of a record only later.
    Late,
    /// Says after a crash which epoch is true.
    Transaction,
    /// Writes into a disk edge.
    EdgeIn,
    /// Reads from it.
    EdgeOut,
}

impl Role {
    /// Its kind.
    pub fn kind(self) -> StageKind {
        match self {
            Self::Replay | Self::Live | Self::EdgeOut => StageKind::Source,
            Self::Map | Self::Split | Self::Window => StageKind::Processor,
            Self::Files | Self::Late | Self::Transaction | Self::EdgeIn => StageKind::Sink,
        }
    }

    /// Name of its plugin's stage.
    pub fn plugin(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Live => "live",
            Self::Map => "map",
            Self::Split => "split",
            Self::Window => "window",
            Self::Files => "files",
            Self::Late => "late",
            Self::Transaction => "transaction",
            Self::EdgeIn => "edge-in",
            Self::EdgeOut => "edge-out",
        }
    }
}

/// A stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Number of its instances.
    pub workers: u32,
    /// Most records of a source.
    pub limit: Option<u64>,
    /// Bounds of the edges into it.
    pub buffer: Buffer,
    /// Indices of the stages that feed it.
    pub inputs: Vec<usize>,
    /// Its region.
    pub region: usize,
}

/// All stages, each behind those that feed it.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The stages.
    pub stages: Vec<Stage>,
    /// Records that each outside source holds.
    pub total: u64,
    /// Files end after so many records.
    pub roll: u64,
    /// Nanoseconds between epochs.
    pub interval_ns: u64,
}

fn bounds(max_records: u64, when_full: WhenFull) -> Buffer {
    Buffer {
        kind: BufferKind::Memory,
        max_bytes: u64::MAX,
        max_records,
        when_full,
    }
}

impl Graph {
    /// A graph by chance.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut graph = Self {
            stages: Vec::new(),
            total: rng.u64(6..30),
            roll: rng.u64(1..6),
            interval_ns: rng.u64(1..40) * 1_000_000,
        };
        let mut feeds = vec![graph.add("a", Role::Replay, Vec::new())];
        if rng.u8(0..3) > 0 {
            let role = if rng.bool() { Role::Live } else { Role::Replay };
            feeds.push(graph.add("b", role, Vec::new()));
        }
        for source in &feeds {
            if rng.u8(0..4) == 0 {
                graph.stages[*source].limit = Some(rng.u64(1..=graph.total));
            }
        }
        if rng.bool() {
            feeds = vec![graph.add("map", Role::Map, feeds)];
            let map = feeds[0];
            graph.stages[map].workers = rng.u32(1..3);
        }
        match rng.u8(0..3) {
            0 => feeds = vec![graph.add("split", Role::Split, feeds)],
            1 => feeds = vec![graph.add("window", Role::Window, feeds)],
            _ => {}
        }
        match rng.u8(0..6) {
            0 => {
                graph.add("transaction", Role::Transaction, feeds);
            }
            1 => {
                graph.add("files", Role::Files, feeds);
            }
            2 => {
                let late = graph.add("late", Role::Late, feeds.clone());
                graph.add("files", Role::Files, feeds);
                graph.stages[late].workers = rng.u32(1..3);
            }
            3 => {
                let late = graph.add("late", Role::Late, feeds.clone());
                let policy = [WhenFull::DropOldest, WhenFull::DropNewest][rng.usize(0..2)];
                graph.stages[late].buffer = bounds(rng.u64(1..4), policy);
                graph.add("files", Role::Files, feeds);
            }
            _ => {
                graph.add("into", Role::EdgeIn, feeds.clone());
                if rng.bool() {
                    graph.add("files", Role::Files, feeds);
                }
                let mut feed = graph.add("from", Role::EdgeOut, Vec::new());
                graph.stages[feed].region = 1;
                if rng.bool() {
                    feed = graph.add("map2", Role::Map, vec![feed]);
                    graph.stages[feed].region = 1;
                }
                let role = [Role::Files, Role::Late, Role::Transaction][rng.usize(0..3)];
                let sink = graph.add("end", role, vec![feed]);
                graph.stages[sink].region = 1;
            }
        }
        if let Some(files) = graph.stages.iter_mut().find(|s| s.name == "files") {
            files.workers = rng.u32(1..3);
        }
        graph.narrow(rng);
        graph
    }

    fn add(&mut self, name: &str, role: Role, inputs: Vec<usize>) -> usize {
        self.stages.push(Stage {
            name: name.to_owned(),
            role,
            workers: 1,
            limit: None,
            buffer: bounds(u64::MAX, WhenFull::Block),
            inputs,
            region: 0,
        });
        self.stages.len() - 1
    }

    /// Bounds some edges. Not those behind a live source, which after a restart sends all that it
    /// has kept at one go, so that a sender who waits would wait for the one thread there is.
    fn narrow(&mut self, rng: &mut Rng) {
        for index in 0..self.stages.len() {
            let fed_live = self.stages[index]
                .inputs
                .iter()
                .any(|from| self.stages[*from].role == Role::Live);
            let stage = &mut self.stages[index];
            if stage.buffer.when_full == WhenFull::Block && !fed_live {
                stage.buffer = bounds(rng.u64(1..6), WhenFull::Block);
            }
        }
    }

    /// How many regions it has.
    pub fn regions(&self) -> usize {
        self.stages.iter().map(|s| s.region + 1).max().unwrap_or(1)
    }

    /// What a region looks like.
    pub fn shape(&self, region: usize) -> Shape {
        let stages = self.stages.iter().filter(|s| s.region == region);
        Shape::new(
            stages
                .map(|s| StageShape {
                    name: s.name.clone(),
                    kind: s.role.kind(),
                    plugin: s.role.plugin().to_owned(),
                    workers: s.workers,
                    inputs: s
                        .inputs
                        .iter()
                        .map(|from| (self.stages[*from].name.clone(), 0, 0))
                        .collect(),
                })
                .collect(),
        )
    }

    /// The same with another name for its sink of files, if it has one in its first region; and the
    /// old name.
    pub fn changed(&self, generation: usize) -> Option<(Self, String)> {
        let mut changed = self.clone();
        let files = changed
            .stages
            .iter_mut()
            .find(|s| s.role == Role::Files && s.region == 0)?;
        let old = std::mem::replace(&mut files.name, format!("files{generation}"));
        Some((changed, old))
    }
}
