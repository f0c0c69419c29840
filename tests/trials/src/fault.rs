//! The preloaded library that counts and breaks the host's calls to the file system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::parts;

use crate::preload::Preload;

/// What becomes of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It fails with this number.
    Error(i32),
    /// The process ends before it.
    Kill,
    /// The process ends behind it.
    Late,
    /// A write writes half, then the process ends; any other call as with `Kill`.
    Torn,
}

/// Every one that a trial tries.
pub const EVERY: [How; 5] = [
    How::Error(EIO),
    How::Error(ENOSPC),
    How::Kill,
    How::Late,
    How::Torn,
];
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The library.
pub struct Injector(Preload);

impl Injector {
    /// Builds it; `None` after saying what is missing.
    pub fn build() -> Option<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            parts::skip("calls are broken on x86-64 Linux only");
            return None;
        }
        Preload::build(include_str!("fault.c"), &[]).map(Self)
    }

    /// Lets call number `at` (0: none) under `folder` fail in `host`; `calls` counts them.
    pub fn arm(&self, host: &mut Command, folder: &Path, calls: &Calls, at: u64, how: How) {
        let how = match how {
            How::Error(number) => format!("error:{number}"),
            How::Kill => "kill".to_owned(),
            How::Late => "late".to_owned(),
            How::Torn => "torn".to_owned(),
        };
        self.0
            .load(host)
            .env("FAULT_FOLDER", folder)
            .env("FAULT_COUNT", &calls.0)
            .env("FAULT_AT", at.to_string())
            .env("FAULT_HOW", how);
    }
}

/// A counter that outlives a process.
pub struct Calls(PathBuf);

impl Calls {
    /// At 0.
    pub fn none(path: PathBuf) -> Self {
        fs::write(&path, [0; 8]).expect("a file");
        Self(path)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        let bytes = fs::read(&self.0).expect("the counter");
        u64::from_le_bytes(bytes.try_into().expect("8 bytes"))
    }
}
