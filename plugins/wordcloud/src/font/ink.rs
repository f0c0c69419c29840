//! The ink of words: which cells of the canvas they touch.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Coverage, DISC, Fonts, Glyph, Shaped};
use crate::mask::Ink;

/// How far from the pixels' grid a pen may stand and still count as on it.
const ON_GRID: f32 = 1e-3;
/// Size in cells an em below which a cell is much of a word.
const SMALL: f32 = 40.0;

/// Sizes at which the glyphs of swept words are drawn: so many from one to its double. It is so
/// that words of whichever size share them.
pub const STEPS: f32 = 112.0;
/// Bytes of glyphs drawn at those sizes that are kept, and what one takes beside its bits.
pub const GLYPH_BYTES: usize = 2 << 20;
const BESIDE_BITS: usize = 112;

/// Glyphs that were drawn at sizes of [`STEPS`], by face, number, step and cell.
#[derive(Default)]
pub(super) struct Drawn {
    glyphs: HashMap<(u16, u16, i32, u32), Option<Arc<Ink>>>,
    bytes: usize,
}

/// A size of [`STEPS`].
fn size_of(step: i32) -> f32 {
    (step as f32 / STEPS).exp2()
}

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
        // Sizes between steps are swept from the step below to that above.
        const ON_STEP: f32 = 0.01;
        let from = (low.log2() * STEPS + ON_STEP).floor() as i32;
        let to = (high.log2() * STEPS - ON_STEP).ceil() as i32;
        let mut ink = blank(word, high.max(size_of(to)) / cell);
        if word.boxed {
            for step in from..=to {
                self.set_all(word, size_of(step) / cell, false, &mut ink);
            }
            return ink.tight();
        }
        for glyph in &word.glyphs {
            match glyph.face.filter(|_| !glyph.solid) {
                Some(face) => self.sweep(face, glyph, word, (from, to), cell, &mut ink),
                None => (from..=to)
                    .for_each(|step| self.add(glyph, word, size_of(step) / cell, false, &mut ink)),
            }
        }
        ink.tight()
    }

    /// Adds all cells that a glyph touches from one step to another.
    fn sweep(
        &self,
        face: u16,
        glyph: &Glyph,
        word: &Shaped,
        (from, to): (i32, i32),
        cell: f32,
        ink: &mut Ink,
    ) {
        let Some(mut far) = self.drawn(face, glyph.id, to, cell) else {
            return;
        };
        // From one sample to the next no point of the glyph moves by more than a cell from its pen,
        // so that the column that it touches between them it touches at one of them, and so the
        // line. In between the pen is put on all cells over which it moves.
        let right = far.left + far.width as i32;
        let lower = far.top + far.height as i32;
        let reach = [-far.left, right, -far.top, lower].into_iter().max();
        let moves = reach.unwrap_or(0) as f32 * (1.0 - size_of(from) / size_of(to));
        let stride = ((to - from) / moves.ceil().max(1.0) as i32).max(1);
        // Where a step moves it by more, some cells around do instead.
        let more = (moves / (to - from).max(1) as f32).ceil() as i32 - 1;
        let more = more.max(0);
        let mut step = to;
        while step > from {
            let next = (step - stride).max(from);
            let Some(near) = self.drawn(face, glyph.id, next, cell) else {
                return;
            };
            let pens = [next, step].map(|step| pen(glyph, word, size_of(step) / cell));
            let [(one, a), (other, b)] = pens;
            let (left, right) = (one.0.min(other.0), one.0.max(other.0));
            let (upper, lower) = (one.1.min(other.1), one.1.max(other.1));
            for line in upper - more..=lower + more {
                for column in left - more..=right + more {
                    let between = (a.0 || b.0 || left < right, a.1 || b.1 || upper < lower);
                    merge(&near, (column, line), between, ink);
                    merge(&far, (column, line), between, ink);
                }
            }
            (step, far) = (next, near);
        }
    }

    /// A glyph at a size of [`STEPS`], its pen at the corner of cell (0, 0).
    fn drawn(&self, face: u16, id: u16, step: i32, cell: f32) -> Option<Arc<Ink>> {
        let mut drawn = self.drawn.borrow_mut();
        let key = (face, id, step, cell.to_bits());
        if let Some(known) = drawn.glyphs.get(&key) {
            return known.clone();
        }
        if drawn.bytes > GLYPH_BYTES {
            *drawn = Drawn::default();
        }
        let glyph = self.draw(face, id, size_of(step) / cell).map(Arc::new);
        drawn.bytes += BESIDE_BITS + glyph.as_ref().map_or(0, |ink| ink.bytes());
        drawn.glyphs.insert(key, glyph.clone());
        glyph
    }

    /// The ink of a glyph, its pen at the corner of cell (0, 0), if it has any.
    fn draw(&self, face: u16, id: u16, size: f32) -> Option<Ink> {
        let coverage = self.faces[usize::from(face)].coverage(id, size);
        (coverage.width > 0).then(|| ink_of(&coverage))
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
        let Some(face) = glyph.face.filter(|_| !glyph.solid) else {
            let ((column, line), _) = pen(glyph, word, size);
            let [left, lower, right, upper] = self.square(glyph);
            let at = |edge: f32, from: i32| ((edge * size).floor() as i32 + from).max(0) as usize;
            let (x, y) = (at(left, column - ink.left), at(-upper, line - ink.top));
            let wide = ((right - left) * size).ceil() as usize + 2;
            let high = ((upper - lower) * size).ceil() as usize + 2;
            ink.fill(x, y, wide, high);
            return;
        };
        let ((column, line), (across, _)) = pen(glyph, word, size);
        if exact && across && size < SMALL {
            let (x, y) = ((glyph.x - word.advance / 2.0) * size, -glyph.y * size);
            let face = &self.faces[usize::from(face)];
            let (part_x, part_y) = (x - column as f32, y - line as f32);
            let coverage = face.coverage_at(glyph.id, size, part_x, part_y);
            if coverage.width > 0 {
                merge(&ink_of(&coverage), (column, line), (false, false), ink);
            }
        } else if let Some(drawn) = self.draw(face, glyph.id, size) {
            put(glyph, word, size, &drawn, ink);
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

/// The cell at whose corner a glyph's pen stands, or before it, and whether it stands between that
/// and the next cell, and line.
fn pen(glyph: &Glyph, word: &Shaped, size: f32) -> ((i32, i32), (bool, bool)) {
    let (x, y) = ((glyph.x - word.advance / 2.0) * size, -glyph.y * size);
    let (column, line) = (x.floor(), y.floor());
    let between = (x - column > ON_GRID, y - line > ON_GRID);
    ((column as i32, line as i32), between)
}

/// Adds the ink of a glyph where it stands in its word, at both cells between which its pen is.
fn put(glyph: &Glyph, word: &Shaped, size: f32, drawn: &Ink, ink: &mut Ink) {
    let (at, between) = pen(glyph, word, size);
    merge(drawn, at, between, ink);
}

fn merge(drawn: &Ink, (column, line): (i32, i32), (across, down): (bool, bool), ink: &mut Ink) {
    let x = (drawn.left + column - ink.left).max(0) as usize;
    let y = (drawn.top + line - ink.top).max(0) as usize;
    for row in 0..drawn.height {
        for (part, &bits) in drawn.row(row).iter().enumerate() {
            for line in y + row..=y + row + usize::from(down) {
                ink.add(x + part * 64, line, bits);
                if across {
                    ink.add(x + part * 64 + 1, line, bits);
                }
            }
        }
    }
}

fn ink_of(coverage: &Coverage) -> Ink {
    let height = coverage.pixels.len() / coverage.width;
    let mut ink = Ink::blank(coverage.left, coverage.top, coverage.width, height);
    for (y, pixels) in coverage.pixels.chunks_exact(coverage.width).enumerate() {
        for (part, pixels) in pixels.chunks(64).enumerate() {
            let mut bits = 0_u64;
            for (bit, &pixel) in pixels.iter().enumerate() {
                bits |= u64::from(pixel > 0) << bit;
            }
            ink.add(part * 64, y, bits);
        }
    }
    ink
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
