//! Plugins that others built: found, described, run, and refused.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::{
    host::{Folder, PATIENCE},
    needed,
    process::{Finished, Process},
    thirdparty::{Compiler, build},
};

const FLOW: &str = r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.flow.sources.count]
plugin = "flow-count"
with = { records = 2500 }
[hosts.flow.processors.pass]
plugin = "flow-pass"
inputs = ["count"]
[hosts.flow.processors.shout]
plugin = "shout"
inputs = ["pass"]
with.suffix = "!"
[hosts.flow.sinks.out]
plugin = "lines"
inputs = ["shout"]
with.path = "-"
[hosts.flow.sinks.discard]
plugin = "flow-discard"
inputs = ["shout"]
"#;

/// A folder with these plugins in its `plugins.d`.
fn with_plugins(built: &Path, names: &[&str]) -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("plugins.d")).expect("a folder");
    for name in names {
        let file = format!("lib{name}.so");
        fs::copy(built.join(&file), folder.path("plugins.d").join(&file)).expect("it was built");
    }
    folder
}

fn command(folder: &Folder, args: &[&str]) -> Finished {
    Process::start(&mut folder.host(args)).finish(PATIENCE)
}

/// Whoever built them: listed, described, validated and run.
fn works(built: &Path) {
    let folder = with_plugins(built, &["flow", "shout"]);
    folder.write("hosts.toml", FLOW);
    let listed = command(&folder, &["list", "--config", "hosts.toml"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    for name in ["flow-count", "flow-pass", "flow-discard", "shout"] {
        assert!(
            listed.stdout.iter().any(|line| line.contains(name)),
            "{name}: {:?}",
            listed.stdout
        );
    }
    let described = command(&folder, &["inspect", "plugins.d/libshout.so"]);
    assert_eq!(described.code, Some(0), "{}", described.stderr);
    let described = described.stdout.join("\n");
    for text in [
        "Writes each record in capitals",
        "suffix",
        "Put behind each record",
    ] {
        assert!(described.contains(text), "{text}: {described}");
    }
    let valid = command(&folder, &["validate", "--config", "hosts.toml"]);
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);

    let ran = folder.run(FLOW, &[]);
    let summary = ran.account();
    assert_eq!(summary.stage("flow/out").consumed, 2500);
    assert_eq!(summary.stage("flow/discard").consumed, 2500);
    let lines = &ran.stdout[..ran.stdout.len() - 1];
    let expected: Vec<_> = (0..2500).map(|number| format!("{number}!")).collect();
    assert_eq!(lines, expected);
}

fn plugins_of_another_workspace_and_the_readmes_example_run() {
    let built = build(Compiler::Ours, false);
    works(&built);
}

fn plugins_of_another_compiler_run() {
    let debian = build(Compiler::Debian, false);
    let host = compiler(&e2e::artifacts::host());
    for name in ["libflow.so", "libshout.so"] {
        let plugin = compiler(&debian.join(name));
        assert_ne!(plugin, host, "both were built by the same compiler");
    }
    works(&debian);
}

/// What the compiler wrote of itself into a file.
fn compiler(file: &Path) -> String {
    let bytes = fs::read(file).expect("it was built");
    let mark = b"rustc version ";
    let at = bytes
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("its compiler");
    let text: Vec<u8> = bytes[at..]
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8(text).expect("text")
}

fn an_authors_part_of_the_example_is_at_most_25_lines() {
    let example = e2e::root().join("examples/shout/src/lib.rs");
    let text = fs::read_to_string(example).expect("the example");
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 25, "{lines} lines");
    let readme = fs::read_to_string(e2e::root().join("README.md")).expect("the README");
    assert!(
        readme.contains(text.trim()),
        "the README shows another example than examples/shout"
    );
}

fn the_examples_own_test_passes() {
    let target = e2e::artifacts::folder().join("thirdparty-ours");
    let out = e2e::artifacts::cargo()
        .args(["test", "--quiet", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(e2e::root().join("examples/shout"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}{errors}");
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}

/// It panics at a record and again when dropped; the other host of the process runs on.
fn a_plugin_that_panics_does_not_end_the_host() {
    let built = build(Compiler::Ours, false);
    let folder = with_plugins(&built, &["panics", "flow"]);
    let ran = folder.run(
        r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.bad.sources.count]
plugin = "flow-count"
with = { records = 100, batch = 10 }
[hosts.bad.processors.panics]
plugin = "panics"
inputs = ["count"]
on_crash = "stop"
with.at = "55"
[hosts.bad.sinks.out]
plugin = "lines"
inputs = ["panics"]
with.path = "bad.txt"
[hosts.good.sources.count]
plugin = "flow-count"
with = { records = 100000 }
[hosts.good.sinks.out]
plugin = "lines"
inputs = ["count"]
with.path = "good.txt"
"#,
        &[],
    );
    assert_eq!(ran.code, Some(70), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("this plugin panics at `55`"),
        "{}",
        ran.stderr
    );
    let good = fs::read_to_string(folder.path("good.txt")).expect("the other host's file");
    assert_eq!(good.lines().count(), 100_000);
}

/// What is refused, how it is spoiled, and a word of the sentence that says so.
type Spoiled = (&'static str, fn(&mut Vec<u8>), u32, &'static str);

const SPOILED: [Spoiled; 5] = [
    ("another ABI", |bytes| set_major(bytes, 2), 0o644, "ABI 2."),
    ("a spoiled tag", |bytes| spoil_magic(bytes), 0o644, "tag"),
    (
        "truncated",
        |bytes| bytes.truncate(bytes.len() / 3),
        0o644,
        "",
    ),
    (
        "no library at all",
        |bytes| *bytes = b"#!/bin/sh\n".to_vec(),
        0o644,
        "",
    ),
    ("writable by all", |_| (), 0o666, "writ"),
];

fn what_is_no_plugin_of_ours_is_refused_before_its_code_runs() {
    let built = build(Compiler::Ours, false);
    for (what, spoil, mode, word) in SPOILED {
        let mut bytes = fs::read(built.join("libconstructor.so")).expect("it was built");
        spoil(&mut bytes);
        assert_refused(what, &bytes, mode, word);
    }
    let stranger = fs::read(built.join("libstranger.so")).expect("it was built");
    assert_refused("a library that is no plugin", &stranger, 0o644, "no plugin");

    // The constructor would have been seen: it runs where nothing is wrong with the file.
    let bytes = fs::read(built.join("libconstructor.so")).expect("it was built");
    let (finished, ran) = inspect(&bytes, 0o644);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(ran, "this test looks for a mark that nothing leaves");
}

fn a_folder_that_others_may_write_to_is_refused() {
    let built = build(Compiler::Ours, false);
    let folder = with_plugins(&built, &["constructor"]);
    let mark = folder.path("mark");
    fs::set_permissions(folder.path("plugins.d"), fs::Permissions::from_mode(0o777))
        .expect("chmod");
    let mut host = folder.host(&["inspect", "plugins.d/libconstructor.so"]);
    let finished = Process::start(host.env("CONSTRUCTOR_MARK", &mark)).finish(PATIENCE);
    assert_one_sentence("a folder for all", &finished, "writ");
    assert!(!mark.exists());
}

fn assert_refused(what: &str, bytes: &[u8], mode: u32, word: &str) {
    let (finished, ran) = inspect(bytes, mode);
    assert!(!ran, "{what}: its constructor ran");
    assert_one_sentence(what, &finished, word);
}

fn assert_one_sentence(what: &str, finished: &Finished, word: &str) {
    assert_ne!(finished.code, Some(0), "{what} was taken");
    assert!(finished.code.is_some(), "{what} ended the host by a signal");
    let errors: Vec<_> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error"))
        .collect();
    assert_eq!(errors.len(), 1, "{what}: {}", finished.stderr);
    assert!(
        finished.stderr.contains(word),
        "{what} wants `{word}`: {}",
        finished.stderr
    );
    assert!(
        finished.stderr.lines().count() <= 6,
        "{what}: {}",
        finished.stderr
    );
}

/// Inspects a file with these bytes; whether its constructor ran.
fn inspect(bytes: &[u8], mode: u32) -> (Finished, bool) {
    let folder = Folder::new();
    let file = folder.path("libplugin.so");
    fs::write(&file, bytes).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("chmod");
    let mark = folder.path("mark");
    let mut host = folder.host(&["inspect", "./libplugin.so"]);
    let finished = Process::start(host.env("CONSTRUCTOR_MARK", &mark)).finish(PATIENCE);
    (finished, mark.exists())
}

/// First bytes of a plugin's tag; behind them stands the ABI's major number.
const MAGIC: &[u8] = b"stream-plugin\0\r\n";

fn set_major(bytes: &mut [u8], major: u32) {
    let at = tag(bytes) + MAGIC.len();
    assert_eq!(
        bytes[at..at + 4],
        1_u32.to_le_bytes(),
        "plugins of ABI 1 are spoiled here"
    );
    bytes[at..at + 4].copy_from_slice(&major.to_le_bytes());
}

fn spoil_magic(bytes: &mut [u8]) {
    let at = tag(bytes);
    bytes[at] ^= 0xFF;
}

/// Where the tag is: the magic with the number behind it, since the text may stand elsewhere too.
fn tag(bytes: &[u8]) -> usize {
    let mark = [MAGIC, &1_u32.to_le_bytes()].concat();
    bytes
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("a plugin has a tag")
}

needs::tests! {
    plugins_of_another_workspace_and_the_readmes_example_run;
    plugins_of_another_compiler_run: needed::debian_rustc();
    an_authors_part_of_the_example_is_at_most_25_lines;
    the_examples_own_test_passes;
    a_plugin_that_panics_does_not_end_the_host;
    what_is_no_plugin_of_ours_is_refused_before_its_code_runs;
    a_folder_that_others_may_write_to_is_refused;
}
