//! The stages that the host brings itself: the two ends of a disk buffer, and what sends dead
//! letters again.

use std::{marker::PhantomData, sync::Arc};

use plugin_api::{
    ContentType, Planned, StageError,
    abi::{
        root::{Plugin, create_here, plain},
        stage::StageBox,
    },
    manifest::StageKind,
};

use crate::{
    checkpoint::replay::{self, ReplayPlugin},
    loader::{self, registry::Planner},
    plan::{
        Registry, StagePlan,
        disk::{DISK_IN, DISK_OUT},
    },
    spool,
};

struct BuiltIn<P>(PhantomData<fn() -> P>);

impl<P: Plugin> Planner for BuiltIn<P> {
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
        plain(create_here::<P>(kind.as_str(), stage))
    }
}

/// Who makes a stage.
///
/// # Errors
/// No plugin has it.
pub fn planner(stage: &StagePlan, registry: &Registry) -> Result<Arc<dyn Planner>, StageError> {
    match stage.plugin.as_str() {
        DISK_IN | DISK_OUT => return Ok(Arc::new(BuiltIn::<spool::BuiltIn>(PhantomData))),
        replay::NAME => return Ok(Arc::new(BuiltIn::<ReplayPlugin>(PhantomData))),
        _ => {}
    }
    let (entry, _) = registry.stage(stage.kind, &stage.plugin).ok_or_else(|| {
        StageError::fatal(format!("no plugin has {} `{}`", stage.kind, stage.plugin))
    })?;
    Ok(stage.isolate.map_or_else(
        || entry.planner.clone(),
        |limits| crate::isolate::planner(entry, limits),
    ))
}
