//! The ink of one word.

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
    /// The block that holds all `cells`, given as (x, y) relative to the anchor; a word without
    /// any ink (a blank) becomes a single cell.
    pub fn from_cells(cells: &[(i32, i32)]) -> Self {
        let cells: &[(i32, i32)] = if cells.is_empty() { &[(0, 0)] } else { cells };
        let bound = |pick: fn(&(i32, i32)) -> i32| {
            let (mut low, mut high) = (i32::MAX, i32::MIN);
            for value in cells.iter().map(pick) {
                low = low.min(value);
                high = high.max(value);
            }
            (low, (high - low) as usize + 1)
        };
        let (left, width) = bound(|cell| cell.0);
        let (top, height) = bound(|cell| cell.1);
        let mut ink = Self::blank(left, top, width, height);
        for &(x, y) in cells {
            let (x, y) = ((x - left) as usize, (y - top) as usize);
            ink.bits[y * ink.stride + x / 64] |= 1 << (x % 64);
        }
        ink
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

    /// Adds up to 64 cells of a row at once, bit 0 at (x, y); what lies outside is left out.
    pub fn add(&mut self, x: usize, y: usize, bits: u64) {
        if y >= self.height || x >= self.width {
            return;
        }
        let bits = match self.width - x {
            room if room < 64 => bits & ((1 << room) - 1),
            _ => bits,
        };
        let (at, shift) = (y * self.stride + x / 64, x % 64);
        self.bits[at] |= bits << shift;
        if shift > 0 && bits >> (64 - shift) != 0 {
            self.bits[at + 1] |= bits >> (64 - shift);
        }
    }

    /// Adds the cells [x, x + wide) × [y, y + high).
    pub fn fill(&mut self, x: usize, y: usize, wide: usize, high: usize) {
        for line in y..y + high {
            let mut from = x;
            while from < x + wide {
                let step = (x + wide - from).min(64);
                self.add(from, line, u64::MAX >> (64 - step));
                from += step;
            }
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

    /// The same ink read from the bottom to the top.
    pub fn turned(&self) -> Self {
        let mut turned = Self::blank(
            self.top,
            -(self.left + self.width as i32),
            self.height,
            self.width,
        );
        for y in 0..self.height {
            for (index, &word) in self.row(y).iter().enumerate() {
                let mut rest = word;
                while rest != 0 {
                    let x = index * 64 + rest.trailing_zeros() as usize;
                    turned.add(y, self.width - 1 - x, 1);
                    rest &= rest - 1;
                }
            }
        }
        turned
    }

    /// The ink and all cells that are up to `by` cells from it.
    pub fn grown(&self, by: usize) -> Self {
        let (left, top) = (self.left - by as i32, self.top - by as i32);
        let (width, height) = (self.width + 2 * by, self.height + 2 * by);
        let mut wide = Self::blank(left, self.top, width, self.height);
        for y in 0..self.height {
            for (index, &word) in self.row(y).iter().enumerate() {
                (0..=2 * by).for_each(|by| wide.add(index * 64 + by, y, word));
            }
        }
        let mut grown = Self::blank(left, top, width, height);
        for y in 0..self.height {
            for line in y..=y + 2 * by {
                let row = &mut grown.bits[line * grown.stride..][..grown.stride];
                row.iter_mut()
                    .zip(wide.row(y))
                    .for_each(|(all, word)| *all |= word);
            }
        }
        grown
    }

    /// The same ink in the least block that holds it; a single cell if there is none.
    pub fn tight(self) -> Self {
        let empty = |y: &usize| self.row(*y).iter().all(|word| *word == 0);
        let Some(upper) = (0..self.height).find(|y| !empty(y)) else {
            return Self::from_cells(&[]);
        };
        let lower = (upper..self.height).rfind(|y| !empty(y)).unwrap_or(upper);
        let mut columns = vec![0_u64; self.stride];
        for y in upper..=lower {
            for (all, word) in columns.iter_mut().zip(self.row(y)) {
                *all |= word;
            }
        }
        let first = columns.iter().position(|word| *word != 0).unwrap_or(0);
        let last = columns.iter().rposition(|word| *word != 0).unwrap_or(0);
        let from = first * 64 + columns[first].trailing_zeros() as usize;
        let to = last * 64 + 63 - columns[last].leading_zeros() as usize;
        let mut tight = Self::blank(
            self.left + from as i32,
            self.top + upper as i32,
            to - from + 1,
            lower - upper + 1,
        );
        for y in upper..=lower {
            for (index, &word) in self.row(y).iter().enumerate() {
                let at = index * 64;
                if word == 0 {
                } else if at >= from {
                    tight.add(at - from, y - upper, word);
                } else {
                    tight.add(0, y - upper, word >> (from - at).min(63));
                }
            }
        }
        tight
    }

    /// A row of it, 64 cells a word.
    pub fn row(&self, y: usize) -> &[u64] {
        &self.bits[y * self.stride..(y + 1) * self.stride]
    }
}
