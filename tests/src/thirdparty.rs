//! Plugins from workspaces of their own: the fixtures, and the author's example of the README.

use std::{path::PathBuf, sync::Mutex};

use crate::{artifacts, needed};

/// Which compiler builds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// The one that builds the host.
    Ours,
    /// Debian's `rustc-web`.
    Debian,
}

/// Builds the fixtures and the example with their own Cargo.lock: the folder that holds the
/// libraries.
///
/// # Panics
/// If the compiler is missing or they do not build.
#[must_use]
pub fn build(compiler: Compiler, release: bool) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let rustc = match compiler {
        Compiler::Ours => None,
        Compiler::Debian => Some(needed::debian_rustc().path()),
    };
    let _guard = ONE_AT_A_TIME.lock();
    let target = artifacts::folder().join(format!("thirdparty-{compiler:?}").to_lowercase());
    for workspace in ["tests/fixtures/thirdparty", "examples/shout"] {
        let mut cargo = artifacts::cargo();
        cargo
            .args(["build", "--quiet", "--locked", "--target-dir"])
            .arg(&target);
        if release {
            cargo.arg("--release");
        }
        if let Some(rustc) = &rustc {
            cargo.env("RUSTC", rustc);
        }
        let built = cargo
            .current_dir(crate::root().join(workspace))
            .status()
            .expect("cargo runs");
        assert!(
            built.success(),
            "{workspace} does not build with {compiler:?}"
        );
    }
    target.join(if release { "release" } else { "debug" })
}
