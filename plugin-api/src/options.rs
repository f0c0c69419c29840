//! Options of a stage: plain structs, whose doc comments become help, JSON Schema and README.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Declares the options of a stage: a struct or an enum with serde and JSON Schema derived.
/// Unknown keys are errors; names of enum variants are kebab-case. The doc comment of the struct
/// is the description of the stage.
#[macro_export]
macro_rules! options {
    ($(#[$attr:meta])* $vis:vis struct $($rest:tt)*) => {
        #[derive(Debug, Clone, $crate::serde::Deserialize, $crate::schemars::JsonSchema)]
        #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
        #[schemars(crate = "plugin_api::schemars")]
        $(#[$attr])*
        $vis struct $($rest)*
    };
    ($(#[$attr:meta])* $vis:vis enum $($rest:tt)*) => {
        #[derive(
            Debug, Clone, PartialEq,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "plugin_api::serde", rename_all = "kebab-case")]
        #[schemars(crate = "plugin_api::schemars")]
        $(#[$attr])*
        $vis enum $($rest)*
    };
}

/// A value that is never shown: in hosts.toml only by reference (`env:NAME`, `file:PATH`).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret; for tests and defaults.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-secret": true })
    }
}

/// A path. Relative ones start at the folder of hosts.toml: the host has made it absolute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// A path; for tests and defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl std::ops::Deref for FilePath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl JsonSchema for FilePath {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "x-path" })
    }
}

/// A size in bytes: a number, or text such as `"8 MiB"` (B, kB, MB, GB, KiB, MiB, GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The size as `usize`.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
    /// Reads `"8 MiB"`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => {
                return Err(format!(
                    "`{text}` is no size: expected such as \"8 MiB\" or \"500 kB\""
                ));
            }
        };
        scaled(number, factor)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size: expected such as \"8 MiB\""))
    }
}

/// A length of time, such as `"30s"`, `"5ms"`, `"1h"` (ns, us, ms, s, m, h, d).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
    /// As the standard library has it.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
    /// In nanoseconds.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
    /// Reads `"30s"`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no length of time: expected such as \"30s\", \"5ms\" or \"1h\"")
        };
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(number, factor)
            .map(|n| Self(Duration::from_nanos(n)))
            .ok_or_else(wrong)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn scaled(number: &str, factor: u64) -> Option<u64> {
    let number = number.replace('_', "");
    match number.parse::<u64>() {
        Ok(n) => n.checked_mul(factor),
        Err(_) => {
            let n = number.parse::<f64>().ok()? * factor as f64;
            (n >= 0.0 && n < u64::MAX as f64).then_some(n as u64)
        }
    }
}

macro_rules! text_or_number {
    ($type:ident, $what:literal, $number:expr, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct V;
                impl de::Visitor<'_> for V {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, v: &str) -> Result<$type, E> {
                        $type::parse(v).map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, v: u64) -> Result<$type, E> {
                        let number: fn(u64) -> Option<$type> = $number;
                        number(v).ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(v), &self))
                    }
                }
                d.deserialize_any(V)
            }
        }
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text_or_number!(ByteSize, "a size such as \"8 MiB\" or a number of bytes", |n| Some(ByteSize(n)), {
    "type": ["string", "integer"],
    "format": "x-size",
    "minimum": 0,
});
text_or_number!(Span, "a length of time such as \"30s\"", |_| None, {
    "type": "string",
    "format": "x-duration",
});

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (n, unit) = match self.0 {
            n if n > 0 && n % (1 << 30) == 0 => (n >> 30, " GiB"),
            n if n > 0 && n % (1 << 20) == 0 => (n >> 20, " MiB"),
            n if n > 0 && n % (1 << 10) == 0 => (n >> 10, " KiB"),
            n => (n, " B"),
        };
        s.serialize_str(&format!("{n}{unit}"))
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let ns = self.nanos();
        let (n, unit) = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
        ]
        .into_iter()
        .find(|(f, _)| ns > 0 && ns % f == 0)
        .map_or((ns, "ns"), |(f, unit)| (ns / f, unit));
        s.serialize_str(&format!("{n}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_as_people_write_them() {
        assert_eq!(ByteSize::parse("8 MiB"), Ok(ByteSize(8 << 20)));
        assert_eq!(ByteSize::parse("1.5kB"), Ok(ByteSize(1500)));
        assert_eq!(
            serde_json::from_str::<ByteSize>("17").unwrap(),
            ByteSize(17)
        );
        assert!(ByteSize::parse("8 mib").is_err() && ByteSize::parse("").is_err());
        assert_eq!(Span::parse("5ms"), Ok(Span::millis(5)));
        assert_eq!(Span::parse("1.5h"), Ok(Span::secs(5400)));
        assert!(Span::parse("30").is_err() && serde_json::from_str::<Span>("30").is_err());
        assert_eq!(serde_json::to_string(&Span::secs(90)).unwrap(), "\"90s\"");
        assert_eq!(
            serde_json::to_string(&ByteSize(1 << 20)).unwrap(),
            "\"1 MiB\""
        );
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
