//! Opens a vetted file and checks the layout of its ABI. The only `unsafe` of the host.

use std::{path::Path, sync::Mutex};

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals},
    library::{AbiHeaderRef, IsLayoutChecked, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::{
    ContentType, Planned, StageError,
    abi::{
        root::{PluginRoot_Ref, bytes, plain},
        stage::StageBox,
    },
    manifest::{Manifest, StageKind},
};

use super::{Refusal, registry::Planner};

/// The root of an open plugin. It is never closed: threads and statics of it may live on.
#[derive(Clone, Copy)]
pub struct Opened(PluginRoot_Ref);

/// Opens a copy that was vetted.
pub fn open(path: &Path) -> Result<(Opened, Manifest), Refusal> {
    // Globals of abi_stable are set up by the first library that is opened.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);

    // SAFETY: opening runs the file's constructors: the file is a plugin by its tag, belongs to
    // root or this user, nobody else may write to it, and it lies under its content's name where
    // nothing changes it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| {
        let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        Refusal::new(format!("the dynamic loader refuses it: {why}"))
    })?;
    // SAFETY: the symbol is abi_stable's, the address of a static LibHeader, of which AbiHeaderRef
    // is a reference to the first part; it is checked by `upgrade` before more of it is read.
    let header =
        unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
            .map(|symbol| *symbol);
    // Never closed, in any case.
    std::mem::forget(library);
    let header = header.map_err(|_| Refusal::new("it has a tag, but no root module"))?;
    let header = header.upgrade().map_err(|e| refused_by(&e))?;

    let IsLayoutChecked::Yes(theirs) = header.root_mod_consts().layout() else {
        return Err(Refusal::new(
            "it leaves out the layout of its ABI, so that it cannot be checked",
        ));
    };
    let ours = <PluginRoot_Ref as StableAbi>::LAYOUT;
    // Fresh globals each time: with shared ones the verdict depends on what was loaded before.
    // One direction suffices: the older of the two is a prefix of the newer.
    let fits = check_layout_compatibility_with_globals(ours, theirs, &CheckingGlobals::new())
        .or_else(|e| {
            check_layout_compatibility_with_globals(theirs, ours, &CheckingGlobals::new())
                .map_err(|_| e)
        });
    fits.map_err(|e| {
        Refusal::new(format!(
            "its ABI differs from the host's: {}",
            first_error(&e.to_string())
        ))
    })?;

    // SAFETY: the layout was checked just above.
    let root = unsafe { header.init_root_module_with_unchecked_layout::<PluginRoot_Ref>() }
        .map_err(|e| refused_by(&e))?;
    let manifest =
        plain(root.manifest()()).map_err(|e| Refusal::new(format!("it tells no manifest: {e}")))?;
    let manifest = serde_json::from_slice(&manifest)
        .map_err(|e| Refusal::new(format!("its manifest does not read: {e}")))?;
    Ok((Opened(root), manifest))
}

fn refused_by(e: &LibraryError) -> Refusal {
    Refusal::new(format!(
        "its root module does not open: {}",
        first_error(&e.to_string())
    ))
}

/// The first error of abi_stable's text and its values: a whole one runs to thousands of lines.
fn first_error(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.by_ref().find(|l| l.starts_with("Error:"));
    let Some(first) = first else {
        return text
            .lines()
            .find(|l| !l.trim().is_empty())
            .unwrap_or("unknown")
            .trim()
            .to_owned();
    };
    let values: Vec<&str> = lines
        .take_while(|l| !l.starts_with("Error:"))
        .take(4)
        .collect();
    format!(
        "{} {}",
        first.trim_start_matches("Error:").trim(),
        values.join(" ")
    )
    .trim()
    .to_owned()
}

impl Opened {
    /// Makes a stage, not yet planned.
    ///
    /// # Errors
    /// The plugin has no such stage, or panicked.
    pub fn create(&self, kind: StageKind, name: &str) -> Result<StageBox, StageError> {
        plain(self.0.create()(kind.as_str().into(), name.into()))
    }
}

impl Planner for Opened {
    fn plan(
        &self,
        kind: StageKind,
        stage: &str,
        options: &[u8],
        inputs: &[ContentType],
    ) -> Result<Planned, StageError> {
        let mut stage = self.create(kind, stage)?;
        plan(&mut stage, options, inputs)
    }

    fn create(&self, kind: StageKind, stage: &str) -> Result<StageBox, StageError> {
        Self::create(self, kind, stage)
    }
}

/// Plans a stage.
///
/// # Errors
/// What is wrong with its options or inputs.
pub fn plan(
    stage: &mut StageBox,
    options: &[u8],
    inputs: &[ContentType],
) -> Result<Planned, StageError> {
    let inputs = serde_json::to_vec(inputs).map_err(|e| StageError::fatal(e.to_string()))?;
    let planned = plain(stage.plan(bytes(options), bytes(&inputs)))?;
    serde_json::from_slice(&planned)
        .map_err(|e| StageError::fatal(format!("its plan does not read: {e}")))
}
