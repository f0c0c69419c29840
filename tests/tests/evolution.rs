//! The ABI in both directions of 1.x: a plugin built against a later minor version runs in today's
//! host, and today's plugins run in the host of a later minor version.
//!
//! There is no later version yet, so it is made here: a copy of the sources with something appended
//! wherever the rules allow it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    artifacts,
    host::{Folder, PATIENCE},
    process::Process,
    thirdparty::{Compiler, build},
};

/// What 1.1 has and 1.0 has not: file, the text behind which it is put, the addition.
const ADDITIONS: [(&str, &str, &str); 7] = [
    (
        "plugin-api/src/abi/stage.rs",
        "    fn close(&mut self) -> Raw<()>;\n",
        "    /// Added in 1.1.\n    fn later(&mut self, n: u64) -> Raw<u64> { RResult::ROk(n) }\n",
    ),
    (
        "plugin-api/src/abi/services.rs",
        "    extension: extern \"C\" fn(*const c_void, RStr<'_>) -> *const c_void,\n",
        "    #[sabi(missing_field(option))]\n    later: extern \"C\" fn(*const c_void) -> u64,\n",
    ),
    (
        "plugin-api/src/abi/services.rs",
        "                extension: host_extension,\n",
        "                later: host_monotonic_ns,\n",
    ),
    (
        "plugin-api/src/abi/services.rs",
        "    reject_raw: extern \"C\" fn(*mut c_void, RSlice<'_, u8>, RStr<'_>, RStr<'_>),\n",
        "    #[sabi(missing_field(option))]\n    later: extern \"C\" fn(*mut c_void, u64, u64),\n",
    ),
    (
        "plugin-api/src/abi/services.rs",
        "                reject_raw: out_reject_raw,\n",
        "                later: out_consumed,\n",
    ),
    (
        "plugin-api/src/abi/root.rs",
        "    pub create: extern \"C\" fn(kind: RStr<'_>, name: RStr<'_>) -> Raw<StageBox>,\n",
        "    /// Added in 1.1.\n    #[sabi(missing_field(option))]\n    pub later: extern \"C\" fn() -> Raw<RVec<u8>>,\n",
    ),
    (
        "plugin-api/src/abi/root.rs",
        "        create: create::<P>,\n",
        "        later: manifest::<P>,\n",
    ),
];

const HOSTS: &str = r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.flow.sources.count]
plugin = "flow-count"
with = { records = 2500 }
[hosts.flow.processors.pass]
plugin = "flow-pass"
inputs = ["count"]
[hosts.flow.sinks.discard]
plugin = "flow-discard"
inputs = ["pass"]
"#;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).expect("a file");
    let changed = change(text.clone());
    assert_ne!(
        text,
        changed,
        "{} is not as this test expects",
        path.display()
    );
    fs::write(path, changed).expect("a file can be written");
}

/// A workspace of version 1.1, and the host and plugin built from it.
fn next() -> (PathBuf, PathBuf) {
    let (root, folder) = (e2e::root(), artifacts::folder());
    let next = folder.join("evolution");
    let _ = fs::remove_dir_all(&next);
    for part in ["plugin-api/src", "host/src", "schemas"] {
        copy(&root.join(part), &next.join(part));
    }
    for file in [
        "Cargo.lock",
        "Cargo.toml",
        "hosts.toml",
        "host/Cargo.toml",
        "plugin-api/Cargo.toml",
    ] {
        fs::copy(root.join(file), next.join(file)).expect("a copy");
    }
    copy(
        &root.join("tests/fixtures/thirdparty/flow"),
        &next.join("flow"),
    );
    edit(&next.join("Cargo.toml"), |text| {
        let (before, rest) = text.split_once("members = [").expect("a workspace");
        let (_, after) = rest.split_once(']').expect("a list");
        let text = format!("{before}members = [\"host\", \"plugin-api\", \"flow\"]{after}");
        text.replacen("version = \"1.0.0\"", "version = \"1.1.0\"", 1)
    });
    // Names of their own, so that today's build beside them stays.
    edit(&next.join("host/Cargo.toml"), |text| {
        let bin = "[[bin]]\nname = \"host-next\"\npath = \"src/main.rs\"\n\n[lints]";
        text.replace("[lints]", bin)
            .replacen("[package]\n", "[package]\nautobins = false\n", 1)
    });
    edit(&next.join("flow/Cargo.toml"), |text| {
        text.replace("name = \"flow\"", "name = \"flow-next\"")
    });
    for (file, behind, addition) in ADDITIONS {
        edit(&next.join(file), |text| {
            text.replacen(behind, &format!("{behind}{addition}"), 1)
        });
    }
    edit(&next.join("plugin-api/src/abi/mod.rs"), |text| {
        text.replace("ABI_MINOR: u32 = 0;", "ABI_MINOR: u32 = 1;")
    });
    let target = folder
        .parent()
        .expect("a profile lies in the target folder");
    let built = artifacts::cargo()
        .args([
            "build",
            "--quiet",
            "--offline",
            "--bins",
            "--lib",
            "-p",
            "host",
            "-p",
            "flow-next",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(&next)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "version 1.1 does not build");
    (folder.join("host-next"), folder.join("libflow_next.so"))
}

/// The graph runs in this host with this plugin, and each record is accounted for.
fn runs(host: &Path, plugin: &Path) {
    let folder = Folder::new();
    folder.write("hosts.toml", HOSTS);
    fs::create_dir(folder.path("plugins.d")).expect("a folder");
    fs::copy(plugin, folder.path("plugins.d/libflow.so")).expect("it was built");
    // Alone in a folder, so that it has no bundled plugins.
    let alone = folder.path("bin/host");
    fs::create_dir(folder.path("bin")).expect("a folder");
    fs::copy(host, &alone).expect("it was built");
    let mut command = Command::new(alone);
    command.args(["--config", "hosts.toml", "--summary", "json"]);
    command
        .current_dir(folder.path(""))
        .env("XDG_CACHE_HOME", folder.path("cache"));
    let summary = Process::start(&mut command).finish(PATIENCE).account();
    assert_eq!(summary.stage("flow/discard").consumed, 2500);
}

#[test]
fn minor_versions_of_host_and_plugin_meet_in_both_directions() {
    let today = build(Compiler::Ours, false).join("libflow.so");
    let (later_host, later_plugin) = next();
    runs(&artifacts::host(), &later_plugin);
    runs(&later_host, &today);
    runs(&later_host, &later_plugin);
}
