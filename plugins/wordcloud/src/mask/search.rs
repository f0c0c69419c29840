//! Finding a free place for a box on a canvas: the nearest to where it would best be.
//!
//! Some rows of the canvas are copied and their ink is smeared by the size of the box, so that a
//! bit is clear where the upper left cell of a box may be. That is done in pieces that fit into the
//! processor's nearest memory, from the target outwards, until nothing beyond can be nearer.

use super::Grid;

/// Words of 64 cells that a piece has, but for the rows that a box at its edge reaches beyond.
const PIECE: usize = 1024;
/// Cells around a target beyond which pieces as wide as the canvas are looked through.
const WINDOW: f32 = 64.0;
/// By how much the cells around a target grow where they have no free place.
const MORE: f32 = 4.0;

/// A box's width and height in cells.
type Size = (usize, usize);
/// A place and the square of its distance from the target.
type Found = ((i32, i32), f32);

/// Working space of searches: a part of a canvas.
#[derive(Debug, Default)]
pub struct Search {
    width: usize,
    height: usize,
    stride: usize,
    /// Behind the last row are more words than a row has, so that a pass may read ahead.
    bits: Vec<u64>,
    /// Where a pass writes before the two are exchanged.
    spare: Vec<u64>,
}

impl Search {
    /// The free place for a box that is nearest to `target`, both axes measured in parts of the
    /// canvas so that the cloud takes the canvas's shape, and its distance squared; none where that
    /// is `most`.
    pub fn in_parts(
        &mut self,
        canvas: &Grid,
        target: (i32, i32),
        size: Size,
        most: f32,
    ) -> Option<Found> {
        let unit = (1.0 / canvas.width as f32, 1.0 / canvas.height as f32);
        self.pieces(canvas, target, size, unit, most)
    }

    /// The free place for a box that is nearest to `target`, and how many cells off it is; none that
    /// is `most` off. `first` is the number of cells around the target that are looked at first.
    pub fn in_cells(
        &mut self,
        canvas: &Grid,
        target: (i32, i32),
        size: Size,
        (first, most): (f32, f32),
    ) -> Option<Found> {
        let mut reach = first.min(most);
        while reach <= WINDOW {
            let found = self.window(canvas, target, size, reach.ceil() as i32);
            if let Some((at, way)) = found.filter(|(_, way)| *way <= reach) {
                return (way < most).then_some((at, way));
            }
            if reach >= most {
                return None;
            }
            reach = match found {
                Some((_, way)) => way + 1.0,
                None => reach * MORE,
            };
            reach = reach.min(most);
        }
        let found = self.pieces(canvas, target, size, (1.0, 1.0), most * most);
        found.map(|(at, cost)| (at, cost.sqrt()))
    }

    /// Number of free places for a box.
    pub fn count(&mut self, canvas: &Grid, (wide, high): Size) -> usize {
        if wide > canvas.width || high > canvas.height {
            return 0;
        }
        self.cut(canvas, (0, canvas.width), (0, canvas.height));
        let rows = canvas.height + 1 - high;
        self.smear((wide, high), rows);
        let free = |y: usize| {
            let row = &self.bits[y * self.stride..][..self.stride];
            let places = 0..=canvas.width - wide;
            places.filter(|x| row[x / 64] >> (x % 64) & 1 == 0).count()
        };
        (0..rows).map(free).sum()
    }

    /// The nearest among the places no more than `by` rows and columns off, and maybe some more, and
    /// how far it is.
    fn window(
        &mut self,
        canvas: &Grid,
        (x, y): (i32, i32),
        (wide, high): Size,
        by: i32,
    ) -> Option<Found> {
        let clamp = |at: i32, most: usize| at.clamp(0, most as i32) as usize;
        let from = clamp(x - by, canvas.width) / 64 * 64;
        let to = clamp(x + by + wide as i32 + 1, canvas.width);
        let (top, end) = (
            clamp(y - by, canvas.height),
            clamp(y + by + high as i32 + 1, canvas.height),
        );
        if to < from + wide || end < top + high {
            return None;
        }
        self.cut(canvas, (from, to), (top, end));
        let rows = self.height + 1 - high;
        self.smear((wide, high), rows);
        let aim = (x - from as i32, y - top as i32);
        let ((x, y), cost) = self.nearest(aim, wide, rows, (1.0, 1.0))?;
        Some(((x + from as i32, y + top as i32), cost.sqrt()))
    }

    /// The nearest of all, by rows and columns of so much each, if its distance squared is less than
    /// `most`.
    fn pieces(
        &mut self,
        canvas: &Grid,
        target: (i32, i32),
        (wide, high): Size,
        unit: (f32, f32),
        mut most: f32,
    ) -> Option<Found> {
        if wide > canvas.width || high > canvas.height {
            return None;
        }
        let rows = canvas.height + 1 - high;
        let piece = (PIECE / canvas.stride).max(4);
        // Rows `from` up to `to` have been looked at.
        let mut from = (target.1 - piece as i32 / 2).clamp(0, rows as i32) as usize;
        let mut to = from;
        let mut best: Option<Found> = None;
        while from > 0 || to < rows {
            let above = (from > 0).then(|| target.1 - (from as i32 - 1));
            let below = (to < rows).then(|| to as i32 - target.1);
            let upwards = match (above, below) {
                (Some(above), Some(below)) => above < below,
                (above, _) => above.is_some(),
            };
            let next = if upwards {
                (from.saturating_sub(piece), from)
            } else {
                (to, (to + piece).min(rows))
            };
            let least = if upwards { above } else { below };
            let least = least.unwrap_or(0).max(0) as f32 * unit.1;
            if least * least >= most {
                break;
            }
            self.cut(canvas, (0, canvas.width), (next.0, next.1 + high - 1));
            self.smear((wide, high), next.1 - next.0);
            let aim = (target.0, target.1 - next.0 as i32);
            let found = self.nearest(aim, wide, next.1 - next.0, unit);
            if let Some(((x, y), cost)) = found
                && cost < most
            {
                best = Some(((x, y + next.0 as i32), cost));
                most = cost;
            }
            (from, to) = (from.min(next.0), to.max(next.1));
        }
        best
    }

    /// Copies the part of a canvas in columns `from` up to `to`, the first a multiple of 64, and
    /// rows `top` up to `end`.
    fn cut(&mut self, source: &Grid, (from, to): (usize, usize), (top, end): (usize, usize)) {
        (self.width, self.height) = (to - from, end - top);
        self.stride = self.width.div_ceil(64);
        self.bits.clear();
        if self.stride == source.stride {
            let rows = top * source.stride..end * source.stride;
            self.bits.extend_from_slice(&source.bits[rows]);
        } else {
            let last = u64::MAX >> ((64 - self.width % 64) % 64);
            for line in top..end {
                let row = &source.bits[line * source.stride + from / 64..][..self.stride];
                self.bits.extend_from_slice(row);
                if let Some(word) = self.bits.last_mut() {
                    *word &= last;
                }
            }
        }
        self.bits.resize(self.stride * (self.height + 1) + 1, 0);
    }

    /// Sets bit (x, y) of the first `rows` rows when any cell of [x, x+wide) × [y, y+high) has ink;
    /// where the box would leave the part, the bit means nothing.
    ///
    /// So all rows can be taken as one string of bits: what a pass shifts in from the next row
    /// only reaches places where the box would leave the part.
    fn smear(&mut self, (wide, high): Size, rows: usize) {
        let to = rows * self.stride;
        let Self { bits, spare, .. } = self;
        spare.resize(bits.len(), 0);
        let mut end = to + (high - 1) * self.stride;
        let mut span = 1;
        while span < high {
            let step = span.min(high - span);
            end -= step * self.stride;
            let below = &bits[step * self.stride..];
            for ((into, a), b) in spare[..end].iter_mut().zip(&bits[..]).zip(below) {
                *into = a | b;
            }
            std::mem::swap(bits, spare);
            span += step;
        }
        let mut span = 1;
        while span < wide {
            let step = span.min(wide - span);
            let (skip, shift) = (step / 64, step % 64);
            let (near, far) = (&bits[skip..], &bits[skip + 1..]);
            let into = spare[..to].iter_mut().zip(&bits[..]).zip(near);
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

    /// The free place nearest to `target` in the first `rows` rows of what was smeared by a box of
    /// this width.
    fn nearest(
        &self,
        (x, y): (i32, i32),
        wide: usize,
        rows: usize,
        (unit_x, unit_y): (f32, f32),
    ) -> Option<Found> {
        let last_x = self.width - wide;
        let last_y = rows as i32 - 1;
        let near_y = y.clamp(0, last_y);
        let mut best: Option<Found> = None;
        // Rows beyond the edge are no nearer than that.
        for away in 0..=last_y {
            let least = away as f32 * unit_y;
            if best.is_some_and(|(_, cost)| least * least >= cost) {
                break;
            }
            let lines = [near_y - away, near_y + away];
            for &line in &lines[..if away == 0 { 1 } else { 2 }] {
                if !(0..=last_y).contains(&line) {
                    continue;
                }
                let row = &self.bits[line as usize * self.stride..][..self.stride];
                let near_x = x.clamp(0, last_x as i32) as usize;
                if let Some(found) = nearest_clear(row, near_x, last_x) {
                    let (dx, dy) = (
                        (found as i32 - x) as f32 * unit_x,
                        (line - y) as f32 * unit_y,
                    );
                    let cost = dx * dx + dy * dy;
                    if best.is_none_or(|(_, least)| cost < least) {
                        best = Some(((found as i32, line), cost));
                    }
                }
            }
        }
        best
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
