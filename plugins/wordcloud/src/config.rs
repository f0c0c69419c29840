//! Options of the word cloud. `check` says what they mean.

use plugin_api::prelude::*;

use crate::palette::{Background, Palette};

options! {
    /// Counts the words of the newest records and lays the most frequent ones out as a word cloud.
    ///
    /// Takes JSON, Avro or text. Counts are exact over the window. At most `fps` frames a second go
    /// out, when counts have changed: sizes proportional to the square root of the counts, no two
    /// words overlapping, none left out, words staying where they were as far as they can.
    pub struct Options {
        /// Where the text is: fields of the Avro schema or JSON paths (`outer.inner`,
        /// `list.0.inner`, or `/outer/inner` for keys with dots), tried in order. Default: that of a retweeted tweet (`retweeted_status.…`), then
        /// `extended_tweet.full_text`, `full_text`, `text` in JSON; in Avro the first of `full_text`,
        /// `t_text`, `t.text`, `text`, `body` that the schema has. Text input needs none.
        #[serde(default)]
        pub text: Vec<String>,
        /// Where the time of a record is: up to 8 fields of the Avro schema or JSON paths, tried in
        /// order. A number is of seconds, milli-, micro- or nanoseconds since 1970 by its size, a
        /// text as RFC 3339 or Twitter has it; a tweet's number (`id`, `id_str`, `t_id`) tells it,
        /// too. Default: the time with which the record came, as from listeners and Kafka; else
        /// `timestamp_ms`, `time_us`, `created_at` in JSON, in Avro the first of `t_timestamp_ms`,
        /// `timestamp_ms`, `t_created_at`, `created_at`, `t_id` that the schema has. A record without
        /// any counts as of when it came.
        #[serde(default)]
        pub time: Vec<String>,
        /// Which records count: the last so many that came (`"10 000 records"`), those of the last
        /// while by their own time (`"10m"`), both (`"10 000 records, 10m"`: whichever is less), or
        /// `"all"`. Default: `"10 000 records"`.
        #[serde(default = "window")]
        pub window: String,
        /// What becomes of a record that is older than others before it by more than `lateness`:
        /// `count` it as long as the window reaches back to it, or `drop` it. Default: `count`.
        #[serde(default = "count")]
        pub late: Late,
        /// With `late = "drop"`: how far behind the newest a record may be. Default: 10s.
        #[serde(default = "lateness")]
        pub lateness: Span,
        /// Makes a cloud for each value of this JSON path or Avro field, or with `@key` for each key
        /// of the records. A record without it counts in no cloud. Default: one cloud of all.
        #[serde(default)]
        pub group_by: Option<String>,
        /// Bound on memory: most clouds at once, 1 to 1000. For a further one the cloud that has got
        /// no record for longest goes, which is logged and counted. Default: 100.
        #[serde(default = "max_groups")]
        #[schemars(range(min = 1, max = 1000))]
        pub max_groups: u32,
        /// Number of words in the cloud, 1 to 2000. Default: 150.
        #[serde(default = "words")]
        #[schemars(range(min = 1, max = 2000))]
        pub words: u32,
        /// Words that occur less often are not shown. Default: 1.
        #[serde(default = "one")]
        pub min_count: u64,
        /// Most frames a second of each cloud, up to 60; they go out only when counts have changed.
        /// 0: only one, when the input has ended. Default: 1.
        #[serde(default = "fps")]
        #[schemars(range(min = 0.0, max = 60.0))]
        pub fps: f64,
        /// Texts sent along for each word, 0 to 10: the newest in which it occurs. Words share
        /// them. Default: 1.
        #[serde(default = "samples")]
        #[schemars(range(min = 0, max = 10))]
        pub samples: u32,
        /// What comes out: `json` for the page, `svg` or `png` for files. Default: `json`.
        #[serde(default = "json")]
        pub format: Output,
        /// Width of the canvas in pixels, 100 to 8192. Default: 1280.
        #[serde(default = "width")]
        #[schemars(range(min = 100, max = 8192))]
        pub width: u32,
        /// Height of the canvas in pixels, 100 to 8192. Default: 720.
        #[serde(default = "height")]
        #[schemars(range(min = 100, max = 8192))]
        pub height: u32,
        /// Share of the words that stand upright, 0 to 1. Default: 0.1.
        #[serde(default = "vertical")]
        #[schemars(range(min = 0.0, max = 1.0))]
        pub vertical: f64,
        /// How a word's size comes from its count: `area` (the size is the square root, so that the
        /// area is in proportion), `linear` or `log`. Default: `area`.
        #[serde(default = "area")]
        pub scale: Scale,
        /// Least pixels between a word's box and the ink of words placed before it, 0 to 20. Where
        /// words fit at no size with it, it gives way, which is logged. Default: 1.
        #[serde(default = "padding")]
        #[schemars(range(min = 0.0, max = 20.0))]
        pub padding: f32,
        /// `steady`: words stay where they are from frame to frame as far as they can. `tight`: each
        /// frame is laid out by itself and fills the canvas better. Default: `steady` for JSON,
        /// `tight` for pictures.
        #[serde(default)]
        pub packing: Option<Packing>,
        /// A PNG whose dark and opaque pixels are where words may stand, stretched over the canvas.
        /// Default: everywhere.
        #[serde(default)]
        pub shape: Option<FilePath>,
        /// Colours: `okabe-ito` and `tol`, which people who see colours differently can tell apart,
        /// or `mono`. Default: `okabe-ito`.
        #[serde(default = "okabe_ito")]
        pub palette: Palette,
        /// What is behind the words of a picture: `light`, `dark` or `clear`. Default: `light`.
        #[serde(default = "light")]
        pub background: Background,
        /// Fonts, or folders of them, for characters that the carried ones lack; they come before
        /// the machine's. Default: none.
        #[serde(default)]
        pub fonts: Vec<FilePath>,
        /// Whether the machine's fonts are used for characters that others lack. Default: true.
        #[serde(default = "yes")]
        pub system_fonts: bool,
        /// Smallest font size in pixels that can be read: a frame whose smallest word is below it
        /// says by how much (`shrunk`). Default: 8.
        #[serde(default = "legible")]
        #[schemars(range(min = 1.0, max = 100.0))]
        pub legible: f32,
        /// Varies the pattern; the same seed and input give the same cloud. Default: 1.
        #[serde(default = "one")]
        pub seed: u64,
        /// Languages whose stop words are left out, as ISO 639-1 codes; with `fr`, `it` and `ca` what
        /// they elide too (`l'amour`), with `ja` words of one or two hiragana. Default: `["en"]`.
        #[serde(default = "languages")]
        pub languages: Vec<String>,
        /// Further words to leave out, or with `bigrams` pairs of words. Default: none.
        #[serde(default)]
        pub stop: Vec<String>,
        /// A file of further words to leave out, one a line; `#` begins a comment. Default: none.
        #[serde(default)]
        pub stop_file: Option<FilePath>,
        /// Whether words that differ only in upper and lower case are one (`fold`), shown as it is
        /// written most often, or not (`keep`). Default: `fold`.
        #[serde(default = "fold")]
        pub case: Case,
        /// Whether two words in a row count as a pair besides, where no stop word or punctuation
        /// stands between. Default: false.
        #[serde(default)]
        pub bigrams: bool,
        /// Whether a tweet counts with `each` retweet, or `once` however many of the window are
        /// retweets of it. By its number (`retweeted_status.id`, `id`; in Avro `r_id`, `t_id`), else
        /// texts that begin with `RT @` by their text. Default: `each`.
        #[serde(default = "each")]
        pub retweets: Retweets,
        /// Whether #hashtags and $cashtags count. Default: true.
        #[serde(default = "yes")]
        pub hashtags: bool,
        /// Whether @mentions count. Default: false.
        #[serde(default)]
        pub mentions: bool,
        /// Whether numbers count. Default: false.
        #[serde(default)]
        pub numbers: bool,
        /// Whether emoji count. Default: false.
        #[serde(default)]
        pub emoji: bool,
        /// Fewest characters of a word, 1 to 100. Default: 2.
        #[serde(default = "min_length")]
        #[schemars(range(min = 1, max = 100))]
        pub min_length: usize,
        /// Most characters of a word, `min_length` to 100. Default: 40.
        #[serde(default = "max_length")]
        #[schemars(range(min = 1, max = 100))]
        pub max_length: usize,
        /// Bound on memory: most different words known at once in all clouds, each way of writing
        /// them being one, 1 to 100000000. Further ones are not counted until others leave, which is
        /// logged and counted. Default: 500000.
        #[serde(default = "max_words")]
        #[schemars(range(min = 1, max = 100_000_000))]
        pub max_words: u32,
        /// Bound on memory: most words held over all records of all windows, a record itself costing
        /// as much as 8, 1000 to 1000000000. Beyond it the oldest records leave early, which is logged
        /// and counted. Default: 5000000 (some 100 MB of tweets; 380 MB where each has one word).
        #[serde(default = "max_tokens")]
        #[schemars(range(min = 1000, max = 1_000_000_000))]
        pub max_tokens: u32,
    }
}

options! {
    /// What a frame is written as.
    #[derive(Copy, Eq)]
    pub enum Output {
        /// A JSON object with every word's place, for the page.
        Json,
        /// An SVG picture.
        Svg,
        /// A PNG picture.
        Png,
    }
}

options! {
    /// How a word's size comes from its count.
    #[derive(Copy, Eq, Default)]
    pub enum Scale {
        /// The area is in proportion to the count: the size is its square root.
        #[default]
        Area,
        /// The size is in proportion to the count.
        Linear,
        /// The size is in proportion to the logarithm of the count plus one.
        Log,
    }
}

options! {
    /// What a layout is made for.
    #[derive(Copy, Eq, Default)]
    pub enum Packing {
        /// A stream of frames in which words stay where they are.
        #[default]
        Steady,
        /// A single picture, filled as far as possible.
        Tight,
    }
}

options! {
    /// Whether upper and lower case are one.
    #[derive(Copy, Eq)]
    pub enum Case {
        /// All in lower case.
        Fold,
        /// As written.
        Keep,
    }
}

options! {
    /// What becomes of late records.
    #[derive(Copy, Eq)]
    pub enum Late {
        /// They count as long as the window reaches back to them.
        Count,
        /// They are dropped.
        Drop,
    }
}

options! {
    /// How often a tweet counts.
    #[derive(Copy, Eq)]
    pub enum Retweets {
        /// With each retweet.
        Each,
        /// Once.
        Once,
    }
}

fn window() -> String {
    "10 000 records".into()
}
fn words() -> u32 {
    150
}
fn one() -> u64 {
    1
}
fn count() -> Late {
    Late::Count
}
fn lateness() -> Span {
    Span::secs(10)
}
fn max_groups() -> u32 {
    100
}
fn fps() -> f64 {
    1.0
}
fn samples() -> u32 {
    1
}
fn each() -> Retweets {
    Retweets::Each
}
fn json() -> Output {
    Output::Json
}
fn area() -> Scale {
    Scale::Area
}
fn padding() -> f32 {
    1.0
}
fn okabe_ito() -> Palette {
    Palette::OkabeIto
}
fn light() -> Background {
    Background::Light
}
fn legible() -> f32 {
    8.0
}
fn width() -> u32 {
    1280
}
fn height() -> u32 {
    720
}
fn vertical() -> f64 {
    0.1
}
fn languages() -> Vec<String> {
    vec!["en".into()]
}
fn fold() -> Case {
    Case::Fold
}
fn yes() -> bool {
    true
}
fn min_length() -> usize {
    2
}
fn max_length() -> usize {
    40
}
fn max_words() -> u32 {
    500_000
}
fn max_tokens() -> u32 {
    5_000_000
}
