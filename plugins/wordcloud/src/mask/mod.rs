//! Bit masks: the canvas as rows of 64-bit words, one bit a cell, and a word's ink as a smaller
//! block of the same. Testing and stamping a word, and finding a free place for a box, cost a few
//! operations on whole words instead of one on each pixel.
//!
//! Invariant: bits at or right of `width` are always clear in a [`Grid`].

mod ink;
mod search;
#[cfg(test)]
mod tests;

pub use ink::Ink;
pub use search::Search;

/// A canvas of cells; a set bit is a cell with ink.
#[derive(Debug, Clone)]
pub struct Grid {
    width: usize,
    height: usize,
    stride: usize,
    bits: Vec<u64>,
}

impl Grid {
    /// An empty canvas of `width` by `height` cells.
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width.div_ceil(64).max(1);
        Self {
            width,
            height,
            stride,
            bits: vec![0; stride * height],
        }
    }

    /// Width in cells.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in cells.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Removes all ink.
    pub fn clear(&mut self) {
        self.bits.fill(0);
    }

    /// Takes over the ink of a canvas of the same size.
    pub fn copy(&mut self, other: &Grid) {
        self.bits.copy_from_slice(&other.bits);
    }

    /// Adds the cells [x, x + wide) × [y, y + high), as far as they lie inside.
    pub fn fill(&mut self, x: i32, y: i32, wide: i32, high: i32) {
        let clamp = |at: i32, most: usize| at.clamp(0, most as i32) as usize;
        let (from, to) = (clamp(x, self.width), clamp(x + wide, self.width));
        for line in clamp(y, self.height)..clamp(y + high, self.height) {
            let row = &mut self.bits[line * self.stride..][..self.stride];
            let mut at = from;
            while at < to {
                let step = (to - at).min(64 - at % 64);
                row[at / 64] |= (u64::MAX >> (64 - step)) << (at % 64);
                at += step;
            }
        }
    }

    /// Whether the cell at (x, y) has ink.
    pub fn get(&self, x: usize, y: usize) -> bool {
        self.bits[y * self.stride + x / 64] >> (x % 64) & 1 == 1
    }

    /// Number of cells with ink.
    pub fn count(&self) -> usize {
        self.bits
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether `ink`, its block's upper left cell at (x, y), lies inside and touches no other ink.
    pub fn fits(&self, ink: &Ink, x: i32, y: i32) -> bool {
        self.holds(ink, x, y) && !self.meets(ink, x as usize, y as usize)
    }

    /// Whether the block of `ink` lies inside the canvas when its upper left cell is at (x, y).
    pub fn holds(&self, ink: &Ink, x: i32, y: i32) -> bool {
        x >= 0
            && y >= 0
            && x as usize + ink.width <= self.width
            && y as usize + ink.height <= self.height
    }

    /// Adds `ink` at (x, y), which must lie inside.
    pub fn stamp(&mut self, ink: &Ink, x: i32, y: i32) {
        self.each_pair(ink, x as usize, y as usize, |canvas, word| *canvas |= word);
    }

    /// Takes `ink` at (x, y) away again. Words never overlap, so this undoes one [`Grid::stamp`].
    pub fn erase(&mut self, ink: &Ink, x: i32, y: i32) {
        self.each_pair(ink, x as usize, y as usize, |canvas, word| *canvas &= !word);
    }

    fn meets(&self, ink: &Ink, x: usize, y: usize) -> bool {
        let (first, shift) = (x / 64, x % 64);
        (0..ink.height).any(|line| {
            let canvas = &self.bits[(y + line) * self.stride..(y + line + 1) * self.stride];
            ink.row(line).iter().enumerate().any(|(i, &word)| {
                let next = || canvas.get(first + i + 1).copied().unwrap_or(0);
                canvas[first + i] & word << shift != 0
                    || shift > 0 && next() & word >> (64 - shift) != 0
            })
        })
    }

    fn each_pair(&mut self, ink: &Ink, x: usize, y: usize, apply: impl Fn(&mut u64, u64)) {
        let (first, shift) = (x / 64, x % 64);
        for line in 0..ink.height {
            let canvas = &mut self.bits[(y + line) * self.stride..(y + line + 1) * self.stride];
            for (i, &word) in ink.row(line).iter().enumerate() {
                apply(&mut canvas[first + i], word << shift);
                if shift > 0
                    && let Some(next) = canvas.get_mut(first + i + 1)
                {
                    apply(next, word >> (64 - shift));
                }
            }
        }
    }
}

/// The greatest whole number up to `value`, without a call where the machine has no instruction.
pub fn floor(value: f32) -> i32 {
    let whole = value as i32;
    whole - i32::from(value < whole as f32)
}
