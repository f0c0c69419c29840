//! Paths with placeholders: `out/tweets-{date}.avro`.

use crate::time::Civil;
use std::fmt;
use std::path::PathBuf;

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// In a shape: any digit. No path holds it.
pub(super) const DIGIT: &str = "\0";

/// The path of an output file, with placeholders.
///
/// | placeholder | becomes |
/// |---|---|
/// | `{date}` | the UTC date at which the file was opened, `2026-11-24`; a new date rolls the file |
/// | `{hour}` | the UTC hour, `00` to `23`; a new hour rolls the file |
/// | `{time}` | the UTC time at which the file was opened, `134501` |
/// | `{host}`, `{stage}` | the names in hosts.toml |
/// | `{worker}` | the number of the worker, from 0 |
///
/// `{{` and `}}` are plain braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Date,
    Hour,
    Time,
    Host,
    Stage,
    Worker,
}

/// What the placeholders that name the writer stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of the host in hosts.toml.
    pub host: String,
    /// Name of the stage in hosts.toml.
    pub stage: String,
    /// Number of the worker, from 0.
    pub worker: u32,
}

/// A path whose placeholders make no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a path with placeholders.
    ///
    /// # Errors
    /// If the path is empty or ends in a slash, a brace is left open, or a placeholder is unknown.
    pub fn parse(path: &str) -> Result<Self, TemplateError> {
        if path.is_empty() || path.ends_with('/') {
            return Err(TemplateError(format!("`{path}` names no file")));
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = path;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            let Some(end) = rest.find('}').filter(|_| brace == "{") else {
                return Err(TemplateError(format!("`{path}` has a lone `{brace}`")));
            };
            let part = match &rest[..end] {
                "date" => Part::Date,
                "hour" => Part::Hour,
                "time" => Part::Time,
                "host" => Part::Host,
                "stage" => Part::Stage,
                "worker" => Part::Worker,
                other => {
                    return Err(TemplateError(format!(
                        "`{{{other}}}` is no placeholder; known are {{date}}, {{hour}}, {{time}}, \
                         {{host}}, {{stage}} and {{worker}}"
                    )));
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
            rest = &rest[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// The path of a file that is opened at `now_us` (microseconds since 1970, UTC).
    #[must_use]
    pub fn render(&self, names: &Names, now_us: i64) -> PathBuf {
        let mut path = String::new();
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = Civil::from_us(now_us);
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Date => path.push_str(&format!("{year:04}-{month:02}-{day:02}")),
                Part::Hour => path.push_str(&format!("{hour:02}")),
                Part::Time => path.push_str(&format!("{hour:02}{minute:02}{second:02}")),
                Part::Host => path.push_str(&names.host),
                Part::Stage => path.push_str(&names.stage),
                Part::Worker => path.push_str(&names.worker.to_string()),
            }
        }
        PathBuf::from(path)
    }

    /// What all paths of these names look like, over all times: [`DIGIT`] stands for any digit.
    pub(super) fn shape(&self, names: &Names) -> String {
        let digits = |count| DIGIT.repeat(count);
        let shown = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Date => format!("{}-{}-{}", digits(4), digits(2), digits(2)),
            Part::Hour => digits(2),
            Part::Time => digits(6),
            Part::Host => names.host.clone(),
            Part::Stage => names.stage.clone(),
            Part::Worker => names.worker.to_string(),
        });
        shown.collect()
    }

    /// How long a name stays right, in microseconds: an hour with `{hour}`, a day with `{date}`.
    pub(super) fn period_us(&self) -> Option<i64> {
        if self.parts.contains(&Part::Hour) {
            Some(HOUR_US)
        } else if self.parts.contains(&Part::Date) {
            Some(DAY_US)
        } else {
            None
        }
    }
}
