//! The sink of whole files: each record is one.

use std::path::Path;

use plugin_api::files::{FileFormat, FileSink, FileSpec, Roll};
use plugin_api::prelude::*;

options! {
    /// Writes each record to a file of its own, exactly once: pictures, pages, documents.
    pub struct WholeOptions {
        /// The files, with `{date}`, `{hour}`, `{time}`, `{host}`, `{stage}` and `{worker}` as
        /// placeholders; folders are created. A name that is taken gets `-1`, `-2`, … before its
        /// extension.
        pub path: FilePath,
    }
}

/// Sink `files`.
pub type FilesSink = FileSink<WholeFiles>;

/// What is special about the files of the sink `files`.
pub struct WholeFiles;

static EACH: Roll = Roll {
    max_bytes: None,
    max_records: Some(1),
    interval: None,
};

impl FileSpec for WholeFiles {
    const NAME: &'static str = "files";
    type Options = WholeOptions;
    type Format = Whole;

    fn format(_: &WholeOptions, _: &[ContentType]) -> Result<Whole, StageError> {
        Ok(Whole)
    }

    fn target(options: &WholeOptions) -> (&Path, &Roll) {
        (&options.path, &EACH)
    }
}

/// The bytes of a record and nothing else.
pub struct Whole;

impl FileFormat for Whole {
    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let value = record
            .value()
            .ok_or_else(|| Reject::new("the record has no value to be a file"))?;
        out.extend_from_slice(value);
        Ok(())
    }
}
