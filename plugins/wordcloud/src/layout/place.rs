//! The canvas, and putting a word down on the nearest place that is free for it.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::mask::{Grid, Ink, Search};
use crate::shape::Shape;

/// A canvas of cells.
#[derive(Debug)]
pub(super) struct Field {
    /// Side of a cell in pixels.
    pub(super) cell: f32,
    /// Cells to keep free around a word's box.
    gap: usize,
    /// Where nothing may stand, if there is a shape.
    base: Option<Arc<Grid>>,
    pub(super) canvas: Grid,
    search: Search,
    /// The middle of where words may stand.
    pub(super) middle: (i32, i32),
}

/// Cells around a place that are looked at first for one nearby.
const CLOSE: f32 = 12.0;
/// Cells each way of the ink of a word that is smaller than a cell.
const SPECK: usize = 2;

impl Field {
    pub(super) fn new(
        (width, height): (u32, u32),
        shape: Option<&Shape>,
        cell: f32,
        padding: f32,
    ) -> Self {
        let cells = |pixels: u32| ((pixels as f32 / cell) as usize).max(1);
        let (wide, high) = (cells(width), cells(height));
        let base = shape.map(|shape| shape.outside(wide, high));
        let canvas = match &base {
            Some(base) => Grid::clone(base),
            None => Grid::new(wide, high),
        };
        Self {
            cell,
            gap: (padding / cell).ceil() as usize,
            middle: middle_of_free(&canvas),
            canvas,
            search: Search::default(),
            base,
        }
    }

    /// Pixels on which words may stand.
    pub(super) fn room(&self) -> f32 {
        let outside = self.base.as_ref().map_or(0, |base| base.count());
        let cells = self.canvas.width() * self.canvas.height() - outside;
        cells.max(1) as f32 * self.cell * self.cell
    }

    /// Words for which there is a place for certain, if all are small enough and keep no gap: each
    /// one takes the place of no more than so many others.
    pub(super) fn places(&mut self) -> usize {
        self.clear();
        let free = self.search.count(&self.canvas, (SPECK, SPECK));
        free / (2 * SPECK - 1).pow(2)
    }

    /// Pixels to keep free around a word's box.
    pub(super) fn gap(&self) -> f32 {
        self.gap as f32 * self.cell
    }

    /// Keeps no more than so many pixels free around a word's box.
    pub(super) fn keep_gap(&mut self, pixels: f32) {
        self.gap = (pixels / self.cell).ceil() as usize;
    }

    /// Lets words stand closer to each other, where they do not fit at any size.
    ///
    /// # Panics
    /// If they need not keep apart: there are more words than places.
    pub(super) fn ease(&mut self) {
        assert!(self.gap > 0, "there are more words than places for them");
        self.gap /= 2;
    }

    pub(super) fn clear(&mut self) {
        match &self.base {
            Some(base) => self.canvas.copy(base),
            None => self.canvas.clear(),
        }
    }

    /// Lets go of what only a layout at work needs.
    pub(super) fn rest(&mut self) {
        self.search = Search::default();
    }

    /// The free place for `ink` nearest to `near`, which is where the middle of its box would best
    /// be: its anchor, and the distance squared in parts of the canvas; none where that is `most`.
    pub(super) fn free(
        &mut self,
        ink: &Ink,
        near: (i32, i32),
        most: f32,
    ) -> Option<((i32, i32), f32)> {
        let (wide, high) = (ink.width + 2 * self.gap, ink.height + 2 * self.gap);
        let target = (near.0 - wide as i32 / 2, near.1 - high as i32 / 2);
        let found = self
            .search
            .in_parts(&self.canvas, target, (wide, high), most);
        let ((x, y), cost) = found?;
        let gap = self.gap as i32;
        Some(((x + gap - ink.left, y + gap - ink.top), cost))
    }

    /// The place for `ink` nearest to `home` that is free on `canvas`, which is the field's own
    /// unless one is given, and how many cells off it is; none that is `most` off.
    pub(super) fn near(
        &mut self,
        canvas: Option<&Grid>,
        ink: &Ink,
        home: (i32, i32),
        most: f32,
    ) -> Option<((i32, i32), f32)> {
        self.near_from(CLOSE, canvas, ink, home, most)
    }

    /// The same, where none is expected that is less than `first` cells off.
    pub(super) fn near_from(
        &mut self,
        first: f32,
        canvas: Option<&Grid>,
        ink: &Ink,
        home: (i32, i32),
        most: f32,
    ) -> Option<((i32, i32), f32)> {
        let canvas = canvas.unwrap_or(&self.canvas);
        let (wide, high) = (ink.width + 2 * self.gap, ink.height + 2 * self.gap);
        let gap = self.gap as i32;
        let off = (ink.left - gap, ink.top - gap);
        let target = (home.0 + off.0, home.1 + off.1);
        let limits = (first, most);
        let found = self.search.in_cells(canvas, target, (wide, high), limits);
        let ((x, y), way) = found?;
        Some(((x - off.0, y - off.1), way))
    }

    /// A canvas on which nothing stands.
    pub(super) fn bare(&self) -> Grid {
        match &self.base {
            Some(base) => Grid::clone(base),
            None => Grid::new(self.canvas.width(), self.canvas.height()),
        }
    }

    /// Whether two words come too close.
    pub(super) fn meet(
        &self,
        one: &Claim,
        at: (i32, i32),
        other: &Claim,
        place: (i32, i32),
    ) -> bool {
        let apart = one.apart.get_or_init(|| one.ink.grown(self.gap));
        apart.meets(at, other, place)
    }

    pub(super) fn stamp(&mut self, ink: &Ink, anchor: (i32, i32)) {
        self.canvas
            .stamp(ink, anchor.0 + ink.left, anchor.1 + ink.top);
    }

    pub(super) fn erase(&mut self, ink: &Ink, anchor: (i32, i32)) {
        self.canvas
            .erase(ink, anchor.0 + ink.left, anchor.1 + ink.top);
    }

    /// Whether `claim` at a place of its own choice touches no other ink, nor comes too close to it.
    pub(super) fn fits(&self, claim: &Claim, anchor: (i32, i32)) -> bool {
        let apart = claim.apart.get_or_init(|| claim.ink.grown(self.gap));
        self.canvas
            .fits(apart, anchor.0 + apart.left, anchor.1 + apart.top)
    }
}

/// What a word reserves.
#[derive(Debug)]
pub(super) struct Claim {
    ink: Ink,
    /// The cells that keep others apart, too, once somebody has asked; where the gap gives way
    /// later, those of before.
    apart: OnceLock<Ink>,
}

impl From<Ink> for Claim {
    fn from(ink: Ink) -> Self {
        Self {
            ink,
            apart: OnceLock::new(),
        }
    }
}

impl Deref for Claim {
    type Target = Ink;

    fn deref(&self) -> &Ink {
        &self.ink
    }
}

/// The middle of an ink's box when its anchor stands at `anchor`.
pub(super) fn centre(ink: &Ink, anchor: (i32, i32)) -> (i32, i32) {
    (
        anchor.0 + ink.left + ink.width as i32 / 2,
        anchor.1 + ink.top + ink.height as i32 / 2,
    )
}

/// The anchor of an ink whose box has its middle at `centre`.
pub(super) fn aligned(ink: &Ink, centre: (i32, i32)) -> (i32, i32) {
    let middle = self::centre(ink, (0, 0));
    (centre.0 - middle.0, centre.1 - middle.1)
}

/// The middle of the cells without ink.
fn middle_of_free(grid: &Grid) -> (i32, i32) {
    let (mut number, mut across, mut down) = (0_u64, 0_u64, 0_u64);
    for y in 0..grid.height() {
        for x in (0..grid.width()).filter(|&x| !grid.get(x, y)) {
            number += 1;
            across += x as u64;
            down += y as u64;
        }
    }
    let number = number.max(1);
    ((across / number) as i32, (down / number) as i32)
}
