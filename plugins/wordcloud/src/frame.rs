//! A frame of the cloud, as JSON for the page and as SVG for files.

use std::fmt::Write as _;

use hashbrown::HashMap;
use plugin_api::schemars::JsonSchema;
use serde::Serialize;

use crate::layout::{Place, hash};
use crate::window::{Counted, Samples};

/// Number of colours that a word's `color` picks from.
pub const COLORS: u64 = 8;
/// The colours of the SVG, legible on white.
const PALETTE: [&str; COLORS as usize] = [
    "#1d4e89", "#0b7a75", "#b3541e", "#7b2d5b", "#3d5a80", "#8a6d0b", "#a4303f", "#4a6b2a",
];

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
    /// Number of the frame, from 1 on since the start of the stage, over all groups.
    pub seq: u64,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Time of the newest record of any group, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Height of the canvas in pixels.
    pub height: u32,
    /// Records in the window.
    pub records: u64,
    /// Words in the window, each as often as it occurs.
    pub tokens: u64,
    /// Different words in the window.
    pub distinct: usize,
    /// The words, most frequent first.
    pub words: Vec<Item<'a>>,
    /// Keys of the words of the group's last frame that are not in this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub gone: Vec<&'a str>,
    /// Texts in which the words occur, newest first; words refer to them by position.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub samples: Vec<&'a str>,
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
    pub x: f32,
    /// The same from the top.
    pub y: f32,
    /// Font size in pixels an em.
    pub size: f32,
    /// Width in pixels that the layout reserved along the baseline.
    pub width: f32,
    /// Turn in degrees about (x, y): 0 or -90.
    pub rotate: i16,
    /// Index of its colour, 0 to 7; the same word always has the same.
    pub color: u8,
    /// Positions in the frame's `samples` of texts in which it occurs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub samples: Vec<u32>,
}

/// Joins words with their places and samples, which stand in the same order, and the last frame's
/// counts by key.
pub fn items<'a>(
    words: &[Counted<'a>],
    places: &[Place],
    samples: &mut Samples<'_>,
    shown: &HashMap<Box<str>, u64>,
    seed: u64,
) -> Vec<Item<'a>> {
    let item = |((at, word), place): ((usize, &Counted<'a>), &Place)| Item {
        text: word.text,
        key: Some(word.key).filter(|key| *key != word.text),
        count: word.count,
        change: shown
            .get(word.key)
            .map(|before| word.count as i64 - *before as i64),
        x: place.x,
        y: place.y,
        size: place.size,
        width: (place.width * 100.0).round() / 100.0,
        rotate: if place.turned { -90 } else { 0 },
        color: (hash(word.key, seed ^ 0xC0105) % COLORS) as u8,
        samples: samples
            .of
            .get_mut(at)
            .map(std::mem::take)
            .unwrap_or_default(),
    };
    words.iter().enumerate().zip(places).map(item).collect()
}

impl Frame<'_> {
    /// Writes the frame as one JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(out, self)
    }

    /// Writes the frame as an SVG picture, in one line.
    pub fn write_svg(&self, out: &mut Vec<u8>) {
        let (width, height) = (self.width, self.height);
        let mut svg = String::with_capacity(512 + self.words.len() * 128);
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"'Noto Sans',sans-serif\" font-weight=\"700\" text-anchor=\"middle\" \
             style=\"font-kerning:none;font-variant-ligatures:none\"><title>{} words of {} records</title>\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
            self.words.len(),
            self.records,
        );
        for word in &self.words {
            let color = PALETTE[usize::from(word.color) % PALETTE.len()];
            let _ = write!(svg, "<text transform=\"translate({} {})", word.x, word.y);
            if word.rotate != 0 {
                let _ = write!(svg, " rotate({})", word.rotate);
            }
            let _ = write!(
                svg,
                "\" font-size=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{color}\">",
                word.size, word.width
            );
            for letter in word.text.chars() {
                match letter {
                    '&' => svg.push_str("&amp;"),
                    '<' => svg.push_str("&lt;"),
                    '>' => svg.push_str("&gt;"),
                    '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                    other => svg.push(other),
                }
            }
            svg.push_str("</text>");
        }
        svg.push_str("</svg>");
        out.extend_from_slice(svg.as_bytes());
    }
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
            records: 2,
            tokens: 3,
            distinct: 2,
            words,
            gone: Vec::new(),
            samples: Vec::new(),
        }
    }

    #[test]
    fn a_frame_is_written_as_json_and_as_svg() {
        let word = |text, count| Counted {
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
        };
        let frame = frame(items(
            &words,
            &[
                place,
                Place {
                    turned: false,
                    ..place
                },
            ],
            &mut Samples::default(),
            &HashMap::new(),
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
        let mut svg = Vec::new();
        frame.write_svg(&mut svg);
        let svg = String::from_utf8(svg).unwrap();
        assert!(
            svg.contains("translate(50 24) rotate(-90)\" font-size=\"12.25\""),
            "{svg}"
        );
        assert!(
            svg.contains(">a&amp;b</text>") && svg.contains(">&lt;c&gt;</text>"),
            "{svg}"
        );
    }
}
