//! Bit masks: the canvas as rows of 64-bit words, one bit a cell, and a word's ink as a smaller
//! block of the same. Testing and stamping a word, and finding every free place for a box, cost a
//! few operations on whole words instead of one on each pixel.
//!
//! Invariant: bits at or right of `width` are always clear in a [`Grid`].

mod ink;
#[cfg(test)]
mod tests;

pub use ink::Ink;

/// A canvas of cells; a set bit is a cell with ink.
#[derive(Debug, Clone)]
pub struct Grid {
    width: usize,
    height: usize,
    stride: usize,
    /// Behind the last row are more words than a row has, so that a pass may read ahead.
    bits: Vec<u64>,
    /// Where a pass writes before the two are exchanged.
    spare: Vec<u64>,
}

impl Grid {
    /// An empty canvas of `width` by `height` cells.
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width.div_ceil(64).max(1);
        Self {
            width,
            height,
            stride,
            bits: vec![0; stride * (height + 1) + 1],
            spare: Vec::new(),
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
        self.holds(ink, x, y)
            && !self.any_pair(ink, x as usize, y as usize, |canvas, word| {
                canvas & word != 0
            })
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

    fn any_pair(&self, ink: &Ink, x: usize, y: usize, hit: impl Fn(u64, u64) -> bool) -> bool {
        let (first, shift) = (x / 64, x % 64);
        (0..ink.height).any(|line| {
            let canvas = &self.bits[(y + line) * self.stride..(y + line + 1) * self.stride];
            ink.row(line).iter().enumerate().any(|(i, &word)| {
                hit(canvas[first + i], word << shift)
                    || (shift > 0
                        && canvas
                            .get(first + i + 1)
                            .is_some_and(|&next| hit(next, word >> (64 - shift))))
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

    /// Makes `self` the places where a box of `wide` by `high` cells would touch the ink of
    /// `source`: bit (x, y) is set when any cell of [x, x+wide) × [y, y+high) has ink. Only rows
    /// `from` to `to` are made, and places where the box would leave the canvas mean nothing.
    ///
    /// So all rows can be taken as one string of bits: what a pass shifts in from the next row
    /// only reaches places where the box would leave the canvas.
    pub fn block(&mut self, source: &Grid, wide: usize, high: usize, from: usize, to: usize) {
        let to = to.min((self.height + 1).saturating_sub(high));
        if wide > self.width || from >= to {
            return;
        }
        let rows = (from * self.stride, (to + high - 1) * self.stride);
        self.bits[rows.0..rows.1].copy_from_slice(&source.bits[rows.0..rows.1]);
        self.pass(wide, high, from, to);
    }

    /// The same with the ink of its own.
    fn pass(&mut self, wide: usize, high: usize, from: usize, to: usize) {
        let to = to.min((self.height + 1).saturating_sub(high));
        if wide > self.width || from >= to {
            return;
        }
        let (from, to) = (from * self.stride, to * self.stride);
        let Self { bits, spare, .. } = self;
        spare.resize(bits.len(), 0);
        let mut end = to + (high - 1) * self.stride;
        let mut span = 1;
        while span < high {
            let step = span.min(high - span);
            end -= step * self.stride;
            let below = &bits[from + step * self.stride..];
            for ((into, a), b) in spare[from..end].iter_mut().zip(&bits[from..]).zip(below) {
                *into = a | b;
            }
            std::mem::swap(bits, spare);
            span += step;
        }
        let mut span = 1;
        while span < wide {
            let step = span.min(wide - span);
            let (skip, shift) = (step / 64, step % 64);
            let (near, far) = (&bits[from + skip..], &bits[from + skip + 1..]);
            let into = spare[from..to].iter_mut().zip(&bits[from..]).zip(near);
            if shift == 0 {
                for ((into, a), b) in into {
                    *into = a | b;
                }
            } else {
                for (((into, a), b), c) in into.zip(far) {
                    *into = a | b >> shift | c << (64 - shift);
                }
            }
            std::mem::swap(bits, spare);
            span += step;
        }
    }

    /// In rows `from` to `to` of a canvas made by [`Grid::block`], the free place nearest to
    /// `target`, where both axes are measured in parts of the canvas's size so that the cloud takes
    /// the canvas's shape. Returns the place and its distance squared; `wide` and `high` are those
    /// given to `block`.
    fn nearest_free(
        &self,
        target: (i32, i32),
        size: (usize, usize),
        rows: (usize, usize),
    ) -> Option<(i32, i32, f32)> {
        let unit = (1.0 / self.width as f32, 1.0 / self.height as f32);
        self.nearest_free_by(unit, target, size, rows)
    }

    fn nearest_free_by(
        &self,
        (unit_x, unit_y): (f32, f32),
        target: (i32, i32),
        (wide, high): (usize, usize),
        rows: (usize, usize),
    ) -> Option<(i32, i32, f32)> {
        if wide > self.width || high > self.height {
            return None;
        }
        let (x, y) = target;
        let last_x = self.width - wide;
        let first_y = rows.0 as i32;
        let last_y = (self.height - high).min(rows.1 - 1) as i32;
        if last_y < first_y {
            return None;
        }
        let near_y = y.clamp(first_y, last_y);
        let mut best: Option<(i32, i32, f32)> = None;
        // Rows beyond the edge are no nearer than that.
        for away in 0..=last_y - first_y {
            let least = away as f32 * unit_y;
            if best.is_some_and(|(_, _, cost)| least * least >= cost) {
                break;
            }
            let lines = [near_y - away, near_y + away];
            for &line in &lines[..if away == 0 { 1 } else { 2 }] {
                if !(first_y..=last_y).contains(&line) {
                    continue;
                }
                let row =
                    &self.bits[line as usize * self.stride..(line as usize + 1) * self.stride];
                if let Some(found) = nearest_clear(row, x.clamp(0, last_x as i32) as usize, last_x)
                {
                    let (dx, dy) = (
                        (found as i32 - x) as f32 * unit_x,
                        (line - y) as f32 * unit_y,
                    );
                    let cost = dx * dx + dy * dy;
                    if best.is_none_or(|(_, _, least)| cost < least) {
                        best = Some((found as i32, line, cost));
                    }
                }
            }
        }
        best
    }

    /// The free place for a box of `wide` by `high` cells on `canvas` that is nearest to `target`,
    /// and how many cells off it is; none that is `most` off. `self` is working space of any size.
    pub fn nearest(
        &mut self,
        canvas: &Grid,
        target: (i32, i32),
        (wide, high): (usize, usize),
        most: f32,
    ) -> Option<((i32, i32), f32)> {
        /// Cells around the target that are looked at first, and how much more each time.
        const FIRST: f32 = 12.0;
        const MORE: f32 = 4.0;
        let most = most.min((canvas.width + canvas.height) as f32);
        let mut reach = FIRST.min(most);
        loop {
            let by = reach.ceil() as i32;
            let clamp = |at: i32, most: usize| at.clamp(0, most as i32) as usize;
            let from = clamp(target.0 - by, canvas.width) / 64;
            let to = clamp(target.0 + by + wide as i32 + 1, canvas.width);
            let (top, end) = (
                clamp(target.1 - by, canvas.height),
                clamp(target.1 + by + high as i32 + 1, canvas.height),
            );
            let mut found = None;
            if to > from * 64 && end > top {
                self.cut(canvas, from, to, top, end);
                let (width, height) = (self.width, self.height);
                if wide <= width && high <= height {
                    self.pass(wide, high, 0, height);
                    let aim = (target.0 - from as i32 * 64, target.1 - top as i32);
                    found = self.nearest_free_by((1.0, 1.0), aim, (wide, high), (0, height));
                }
            }
            let found = found.map(|(x, y, cost)| {
                let at = (x + from as i32 * 64, y + top as i32);
                (at, cost.sqrt())
            });
            if let Some((at, way)) = found.filter(|(_, way)| *way <= reach) {
                return (way < most).then_some((at, way));
            }
            let whole = (self.width, self.height) == (canvas.width, canvas.height);
            if reach >= most || whole {
                return found.filter(|(_, way)| *way < most);
            }
            reach = match found {
                Some((_, way)) => (way + 1.0).min(most),
                None => (reach * MORE).min(most),
            };
        }
    }

    /// Makes `self` the part of `source` in rows `top` to `end` from the word `from` of each row to
    /// the column `to`.
    fn cut(&mut self, source: &Grid, from: usize, to: usize, top: usize, end: usize) {
        (self.width, self.height) = (to - from * 64, end - top);
        self.stride = self.width.div_ceil(64);
        self.bits.clear();
        let last = match self.width % 64 {
            0 => u64::MAX,
            part => u64::MAX >> (64 - part),
        };
        for line in top..end {
            let row = &source.bits[line * source.stride + from..][..self.stride];
            self.bits.extend_from_slice(row);
            if let Some(word) = self.bits.last_mut() {
                *word &= last;
            }
        }
        self.bits.resize(self.stride * (self.height + 1) + 1, 0);
    }

    /// The free place for a box of `wide` by `high` cells on `canvas` that is nearest to (x, y),
    /// and its distance squared in parts of the canvas. `self` is working space of the same size.
    /// Rows up to `reach` away are looked at first: where one knows how far off the last place was,
    /// mostly nothing beyond can be nearer.
    pub fn search(
        &mut self,
        canvas: &Grid,
        target: (i32, i32),
        (wide, high): (usize, usize),
        mut reach: usize,
    ) -> Option<(i32, i32, f32)> {
        let near = target.1.clamp(0, self.height as i32) as usize;
        loop {
            let rows = (
                near.saturating_sub(reach),
                (near + reach + 1).min(self.height),
            );
            self.block(canvas, wide, high, rows.0, rows.1);
            let found = self.nearest_free(target, (wide, high), rows);
            let sure =
                found.is_some_and(|(_, _, cost)| cost.sqrt() * self.height as f32 <= reach as f32);
            if rows == (0, self.height) || sure {
                return found;
            }
            // What was found bounds how far the nearest can be.
            reach = match found {
                Some((_, _, cost)) => (cost.sqrt() * self.height as f32).ceil() as usize,
                None => reach * 2 + 8,
            };
        }
    }
}

/// The clear bit nearest to `from` among bits 0 to `last`; of two equally near the left one.
fn nearest_clear(row: &[u64], from: usize, last: usize) -> Option<usize> {
    let right = {
        let mut index = from / 64;
        let mut free = !row[index] & (u64::MAX << (from % 64));
        loop {
            if free != 0 {
                break Some(index * 64 + free.trailing_zeros() as usize).filter(|&bit| bit <= last);
            }
            index += 1;
            if index * 64 > last {
                break None;
            }
            free = !row[index];
        }
    };
    let left = {
        let mut index = from / 64;
        let mut free = !row[index] & (u64::MAX >> (63 - from % 64));
        loop {
            if free != 0 {
                break Some(index * 64 + 63 - free.leading_zeros() as usize);
            }
            if index == 0 {
                break None;
            }
            index -= 1;
            free = !row[index];
        }
    };
    match (left, right) {
        (Some(left), Some(right)) => Some(if from - left <= right - from {
            left
        } else {
            right
        }),
        (left, right) => left.or(right),
    }
}
