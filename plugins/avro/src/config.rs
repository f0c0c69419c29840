//! Options of the four stages.

use std::fs;
use std::path::Path;

use avro_data::Schema;
use avro_data::container;
use plugin_api::files::Roll;
use plugin_api::prelude::*;

options! {
    /// Turns JSON into Avro datums by a schema. Each field of the schema may say in `from` where
    /// in the JSON it comes from: a path (`user.name`), or a list of alternatives of which the
    /// first that is there and not null is taken; an alternative may name a conversion,
    /// `{"path": "id", "as": "snowflake-ms"}`. What is missing becomes the field's default, else
    /// null where the type allows it, else the record is rejected and the field named.
    pub struct EncodeOptions {
        /// The schema file (`.avsc`), a record.
        pub schema: FilePath,
    }
}

options! {
    /// Turns Avro datums into JSON objects, one key a field.
    pub struct DecodeOptions {
        /// The schema file (`.avsc`) that the datums were written with. Default: the input's own.
        #[serde(default)]
        pub schema: Option<FilePath>,
    }
}

options! {
    /// Reads Avro container files (codecs null, deflate, snappy, zstandard), also as other
    /// writers leave them. A torn file gives every whole record, then one error that says where it
    /// broke off; what was lost of it counts as one dead letter, and the next file has its turn.
    /// Records carry the header `id`: a fingerprint of the file's path, `:`, where their block
    /// stands, `.` and their number in it. Several `workers` share the files.
    pub struct SourceOptions {
        /// A file; a folder, for every file in it in the order of names; or a pattern with `*`,
        /// `?` and `**`.
        pub path: FilePath,
        /// The schema file (`.avsc`) that the records are wanted in; files of other schemas are
        /// resolved to it as Avro's rules say, and dots in their field names are taken for
        /// underscores. Default: the schema of the first file; needed where no file is there yet.
        #[serde(default)]
        pub schema: Option<FilePath>,
        /// Largest block of a file, in bytes, compressed or not; a file with a larger one is
        /// taken to be corrupt there. Default: 64 MiB.
        #[serde(default = "max_block")]
        pub max_block_bytes: ByteSize,
    }
}

options! {
    /// Writes records into Avro container files. Avro records are written as they are; JSON is
    /// turned into datums by `schema`, as `avro-encode` does it. Each record is in one file exactly
    /// once. A file's name ends in `.inprogress` until it is finished and never replaces another: a
    /// taken name gets `-1`.
    pub struct SinkOptions {
        /// The file, with `{date}`, `{hour}`, `{time}`, `{host}`, `{stage}` and `{worker}` as
        /// placeholders; folders are created.
        pub path: FilePath,
        /// The schema file (`.avsc`). Needed for JSON; for Avro the default is the input's own.
        #[serde(default)]
        pub schema: Option<FilePath>,
        /// How blocks are compressed: `null`, `deflate`, `snappy` or `zstd`. Default: `deflate`,
        /// which every reader knows.
        #[serde(default)]
        pub codec: Codec,
        /// Bytes of records that a block holds before it is compressed: larger ones compress
        /// better, smaller ones lose less of a torn file. Each checkpoint ends a block too.
        /// Default: 64 KiB.
        #[serde(default = "block_size")]
        pub block_size: ByteSize,
        /// When a new file is begun: `max_bytes`, `max_records`, `interval`. Default: never, but
        /// for a new date in the name.
        #[serde(default)]
        pub roll: Roll,
    }
}

options! {
    /// A codec of container files.
    #[derive(Copy, Default)]
    pub enum Codec {
        /// None.
        Null,
        /// Raw deflate, level 6.
        #[default]
        Deflate,
        /// Snappy.
        Snappy,
        /// Zstandard, level 3.
        #[serde(alias = "zstandard")]
        Zstd,
    }
}

impl Codec {
    pub(crate) fn container(self) -> container::Codec {
        match self {
            Codec::Null => container::Codec::Null,
            Codec::Deflate => container::Codec::Deflate,
            Codec::Snappy => container::Codec::Snappy,
            Codec::Zstd => container::Codec::Zstd,
        }
    }
}

/// Reads the schema file of the option `schema`.
pub(crate) fn read_schema(path: &Path) -> Result<Schema, StageError> {
    let wrong = |message: String| StageError::config("/schema", message);
    let text = fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
    Schema::parse(&text).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

/// The schema that datums of an input are in: the one the option names, else the input's.
pub(crate) fn schema_of(
    option: Option<&FilePath>,
    input: &ContentType,
) -> Result<Schema, StageError> {
    match (option, &input.schema) {
        (Some(path), _) => read_schema(path),
        (None, Some(text)) => Schema::parse(text)
            .map_err(|error| StageError::config("/inputs", format!("its schema: {error}"))),
        (None, None) => {
            let message = "the input does not say its schema: name a schema file";
            Err(StageError::config("/schema", message))
        }
    }
}

fn max_block() -> ByteSize {
    ByteSize(64 << 20)
}

fn block_size() -> ByteSize {
    ByteSize(container::DEFAULT_BLOCK_SIZE as u64)
}
