//! Checks options beyond their types, and says what they mean to the parts.

use plugin_api::prelude::*;

use crate::config::{Case, Late, Options, Output, Packing, Retweets};
use crate::font::{Book, Sources};
use crate::input::Wanted;
use crate::layout::{Layout, Settings};
use crate::shape::Shape;
use crate::stop;
use crate::token::Rules;
use crate::window::Bounds;

/// Bytes of texts kept as samples, over all clouds; and fewest for one.
const SAMPLE_BYTES: usize = 8 << 20;
const GROUP_SAMPLE_BYTES: usize = 16 << 10;
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
    /// Most clouds at once.
    pub fn groups(&self) -> usize {
        self.group_by
            .as_ref()
            .map_or(1, |_| self.max_groups as usize)
    }

    /// Time from one frame to the next in nanoseconds; `None`: there is only one, at the end.
    pub fn interval_ns(&self) -> Option<u64> {
        (self.fps > 0.0).then(|| (1e9 / self.fps) as u64)
    }

    /// What of a record is wanted.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            text: &self.text,
            time: &self.time,
            group_by: self.group_by.as_deref(),
            origin: self.retweets == Retweets::Once,
        }
    }

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
        range("max_groups", self.max_groups.into(), 1, 1000)?;
        range("samples", self.samples.into(), 0, 10)?;
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
        let real = |name: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(StageError::config(
                &format!("/{name}"),
                format!("{name} is {value}: expected {low} to {high}"),
            ))
        };
        real("vertical", self.vertical, 0.0, 1.0)?;
        real("padding", self.padding.into(), 0.0, 20.0)?;
        real("legible", self.legible.into(), 1.0, 100.0)?;
        real("fps", self.fps, 0.0, 60.0)?;
        let (records, span_us) =
            parse_window(&self.window).map_err(|message| StageError::config("/window", message))?;
        let mut extra = self.stop.clone();
        if let Some(path) = &self.stop_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                StageError::config("/stop_file", message)
            })?;
            extra.extend(stop::lines(&text).map(str::to_owned));
        }
        let stop = stop::collect(&self.languages, &extra).map_err(|position| {
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
                lateness_us: (self.late == Late::Drop)
                    .then(|| i64::try_from(self.lateness.nanos() / 1000).unwrap_or(i64::MAX)),
                words: self.max_words as usize,
                tokens: self.max_tokens as usize,
                samples: if self.samples == 0 {
                    0
                } else {
                    (SAMPLE_BYTES / self.groups()).max(GROUP_SAMPLE_BYTES)
                },
            },
            rules: Rules {
                stop,
                elisions: stop::elisions(&self.languages),
                particles: !self.languages.iter().any(|language| language == "ja"),
                fold_case: self.case == Case::Fold,
                bigrams: self.bigrams,
                hashtags: self.hashtags,
                mentions: self.mentions,
                numbers: self.numbers,
                emoji: self.emoji,
                min_length: self.min_length,
                max_length: self.max_length,
            },
            settings: self.settings()?,
        })
    }

    fn settings(&self) -> Result<Settings, StageError> {
        let settings = Settings {
            width: self.width,
            height: self.height,
            vertical: self.vertical as f32,
            seed: self.seed,
            padding: self.padding,
            scale: self.scale,
            packing: self.packing.unwrap_or(match self.format {
                Output::Json => Packing::Steady,
                Output::Svg | Output::Png => Packing::Tight,
            }),
            layouts: self.groups(),
            legible: self.legible,
            shape: self.shape()?,
            fonts: Book::new(Sources {
                files: self.fonts.iter().map(|path| path.to_path_buf()).collect(),
                machine: self.system_fonts,
                page: self.format == Output::Json,
            }),
        };
        if settings.shape.is_some() {
            let places = Layout::new(settings.clone()).places();
            if places < self.words as usize {
                let message = format!(
                    "on {} x {} pixels the shape has room for {places} words, not for {}",
                    self.width, self.height, self.words
                );
                return Err(StageError::config("/shape", message));
            }
        }
        Ok(settings)
    }

    fn shape(&self) -> Result<Option<Shape>, StageError> {
        let Some(path) = &self.shape else {
            return Ok(None);
        };
        let wrong = |why: String| {
            StageError::config("/shape", format!("cannot use {}: {why}", path.display()))
        };
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        Shape::read(&bytes).map(Some).map_err(wrong)
    }
}

/// Reads `"10 000 records"`, `"10m"` or both with a comma: most records, and microseconds.
fn parse_window(text: &str) -> Result<(Option<usize>, Option<i64>), String> {
    let wrong = || {
        format!(
            "`{text}` is no window: expected such as \"10 000 records\", \"10m\", \"10 000 records, 10m\" or \"all\""
        )
    };
    if text.trim() == "all" {
        return Ok((None, None));
    }
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
        assert_eq!(parse_window("all"), Ok((None, None)));
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
            "all, 10m",
        ] {
            assert!(
                parse_window(wrong).unwrap_err().contains("is no window"),
                "{wrong}"
            );
        }
    }
}
