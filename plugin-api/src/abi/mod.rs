//! The frozen boundary between host and plugins: `repr(C)` types, tables of functions, and the
//! shims that turn them into the safe traits of this crate.
//!
//! Invariant: all `unsafe` of this crate is below this module. Authors never see these types;
//! the host and [`export_plugin!`](crate::export_plugin) use them.
//!
//! Everything here follows the rules of ARCHITECTURE.md, "The ABI": appended to, never changed.

// Names that abi_stable's derives make.
#![allow(non_camel_case_types, non_local_definitions)]

pub mod batch;
pub mod root;
pub mod services;
pub mod shim;
pub mod stage;
pub mod tag;

/// Major number of the ABI. Host and plugin must agree on it.
pub const ABI_MAJOR: u32 = 1;
/// Minor number of the ABI: grows with each addition; any two are compatible within a major.
pub const ABI_MINOR: u32 = 0;
