//! A frame as a picture: SVG and PNG. Both draw the very outlines that the layout measured, so that
//! a picture looks the same wherever it is opened, whatever fonts are there.

mod png;
mod svg;

use crate::font::Fonts;
use crate::layout::{Place, Word};
use crate::palette::{Background, Colors};

/// What is drawn.
#[derive(Debug)]
pub struct Drawing<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What is behind the words.
    pub background: Background,
    /// What the colours' numbers mean.
    pub colors: &'a Colors,
    /// What the picture shows, for those who do not see it.
    pub title: String,
    /// The words with their places and the numbers of their colours.
    pub words: Vec<(Word<'a>, Place, u8)>,
}

impl Drawing<'_> {
    /// Writes the picture as SVG, in one line.
    pub fn svg(&self, fonts: &mut Fonts, out: &mut Vec<u8>) {
        svg::write(self, fonts, out);
    }

    /// Writes the picture as PNG.
    ///
    /// # Errors
    /// Says why, which a picture of a size that the options allow gives no cause for.
    pub fn png(&self, fonts: &mut Fonts, out: &mut Vec<u8>) -> Result<(), String> {
        png::write(self, fonts, out).map_err(|error| error.to_string())
    }

    fn color(&self, number: u8) -> &'static str {
        self.colors[usize::from(number) % self.colors.len()]
    }
}

/// The characters of `words` that no face has, so that a disc stands for each; each once, in order.
pub fn undrawn<'a>(words: impl Iterator<Item = &'a str>, fonts: &mut Fonts) -> Vec<char> {
    let mut all = Vec::new();
    for word in words {
        all.extend(&fonts.shape(word).missing);
    }
    all.sort_unstable();
    all.dedup();
    all
}
