//! The ink of one word.

use std::ops::Range;

/// The ink of one word: the tight block of cells it touches, placed relative to its anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ink {
    /// Width of the block in cells.
    pub width: usize,
    /// Height of the block in cells.
    pub height: usize,
    /// From the anchor to the block's left edge, in cells.
    pub left: i32,
    /// From the anchor to the block's upper edge, in cells; the vertical axis points down.
    pub top: i32,
    stride: usize,
    bits: Vec<u64>,
}

impl Ink {
    /// The block that holds all `boxes`, given as left, upper, right and lower edge relative to the
    /// anchor; a word without any ink (a blank) becomes a single cell.
    pub fn from_boxes(boxes: impl Iterator<Item = [i32; 4]> + Clone) -> Self {
        let none = [i32::MAX, i32::MAX, i32::MIN, i32::MIN];
        let [left, top, right, lower] = boxes.clone().fold(none, |all, one| {
            [
                all[0].min(one[0]),
                all[1].min(one[1]),
                all[2].max(one[2]),
                all[3].max(one[3]),
            ]
        });
        if left >= right || top >= lower {
            return Self::from_boxes(std::iter::once([0, 0, 1, 1]));
        }
        let mut ink = Self::blank(left, top, (right - left) as usize, (lower - top) as usize);
        for [from, upper, to, end] in boxes.filter(|one| one[0] < one[2]) {
            let lines = (upper - top) as usize..(end - top) as usize;
            ink.fill(lines, (from - left) as usize, (to - left) as usize);
        }
        ink
    }

    /// The block that holds all `cells`, given as (x, y) relative to the anchor.
    pub fn from_cells(cells: &[(i32, i32)]) -> Self {
        Self::from_boxes(cells.iter().map(|&(x, y)| [x, y, x + 1, y + 1]))
    }

    /// A block without ink.
    pub fn blank(left: i32, top: i32, width: usize, height: usize) -> Self {
        let stride = width.div_ceil(64);
        Self {
            width,
            height,
            left,
            top,
            stride,
            bits: vec![0; stride * height],
        }
    }

    /// Whether the cell at (x, y) of the block has ink.
    pub fn get(&self, x: usize, y: usize) -> bool {
        self.bits[y * self.stride + x / 64] >> (x % 64) & 1 == 1
    }

    /// Adds the cells `from` up to `to` of each of `lines`; there is one at least.
    fn fill(&mut self, lines: Range<usize>, from: usize, to: usize) {
        let (first, last) = (from / 64, (to - 1) / 64);
        let (start, end) = (u64::MAX << (from % 64), u64::MAX >> (63 - (to - 1) % 64));
        let rows = &mut self.bits[lines.start * self.stride..lines.end * self.stride];
        for row in rows.chunks_exact_mut(self.stride) {
            if first == last {
                row[first] |= start & end;
                continue;
            }
            row[first] |= start;
            row[first + 1..last].fill(u64::MAX);
            row[last] |= end;
        }
    }

    /// Whether the two have a cell in common, their anchors at `at` and `place`.
    pub fn meets(&self, at: (i32, i32), other: &Self, place: (i32, i32)) -> bool {
        let dx = (place.0 + other.left) - (at.0 + self.left);
        let dy = (place.1 + other.top) - (at.1 + self.top);
        if dx < 0 {
            return other.meets(place, self, at);
        }
        let dx = dx as usize;
        if dx >= self.width {
            return false;
        }
        let (first, shift) = (dx / 64, dx % 64);
        let from = dy.max(0);
        let to = (dy + other.height as i32).min(self.height as i32);
        (from..to).any(|y| {
            let own = &self.row(y as usize)[first..];
            let row = other.row((y - dy) as usize);
            own.iter().enumerate().any(|(i, &word)| {
                let mut there = row.get(i).map_or(0, |word| word << shift);
                if shift > 0 && i > 0 {
                    there |= row.get(i - 1).map_or(0, |word| word >> (64 - shift));
                }
                word & there != 0
            })
        })
    }

    /// Bytes of its bits.
    pub fn bytes(&self) -> usize {
        self.bits.len() * size_of::<u64>()
    }

    /// The ink and all cells that are up to `by` cells from it, each way.
    pub fn grown(&self, by: usize) -> Self {
        let (left, top) = (self.left - by as i32, self.top - by as i32);
        let (width, height) = (self.width + 2 * by, self.height + 2 * by);
        let mut grown = Self::blank(left, top, width, height);
        let stride = grown.stride;
        let mut wide = vec![0; stride];
        for y in 0..self.height {
            wide.fill(0);
            wide[..self.stride].copy_from_slice(self.row(y));
            let mut span = 1;
            while span < 2 * by + 1 {
                let step = span.min(2 * by + 1 - span);
                smear(&mut wide, step);
                span += step;
            }
            let lines = y * stride..(y + 2 * by + 1) * stride;
            for row in grown.bits[lines].chunks_exact_mut(stride) {
                row.iter_mut()
                    .zip(&wide)
                    .for_each(|(all, word)| *all |= word);
            }
        }
        grown
    }

    /// A row of it, 64 cells a word.
    pub fn row(&self, y: usize) -> &[u64] {
        &self.bits[y * self.stride..(y + 1) * self.stride]
    }
}

/// Adds to a row what stands in it, by so many cells to the right.
fn smear(row: &mut [u64], by: usize) {
    let (skip, shift) = (by / 64, by % 64);
    for at in (skip..row.len()).rev() {
        let mut word = row[at - skip] << shift;
        if shift > 0 && at > skip {
            word |= row[at - skip - 1] >> (64 - shift);
        }
        row[at] |= word;
    }
}
