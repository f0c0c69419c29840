//! The stages that the host brings itself: the two ends of a disk buffer.

use std::sync::Arc;

use plugin_api::{
    ContentType, Planned, StageError,
    abi::{
        root::{create_here, plain},
        stage::StageBox,
    },
    manifest::StageKind,
};

use crate::{
    loader::{self, registry::Planner},
    plan::{
        Registry, StagePlan,
        disk::{DISK_IN, DISK_OUT},
    },
    spool,
};

struct BuiltIn;

impl Planner for BuiltIn {
    fn plan(
        &self,
        kind: StageKind,
        stage: &str,
        options: &[u8],
        inputs: &[ContentType],
    ) -> Result<Planned, StageError> {
        loader::plan(&mut self.create(kind, stage)?, options, inputs)
    }

    fn create(&self, kind: StageKind, stage: &str) -> Result<StageBox, StageError> {
        plain(create_here::<spool::BuiltIn>(kind.as_str(), stage))
    }
}

/// Who makes a stage.
///
/// # Errors
/// No plugin has it.
pub fn planner(stage: &StagePlan, registry: &Registry) -> Result<Arc<dyn Planner>, StageError> {
    if [DISK_IN, DISK_OUT].contains(&stage.plugin.as_str()) {
        return Ok(Arc::new(BuiltIn));
    }
    let (entry, _) = registry.stage(stage.kind, &stage.plugin).ok_or_else(|| {
        StageError::fatal(format!("no plugin has {} `{}`", stage.kind, stage.plugin))
    })?;
    Ok(stage.isolate.map_or_else(
        || entry.planner.clone(),
        |limits| crate::isolate::planner(entry, limits),
    ))
}
