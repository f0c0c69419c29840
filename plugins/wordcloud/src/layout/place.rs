//! Putting words down: the ones that can stay first, the others on the nearest free place.

use super::{CELL, Laid, Layout, Task, Word, chance, rounded};
use crate::mask::Ink;

/// Cells kept free around a word when it is put down anew; a word that grows may use them up
/// before it has to move.
const GAP: usize = 2;
/// Share of the way to the middle that a word takes which has to move anyway.
const PULL: f32 = 0.25;
/// Words drawn inwards in a frame, candidates tried for it, and the gain in squared distance that
/// makes a move worth seeing.
const DRAWN_IN: usize = 3;
const CANDIDATES: usize = 24;
const WORTH: f32 = 0.6;

/// The box that a word is put down in: its ink with free cells around it, more of them in the
/// direction of reading, lest two words on one line read as one.
struct Frame {
    wide: usize,
    high: usize,
    /// Free cells left of the ink, and above it.
    gap: (i32, i32),
}

impl Frame {
    fn of(ink: &Ink, turned: bool) -> Self {
        let along = GAP + ink.width.min(ink.height) / 9;
        let (x, y) = if turned { (GAP, along) } else { (along, GAP) };
        Self {
            wide: ink.width + 2 * x,
            high: ink.height + 2 * y,
            gap: (x as i32, y as i32),
        }
    }
}

impl Layout {
    fn inks(&self, words: &[Word<'_>], task: &Task, scale: f32) -> Vec<Ink> {
        let ink = |(index, word): (usize, &Word<'_>)| {
            self.face.ink(
                word.text,
                rounded(task.weight[index] * scale),
                CELL,
                task.turned[index],
            )
        };
        words.iter().enumerate().map(ink).collect()
    }

    /// All words anew, each as near as it can be to where it was or, without that, to the middle.
    pub(super) fn place_all(
        &mut self,
        words: &[Word<'_>],
        task: &Task,
        scale: f32,
    ) -> Option<Laid> {
        let inks = self.inks(words, task, scale);
        let mut anchors = vec![(0, 0); words.len()];
        self.canvas.clear();
        for &index in &task.order {
            anchors[index] = self.put(
                words[index].text,
                task.home[index],
                &inks[index],
                task.turned[index],
            )?;
        }
        Some(Laid { anchors, inks })
    }

    /// First the words that can stay, then the others.
    pub(super) fn place_kept(
        &mut self,
        words: &[Word<'_>],
        task: &Task,
        scale: f32,
    ) -> Option<Laid> {
        let inks = self.inks(words, task, scale);
        let mut anchors = vec![(0, 0); words.len()];
        let mut others = Vec::new();
        self.canvas.clear();
        for &index in &task.order {
            let ink = &inks[index];
            match task.home[index] {
                Some((x, y)) if self.canvas.fits(ink, x + ink.left, y + ink.top) => {
                    self.canvas.stamp(ink, x + ink.left, y + ink.top);
                    anchors[index] = (x, y);
                }
                _ => others.push(index),
            }
        }
        for index in others {
            anchors[index] = self.put(
                words[index].text,
                task.home[index],
                &inks[index],
                task.turned[index],
            )?;
        }
        let mut laid = Laid { anchors, inks };
        self.draw_in(task, &mut laid);
        Some(laid)
    }

    /// Stamps a word on the free place nearest to `home`, or to a point near the middle, and
    /// answers its anchor.
    fn put(
        &mut self,
        word: &str,
        home: Option<(i32, i32)>,
        ink: &Ink,
        turned: bool,
    ) -> Option<(i32, i32)> {
        let Frame { wide, high, gap } = Frame::of(ink, turned);
        let (x, y) = match home {
            Some((x, y)) => {
                let inwards = |at: i32, middle: usize, long: usize| {
                    at + (((middle as i32 - long as i32) / 2 - at) as f32 * PULL) as i32
                };
                (
                    inwards(x + ink.left - gap.0, self.canvas.width(), wide),
                    inwards(y + ink.top - gap.1, self.canvas.height(), high),
                )
            }
            None => {
                let (width, height) = (self.canvas.width() as f32, self.canvas.height() as f32);
                let side = chance(word, self.settings.seed ^ 0x5eed) - 0.5;
                let above = chance(word, self.settings.seed ^ 0xface) - 0.5;
                (
                    (width * (0.5 + 0.08 * side)) as i32 - wide as i32 / 2,
                    (height * (0.5 + 0.08 * above)) as i32 - high as i32 / 2,
                )
            }
        };
        self.blocked.block(&self.canvas, wide, high);
        let (x, y, _) = self.blocked.nearest_free(x, y, wide, high)?;
        self.canvas.stamp(ink, x + gap.0, y + gap.1);
        Some((x + gap.0 - ink.left, y + gap.1 - ink.top))
    }

    /// Moves a few of the outermost words inwards where there is room.
    fn draw_in(&mut self, task: &Task, laid: &mut Laid) {
        let (width, height) = (self.canvas.width() as i32, self.canvas.height() as i32);
        let mut far: Vec<usize> = (0..laid.anchors.len()).collect();
        // A large word on the rim is more out of place than a small one.
        let amiss = |index: usize| self.distance(laid, index) * laid.inks[index].height as f32;
        far.sort_by(|&a, &b| amiss(b).total_cmp(&amiss(a)).then(a.cmp(&b)));
        let mut moved = 0;
        for index in far.into_iter().take(CANDIDATES) {
            let (x, y) = laid.anchors[index];
            let ink = &laid.inks[index];
            let Frame { wide, high, gap } = Frame::of(ink, task.turned[index]);
            self.canvas.erase(ink, x + ink.left, y + ink.top);
            self.blocked.block(&self.canvas, wide, high);
            let middle = ((width - wide as i32) / 2, (height - high as i32) / 2);
            let found = self.blocked.nearest_free(middle.0, middle.1, wide, high);
            if let Some((x, y, _)) =
                found.filter(|(_, _, cost)| *cost < WORTH * self.distance(laid, index))
            {
                laid.anchors[index] = (x + gap.0 - ink.left, y + gap.1 - ink.top);
                moved += 1;
            }
            let (x, y) = laid.anchors[index];
            self.canvas.stamp(ink, x + ink.left, y + ink.top);
            if moved == DRAWN_IN {
                break;
            }
        }
    }
}
