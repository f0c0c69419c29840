//! Options of both stages.

use plugin_api::files::Roll;
use plugin_api::prelude::*;

options! {
    /// Writes records as rows of CSV files (RFC 4180: CR LF, quotes where needed), with a header.
    /// Of Avro records each field is a column, or those that `columns` names; of JSON those that
    /// `columns` finds. Lists and records in a field are written as JSON. Each record is in one file
    /// exactly once. A file's name ends in `.inprogress` until it is finished and never replaces
    /// another: a taken name gets `-1`.
    pub struct SinkOptions {
        /// The file, with `{date}`, `{hour}`, `{time}`, `{host}`, `{stage}` and `{worker}` as
        /// placeholders; folders are created.
        pub path: FilePath,
        /// The columns in order, each the name of an Avro field or a path into the JSON
        /// (`user.name`, or a JSON pointer), or `{ name = "…", path = "…" }` to call it
        /// otherwise in the header. Default: all fields of the Avro schema; needed for JSON.
        #[serde(default)]
        pub columns: Option<Vec<Column>>,
        /// Whether files begin with the names of the columns. Default: true.
        #[serde(default = "yes")]
        pub header: bool,
        /// What stands between fields, one ASCII character. Default: a comma.
        #[serde(default = "comma")]
        pub delimiter: String,
        /// Whether each run of white space in a text, line breaks too, becomes one space.
        /// Default: false, texts are written as they are.
        #[serde(default)]
        pub clean: bool,
        /// What null and absent values are written as. Default: nothing.
        #[serde(default)]
        pub null: String,
        /// When a new file is begun: `max_bytes`, `max_records`, `interval`. Default: never, but
        /// for a new date in the name.
        #[serde(default)]
        pub roll: Roll,
    }
}

options! {
    /// A column of a file that is written.
    #[serde(untagged)]
    pub enum Column {
        /// The field or path, which is also the name.
        Path(String),
        /// A field or path under another name.
        Named {
            /// Name in the header.
            name: String,
            /// Field or path.
            path: String,
        },
    }
}

options! {
    /// Reads rows of CSV files (RFC 4180, LF or CR LF) as JSON objects, or as Avro by a schema.
    /// Files compressed with gzip, zstd or bzip2 are known by their content. A row that cannot be
    /// used (wrong number of fields, not UTF-8, an unclosed quote, a value that is not of its
    /// type) becomes a dead letter with its raw bytes. Records carry the header `id`: a fingerprint
    /// of the file's path, `:` and their position in bytes of the decompressed text. Several
    /// `workers` share the files.
    pub struct SourceOptions {
        /// A file; a folder, for every file in it in the order of names; a pattern with `*`, `?`
        /// and `**`; or `-`, standard input.
        pub path: FilePath,
        /// The names of the columns, for files without a header. Default: the first row of each
        /// file has them.
        #[serde(default)]
        pub columns: Option<Vec<String>>,
        /// An Avro schema file (`.avsc`) that names columns and their types; other columns are
        /// left out. Default: all columns, as texts.
        #[serde(default)]
        pub schema: Option<FilePath>,
        /// What comes out: `json` or `avro`, which needs `schema`. Default: `avro` with a schema,
        /// else `json`.
        #[serde(default)]
        pub format: Option<RowFormat>,
        /// What stands between fields, one ASCII character. Default: a comma.
        #[serde(default = "comma")]
        pub delimiter: String,
        /// The text that stands for null where the schema allows null. Default: nothing.
        #[serde(default)]
        pub null: String,
        /// Longest row in bytes; the first line of a longer one becomes a dead letter.
        /// Default: 1 MiB.
        #[serde(default = "one_mib")]
        pub max_row_bytes: ByteSize,
    }
}

options! {
    /// What rows become.
    #[derive(Copy)]
    pub enum RowFormat {
        /// JSON objects.
        Json,
        /// Avro datums.
        Avro,
    }
}

/// The delimiter as a byte.
pub(crate) fn delimiter(text: &str) -> Result<u8, StageError> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err(StageError::config(
            "/delimiter",
            "the delimiter is one ASCII character other than a quote or a line break",
        )),
    }
}

fn yes() -> bool {
    true
}

fn comma() -> String {
    ",".into()
}

fn one_mib() -> ByteSize {
    ByteSize(1 << 20)
}
