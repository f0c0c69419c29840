//! The typeface of the cloud, Noto Sans Bold, and the ink of words set in it.
//!
//! Letters are set without kerning or ligatures, as the page and the SVG set them too, so that
//! what is laid out here is what is drawn there. A word with a character that the typeface lacks
//! (Chinese, Arabic, emoji, …) is drawn by the page in a typeface of the reader's machine: its
//! ink is taken as a full box of the width given in the frame, into which the page fits it.

use ab_glyph::{Font, FontRef, GlyphId, point};
use unicode_width::UnicodeWidthChar;

use crate::mask::Ink;

/// Parts of the em that a box of an unknown script takes above and below the baseline.
const BOX_ABOVE: f32 = 1.0;
const BOX_BELOW: f32 = 0.34;
/// Least share of a cell's area that counts as ink: half a step of 8-bit grey.
const LEAST_INK: f32 = 0.5 / 255.0;

/// The typeface, parsed once.
#[derive(Debug, Clone)]
pub struct Face {
    font: FontRef<'static>,
    per_em: f32,
    height: f32,
}

impl Face {
    /// The embedded typeface.
    pub fn embedded() -> Self {
        let font =
            FontRef::try_from_slice(notosans::BOLD_TTF).expect("the embedded font is well formed");
        let per_em = font
            .units_per_em()
            .expect("the embedded font states its units");
        let height = font.height_unscaled();
        Self {
            font,
            per_em,
            height,
        }
    }

    /// Whether every character of `word` has a glyph.
    pub fn covers(&self, word: &str) -> bool {
        word.chars()
            .all(|letter| self.font.glyph_id(letter) != GlyphId(0))
    }

    /// Width of `word` in parts of the em.
    pub fn advance(&self, word: &str) -> f32 {
        if self.covers(word) {
            word.chars()
                .map(|letter| self.font.h_advance_unscaled(self.font.glyph_id(letter)))
                .sum::<f32>()
                / self.per_em
        } else {
            word.chars()
                .map(|letter| match letter.width().unwrap_or(0) {
                    0 => 0.0,
                    1 => 0.66,
                    _ => 1.0,
                })
                .sum::<f32>()
                .max(0.3)
        }
    }

    /// The cells of `cell` pixels that `word` touches at `size` pixels an em, its anchor (the
    /// middle of its width, on the baseline) on the corner of cell (0, 0). A turned word reads
    /// from the bottom to the top.
    pub fn ink(&self, word: &str, size: f32, cell: f32, turned: bool) -> Ink {
        let mut cells = Vec::new();
        let size = size / cell;
        let width = self.advance(word) * size;
        if self.covers(word) {
            let scale = size * self.height / self.per_em;
            let mut pen = -width / 2.0;
            for letter in word.chars() {
                let id = self.font.glyph_id(letter);
                if let Some(outline) = self
                    .font
                    .outline_glyph(id.with_scale_and_position(scale, point(pen, 0.0)))
                {
                    let origin = outline.px_bounds().min;
                    outline.draw(|x, y, share| {
                        if share > LEAST_INK {
                            cells.push((origin.x as i32 + x as i32, origin.y as i32 + y as i32));
                        }
                    });
                }
                pen += self.font.h_advance_unscaled(id) * size / self.per_em;
            }
        } else {
            let half = (width / 2.0).ceil() as i32;
            for y in -(size * BOX_ABOVE).ceil() as i32..(size * BOX_BELOW).ceil() as i32 {
                cells.extend((-half..half).map(|x| (x, y)));
            }
        }
        if turned {
            for cell in &mut cells {
                *cell = (cell.1, -cell.0 - 1);
            }
        }
        Ink::from_cells(&cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_and_ink_grow_with_the_size() {
        let face = Face::embedded();
        assert!(face.covers("Größe"));
        assert!(face.covers("данные"));
        assert!(!face.covers("東京"));
        let (small, large) = (
            face.ink("word", 20.0, 2.0, false),
            face.ink("word", 40.0, 2.0, false),
        );
        assert!(small.width * 2 <= large.width + 2 && large.width <= small.width * 2 + 2);
        assert!((face.advance("word") * 40.0 / 2.0 - large.width as f32).abs() < 4.0);
        assert!((small.left + small.width as i32 / 2).abs() <= 1);
    }

    #[test]
    fn a_turned_word_is_the_same_ink_read_upwards() {
        let face = Face::embedded();
        let (flat, turned) = (
            face.ink("Type", 30.0, 2.0, false),
            face.ink("Type", 30.0, 2.0, true),
        );
        assert_eq!((flat.width, flat.height), (turned.height, turned.width));
        for y in 0..flat.height {
            for x in 0..flat.width {
                assert_eq!(flat.get(x, y), turned.get(y, flat.width - 1 - x));
            }
        }
    }

    #[test]
    fn a_word_of_another_script_is_a_box_of_the_stated_width() {
        let ink = Face::embedded().ink("東京", 20.0, 2.0, false);
        assert_eq!(ink.width, 20);
        assert!((0..ink.height).all(|y| (0..ink.width).all(|x| ink.get(x, y))));
    }
}
