//! A steady layout: frames that change as little as the counts allow.

use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};

use super::{
    Layout, NEVER_TURNED, Reserved, Settings, Spot, Task, Word,
    fit::Size,
    place::{Claim, aligned, centre},
    target,
};
use crate::{
    font::{Fonts, Shaped},
    mask::Ink,
};

/// Sizes are counted in steps, so many from one to its double; steps from one band to the next (a
/// factor of 1.025), and from a band's middle to its ends. Bands overlap, so that a size which
/// wanders about the border of one does not change bands each frame.
const STEPS: f32 = 112.0;
const BAND: i32 = 4;
const HALF: i32 = 6;
/// Share of the greatest scale that a first layout uses: air for the words to change.
const EASE: f32 = 0.9;
/// How far the words' share of the room may be from the one aimed at before the scale follows, and
/// by how much it changes in a frame at most: words that shrink stay where they are.
const SLACK: f32 = 1.03;
const UP: f32 = 1.01;
const DOWN: f32 = 1.1;
/// What is taken from the share aimed at when words did not fit.
const GIVE: f32 = 0.995;
/// How far a kept word moves in a frame on average, in parts of the diagonal, where the share aimed
/// at stays as it is: a fuller canvas has less room to give way. Frames over which it is averaged;
/// by how much the share changes in a frame where nothing moves, and how much faster it falls.
const RESTLESS: f32 = 0.0006;
const MEMORY: f32 = 200.0;
const GAIN: f32 = 0.001;
const LEAST_CALM: f32 = 10.0;
/// Bounds of that share; boxes that overlap count twice.
const LEAST_FILL: f32 = 0.5;
const MOST_FILL: f32 = 0.84;
/// By how much closer to the middle, in squared distance, a word has to come for it to be moved.
const WORTH: f32 = 0.5;
/// How many cells from the place of a word that has gone a newcomer may take it.
const INSTEAD: f32 = 12.0;
/// Frames between two looks for a word that could stand closer to the middle.
const LOOK: u32 = 3;
/// Frames for which the reserved ink of a word is kept that is not in use.
const KEPT_FRAMES: u32 = 2_000;
/// Bytes of ink that all layouts keep, and that one keeps at least; what is kept beside its bits.
const KEPT_BYTES: usize = 8 << 20;
const LEAST_KEPT_BYTES: usize = 64 << 10;
const BESIDE_BITS: usize = 160;

/// The band in whose middle `size` is.
pub(super) fn class_of(size: f32) -> i32 {
    (size.max(f32::MIN_POSITIVE).log2() * STEPS / BAND as f32).round() as i32
}

fn size_at(step: i32) -> f32 {
    (step as f32 / STEPS).exp2()
}

pub(super) fn size_of(class: i32) -> f32 {
    size_at(class.saturating_mul(BAND))
}

/// Its smallest size and its largest.
pub(super) fn band(class: i32) -> (f32, f32) {
    let middle = class.saturating_mul(BAND);
    let [low, high] = [-HALF, HALF].map(|step| size_at(middle.saturating_add(step)));
    (low, high)
}

/// From one place to another.
fn way(from: (i32, i32), to: (i32, i32)) -> f32 {
    ((from.0 - to.0) as f32).hypot((from.1 - to.1) as f32)
}

/// A [`Reserved`] to look for.
#[derive(Hash)]
struct Wanted<'a>(&'a str, i32, bool);

impl Equivalent<Reserved> for Wanted<'_> {
    fn equivalent(&self, (text, class, turned): &Reserved) -> bool {
        (self.0, self.1, self.2) == (text, *class, *turned)
    }
}

fn kept_bytes((text, ..): &Reserved, ink: &Ink) -> usize {
    // Twice: as it is, and with the cells around it.
    text.len() + 2 * ink.bytes() + BESIDE_BITS
}

/// Whether `size` is within a band.
fn within(size: f32, class: i32) -> bool {
    let (low, high) = band(class);
    (low..=high).contains(&size)
}

impl Spot {
    /// Puts it there.
    pub(super) fn put(&mut self, at: (i32, i32)) {
        (self.x, self.y, self.stands) = (at.0, at.1, true);
    }

    /// Whether the ink that it has reserved will do for its word in this frame.
    fn serves(&self, word: Word<'_>, size: f32, turned: bool) -> bool {
        within(size, self.class) && *self.text == *word.text && self.turned == turned
    }
}

impl Layout {
    /// Keeps the words of the last frame where they are as far as it can; answers the scale.
    pub(super) fn keep(&mut self, task: &Task<'_>, fonts: &Fonts) -> f32 {
        let scale = self.hold(task, fonts);
        self.forget();
        scale
    }

    fn hold(&mut self, task: &Task<'_>, fonts: &Fonts) -> f32 {
        let kept = self.stands.iter().flatten().count();
        let before = kept + self.gone.iter().flatten().count();
        let Some(unit) = self
            .unit
            .filter(|_| kept * 2 >= task.words.len().min(before))
        else {
            return self.begin(task, fonts);
        };
        let share = self.share(task);
        let most = self.most_scale(task);
        let wanted = (self.fill / share).sqrt();
        let last = (unit * task.whole) as f32;
        let ratio = (last / wanted).powi(2);
        let mut scale = if (1.0 / SLACK..=SLACK).contains(&ratio) {
            last
        } else {
            wanted.clamp(last / DOWN, last * UP)
        }
        .min(most);
        let calm = (1.0 - self.restless / RESTLESS).max(-LEAST_CALM);
        self.fill = (self.fill * (1.0 + GAIN * calm)).clamp(LEAST_FILL, MOST_FILL);
        self.tries = 0;
        self.before.clear();
        let stood = self.stands.iter();
        self.before
            .extend(stood.map(|spot| spot.as_ref().map(|spot| (spot.x, spot.y))));
        if self.follow(task, scale, fonts) {
            if calm > 0.0 {
                self.draw_in(task);
            }
        } else {
            while !self.again(task, scale, fonts) {
                self.fill = (share * scale * scale)
                    .min(self.fill * GIVE)
                    .max(LEAST_FILL);
                scale = self.less(task, scale * 0.985);
            }
        }
        let moved = self.before.iter().zip(&self.stands);
        let moved = moved.map(|(before, now)| match (before, now) {
            (Some(before), Some(now)) => way(*before, (now.x, now.y)),
            _ => 0.0,
        });
        let total: f32 = moved.sum();
        let size = (self.field.canvas.width(), self.field.canvas.height());
        let diagonal = way((0, 0), (size.0 as i32, size.1 as i32));
        let movement = total / kept.max(1) as f32 / diagonal;
        self.restless += (movement - self.restless) / (self.frame as f32).clamp(1.0, MEMORY);
        scale
    }

    /// A first layout, with air for the words to change.
    fn begin(&mut self, task: &Task<'_>, fonts: &Fonts) -> f32 {
        if self.field.gap() < self.settings.padding {
            // What is kept of other words' distance is of the smaller gap.
            (self.inks, self.ink_bytes) = (HashMap::new(), 0);
        }
        self.field.keep_gap(self.settings.padding);
        let mut scale = self.greatest(task, None, fonts) * EASE;
        let laid = loop {
            match self.place_all(task, scale, Size::Band, None, fonts) {
                Some(laid) => break laid,
                None => scale = self.less(task, scale * 0.985),
            }
        };
        self.stand(task, scale, laid);
        self.fill = (self.share(task) * scale * scale).clamp(LEAST_FILL, MOST_FILL);
        scale
    }

    /// The scale to try next: `scale`, but if it makes no word smaller the gap gives way.
    fn less(&mut self, task: &Task<'_>, scale: f32) -> f32 {
        let least = self.least_scale(task, self.field.cell);
        if scale < least {
            self.field.ease();
        }
        scale.max(least)
    }

    /// Changes on the canvas what has changed in the frame. If a word finds no place it answers
    /// false, and the canvas is to be made anew.
    fn follow(&mut self, task: &Task<'_>, scale: f32, fonts: &Fonts) -> bool {
        self.left.clear();
        for spot in self.gone.iter().flatten() {
            self.field.erase(&spot.ink, (spot.x, spot.y));
            self.left.push(centre(&spot.ink, (spot.x, spot.y)));
        }
        self.left.sort_unstable();
        // First those that can stay. The others wait as they are, so that no other takes their place.
        let mut waiting = Vec::new();
        for &index in &task.order {
            let (word, turned) = (task.words[index], task.turned[index]);
            let size = task.weight[index] * scale;
            let stood = self.stands[index].as_ref();
            if stood.is_some_and(|spot| spot.serves(word, size, turned)) {
                continue;
            }
            let stood = stood.map(|spot| (Arc::clone(&spot.ink), (spot.x, spot.y)));
            let ink = self.reserved(task, index, scale, fonts);
            let Some((old, home)) = stood else {
                waiting.push((index, ink));
                continue;
            };
            self.field.erase(&old, home);
            if self.field.fits(&ink, home) {
                self.settle(task, index, scale, turned, ink, home);
            } else {
                self.field.stamp(&old, home);
                waiting.push((index, ink));
            }
        }
        waiting
            .into_iter()
            .all(|(index, ink)| self.house(task, index, scale, ink, fonts))
    }

    /// Puts a word down as near as possible to where it was. A newcomer rather turns than finds no
    /// place.
    fn house(
        &mut self,
        task: &Task<'_>,
        index: usize,
        scale: f32,
        ink: Arc<Claim>,
        fonts: &Fonts,
    ) -> bool {
        let word = task.words[index];
        let turned = task.turned[index];
        if let Some(spot) = &mut self.stands[index] {
            if std::mem::take(&mut spot.stands) {
                self.field.erase(&spot.ink, (spot.x, spot.y));
            }
            let home = self.before[index].unwrap_or((spot.x, spot.y));
            let Some(anchor) = self.make_room(&ink, home) else {
                return false;
            };
            self.settle(task, index, scale, turned, ink, anchor);
            return true;
        }
        // It takes the place of one that has gone, if that is large enough.
        for at in 0..self.left.len() {
            let near = aligned(&ink, self.left[at]);
            if let Some((anchor, _)) = self.field.near(None, &ink, near, INSTEAD) {
                self.left.swap_remove(at);
                self.settle(task, index, scale, turned, ink, anchor);
                return true;
            }
        }
        let near = target(word.key, self.settings.seed, &self.field);
        let may_turn =
            self.settings.vertical > 0.0 && index >= NEVER_TURNED && task.shaped[index].turns();
        if let Some((anchor, _)) = self.field.free(&ink, near, f32::INFINITY) {
            self.settle(task, index, scale, turned, ink, anchor);
            return true;
        }
        if may_turn {
            let class = class_of(task.weight[index] * scale);
            let ink = self.swept(word.text, &task.shaped[index], class, !turned, fonts);
            if let Some((anchor, _)) = self.field.free(&ink, near, f32::INFINITY) {
                self.settle(task, index, scale, !turned, ink, anchor);
                return true;
            }
        }
        let Some(anchor) = self.make_room(&ink, near) else {
            return false;
        };
        self.settle(task, index, scale, turned, ink, anchor);
        true
    }

    /// All words anew, largest first, each where it was or near it: a large word that has to move
    /// pushes smaller ones aside.
    fn again(&mut self, task: &Task<'_>, scale: f32, fonts: &Fonts) -> bool {
        self.field.clear();
        for spot in self.stands.iter_mut().flatten() {
            spot.stands = false;
        }
        for &index in &task.order {
            let size = task.weight[index] * scale;
            let word = task.words[index];
            let spot = self.stands[index].as_ref();
            let home = spot.map(|spot| (spot.x, spot.y));
            let known = spot
                .filter(|spot| spot.serves(word, size, task.turned[index]))
                .map(|spot| Arc::clone(&spot.ink));
            let ink = known.unwrap_or_else(|| self.reserved(task, index, scale, fonts));
            match home {
                Some(home) if self.field.fits(&ink, home) => {
                    self.settle(task, index, scale, task.turned[index], ink, home)
                }
                _ if self.house(task, index, scale, ink, fonts) => {}
                _ => return false,
            }
        }
        true
    }

    fn settle(
        &mut self,
        task: &Task<'_>,
        index: usize,
        scale: f32,
        turned: bool,
        ink: Arc<Claim>,
        anchor: (i32, i32),
    ) {
        self.field.stamp(&ink, anchor);
        let size = task.weight[index] * scale;
        let word = task.words[index];
        let class = match &self.stands[index] {
            Some(spot) if spot.serves(word, size, turned) => spot.class,
            _ => class_of(size),
        };
        let (key, text) = match self.stands[index].take() {
            Some(spot) if *spot.text == *word.text => (spot.key, spot.text),
            Some(spot) => (spot.key, word.text.into()),
            None => (word.key.into(), word.text.into()),
        };
        self.stands[index] = Some(Spot {
            key,
            text,
            x: anchor.0,
            y: anchor.1,
            turned,
            class,
            ink,
            shaped: Arc::clone(&task.shaped[index]),
            stands: true,
        });
    }

    /// The ink that a word may touch while its size is in the band of today's.
    fn reserved(&mut self, task: &Task<'_>, index: usize, scale: f32, fonts: &Fonts) -> Arc<Claim> {
        let class = class_of(task.weight[index] * scale);
        let (text, shaped) = (task.words[index].text, &task.shaped[index]);
        self.swept(text, shaped, class, task.turned[index], fonts)
    }

    /// The ink of a word over a band of sizes.
    pub(super) fn swept(
        &mut self,
        text: &str,
        shaped: &Shaped,
        class: i32,
        turned: bool,
        fonts: &Fonts,
    ) -> Arc<Claim> {
        let wanted = Wanted(text, class, turned);
        if let Some((ink, used)) = self.inks.get_mut(&wanted) {
            *used = self.frame;
            return Arc::clone(ink);
        }
        let key = (Box::from(text), class, turned);
        let ink = fonts.ink(shaped, band(class), self.field.cell, turned);
        let ink = Arc::new(Claim::from(ink));
        self.ink_bytes += kept_bytes(&key, &ink);
        self.inks.insert(key, (Arc::clone(&ink), self.frame));
        ink
    }

    /// Moves one word closer to the middle if there is room, so that holes close without a jump.
    fn draw_in(&mut self, task: &Task<'_>) {
        if !self.frame.is_multiple_of(LOOK) {
            return;
        }
        let index = task.order[(self.frame / LOOK) as usize % task.order.len()];
        let Some(spot) = &self.stands[index] else {
            return;
        };
        let (ink, at) = (Arc::clone(&spot.ink), (spot.x, spot.y));
        let middle = self.field.middle;
        let (x, y) = centre(&ink, at);
        let part = |way: i32, whole: usize| (way as f32 / whole as f32).powi(2);
        let distance = part(x - middle.0, self.field.canvas.width())
            + part(y - middle.1, self.field.canvas.height());
        self.field.erase(&ink, at);
        let found = self.field.free(&ink, middle, WORTH * distance);
        let to = found.map_or(at, |(to, _)| to);
        self.field.stamp(&ink, to);
        if let Some(spot) = &mut self.stands[index] {
            (spot.x, spot.y) = to;
        }
    }

    fn forget(&mut self) {
        let most = self.settings.ink_bytes();
        if self.ink_bytes <= most {
            return;
        }
        let (frame, mut bytes) = (self.frame, 0);
        self.inks.retain(|key, (ink, used)| {
            let stays = frame.wrapping_sub(*used) < KEPT_FRAMES;
            bytes += if stays { kept_bytes(key, ink) } else { 0 };
            stays
        });
        if bytes > most {
            (self.inks, bytes) = (HashMap::new(), 0);
        }
        self.ink_bytes = bytes;
    }
}

impl Settings {
    /// Bytes of reserved ink that a layout keeps for when it is needed again.
    pub(super) fn ink_bytes(&self) -> usize {
        (KEPT_BYTES / self.layouts.max(1)).max(LEAST_KEPT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_ink_stays_within_its_bytes_though_words_keep_changing() {
        let mut layout = Layout::new(Settings {
            width: 640,
            height: 360,
            layouts: 1000,
            ..Settings::default()
        });
        let most = layout.settings.ink_bytes();
        let mut forgot = false;
        for frame in 0..80 {
            // Eight of twenty are new in each frame.
            let texts: Vec<String> = (0..20)
                .map(|at| format!("word{}", frame * 8 + at))
                .collect();
            let words: Vec<Word<'_>> = texts.iter().map(|text| Word::new(text, 5)).collect();
            let before = layout.inks.len();
            layout.arrange(&words);
            assert!(layout.ink_bytes <= most, "{}", layout.ink_bytes);
            forgot |= layout.inks.len() < before;
        }
        assert!(forgot);
    }
}
