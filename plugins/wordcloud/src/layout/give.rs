//! Giving way: a word that has grown rather pushes its neighbours a little aside than that it jumps
//! over them to the next hole.
//!
//! What is pushed may push in turn. All is tried on the canvas itself, and taken back where it comes
//! dearer than a jump.

use std::sync::Arc;

use super::{
    Layout,
    place::{Claim, Field},
};
use crate::mask::Grid;

/// How many pixels off a place is so near that no push is tried.
const NEAR: f32 = 12.0;
/// How many pixels off one that is pushed looks for a hole before it pushes others.
const AROUND: f32 = 48.0;
/// How many pixels all words of a push may move together where there is a hole to jump to.
const CHEAP: f32 = 120.0;
/// How often in a row one that is pushed pushes others, and how many words at once.
const DEPTH: usize = 8;
const MOST: usize = 16;
/// Pushes that are tried for one word, and in a frame: then words jump.
const TRIES: usize = 8;
const FRAME_TRIES: usize = 8;

/// A push at work.
struct Push {
    /// Words that were lifted, and where they stood.
    lifted: Vec<(usize, (i32, i32))>,
    /// What has its place by now, and a canvas of it alone.
    firm: Vec<(Arc<Claim>, (i32, i32))>,
    canvas: Grid,
    tries: usize,
}

impl Push {
    fn firm_up(&mut self, ink: &Arc<Claim>, at: (i32, i32)) {
        self.canvas.stamp(ink, at.0 + ink.left, at.1 + ink.top);
        self.firm.push((Arc::clone(ink), at));
    }

    fn soften(&mut self, from: usize) {
        for (ink, at) in self.firm.drain(from..) {
            self.canvas.erase(&ink, at.0 + ink.left, at.1 + ink.top);
        }
    }
}

impl Layout {
    /// A place for `ink` near to `home`, for which others have given way if it comes cheaper.
    pub(super) fn make_room(&mut self, ink: &Arc<Claim>, home: (i32, i32)) -> Option<(i32, i32)> {
        let cell = self.field.cell;
        let hole = self.field.near(None, ink, home, AROUND / cell);
        if let Some((at, _)) = hole.filter(|(_, way)| *way < NEAR / cell) {
            return Some(at);
        }
        let canvas = self.firm.take().unwrap_or_else(|| self.field.bare());
        let mut push = Push {
            lifted: Vec::new(),
            firm: Vec::new(),
            canvas,
            tries: TRIES.min(FRAME_TRIES.saturating_sub(self.tries)),
        };
        let tries = push.tries;
        let cheap = hole.map_or(CHEAP / cell, |(_, way)| way);
        let found = self.push_from(ink, home, cheap, &mut push);
        let beyond = 4.0 * AROUND / cell;
        let far = |field: &mut Field| field.near_from(beyond, None, ink, home, f32::INFINITY);
        let mut found = found.or_else(|| Some(hole.or_else(|| far(&mut self.field))?.0));
        self.tries += tries - push.tries;
        if found.is_none() {
            push.tries = TRIES;
            found = self.push_from(ink, home, f32::INFINITY, &mut push);
        }
        push.soften(0);
        self.firm = Some(push.canvas);
        found
    }

    /// Makes a place for `ink` by pushing others, which move less than `most` cells together with
    /// it.
    fn push_from(
        &mut self,
        ink: &Arc<Claim>,
        home: (i32, i32),
        most: f32,
        push: &mut Push,
    ) -> Option<(i32, i32)> {
        let (at, own) = self.field.near(Some(&push.canvas), ink, home, most)?;
        self.push(ink, at, most - own, DEPTH, push)?;
        self.field.erase(ink, at);
        Some(at)
    }

    /// Stamps `ink` at `at`, and those that stand there less than `most` cells off, all together;
    /// answers how many. If that cannot be, all is as before.
    fn push(
        &mut self,
        ink: &Arc<Claim>,
        at: (i32, i32),
        most: f32,
        depth: usize,
        push: &mut Push,
    ) -> Option<f32> {
        push.tries = push.tries.checked_sub(1)?;
        let mut hit = Vec::new();
        for (index, spot) in self.stands.iter().enumerate() {
            if let Some(spot) = spot.as_ref().filter(|spot| spot.stands)
                && self.field.meet(ink, at, &spot.ink, (spot.x, spot.y))
            {
                hit.push((spot.ink.width * spot.ink.height, index));
            }
        }
        if hit.len() > MOST {
            return None;
        }
        // The largest first.
        hit.sort_unstable_by(|one, other| other.cmp(one));
        let before = (push.lifted.len(), push.firm.len());
        for &(_, index) in &hit {
            self.lift(index, push);
        }
        self.field.stamp(ink, at);
        push.firm_up(ink, at);
        let mut way = 0.0;
        for (_, index) in hit {
            let Some(own) = self.move_aside(index, most - way, depth, push) else {
                self.field.erase(ink, at);
                self.take_back(before, push);
                return None;
            };
            way += own;
        }
        Some(way)
    }

    /// Puts a word down that was lifted, less than `most` cells away with all that it pushes;
    /// answers how many.
    fn move_aside(
        &mut self,
        index: usize,
        most: f32,
        depth: usize,
        push: &mut Push,
    ) -> Option<f32> {
        let spot = self.stands[index].as_ref()?;
        let home = self.before.get(index).copied().flatten();
        let home = home.unwrap_or((spot.x, spot.y));
        let ink = Arc::clone(&spot.ink);
        let (near, around) = (NEAR / self.field.cell, AROUND / self.field.cell);
        let mut hole = self.field.near(None, &ink, home, most.min(around));
        let least = hole.map_or(most, |(_, way)| way);
        if least > near
            && depth > 1
            && let Some((at, own)) = self.field.near(Some(&push.canvas), &ink, home, least)
            && let Some(others) = self.push(&ink, at, least - own, depth - 1, push)
        {
            self.stands[index].as_mut()?.put(at);
            return Some(own + others);
        }
        if hole.is_none() && most > around && push.tries > 0 {
            hole = self.field.near(None, &ink, home, most);
        }
        let (at, own) = hole?;
        self.field.stamp(&ink, at);
        push.firm_up(&ink, at);
        self.stands[index].as_mut()?.put(at);
        Some(own)
    }

    fn lift(&mut self, index: usize, push: &mut Push) {
        if let Some(spot) = &mut self.stands[index] {
            self.field.erase(&spot.ink, (spot.x, spot.y));
            spot.stands = false;
            push.lifted.push((index, (spot.x, spot.y)));
        }
    }

    /// Puts words back where they were when so many had been lifted and were firm.
    fn take_back(&mut self, (lifted, firm): (usize, usize), push: &mut Push) {
        push.soften(firm);
        // All go before any comes back: one may stand where another stood.
        for (index, _) in &push.lifted[lifted..] {
            if let Some(spot) = self.stands[*index].as_ref().filter(|spot| spot.stands) {
                self.field.erase(&spot.ink, (spot.x, spot.y));
            }
        }
        for (index, at) in push.lifted.drain(lifted..) {
            if let Some(spot) = &mut self.stands[index] {
                spot.put(at);
                self.field.stamp(&spot.ink, at);
            }
        }
    }
}
