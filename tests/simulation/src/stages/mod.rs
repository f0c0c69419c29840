//! The stages of the simulated graphs, as an author would write them, behind the real boundary.

mod processors;
mod sinks;
mod sources;

use plugin_api::{
    Out, StageError,
    abi::{
        root::{Plugin, create_here, plain},
        stage::StageBox,
    },
    export,
    manifest::{StageEntry, StageKind},
    options,
};

options! {
    /// They know what to do from the graph.
    #[derive(Default)]
    #[serde(default)]
    pub struct NoOptions {}
}

struct Stages;

impl Plugin for Stages {
    const NAME: &'static str = "simulation";
    const VERSION: &'static str = "1.0.0";
    const LICENSE: &'static str = "MIT OR Apache-2.0";
    const DESCRIPTION: &'static str = "Stages of the simulation";
    fn stages() -> Vec<StageEntry> {
        vec![
            export::source::<sources::Replay>(),
            export::source::<sources::Live>(),
            export::source::<sources::EdgeOut>(),
            export::processor::<processors::Map>(),
            export::processor::<processors::Split>(),
            export::processor::<processors::Window>(),
            export::sink::<sinks::Files>(),
            export::sink::<sinks::Late>(),
            export::sink::<sinks::Transaction>(),
            export::sink::<sinks::EdgeIn>(),
        ]
    }
}

/// Makes a stage.
///
/// # Errors
/// There is no such stage.
pub fn create(kind: StageKind, name: &str) -> Result<StageBox, StageError> {
    plain(create_here::<Stages>(kind.as_str(), name))
}

/// A state that is a number.
fn state_number(state: Option<&[u8]>) -> u64 {
    state
        .and_then(|s| std::str::from_utf8(s).ok()?.parse().ok())
        .unwrap_or(0)
}

/// A state that is a list.
fn state_list(state: Option<&[u8]>) -> Vec<String> {
    let text = std::str::from_utf8(state.unwrap_or_default()).unwrap_or_default();
    text.split_terminator('\n').map(str::to_owned).collect()
}

fn list_state<'a>(list: impl IntoIterator<Item = &'a String>) -> Vec<u8> {
    let lines = list.into_iter().map(|id| format!("{id}\n"));
    lines.collect::<String>().into_bytes()
}

/// Sends what a builder holds.
fn send(builder: &mut plugin_api::BatchBuilder, out: &mut Out<'_, '_>) {
    if !builder.is_empty() {
        out.emit(0, builder.finish());
    }
}
