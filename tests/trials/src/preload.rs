//! A library in C that is loaded into the host before all others, built by `cc`.

use std::{path::PathBuf, process::Command};

use e2e::{host::Folder, parts};

/// The library, gone when dropped.
pub struct Preload {
    library: PathBuf,
    _folder: Folder,
}

impl Preload {
    /// Builds it; `None` after saying what is missing.
    pub fn build(source: &str, flags: &[&str]) -> Option<Self> {
        let folder = Folder::new();
        let library = folder.path("preload.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .args(flags)
            .arg(folder.write("preload.c", source))
            .status();
        match built {
            Err(error) => {
                parts::skip(&format!("cc does not run: {error}"));
                None
            }
            Ok(status) => {
                assert!(status.success(), "a library in C does not build");
                Some(Self {
                    library,
                    _folder: folder,
                })
            }
        }
    }

    /// Lets a host that is still to be started load it.
    pub fn load<'a>(&self, host: &'a mut Command) -> &'a mut Command {
        host.env("LD_PRELOAD", &self.library)
    }
}
