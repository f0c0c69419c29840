//! Options.

use plugin_api::prelude::*;

options! {
    /// Prints records on standard output as they come, for people or for programs. Of Avro
    /// records every field is shown by name; JSON stands on one line, readable; images and other
    /// binary payloads are named with their size. What would upset a terminal is shown escaped.
    pub struct Options {
        /// `text`, for people, or `json`, for programs: one JSON object a record with `value`,
        /// `key`, `ts_us` (event time, microseconds since 1970) and `headers`; what is absent is
        /// null, and what is not UTF-8 is `{"base64": "…"}`. Default: `text`.
        #[serde(default)]
        pub format: Style,
        /// For people: whether a line before each record shows its event time, key and headers.
        /// Default: false.
        #[serde(default)]
        pub meta: bool,
    }
}

options! {
    /// Who reads.
    #[derive(Copy, Default)]
    pub enum Style {
        /// People.
        #[default]
        Text,
        /// Programs.
        Json,
    }
}
