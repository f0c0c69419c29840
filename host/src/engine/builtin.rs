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

/// The disk buffer that a stage writes, held open for as long as the host runs: its reader may come
/// to the end only after its writer has gone.
///
/// # Errors
/// The buffer cannot be used.
pub fn held(stage: &StagePlan) -> Result<Option<spool::Spool>, StageError> {
    if stage.plugin != DISK_IN {
        return Ok(None);
    }
    let options: spool::InOptions = serde_json::from_slice(&stage.options.0)
        .map_err(|e| StageError::fatal(format!("options of {}: {e}", stage.name)))?;
    spool::Spool::open(&options.path).map(Some)
}
