//! The ink of words: which cells of the canvas they touch.
//!
//! A glyph is drawn once on a fine grid and kept as rectangles. A word's ink is then a matter of
//! arithmetic: each rectangle is put where it stands in its word, scaled to the size, or swept over
//! a band of sizes, and rounded outwards to cells.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{DISC, Fonts, Glyph, Shaped};
use crate::mask::{Ink, floor};

/// Lines of a glyph's grid for each line of cells that the word has, at least, up to the most that
/// a grid has. Grids have a power of two of lines an em.
const FINE: f32 = 1.0;
const LEAST_LINES: u32 = 16;
const MOST_LINES: u32 = 512;
/// Bytes of glyphs that are kept, and what one takes beside its rectangles.
pub const GLYPH_BYTES: usize = 2 << 20;
const BESIDE_PARTS: usize = 96;

/// A rectangle of a glyph, from its pen in lines of its grid: left and upper edge, and right and
/// lower edge with their signs turned, so that outwards is down for all four. The axes point right
/// and down.
type Part = [i16; 4];

/// Glyphs as rectangles, by face, number and lines of the grid.
#[derive(Default)]
pub(super) struct Outlines {
    glyphs: HashMap<(u16, u16, u32), Arc<[Part]>>,
    bytes: usize,
    /// Working space: the rectangles of a word in cells.
    cells: Vec<[i32; 4]>,
}

/// The band of sizes over which a word is swept: cells for each em, or for each line of a grid.
#[derive(Clone, Copy)]
struct Band {
    low: f32,
    high: f32,
}

impl Band {
    /// The cells that a rectangle touches at any size of the band. Its edges, in ems or lines of a
    /// grid, are from the anchor, signs as in [`Part`].
    fn cells(self, edges: [f32; 4]) -> [i32; 4] {
        edges.map(|edge| {
            let (low, high) = (edge * self.low, edge * self.high);
            floor(if low < high { low } else { high })
        })
    }
}

impl Fonts {
    /// The cells of `cell` pixels that a word touches at any size from `low` to `high` pixels an
    /// em, its anchor (the middle of its width, on the baseline) on the corner of cell (0, 0); read
    /// from the bottom to the top where it is `turned`. A cell too many is possible; one too few is
    /// not, but for what fills less than 1/255 of a cell of a glyph's grid. A word that is smaller than a cell touches the four cells about its anchor.
    pub fn ink(&self, word: &Shaped, (low, high): (f32, f32), cell: f32, turned: bool) -> Ink {
        let (low, high) = (low / cell, high / cell);
        if word.reach() * high <= 1.0 {
            return Ink::from_cells(&[(-1, -1), (0, -1), (-1, 0), (0, 0)]);
        }
        let band = Band { low, high };
        let drawn = &mut *self.outlines.borrow_mut();
        let mut cells = std::mem::take(&mut drawn.cells);
        cells.clear();
        if word.boxed {
            cells.push(band.cells(edges(word.bounds, (0.0, 0.0))));
        } else {
            for glyph in &word.glyphs {
                self.add(glyph, word, band, drawn, &mut cells);
            }
        }
        let ink = Ink::from_boxes(cells.iter().map(|&[left, upper, right, lower]| {
            if turned {
                [upper, right, -lower, -left]
            } else {
                [left, upper, -right, -lower]
            }
        }));
        drawn.cells = cells;
        ink
    }

    /// Adds the cells that a glyph touches.
    fn add(
        &self,
        glyph: &Glyph,
        word: &Shaped,
        band: Band,
        drawn: &mut Outlines,
        cells: &mut Vec<[i32; 4]>,
    ) {
        let (x, y) = (glyph.x - word.advance / 2.0, -glyph.y);
        let Some(face) = glyph.face.filter(|_| !glyph.solid) else {
            // A picture or a disc.
            let face = glyph.face.map(|face| &self.faces[usize::from(face)]);
            let square = face.and_then(|face| face.bounds(glyph.id));
            cells.push(band.cells(edges(square.unwrap_or(DISC), (x, y))));
            return;
        };
        let lines = ((band.high * FINE).ceil() as u32).clamp(LEAST_LINES, MOST_LINES);
        let lines = lines.next_power_of_two();
        let parts = self.outline((face, glyph.id, lines), drawn);
        let grid = lines as f32;
        let band = Band {
            low: band.low / grid,
            high: band.high / grid,
        };
        let (x, y) = (x * grid, y * grid);
        let pen = [x, y, -x, -y];
        cells.extend(parts.iter().map(|part| {
            band.cells(std::array::from_fn(|edge| {
                f32::from(part[edge]) + pen[edge]
            }))
        }));
    }

    /// A glyph as rectangles; none if it has no ink.
    fn outline(&self, key: (u16, u16, u32), drawn: &mut Outlines) -> Arc<[Part]> {
        if let Some(known) = drawn.glyphs.get(&key) {
            return Arc::clone(known);
        }
        if drawn.bytes > GLYPH_BYTES {
            drawn.glyphs.clear();
            drawn.bytes = 0;
        }
        let (face, id, lines) = key;
        let parts: Arc<[Part]> = self.parts(face, id, lines).into();
        drawn.bytes += BESIDE_PARTS + size_of_val(&*parts);
        drawn.glyphs.insert(key, Arc::clone(&parts));
        parts
    }

    /// Draws a glyph on a grid of so many lines an em, and takes together what lies one below the
    /// other.
    fn parts(&self, face: u16, id: u16, lines: u32) -> Vec<Part> {
        let coverage = self.faces[usize::from(face)].coverage(id, lines as f32, 0.0, 0.0);
        let mut parts: Vec<Part> = Vec::new();
        if coverage.width == 0 {
            return parts;
        }
        // Rectangles that end at the line at work.
        let mut open: Vec<usize> = Vec::new();
        let mut still: Vec<usize> = Vec::new();
        for (line, pixels) in coverage.pixels.chunks_exact(coverage.width).enumerate() {
            let lower = (coverage.top + line as i32 + 1) as i16;
            let mut at = 0;
            while let Some(from) = pixels[at..].iter().position(|&share| share > 0) {
                let from = at + from;
                let run = pixels[from..].iter().position(|&share| share == 0);
                at = run.map_or(pixels.len(), |run| from + run);
                let edge = |column: usize| (coverage.left + column as i32) as i16;
                let (left, right) = (edge(from), -edge(at));
                let above = open.iter().find(|&&part| {
                    let [before, _, behind, _] = parts[part];
                    (before, behind) == (left, right)
                });
                let part = match above {
                    Some(&part) => part,
                    None => {
                        parts.push([left, lower - 1, right, 0]);
                        parts.len() - 1
                    }
                };
                parts[part][3] = -lower;
                still.push(part);
            }
            open.clear();
            std::mem::swap(&mut open, &mut still);
        }
        parts
    }
}

/// Left, lower, right and upper edge from a pen at (x, y), the axis pointing up, as a [`Part`] has
/// them.
fn edges([left, lower, right, upper]: [f32; 4], (x, y): (f32, f32)) -> [f32; 4] {
    [left + x, y - upper, -(right + x), lower - y]
}
