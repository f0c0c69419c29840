//! Tests that need what may be missing on a machine: real cases, brokers, browsers, compilers.
//!
//! What each test needs is known when the list of tests is made, so a test that cannot run is
//! counted as ignored, with the reason, instead of passing unseen. Where `CI=true` it fails. A
//! file of such tests says `harness = false` in its manifest and ends with its list:
//!
//! ```
//! fn the_archive_is_read() {
//!     let _file = archive().path();
//! }
//!
//! fn archive() -> needs::Need {
//!     needs::data("archive-stream/2021-01-01-10-29.json.bz2")
//! }
//!
//! needs::tests! {
//!     the_archive_is_read: archive();
//! }
//! ```
//!
//! A function that is not in the list is dead code, which the compiler says. Filters, `--list`,
//! `--test-threads` and the rest work as in any test.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Completion, Trial};

/// Something that a test needs.
#[derive(Debug, Clone)]
pub struct Need {
    path: PathBuf,
    hint: &'static str,
}

impl Need {
    /// A file or folder; `hint` says who brings it.
    pub fn new(path: impl Into<PathBuf>, hint: &'static str) -> Self {
        let path = path.into();
        Self { path, hint }
    }

    /// What is always there: for needs that depend on the machine.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new("/", "")
    }

    /// Why it cannot be used, if it cannot.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let path = self.path.display();
        (!self.path.exists()).then(|| format!("{path} is missing ({})", self.hint))
    }

    /// Where it is.
    ///
    /// # Panics
    /// If it is not there: the list of tests must say who needs it.
    #[must_use]
    pub fn path(self) -> PathBuf {
        if let Some(why) = self.missing() {
            panic!("the list of tests does not say that this one needs it: {why}");
        }
        self.path
    }

    /// Its bytes.
    ///
    /// # Panics
    /// If it is no file that can be read.
    #[must_use]
    pub fn read(self) -> Vec<u8> {
        let path = self.path();
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The folder that `tests/parts.sh` fills: `PARTS_DIR`, by default `target/parts`.
#[must_use]
pub fn parts_dir() -> PathBuf {
    let dir = std::env::var_os("PARTS_DIR");
    dir.map_or_else(|| root().join("target/parts"), PathBuf::from)
}

/// A file or folder of what `tests/parts.sh` brings.
#[must_use]
pub fn part(path: &str) -> Need {
    Need::new(parts_dir().join(path), "tests/parts.sh brings it")
}

/// A file or folder of the real cases that lie beside the project.
#[must_use]
pub fn data(path: &str) -> Need {
    let hint = "real cases, not part of the project";
    Need::new(root().join("../shared/data").join(path), hint)
}

/// A test of the list.
pub struct Test {
    name: &'static str,
    needs: Vec<Need>,
    body: fn(),
}

impl Test {
    /// A test; [`tests!`] makes them.
    #[must_use]
    pub fn new(name: &'static str, needs: Vec<Need>, body: fn()) -> Self {
        Self { name, needs, body }
    }

    fn trial(self, ci: bool) -> Trial {
        let missing: Vec<String> = self.needs.iter().filter_map(Need::missing).collect();
        Trial::ignorable_test(self.name, move || match missing.is_empty() {
            true => {
                (self.body)();
                Ok(Completion::Completed)
            }
            false if ci => {
                Err(format!("not to be skipped where CI=true: {}", missing.join("; ")).into())
            }
            false => Ok(Completion::ignored_with(missing.join("; "))),
        })
    }
}

/// Runs tests as the command line of this process says.
#[must_use]
pub fn run(tests: Vec<Test>) -> ExitCode {
    let ci = std::env::var("CI").as_deref() == Ok("true");
    let trials = tests.into_iter().map(|test| test.trial(ci)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The list of a file's tests and its `main`: `NAME;` or `NAME: NEED, NEED;` each.
#[macro_export]
macro_rules! tests {
    ($($name:ident $(: $($need:expr),+)?;)+) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run(vec![
                $($crate::Test::new(stringify!($name), vec![$($($need),+)?], $name)),+
            ])
        }
    };
}

#[cfg(test)]
mod tests {
    use libtest_mimic::{Conclusion, FormatSetting};

    use super::*;

    fn conclude(ci: bool, args: &[&str]) -> Conclusion {
        fn works() {}
        fn fails() {
            panic!("as it should");
        }
        let nowhere = || Need::new("/no/such/file", "nobody brings it");
        let tests = vec![
            Test::new("works", vec![Need::nothing()], works),
            Test::new("lacks", vec![Need::nothing(), nowhere()], fails),
            Test::new("fails", vec![], fails),
        ];
        let mut args = Arguments::from_iter(["test"].iter().chain(args));
        args.format = Some(FormatSetting::Terse);
        libtest_mimic::run(&args, tests.into_iter().map(|t| t.trial(ci)).collect())
    }

    #[test]
    fn what_is_missing_is_counted_as_ignored_and_fails_in_ci() {
        let counts = |c: Conclusion| {
            (
                c.num_passed,
                c.num_ignored,
                c.num_failed,
                c.num_filtered_out,
            )
        };
        assert_eq!(counts(conclude(false, &[])), (1, 1, 1, 0));
        assert_eq!(counts(conclude(true, &[])), (1, 0, 2, 0));
        assert_eq!(counts(conclude(false, &["lacks"])), (0, 1, 0, 2));
        let missing = Need::new("/no/such/file", "nobody brings it").missing();
        assert_eq!(
            missing.as_deref(),
            Some("/no/such/file is missing (nobody brings it)")
        );
    }
}
