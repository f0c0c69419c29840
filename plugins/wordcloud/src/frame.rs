//! A frame of the cloud as JSON; `draw` makes pictures.

use plugin_api::schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::layout::{Place, Said, hash};
use crate::mask::floor;
use crate::palette::{Background, COLORS, Colors, Palette};
use crate::window::{Counted, Samples};

/// What a frame says of its look as a whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Look {
    /// Font size in pixels of a word that occurs once, by the scales `area` and `linear`.
    pub unit: f64,
    /// The smallest word's size in parts of the smallest that can be read; absent where all can:
    /// where the canvas is too small, all words shrink together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<f32>,
    /// What the numbers of colours mean on a light background, and on a dark one.
    pub colors: &'static Colors,
    /// The same on a dark background.
    pub colors_dark: &'static Colors,
}

impl Look {
    /// What the layout says of its last frame, in the colours of a palette.
    pub fn new(said: Said, palette: Palette) -> Self {
        Self {
            unit: said.unit,
            shrunk: Some(said.shrunk).filter(|shrunk| *shrunk < 1.0),
            colors: palette.colors(Background::Light),
            colors_dark: palette.colors(Background::Dark),
        }
    }
}

/// A frame of a word cloud: the most frequent words of a window of records and where they stand.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Frame<'a> {
    /// Always `wordcloud`, by which the page knows a cloud among other records.
    #[serde(rename = "type")]
    #[schemars(extend("const" = "wordcloud"))]
    pub kind: &'static str,
    /// The group whose words these are, also the record's key; absent without `group_by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
    /// Number of the frame, from 1 on over all groups; it goes on after a restart from a checkpoint.
    pub seq: u64,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Time of the newest record of any group, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Height of the canvas in pixels.
    pub height: u32,
    /// What it says of its look.
    #[serde(flatten)]
    pub look: Look,
    /// Records in the window.
    pub records: u64,
    /// Words in the window, each as often as it occurs.
    pub tokens: u64,
    /// Different words in the window.
    pub distinct: usize,
    /// The words, most frequent first; with steady packing some that were shown before may stand for
    /// ones that are hardly more frequent.
    pub words: Vec<Item<'a>>,
    /// Keys of the words of the group's last frame that are not in this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub gone: Vec<&'a str>,
    /// Texts in which the words occur, newest first; words refer to them by position.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    #[schemars(default)]
    pub samples: &'a [&'a str],
}

/// A word on the canvas.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Item<'a> {
    /// The word as most often written; two words with a blank between are a pair.
    pub text: &'a str,
    /// The word with its case folded, by which it is the same from frame to frame; absent if it is
    /// as `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// How often it occurs in the window.
    pub count: u64,
    /// By how much `count` has grown since the group's last frame; absent if the word was not in
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<i64>,
    /// The middle of its width on its baseline, in pixels from the left.
    #[serde(serialize_with = "shortest")]
    pub x: f32,
    /// The same from the top.
    #[serde(serialize_with = "shortest")]
    pub y: f32,
    /// Font size in pixels an em.
    pub size: f32,
    /// Width in pixels that the layout reserved along the baseline.
    pub width: f32,
    /// What the word covers on the canvas: left edge, upper edge, width and height in whole pixels,
    /// outwards.
    #[serde(rename = "box")]
    pub bounds: [i32; 4],
    /// Turn in degrees about (x, y): 0 or -90.
    pub rotate: i16,
    /// Index of its colour, 0 to 7; the same word always has the same.
    pub color: u8,
    /// Positions in the frame's `samples` of texts in which it occurs.
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    #[schemars(default)]
    pub samples: &'a [u32],
}

/// Joins words with their places, their samples and by how much they have grown, which stand in the
/// same order.
pub fn items<'a>(
    words: &[Counted<'a>],
    places: &[Place],
    samples: &'a Samples<'_>,
    changes: &[Option<i64>],
    seed: u64,
) -> Vec<Item<'a>> {
    let item = |((at, word), place): ((usize, &Counted<'a>), &Place)| Item {
        text: word.text,
        key: Some(word.key).filter(|key| *key != word.text),
        count: word.count,
        change: changes[at],
        x: place.x,
        y: place.y,
        size: rounded(place.size, 1000.0),
        width: rounded(place.width, 100.0),
        bounds: outwards(place.bounds),
        rotate: if place.turned { -90 } else { 0 },
        color: color(word.key, seed),
        samples: samples.of(at),
    };
    words.iter().enumerate().zip(places).map(item).collect()
}

impl Frame<'_> {
    /// Writes the frame as one JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(out, self)
    }
}

/// The number of a word's colour: the same word always has the same.
pub fn color(word: &str, seed: u64) -> u8 {
    (hash(word, seed ^ 0xC0105) % COLORS as u64) as u8
}

/// The least box of whole pixels that holds another.
fn outwards([left, upper, wide, high]: [f32; 4]) -> [i32; 4] {
    let (x, y) = (floor(left), floor(upper));
    [x, y, -floor(-left - wide) - x, -floor(-upper - high) - y]
}

/// A whole number without its `.0`.
fn shortest<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    let whole = *value as i32;
    if whole as f32 == *value {
        serializer.serialize_i32(whole)
    } else {
        serializer.serialize_f32(*value)
    }
}

/// To the nearest of so many parts of a pixel, without a call where the machine has no instruction.
fn rounded(value: f32, parts: f32) -> f32 {
    let parted = value * parts;
    (parted + 0.5_f32.copysign(parted)) as i32 as f32 / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(words: Vec<Item<'_>>) -> Frame<'_> {
        Frame {
            kind: "wordcloud",
            group: None,
            seq: 7,
            time_ms: 1,
            newest_ms: None,
            width: 100,
            height: 50,
            look: Look::new(
                Said {
                    unit: 1.5,
                    shrunk: 1.0,
                    crowded: false,
                },
                Palette::OkabeIto,
            ),
            records: 2,
            tokens: 3,
            distinct: 2,
            words,
            gone: Vec::new(),
            samples: &[],
        }
    }

    #[test]
    fn a_frame_is_written_as_json() {
        let word = |text, count| Counted {
            id: 0,
            key: text,
            text,
            count,
        };
        let words = [word("a&b", 2), word("<c>", 1)];
        let place = Place {
            x: 50.0,
            y: 24.0,
            size: 12.25,
            width: 20.128,
            turned: true,
            bounds: [40.5, 14.0, 12.0, 19.128],
        };
        let none = Samples::default();
        let frame = frame(items(
            &words,
            &[
                place,
                Place {
                    turned: false,
                    ..place
                },
            ],
            &none,
            &[None, None],
            0,
        ));
        let mut json = Vec::new();
        frame.write_json(&mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["type"], "wordcloud");
        assert_eq!(json["seq"], 7);
        assert_eq!(json["words"][0]["text"], "a&b");
        assert_eq!(json["words"][0]["rotate"], -90);
        assert_eq!(json["words"][1]["rotate"], 0);
        assert_eq!(json["words"][0]["width"], 20.13);
        assert_eq!(json["words"][0]["box"], serde_json::json!([40, 14, 13, 20]));
        assert_eq!(json["unit"], 1.5);
        assert_eq!(json["colors"][0], "#166af9");
        assert!(json.get("shrunk").is_none());
    }
}
