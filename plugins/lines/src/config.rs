//! Options of both stages.

use plugin_api::files::Roll;
use plugin_api::prelude::*;

options! {
    /// Reads lines from files, folders, pipes and standard input; each is one record. Files
    /// compressed with gzip, zstd or bzip2 are known by their content. Records carry the header
    /// `id`: a fingerprint of the file's path, `:` and their position in bytes of the decompressed
    /// text. Several `workers` share the files. Blank lines are
    /// counted as filtered; a line that is too long, and what a damaged file ends in, become dead
    /// letters.
    pub struct SourceOptions {
        /// A file; a folder, for every file in it in the order of names; a pattern with `*`, `?`
        /// and `**`, such as `archive/**/*.json.bz2`; or `-`, standard input. Hidden files and
        /// those still being written (`.inprogress`) are left out.
        pub path: FilePath,
        /// What the lines hold: `text`, `json`, `csv` (a row may not hold line breaks; the source
        /// `csv-file` reads those, too) or `bytes`. Default: `text`.
        #[serde(default)]
        pub format: LineFormat,
        /// What ends a line: `any` (LF or CR LF), `lf` (a CR before it belongs to the line) or
        /// `crlf` (a lone LF belongs to the line, as on Twitter's streams). What the input ends
        /// in is a line, too. Default: `any`.
        #[serde(default)]
        pub delimiter: Delimiter,
        /// Whether blank lines are passed over. Default: true.
        #[serde(default = "yes")]
        pub skip_blank: bool,
        /// Longest line in bytes; a longer one becomes a dead letter that holds its beginning.
        /// Default: 1 MiB.
        #[serde(default = "one_mib")]
        pub max_line_bytes: ByteSize,
        /// Whether records carry the header `id`. Default: true.
        #[serde(default = "yes")]
        pub ids: bool,
    }
}

options! {
    /// What lines hold.
    #[derive(Copy, Default)]
    pub enum LineFormat {
        /// UTF-8 text.
        #[default]
        Text,
        /// One JSON value a line.
        Json,
        /// One CSV row a line.
        Csv,
        /// Anything.
        Bytes,
    }
}

options! {
    /// What ends a line.
    #[derive(Copy, Default)]
    pub enum Delimiter {
        /// LF or CR LF.
        #[default]
        Any,
        /// LF alone.
        Lf,
        /// CR LF alone.
        Crlf,
    }
}

options! {
    /// Writes each record as a line, to files, exactly once, or standard output, at least once. A
    /// file's name ends in `.inprogress` until it is finished and never replaces another: a taken
    /// name gets `-1`.
    /// A record that holds a line break would read back as two: in JSON the break becomes a space,
    /// in any other format the record is rejected, as is one without a value.
    pub struct SinkOptions {
        /// The file, with `{date}`, `{hour}`, `{time}`, `{host}`, `{stage}` and `{worker}` as
        /// placeholders; folders are created. Or `-`, standard output.
        pub path: FilePath,
        /// Compression: `none`, `gzip` or `zstd`. Default: `none`.
        #[serde(default)]
        pub codec: Codec,
        /// When a new file is begun: `max_bytes`, `max_records`, `interval`. Default: never, but
        /// for a new date in the name.
        #[serde(default)]
        pub roll: Roll,
    }
}

options! {
    /// Compression of files.
    #[derive(Copy, Default)]
    pub enum Codec {
        /// None.
        #[default]
        None,
        /// gzip.
        Gzip,
        /// Zstandard.
        Zstd,
    }
}

impl LineFormat {
    pub(crate) fn content_type(self) -> ContentType {
        ContentType::new(match self {
            Self::Text => Format::Text,
            Self::Json => Format::Json,
            Self::Csv => Format::Csv,
            Self::Bytes => Format::Bytes,
        })
    }
}

fn yes() -> bool {
    true
}

fn one_mib() -> ByteSize {
    ByteSize(1 << 20)
}
