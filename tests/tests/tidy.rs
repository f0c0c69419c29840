//! What holds over the whole tree and no compiler checks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Files of the project, as git knows them and with those not yet added.
fn files(ending: &str) -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(e2e::root())
        .output()
        .expect("git runs");
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let mut files = Vec::new();
    for name in names.lines().filter(|name| name.ends_with(ending)) {
        // A file that was just deleted is still listed; one that is no text is not for us.
        if let Ok(text) = fs::read_to_string(e2e::root().join(name)) {
            files.push((name.to_owned(), text));
        }
    }
    files
}

/// Lines that are not comments, with their place.
fn code(name: &str, text: &str) -> Vec<(String, String)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (format!("{name}:{}", index + 1), line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(place, line)| (place, line.to_owned()))
        .collect()
}

/// The rooms of the host in the order that data flows, and what each may use besides those that
/// all may use.
const ROOMS: [(&str, &[&str]); 11] = [
    (
        "cli",
        &[
            "engine",
            "plan",
            "config",
            "loader",
            "admin",
            "checkpoint",
            "isolate",
        ],
    ),
    (
        "engine",
        &[
            "plan",
            "config",
            "loader",
            "checkpoint",
            "admin",
            "isolate",
            "spool",
        ],
    ),
    ("isolate", &["plan", "loader", "wire"]),
    ("spool", &["wire"]),
    ("admin", &["engine"]),
    ("checkpoint", &["config", "plan"]),
    ("plan", &["config", "loader"]),
    ("config", &[]),
    ("loader", &[]),
    ("diag", &[]),
    ("wire", &[]),
];

#[test]
fn the_host_depends_in_one_direction() {
    let mut wrong = Vec::new();
    for (name, text) in files(".rs") {
        let Some(room) = name
            .strip_prefix("host/src/")
            .and_then(|rest| rest.split('/').next())
            .map(|room| room.trim_end_matches(".rs"))
        else {
            continue;
        };
        let Some((_, allowed)) = ROOMS.iter().find(|(known, _)| *known == room) else {
            assert!(
                ["main", "lib"].contains(&room),
                "{name} is in no room that is known here"
            );
            continue;
        };
        for (place, line) in code(&name, &text) {
            for used in uses(&line) {
                let known = ROOMS.iter().any(|(room, _)| *room == used);
                if known && used != room && used != "diag" && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{place}: {room} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rooms that a line names: `crate::ROOM`, also within braces.
fn uses(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let group = rest
            .strip_prefix('{')
            .map_or(rest, |rest| rest.split('}').next().unwrap_or(rest));
        let names = if rest.starts_with('{') {
            group.split(',').collect()
        } else {
            vec![rest]
        };
        for name in names {
            let name = name.trim();
            let end = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            used.push(name[..end].to_owned());
        }
    }
    used
}

/// The tables of a manifest that name what a crate is built with.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut within = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            within = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
        } else if within {
            let end = line.find(['.', ' ', '=']).unwrap_or(0);
            if end > 0 && !line.starts_with('#') {
                names.push(line[..end].to_owned());
            }
        }
    }
    names
}

#[test]
fn host_and_plugins_meet_in_plugin_api_only() {
    let manifests = files("Cargo.toml");
    let manifest = |path: &str| {
        let found = manifests.iter().find(|(name, _)| name == path);
        dependencies(&found.unwrap_or_else(|| panic!("no {path}")).1)
    };
    let is_plugin = |text: &str| text.contains("cdylib");
    let crates: Vec<_> = manifests
        .iter()
        .filter_map(|(name, text)| {
            let folder = name.strip_prefix("plugins/")?.strip_suffix("/Cargo.toml")?;
            Some((folder.to_owned(), is_plugin(text)))
        })
        .collect();
    assert!(
        crates.iter().filter(|(_, plugin)| *plugin).count() >= 10,
        "{crates:?}"
    );

    let host = manifest("host/Cargo.toml");
    for (name, plugin) in &crates {
        assert!(
            !host.contains(name) && !host.contains(&format!("plugin-{name}")),
            "the host uses {name}"
        );
        let used = manifest(&format!("plugins/{name}/Cargo.toml"));
        assert!(!used.contains(&"host".to_owned()), "{name} uses the host");
        if *plugin {
            assert!(
                used.contains(&"plugin-api".to_owned()),
                "{name} is a plugin without plugin-api"
            );
        }
        let others = crates.iter().filter(|(_, plugin)| *plugin);
        for (other, _) in others {
            assert!(
                !used.contains(&format!("plugin-{other}")),
                "{name} uses the plugin {other}"
            );
        }
    }
    // What both ends of a cloud share is data, and needs nobody.
    assert_eq!(manifest("plugins/typeface/Cargo.toml"), [""; 0]);
    let api = manifest("plugin-api/Cargo.toml");
    assert!(!api.contains(&"host".to_owned()));
}

/// Where `unsafe` has its place, and why.
const UNSAFE: [(&str, &str); 4] = [
    ("plugin-api/src/abi/", "the ABI"),
    (
        "plugin-api/src/export.rs",
        "the attributes that name a plugin's exported symbols",
    ),
    ("host/src/loader/", "opens libraries"),
    ("tests/fixtures/", "plugins that misbehave"),
];

#[test]
fn unsafe_code_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for (name, text) in files(".rs") {
        if UNSAFE.iter().any(|(place, _)| name.starts_with(place)) {
            continue;
        }
        for (place, line) in code(&name, &text) {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '"');
            if words.into_iter().any(|word| word == "unsafe") && !line.contains("tidy") {
                wrong.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where a file has a list of its tests, an attribute `test` would be passed over without a word.
#[test]
fn a_test_stands_in_the_list_where_there_is_one() {
    let mut wrong = Vec::new();
    let mut lists = 0;
    for (name, text) in files("Cargo.toml") {
        let folder = e2e::root().join(name.strip_suffix("Cargo.toml").unwrap_or_default());
        for table in text.split("[[test]]").skip(1) {
            if !table.contains("harness = false") {
                continue;
            }
            let file = table.split('"').nth(1).unwrap_or_default();
            let path = folder.join("tests").join(file).with_extension("rs");
            let text = fs::read_to_string(&path).unwrap_or_default();
            lists += 1;
            if text.contains("#[test]") || !text.contains("needs::tests!") {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(lists > 0, "no list was found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_path_of_this_machine_is_written_down() {
    let root = e2e::root().canonicalize().expect("the workspace");
    let around = root
        .parent()
        .and_then(Path::to_str)
        .unwrap_or("/")
        .to_owned();
    let home = std::env::var("HOME").unwrap_or_default();
    // A short path, such as a container's `/work`, counts with what follows it only.
    let marks: Vec<_> = [around, home]
        .into_iter()
        .filter(|mark| mark.len() > 1)
        .map(|mark| format!("{mark}/"))
        .collect();
    let mut wrong = Vec::new();
    for ending in [
        ".rs", ".toml", ".md", ".sh", ".py", ".js", ".avsc", ".go", "run",
    ] {
        for (name, text) in files(ending) {
            for (index, line) in text.lines().enumerate() {
                if marks.iter().any(|mark| line.contains(mark.as_str())) {
                    wrong.push(format!("{name}:{}: {line}", index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_plugin_has_its_readme_and_an_example() {
    let mut missing = Vec::new();
    for (name, text) in files("Cargo.toml") {
        let folder = name.strip_suffix("/Cargo.toml").unwrap_or_default();
        if !folder.starts_with("plugins/") || !text.contains("cdylib") {
            continue;
        }
        for wanted in ["README.md", "example.toml", "src/lib.rs"] {
            let path: PathBuf = e2e::root().join(folder).join(wanted);
            if !path.exists() {
                missing.push(format!("{folder}/{wanted}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
