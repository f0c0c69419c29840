//! hosts.toml: read, checked, and its errors shown in each way.
#![no_main]

use std::{path::Path, sync::Arc};

use host::diag::{SourceFile, json, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: fuzz::begin_with(&[
        include_bytes!("../../hosts.toml").to_vec(),
        b"version = 1\n[hosts.a.sources.b]\nplugin = \"x\"\nwith.y = \"env:Z?z\"\n".to_vec(),
    ]),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        let file = Arc::new(SourceFile::new("hosts.toml", text));
        let (config, report) = host::config::parse(file, Path::new("/"));
        assert!(config.is_some() || report.has_errors());
        render::render(&report, true);
        render::render(&report, false);
        json::json(&report);
    }
);
