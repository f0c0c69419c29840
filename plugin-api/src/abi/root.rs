//! The root module of a plugin and the header under which the loader finds it.

use abi_stable::{
    StableAbi, declare_root_module_statics,
    library::{__call_root_module_loader, CheckTypeLayout, RootModule, RootModuleResult},
    package_version_strings,
    prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
    std_types::{RResult, RSlice, RStr, RVec},
};

pub use abi_stable::library::LibHeader;

use super::{
    shim,
    stage::{IntoRaw, Raw, StageBox},
};
use crate::manifest::StageEntry;

/// What the host finds in a plugin. Appended to, never changed.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRoot_Ref)))]
#[sabi(missing_field(panic))]
pub struct PluginRoot {
    /// The manifest: JSON, see [`crate::manifest::Manifest`].
    pub manifest: extern "C" fn() -> Raw<RVec<u8>>,
    /// Makes a stage, not yet planned or opened.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(kind: RStr<'_>, name: RStr<'_>) -> Raw<StageBox>,
}

impl RootModule for PluginRoot_Ref {
    declare_root_module_statics! {PluginRoot_Ref}
    const BASE_NAME: &'static str = "stream_plugin";
    const NAME: &'static str = "stream_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A plugin, as [`export_plugin!`](crate::export_plugin) describes it.
pub trait Plugin {
    /// Package name.
    const NAME: &'static str;
    /// Package version.
    const VERSION: &'static str;
    /// Licence expression of the package.
    const LICENSE: &'static str;
    /// One line on what it is for.
    const DESCRIPTION: &'static str;
    /// Its stages.
    fn stages() -> Vec<StageEntry>;
}

extern "C" fn manifest<P: Plugin>() -> Raw<RVec<u8>> {
    shim::guard("manifest", || {
        Ok(RVec::from(crate::manifest::Manifest::of::<P>().to_json()))
    })
    .into_raw()
}

extern "C" fn create<P: Plugin>(kind: RStr<'_>, name: RStr<'_>) -> Raw<StageBox> {
    shim::remember_panics();
    shim::guard("create", || {
        P::stages()
            .into_iter()
            .find(|s| s.kind.as_str() == kind.as_str() && s.name == name.as_str())
            .map(|s| shim::boxed((s.create)()))
            .ok_or_else(|| crate::StageError::fatal(format!("no {kind} `{name}` in this plugin")))
    })
    .into_raw()
}

fn root<P: Plugin>() -> PluginRoot_Ref {
    // Leaks once a library: the loader of abi_stable keeps the first.
    PluginRoot {
        manifest: manifest::<P>,
        create: create::<P>,
    }
    .leak_into_prefix()
}

extern "C" fn constructor<P: Plugin>() -> RootModuleResult {
    __call_root_module_loader(root::<P>)
}

/// The header that a plugin exports.
#[must_use]
pub const fn header<P: Plugin>() -> LibHeader {
    // SAFETY: `constructor` answers with a PluginRoot_Ref, erased by abi_stable itself.
    unsafe { LibHeader::from_constructor::<PluginRoot_Ref>(constructor::<P>, CheckTypeLayout::Yes) }
}

/// Makes a stage of a plugin in this binary, as [`PluginRoot::create`] does for a loaded one: for
/// the stages that the host brings itself, and for tests.
///
/// # Errors
/// The plugin has no such stage.
pub fn create_here<P: Plugin>(kind: &str, name: &str) -> Raw<StageBox> {
    create::<P>(kind.into(), name.into())
}

/// Bytes across the boundary, for callers that have a slice.
#[must_use]
pub fn bytes(b: &[u8]) -> RSlice<'_, u8> {
    RSlice::from_slice(b)
}

/// A call's result as plain Rust.
///
/// # Errors
/// The stage's trouble.
pub fn plain<T>(r: Raw<T>) -> Result<T, crate::StageError> {
    match r {
        RResult::ROk(v) => Ok(v),
        RResult::RErr(e) => Err(e.into()),
    }
}
