//! What the targets share.
//!
//! `cargo run --release -p trials -- fuzz` builds and runs them with a stable compiler: guided by
//! coverage (LLVM's counters, which `-C passes=sancov-module` adds without a nightly compiler), but
//! without AddressSanitizer. `cargo +nightly fuzz run NAME` runs the same ones with it.

use std::{fs, path::PathBuf};

/// Writes inputs to begin with into the folder that `FUZZ_SEEDS` names, if it does.
pub fn begin_with(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else {
        return;
    };
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).expect("a file");
    }
}
