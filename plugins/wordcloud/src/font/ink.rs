//! The ink of words: which cells of the canvas they touch.

use super::{DISC, Fonts, Glyph, Shaped};
use crate::mask::Ink;

/// How far from the pixels' grid a pen may stand and still count as on it.
const ON_GRID: f32 = 1e-3;
/// Size in cells an em below which a cell is much of a word.
const SMALL: f32 = 40.0;

impl Fonts {
    /// The cells of `cell` pixels that a word touches at `size` pixels an em, its anchor (the
    /// middle of its width, on the baseline) on the corner of cell (0, 0). A cell too many is
    /// possible, one too few is not: glyphs are drawn with their pens on whole cells, and count at
    /// both cells between which a pen stands. Only small ones on cells of a pixel, for which a cell
    /// is much, are drawn just where they stand, which takes longer.
    /// A word that is smaller than a cell touches the four cells about its anchor.
    pub fn ink(&self, word: &Shaped, size: f32, cell: f32) -> Ink {
        if let Some(speck) = speck(word, size / cell) {
            return speck;
        }
        let mut ink = blank(word, size / cell);
        self.set_all(word, size / cell, cell == 1.0, &mut ink);
        ink.tight()
    }

    /// The cells that a word touches at any size from `low` to `high`.
    pub fn swept(&self, word: &Shaped, low: f32, high: f32, cell: f32) -> Ink {
        if let Some(speck) = speck(word, high / cell) {
            return speck;
        }
        let mut ink = blank(word, high / cell);
        let extent = word.reach();
        // From one sample to the next no point moves by more than a cell, so that the column that it
        // touches between them it touches at one of them, and so the line.
        let samples = (extent * (high - low) / cell).ceil().max(1.0) as usize;
        for sample in 0..=samples {
            let size = low + (high - low) * sample as f32 / samples as f32;
            self.set_all(word, size / cell, false, &mut ink);
        }
        ink.tight()
    }

    fn set_all(&self, word: &Shaped, size: f32, exact: bool, ink: &mut Ink) {
        if word.boxed {
            let [left, lower, right, upper] = word.bounds.map(|edge| edge * size);
            let at = |edge: f32, from: i32| (edge.floor() as i32 - from).max(0) as usize;
            let (x, y) = (at(left, ink.left), at(-upper, ink.top));
            let wide = (right.ceil() - left.floor()) as usize;
            let high = (upper.ceil() - lower.floor()) as usize;
            ink.fill(x, y, wide, high);
        } else {
            for glyph in &word.glyphs {
                self.add(glyph, word, size, exact, ink);
            }
        }
    }

    fn add(&self, glyph: &Glyph, word: &Shaped, size: f32, exact: bool, ink: &mut Ink) {
        let (x, y) = ((glyph.x - word.advance / 2.0) * size, -glyph.y * size);
        let (column, line) = (x.floor(), y.floor());
        let mut between = (x - column > ON_GRID, y - line > ON_GRID);
        let place = |left: i32, top: i32| {
            (
                (left + column as i32 - ink.left).max(0) as usize,
                (top + line as i32 - ink.top).max(0) as usize,
            )
        };
        let Some(face) = glyph.face.filter(|_| !glyph.solid) else {
            let [left, lower, right, upper] = self.square(glyph);
            let (x, y) = place((left * size).floor() as i32, (-upper * size).floor() as i32);
            let wide = ((right - left) * size).ceil() as usize + 2;
            let high = ((upper - lower) * size).ceil() as usize + 2;
            ink.fill(x, y, wide, high);
            return;
        };
        let face = &self.faces[usize::from(face)];
        let coverage = if exact && between.0 && size < SMALL {
            between = (false, false);
            face.coverage_at(glyph.id, size, x - column, y - line)
        } else {
            face.coverage(glyph.id, size)
        };
        if coverage.width == 0 {
            return;
        }
        let (x, y) = place(coverage.left, coverage.top);
        for (row, pixels) in coverage.pixels.chunks_exact(coverage.width).enumerate() {
            for (part, pixels) in pixels.chunks(64).enumerate() {
                let mut bits = 0_u64;
                for (bit, &pixel) in pixels.iter().enumerate() {
                    bits |= u64::from(pixel > 0) << bit;
                }
                if bits == 0 {
                    continue;
                }
                let at = x + part * 64;
                for line in y + row..=y + row + usize::from(between.1) {
                    ink.add(at, line, bits);
                    if between.0 {
                        ink.add(at + 1, line, bits);
                    }
                }
            }
        }
    }

    /// Where a glyph that is a picture or a disc stands, from its pen.
    fn square(&self, glyph: &Glyph) -> [f32; 4] {
        glyph
            .face
            .and_then(|face| self.faces[usize::from(face)].bounds(glyph.id))
            .unwrap_or(DISC)
    }
}

fn speck(word: &Shaped, size: f32) -> Option<Ink> {
    let about = [(-1, -1), (0, -1), (-1, 0), (0, 0)];
    (word.reach() * size <= 1.0).then(|| Ink::from_cells(&about))
}

/// The block of cells around a word's ink, with room for the cells between which a pen stands.
fn blank(word: &Shaped, size: f32) -> Ink {
    let [left, lower, right, upper] = word.bounds.map(|edge| edge * size);
    let (x, y) = (left.floor() as i32 - 1, -upper.ceil() as i32 - 1);
    let wide = right.ceil() as i32 + 2 - x;
    let high = -lower.floor() as i32 + 2 - y;
    Ink::blank(x, y, wide.max(1) as usize, high.max(1) as usize)
}
