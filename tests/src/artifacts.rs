//! The host and the plugins as `cargo build` leaves them: in one folder, where the host finds
//! its plugins.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The folder with the host and every bundled plugin: `HOST_FOLDER`, to test what is built already,
/// else this test's own build, made up to date once a process.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("HOST_FOLDER") {
            return PathBuf::from(folder);
        }
        // target/PROFILE/deps/THIS-TEST, or target/PROFILE/benches
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.parent().expect("a test lies in a folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("deps" | "examples") => folder.parent().expect("deps/ lies in a profile"),
            _ => folder,
        };
        let target = profile
            .parent()
            .expect("a profile lies in the target folder");
        let mut cargo = cargo();
        cargo
            .args(["build", "--quiet", "--workspace", "--target-dir"])
            .arg(target);
        if profile.file_name().is_some_and(|name| name == "release") {
            cargo.arg("--release");
        }
        let built = cargo
            .current_dir(crate::root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the workspace does not build");
        profile.to_path_buf()
    })
}

/// The host's binary.
#[must_use]
pub fn host() -> PathBuf {
    folder().join("host")
}

/// Cargo without what it told this test: build scripts that ask for those variables would run
/// again for each test and once more for the next plain build.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_TARGET_TMPDIR",
        "CARGO_CRATE_NAME",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if told.iter().any(|prefix| text.starts_with(prefix)) || text == "LD_LIBRARY_PATH" {
            cargo.env_remove(&name);
        }
    }
    cargo.env_remove("RUSTC");
    cargo
}
