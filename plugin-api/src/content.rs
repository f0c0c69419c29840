//! What flows on an edge, and what a stage answers when it is planned.

use serde::{Deserialize, Serialize};

/// Format of the payloads on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// One JSON value a record.
    Json,
    /// One Avro datum a record, without its schema.
    Avro,
    /// One CSV row a record.
    Csv,
    /// UTF-8 text.
    Text,
    /// A PNG image.
    Png,
    /// An SVG document.
    Svg,
    /// Anything.
    Bytes,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Csv => "csv",
            Self::Text => "text",
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Bytes => "bytes",
        })
    }
}

/// Content type of an edge: a format and, for Avro, the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentType {
    /// Format of the payloads.
    pub format: Format,
    /// Avro schema as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl ContentType {
    /// A format without a schema.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            schema: None,
        }
    }
    /// JSON.
    #[must_use]
    pub fn json() -> Self {
        Self::new(Format::Json)
    }
    /// Text.
    #[must_use]
    pub fn text() -> Self {
        Self::new(Format::Text)
    }
    /// Any bytes.
    #[must_use]
    pub fn bytes() -> Self {
        Self::new(Format::Bytes)
    }
    /// Avro datums of this schema.
    #[must_use]
    pub fn avro(schema: impl Into<String>) -> Self {
        Self {
            format: Format::Avro,
            schema: Some(schema.into()),
        }
    }
}

impl std::fmt::Display for ContentType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.format.fmt(f)
    }
}

/// The meeting place of stages that read standard input.
pub const STDIN: &str = "stdio://stdin";
/// The meeting place of stages that write records to standard output.
pub const STDOUT: &str = "stdio://stdout";

/// A bound of what a stage holds in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What for, in a few words.
    pub what: String,
    /// At most so many bytes.
    pub bytes: u64,
}

/// Answer of `plan`: what the stage will put out, and what the host should know beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// Content type of each output port; empty for a sink.
    pub outputs: Vec<ContentType>,
    /// Lines shown by `host validate` and at start.
    pub warnings: Vec<String>,
    /// A source whose records cannot be read again, such as a live HTTP stream. The host keeps what
    /// it sent until it is safe, and the source outlives the restart of its region.
    pub live: bool,
    /// A sink that must be the only one of its region: all stages joined to it by edges in memory.
    pub alone: bool,
    /// What an instance of the stage may hold in memory besides the batch in its hands, at most;
    /// `host validate` adds it up.
    pub memory: Vec<Memory>,
    /// Meeting places that the stage reads, such as `kafka://embedded/tweets`.
    pub reads: Vec<String>,
    /// Meeting places that the stage writes. The host drains writers before readers.
    pub writes: Vec<String>,
}

impl Planned {
    /// A stage with one output.
    #[must_use]
    pub fn new(output: ContentType) -> Self {
        Self {
            outputs: vec![output],
            ..Self::default()
        }
    }
    /// A stage with these outputs, in the order of its ports.
    #[must_use]
    pub fn outputs(outputs: Vec<ContentType>) -> Self {
        Self {
            outputs,
            ..Self::default()
        }
    }
    /// A sink.
    #[must_use]
    pub fn sink() -> Self {
        Self::default()
    }
    /// Says that what the source reads cannot be read again.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }
    /// Says that the sink must be the only one of its region, such as one whose transactions hold
    /// the sources' positions.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
    /// Says that an instance may hold so many bytes for this, at most.
    #[must_use]
    pub fn memory(mut self, what: impl Into<String>, bytes: u64) -> Self {
        let what = what.into();
        self.memory.push(Memory { what, bytes });
        self
    }
    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, line: impl Into<String>) -> Self {
        self.warnings.push(line.into());
        self
    }
    /// Names a meeting place that the stage reads.
    #[must_use]
    pub fn reads(mut self, place: impl Into<String>) -> Self {
        self.reads.push(place.into());
        self
    }
    /// Says that the stage writes records to standard output, where the host then draws nothing.
    #[must_use]
    pub fn prints(self) -> Self {
        self.writes(STDOUT)
    }
    /// Names a meeting place that the stage writes.
    #[must_use]
    pub fn writes(mut self, place: impl Into<String>) -> Self {
        self.writes.push(place.into());
        self
    }
}
