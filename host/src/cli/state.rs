//! What commands need that look at what hosts left: their names and folders, by a hosts.toml alone.

use std::path::PathBuf;

use plugin_api::time::Civil;

use super::output;
use crate::{
    config::ConfigSource,
    diag::{Diagnostic, EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Report, did_you_mean, listed},
};

/// A host and its folder of state.
pub struct HostFolder {
    /// Its name.
    pub name: String,
    /// Where it leaves its state.
    pub folder: PathBuf,
}

/// The hosts of a file, or those of them that are named; the exit code after an error was shown.
pub fn hosts(config: Option<&PathBuf>, wanted: &[String]) -> Result<Vec<HostFolder>, u8> {
    let source = ConfigSource::File(config.cloned().unwrap_or_else(super::default_config));
    let (config, report) = source.load();
    // Whatever else is wrong with the file does not hinder a look at what it left.
    let Some(config) = config else {
        output::show(&report);
        return Err(if report.has_errors() {
            report.exit()
        } else {
            EXIT_CONFIG
        });
    };
    let names: Vec<&str> = config.hosts.iter().map(|h| h.name.value.as_str()).collect();
    for name in wanted {
        if !names.contains(&name.as_str()) {
            let hint = did_you_mean(name, names.iter().copied())
                .unwrap_or_else(|| format!("it has {}", listed(&names, "and")));
            let message = format!("{} has no host `{name}`", config.file.name());
            return Err(refuse(
                Diagnostic::error(message).hint(hint).exit(EXIT_USAGE),
            ));
        }
    }
    let hosts = names.into_iter();
    Ok(hosts
        .filter(|n| wanted.is_empty() || wanted.iter().any(|w| w == n))
        .map(|n| HostFolder {
            name: n.to_owned(),
            folder: config.state_dir.join(n),
        })
        .collect())
}

/// Shows an error and gives its exit code.
pub fn refuse(diagnostic: Diagnostic) -> u8 {
    let report = Report::of(diagnostic);
    output::show(&report);
    report.exit()
}

/// Shows what could not be read of a host's state.
pub fn unreadable(host: &HostFolder, e: &std::io::Error) -> u8 {
    let message = format!("the state in {} cannot be read: {e}", host.folder.display());
    refuse(Diagnostic::error(message).exit(EXIT_UNAVAILABLE))
}

/// A time for people.
pub fn time(us: i64) -> String {
    Civil::from_us(us).to_string()
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!(
        "{} {}",
        text.strip_suffix(".0").unwrap_or(&text),
        UNITS[unit]
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_read_as_people_write_them() {
        let all = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 20, "1 MiB"),
            (1_600, "1.6 KiB"),
        ];
        for (bytes, text) in all {
            assert_eq!(super::size(bytes), text);
        }
    }
}
