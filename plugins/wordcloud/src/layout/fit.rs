//! A tight layout: the greatest scale at which every word finds a place.
//!
//! The words with the largest boxes come first. The first few stand about the middle; from then on
//! words are put down from the corners inwards, in turn: along straight edges and in corners little
//! room is lost, and what is left between is closed by the smallest words.

use std::sync::Arc;

use super::{
    Layout, Spot, Task,
    place::Field,
    steady::{band, class_of},
};
use crate::{
    font::{Fonts, Shaped},
    mask::Ink,
};

/// Share of the room that words' boxes, overlaps counted twice, take in a usual tight layout.
const USUAL: f32 = 0.95;
/// How far the search goes in its first steps, and how close to the greatest scale it comes, on a
/// coarse canvas first.
const STEP: f32 = 1.06;
const CLOSE: f32 = 1.03;
const FINE_STEP: f32 = 1.015;
const FINEST: f32 = 1.005;
/// Words that stand about the middle; all, where there are no more than a few.
const MIDDLE: usize = 12;
const FEW: usize = 50;

/// What a word reserves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// The ink of its size.
    Exact,
    /// That of all sizes of its band.
    Band,
}

/// A layout of all words at one scale.
pub(super) struct Laid {
    anchors: Vec<(i32, i32)>,
    inks: Vec<Ink>,
    turned: Vec<bool>,
}

impl Layout {
    /// Lays all words out afresh and answers the scale.
    pub(super) fn fit(&mut self, task: &Task<'_>, fonts: &Fonts) -> f32 {
        self.field.keep_gap(self.settings.padding);
        let most = self.most_scale(task);
        let mut field = self.coarse();
        let coarse = field.cell;
        let gap = field.gap();
        let low = self.greatest(task, Some(&mut field), fonts);
        if field.gap() < gap {
            self.field.keep_gap(field.gap());
        }
        let least = self.least_scale(task, self.field.cell);
        // A fine canvas loses less at the words' edges than the coarse one did.
        let gain = self.lost(task, low, coarse) / self.lost(task, low, self.field.cell);
        // Nor did its search come close.
        let mut scale = (low * gain.sqrt() * CLOSE.sqrt()).min(most);
        let mut fell = false;
        let mut laid = loop {
            match self.place_all(task, scale, Size::Exact, None, fonts) {
                Some(laid) => break laid,
                None if scale <= least => self.field.ease(),
                None => (scale, fell) = ((scale / FINE_STEP).max(least), true),
            }
        };
        while !fell && scale < most {
            let next = (scale * FINE_STEP).min(most);
            match self.place_all(task, next, Size::Exact, None, fonts) {
                Some(better) => (scale, laid) = (next, better),
                None => fell = true,
            }
        }
        // Half a step and a quarter; on cells below a pixel they would cost too much.
        let mut step = FINE_STEP;
        while fell && self.field.cell >= 1.0 && step > FINEST {
            step = step.sqrt();
            let next = scale * step;
            if let Some(better) = self.place_all(task, next, Size::Exact, None, fonts) {
                (scale, laid) = (next, better);
            }
        }
        self.stand(task, scale, laid);
        scale
    }

    /// Takes a layout over, which is stamped on the canvas already.
    pub(super) fn stand(&mut self, task: &Task<'_>, scale: f32, laid: Laid) {
        self.gone.clear();
        self.ranks.clear();
        self.fresh = (0..task.words.len()).collect();
        self.stands.clear();
        for (index, (anchor, ink)) in laid.anchors.into_iter().zip(laid.inks).enumerate() {
            let word = task.words[index];
            self.stands.push(Some(Spot {
                key: word.key.into(),
                text: word.text.into(),
                x: anchor.0,
                y: anchor.1,
                turned: laid.turned[index],
                class: class_of(task.weight[index] * scale),
                ink: Arc::new(ink.into()),
                shaped: Arc::clone(&task.shaped[index]),
                stands: true,
            }));
        }
    }

    /// Pixels that the words' boxes take up on cells of a size.
    fn lost(&self, task: &Task<'_>, scale: f32, cell: f32) -> f32 {
        let boxed = |(weight, shaped): (&f32, &Arc<Shaped>)| {
            let [left, lower, right, upper] = shaped.bounds.map(|edge| edge * weight * scale);
            (right - left + cell) * (upper - lower + cell)
        };
        task.weight.iter().zip(&task.shaped).map(boxed).sum()
    }

    /// A canvas of coarser cells.
    pub(super) fn coarse(&self) -> Field {
        let size = (self.settings.width, self.settings.height);
        let cell = self.field.cell * 2.0;
        // To the nearest cell: the fine canvas decides.
        let padding = (self.settings.padding / cell).round() * cell;
        Field::new(size, self.settings.shape.as_ref(), cell, padding)
    }

    /// Nearly the greatest scale at which all words fit, on a canvas other than the layout's own
    /// where one is given. If they fit at none, its gap gives way.
    pub(super) fn greatest(
        &mut self,
        task: &Task<'_>,
        mut other: Option<&mut Field>,
        fonts: &Fonts,
    ) -> f32 {
        let cell = other.as_deref().unwrap_or(&self.field).cell;
        let (least, most) = (self.least_scale(task, cell), self.most_scale(task));
        let first = (USUAL / self.share(task)).sqrt().max(least).min(most);
        let mut scale = first;
        let (mut low, mut high): (Option<f32>, Option<f32>) = (None, None);
        let mut down = STEP;
        loop {
            let laid = self.place_all(task, scale, Size::Exact, other.as_deref_mut(), fonts);
            if laid.is_some() {
                low = Some(scale);
            } else {
                high = Some(scale);
            }
            scale = match (low, high) {
                (Some(low), _) if low >= most => return low,
                (Some(low), Some(high)) if high / low <= CLOSE => return low,
                (Some(low), Some(high)) => (low * high).sqrt(),
                (Some(low), None) => (low * STEP).min(most),
                (None, _) if scale <= least => {
                    other.as_deref_mut().unwrap_or(&mut self.field).ease();
                    (high, down) = (None, STEP);
                    first
                }
                (None, _) => {
                    let next = (scale / down).max(least);
                    down *= down;
                    next
                }
            };
        }
    }

    /// All words at one scale, on a canvas other than the layout's own where one is given.
    pub(super) fn place_all(
        &mut self,
        task: &Task<'_>,
        scale: f32,
        for_size: Size,
        other: Option<&mut Field>,
        fonts: &Fonts,
    ) -> Option<Laid> {
        let number = task.words.len();
        let field = other.unwrap_or(&mut self.field);
        field.clear();
        let (wide, high) = (field.canvas.width() as i32, field.canvas.height() as i32);
        let corners = [(0, 0), (wide, high), (wide, 0), (0, high)];
        let mut laid = Laid {
            anchors: vec![(0, 0); number],
            inks: vec![Ink::blank(0, 0, 1, 1); number],
            turned: task.turned.clone(),
        };
        // What is to give way for days begins about the middle and has the air at its edges.
        let inner = match for_size {
            Size::Exact if number > FEW => MIDDLE,
            _ => number,
        };
        for (rank, &index) in task.order.iter().enumerate() {
            let size = task.weight[index] * scale;
            // All corners in turn, beginning with another one by the seed.
            let corner = rank.wrapping_add(self.settings.seed as usize) % corners.len();
            let near = if rank < inner {
                super::target(task.words[index].key, self.settings.seed, field)
            } else {
                corners[corner]
            };
            let cell = field.cell;
            let sizes = match for_size {
                Size::Exact => (size, size),
                Size::Band => band(class_of(size)),
            };
            let draw = |turned: bool| fonts.ink(&task.shaped[index], sizes, cell, turned);
            let mut turned = task.turned[index];
            let mut ink = draw(turned);
            let mut found = field.free(&ink, near, f32::INFINITY);
            if found.is_none()
                && self.settings.vertical > 0.0
                && rank >= MIDDLE
                && task.shaped[index].turns()
            {
                // Rather turned than all words smaller.
                turned = !turned;
                ink = draw(turned);
                found = field.free(&ink, near, f32::INFINITY);
            }
            let (anchor, _) = found?;
            field.stamp(&ink, anchor);
            laid.anchors[index] = anchor;
            laid.inks[index] = ink;
            laid.turned[index] = turned;
        }
        Some(laid)
    }
}
