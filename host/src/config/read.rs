//! The root of hosts.toml and its hosts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::keys;
use super::model::{Config, HostConfig, KINDS, OnHang, Pin, Spanned, table_of};
use super::stage;
use super::value::{Entry, Kind, Table};
use crate::diag::{Diagnostic, Report, SourceFile, Span};

/// Folder of further plugins where the file names none.
pub const DEFAULT_PLUGIN_DIR: &str = "plugins.d";
/// Folder of checkpoints and dead letters where the file names none.
pub const DEFAULT_STATE_DIR: &str = "state";
/// Time between checkpoints where a host names none.
pub const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of a call where the file does not say.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);

const ROOT_KEYS: [&str; 6] = [
    "version",
    "plugin_dirs",
    "state_dir",
    "admin",
    "plugins",
    "hosts",
];

pub(super) fn config(
    root: &Table,
    file: Arc<SourceFile>,
    folder: &Path,
    report: &mut Report,
) -> Config {
    keys::unknown(root, &ROOT_KEYS, "the file", report, |entry| {
        KINDS
            .iter()
            .find(|k| table_of(**k) == entry.key || k.as_str() == entry.key)
            .map(|k| {
                format!(
                    "stages belong to a host: [hosts.NAME.{}.STAGE]",
                    table_of(*k)
                )
            })
    });
    version(root, report);
    Config {
        file,
        folder: folder.to_owned(),
        plugin_dirs: plugin_dirs(root, folder, report),
        state_dir: root
            .get("state_dir")
            .and_then(|e| keys::string(e, report))
            .map_or_else(|| folder.join(DEFAULT_STATE_DIR), |s| folder.join(s.value)),
        admin: root.get("admin").and_then(|e| admin(e, report)),
        pins: root
            .get("plugins")
            .map_or_else(Vec::new, |e| pins(e, report)),
        hosts: hosts(root, report),
    }
}

fn version(root: &Table, report: &mut Report) {
    let Some(entry) = root.get("version") else {
        report.push(
            Diagnostic::error("the file does not say its version")
                .at(Span::default())
                .hint("begin it with `version = 1`"),
        );
        return;
    };
    match entry.value.kind {
        Kind::Integer(1) => {}
        Kind::Integer(n) => report.push(
            Diagnostic::error(format!("this host reads version 1 of hosts.toml, not {n}"))
                .at(entry.value.span),
        ),
        _ => keys::wrong_type("version", "the number 1", &entry.value, report),
    }
}

fn plugin_dirs(root: &Table, folder: &Path, report: &mut Report) -> Vec<PathBuf> {
    let Some(entry) = root.get("plugin_dirs") else {
        return vec![folder.join(DEFAULT_PLUGIN_DIR)];
    };
    let dirs = keys::strings(entry, report).unwrap_or_default();
    for dir in &dirs {
        if !folder.join(&dir.value).is_dir() && dir.value != DEFAULT_PLUGIN_DIR {
            report.push(
                Diagnostic::warning(format!("there is no folder `{}`", dir.value)).at(dir.span),
            );
        }
    }
    dirs.iter().map(|d| folder.join(&d.value)).collect()
}

fn admin(entry: &Entry, report: &mut Report) -> Option<SocketAddr> {
    let table = keys::table(entry, report)?;
    keys::unknown(table, &["listen"], "`admin`", report, |_| None);
    let listen = keys::string(table.get("listen")?, report)?;
    let wrong = |message: String| {
        Diagnostic::error(message)
            .at(listen.span)
            .hint("write it like `127.0.0.1:9100`; port 0 takes a free one")
    };
    let numeric = listen
        .value
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        .or_else(|| listen.value.parse().ok());
    match numeric {
        None => report.push(wrong(format!(
            "`{}` is no address with a port",
            listen.value
        ))),
        Some(address) if !address.ip().is_loopback() => report.push(wrong(format!(
            "`{address}` can be reached from outside; metrics are served on loopback only"
        ))),
        Some(address) => return Some(address),
    }
    None
}

fn pins(entry: &Entry, report: &mut Report) -> Vec<Pin> {
    let mut pins = Vec::new();
    for plugin in keys::table(entry, report).map_or(&[][..], |t| &t.0) {
        let Some(table) = keys::table(plugin, report) else {
            continue;
        };
        let place = format!("plugin `{}`", plugin.key);
        keys::unknown(table, &["sha256"], &place, report, |_| {
            Some("options of a stage stand under its `with`".to_owned())
        });
        let Some(sha256) = table.get("sha256").and_then(|e| keys::string(e, report)) else {
            continue;
        };
        let digits = sha256.value.to_ascii_lowercase();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            report.push(
                Diagnostic::error("`sha256` must have 64 hexadecimal digits")
                    .at(sha256.span)
                    .hint("`host list` shows it"),
            );
            continue;
        }
        pins.push(Pin {
            plugin: Spanned {
                value: plugin.key.clone(),
                span: plugin.key_span,
            },
            sha256: Spanned {
                value: digits,
                span: sha256.span,
            },
        });
    }
    pins
}

fn hosts(root: &Table, report: &mut Report) -> Vec<HostConfig> {
    let Some(entry) = root.get("hosts") else {
        if keys::misspelt(root, &ROOT_KEYS, "hosts") {
            return Vec::new();
        }
        report.push(Diagnostic::error("the file has no host").hint(
            "a stage stands in [hosts.NAME.sources.STAGE], `host demo --print` shows a whole file",
        ));
        return Vec::new();
    };
    let hosts = keys::table(entry, report).map_or(&[][..], |t| &t.0);
    hosts.iter().filter_map(|e| host(e, report)).collect()
}

fn host(entry: &Entry, report: &mut Report) -> Option<HostConfig> {
    keys::name("host", &entry.key, entry.key_span, report);
    let table = keys::table(entry, report)?;
    let place = format!("host `{}`", entry.key);
    let known = [
        "autostart",
        "checkpoint_interval",
        "call_timeout",
        "on_hang",
        "sources",
        "processors",
        "sinks",
    ];
    keys::unknown(table, &known, &place, report, |e| {
        matches!(e.value.kind, Kind::Table(_)).then(|| {
            format!(
                "a stage stands under `sources`, `processors` or `sinks`: [hosts.{}.sources.{}]",
                entry.key, e.key
            )
        })
    });
    let mut stages = Vec::new();
    for kind in KINDS {
        let entries = table
            .get(table_of(kind))
            .and_then(|e| keys::table(e, report))
            .map_or(&[][..], |t| &t.0);
        stages.extend(entries.iter().filter_map(|e| stage::read(e, kind, report)));
    }
    if stages.is_empty() {
        report.push(Diagnostic::error(format!("{place} has no stages")).at(entry.key_span));
    }
    stages.sort_by_key(|s| s.name.span.start);
    Some(HostConfig {
        name: Spanned {
            value: entry.key.clone(),
            span: entry.key_span,
        },
        autostart: table
            .get("autostart")
            .and_then(|e| keys::boolean(e, report))
            .unwrap_or(true),
        checkpoint_interval: table
            .get("checkpoint_interval")
            .and_then(|e| keys::duration(e, report))
            .unwrap_or(DEFAULT_CHECKPOINT_INTERVAL),
        call_timeout: table
            .get("call_timeout")
            .and_then(|e| keys::duration(e, report))
            .unwrap_or(DEFAULT_CALL_TIMEOUT),
        on_hang: table
            .get("on_hang")
            .and_then(|e| {
                let choices = [("stop", OnHang::Stop), ("wait", OnHang::Wait)];
                keys::choice(e, &choices, report)
            })
            .unwrap_or_default(),
        stages,
    })
}
