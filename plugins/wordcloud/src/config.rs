//! Options of the word cloud and what they mean.

use plugin_api::prelude::*;

use crate::font::{Book, Sources};
use crate::layout::Settings;
use crate::palette::{Background, Palette};
use crate::shape::Shape;
use crate::stop;
use crate::token::Rules;
use crate::window::Bounds;

options! {
    /// Counts the words of the newest records and lays the most frequent ones out as a word cloud.
    ///
    /// Takes JSON, Avro or text. Counts are exact over the window. A frame goes out at most every
    /// `interval`, when counts have changed: sizes proportional to the square root of the counts,
    /// no two words overlapping, none left out, words staying where they were as far as they can.
    pub struct Options {
        /// Where the text is: fields of the Avro schema or JSON paths (`outer.inner`), tried in
        /// order. Default: `extended_tweet.full_text`, `full_text`, `text` in JSON, and the same
        /// or `t_text` in Avro. Text input needs none.
        #[serde(default)]
        pub text: Vec<String>,
        /// Which records count: the last so many (`"10 000 records"`), those of the last while by
        /// their own time (`"10m"`), or both (`"10 000 records, 10m"`: whichever is less).
        /// Default: `"10 000 records"`.
        #[serde(default = "window")]
        pub window: String,
        /// Number of words in the cloud, 1 to 2000. Default: 150.
        #[serde(default = "words")]
        #[schemars(range(min = 1, max = 2000))]
        pub words: u32,
        /// Words that occur less often are not shown. Default: 1.
        #[serde(default = "one")]
        pub min_count: u64,
        /// Least time between two frames. Default: 1s.
        #[serde(default = "interval")]
        pub interval: Span,
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
        pub vertical: f32,
        /// How a word's size comes from its count: `area` (the size is the square root, so that the
        /// area is in proportion), `linear` or `log`. Default: `area`.
        #[serde(default = "area")]
        pub scale: Scale,
        /// Least pixels between a word's box and the ink of words placed before it, 0 to 20.
        /// Default: 1.
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
        /// Languages whose stop words are left out, as ISO 639-1 codes. Default: `["en"]`.
        #[serde(default = "languages")]
        pub languages: Vec<String>,
        /// Further words to leave out. Default: none.
        #[serde(default)]
        pub stop: Vec<String>,
        /// Whether upper and lower case are one: `fold` or `keep`. Default: `fold`.
        #[serde(default = "fold")]
        pub case: Case,
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
        /// Fewest characters of a word. Default: 2.
        #[serde(default = "min_length")]
        pub min_length: usize,
        /// Most characters of a word. Default: 40.
        #[serde(default = "max_length")]
        pub max_length: usize,
        /// Bound on memory: most different words known at once. Further ones are not counted until
        /// others leave, which is logged and counted. Default: 500000.
        #[serde(default = "max_words")]
        #[schemars(range(min = 1, max = 100_000_000))]
        pub max_words: u32,
        /// Bound on memory: most words held over all records of the window. Beyond it the oldest
        /// records leave early, which is logged and counted. Default: 5000000 (about 30 MB).
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

fn window() -> String {
    "10 000 records".into()
}
fn words() -> u32 {
    150
}
fn one() -> u64 {
    1
}
fn interval() -> Span {
    Span::secs(1)
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
fn vertical() -> f32 {
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

/// Pixels of canvas that a word needs at least, so that every word can be placed.
const PIXELS_A_WORD: u64 = 100;

/// Options that make sense together, in the terms of the parts they are for.
#[derive(Debug, Clone)]
pub struct Checked {
    /// For the window.
    pub bounds: Bounds,
    /// For the tokeniser.
    pub rules: Rules,
    /// For the layout.
    pub settings: Settings,
}

impl Options {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The option at fault, by its pointer.
    pub fn check(&self) -> Result<Checked, StageError> {
        let range = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(StageError::config(
                    &format!("/{name}"),
                    format!("{name} is {value}: expected {low} to {high}"),
                ))
            }
        };
        range("words", self.words.into(), 1, 2000)?;
        range("width", self.width.into(), 100, 8192)?;
        range("height", self.height.into(), 100, 8192)?;
        range("max_words", self.max_words.into(), 1, 100_000_000)?;
        range("max_tokens", self.max_tokens.into(), 1000, 1_000_000_000)?;
        range("min_length", self.min_length as u64, 1, 100)?;
        range(
            "max_length",
            self.max_length as u64,
            self.min_length as u64,
            100,
        )?;
        let room = u64::from(self.width) * u64::from(self.height) / PIXELS_A_WORD;
        if u64::from(self.words) > room {
            let message = format!(
                "{} words do not fit legibly on {} x {} pixels: at most {room}",
                self.words, self.width, self.height
            );
            return Err(StageError::config("/words", message));
        }
        if !(0.0..=1.0).contains(&self.vertical) {
            return Err(StageError::config(
                "/vertical",
                format!("vertical is {}: expected 0 to 1", self.vertical),
            ));
        }
        if !(0.0..=20.0).contains(&self.padding) {
            return Err(StageError::config(
                "/padding",
                format!("padding is {}: expected 0 to 20", self.padding),
            ));
        }
        if !(1.0..=100.0).contains(&self.legible) {
            return Err(StageError::config(
                "/legible",
                format!("legible is {}: expected 1 to 100", self.legible),
            ));
        }
        if self.interval.nanos() < 10_000_000 {
            return Err(StageError::config(
                "/interval",
                "interval is too short: expected at least 10ms",
            ));
        }
        let (records, span_us) =
            parse_window(&self.window).map_err(|message| StageError::config("/window", message))?;
        let stop = stop::collect(&self.languages, &self.stop).map_err(|position| {
            let message = format!(
                "no stop words for language `{}`: known are {}",
                self.languages[position],
                stop::languages().join(", ")
            );
            StageError::config(&format!("/languages/{position}"), message)
        })?;
        Ok(Checked {
            bounds: Bounds {
                records,
                span_us,
                words: self.max_words as usize,
                tokens: self.max_tokens as usize,
            },
            rules: Rules {
                stop,
                fold_case: self.case == Case::Fold,
                hashtags: self.hashtags,
                mentions: self.mentions,
                numbers: self.numbers,
                emoji: self.emoji,
                min_length: self.min_length,
                max_length: self.max_length,
            },
            settings: Settings {
                width: self.width,
                height: self.height,
                vertical: self.vertical,
                seed: self.seed,
                padding: self.padding,
                scale: self.scale,
                packing: self.packing.unwrap_or(match self.format {
                    Output::Json => Packing::Steady,
                    Output::Svg | Output::Png => Packing::Tight,
                }),
                legible: self.legible,
                shape: self.shape()?,
                fonts: Book::new(Sources {
                    files: self.fonts.iter().map(|path| path.to_path_buf()).collect(),
                    machine: self.system_fonts,
                    page: self.format == Output::Json,
                }),
            },
        })
    }

    fn shape(&self) -> Result<Option<Shape>, StageError> {
        let Some(path) = &self.shape else {
            return Ok(None);
        };
        let wrong = |why: String| {
            StageError::config("/shape", format!("cannot use {}: {why}", path.display()))
        };
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let shape = Shape::read(&bytes).map_err(wrong)?;
        let room = shape.share() * f64::from(self.width) * f64::from(self.height);
        if room < f64::from(self.words) * PIXELS_A_WORD as f64 {
            return Err(wrong(format!(
                "its dark pixels leave {room:.0} pixels of the canvas for {} words",
                self.words
            )));
        }
        Ok(Some(shape))
    }
}

/// Reads `"10 000 records"`, `"10m"` or both with a comma: most records, and microseconds.
fn parse_window(text: &str) -> Result<(Option<usize>, Option<i64>), String> {
    let wrong = || {
        format!(
            "`{text}` is no window: expected such as \"10 000 records\", \"10m\" or \"10 000 records, 10m\""
        )
    };
    let (mut records, mut span) = (None, None);
    for part in text.split(',').map(str::trim) {
        if let Some(number) = part
            .strip_suffix("records")
            .or_else(|| part.strip_suffix("record"))
        {
            let digits: String = number
                .chars()
                .filter(|letter| !letter.is_whitespace() && *letter != '_')
                .collect();
            let number = digits
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(wrong)?;
            if records.replace(number).is_some() {
                return Err(wrong());
            }
        } else {
            let length = Span::parse(part).map_err(|_| wrong())?.nanos() / 1000;
            let length = i64::try_from(length)
                .ok()
                .filter(|length| *length > 0)
                .ok_or_else(wrong)?;
            if span.replace(length).is_some() {
                return Err(wrong());
            }
        }
    }
    Ok((records, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_people_write_them() {
        assert_eq!(parse_window("10 000 records"), Ok((Some(10_000), None)));
        assert_eq!(parse_window("10_000records"), Ok((Some(10_000), None)));
        assert_eq!(parse_window("10m"), Ok((None, Some(600_000_000))));
        assert_eq!(
            parse_window("1 record, 5 s"),
            Ok((Some(1), Some(5_000_000)))
        );
        assert_eq!(
            parse_window("1h, 2000 records"),
            Ok((Some(2000), Some(3_600_000_000)))
        );
        for wrong in [
            "",
            "10",
            "records",
            "0 records",
            "0s",
            "10m, 5m",
            "1 record, 2 records",
            "ten records",
            "10m,",
        ] {
            assert!(
                parse_window(wrong).unwrap_err().contains("is no window"),
                "{wrong}"
            );
        }
    }
}
