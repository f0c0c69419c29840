//! Python as the independent judge: scripts under `tests/python`, in the environment with the
//! clients and Avro libraries of `requirements.txt`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::needed;

/// The environment.
///
/// # Panics
/// If it is missing.
#[must_use]
pub fn python() -> Python {
    Python(needed::python().path())
}

/// A Python interpreter that has the packages of `requirements.txt`.
pub struct Python(PathBuf);

impl Python {
    /// A command that runs one of the scripts.
    #[must_use]
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(crate::root().join("tests/python").join(name));
        command
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs a script to its end: the JSON values that it printed, one a line.
    ///
    /// # Panics
    /// If it fails or prints something else.
    #[must_use]
    pub fn json_lines<A: AsRef<std::ffi::OsStr>>(&self, name: &str, args: &[A]) -> Vec<Value> {
        let out = self
            .script(name)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("python runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{name} failed: {said}");
        String::from_utf8(out.stdout)
            .expect("scripts print UTF-8")
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"))
            })
            .collect()
    }
}
