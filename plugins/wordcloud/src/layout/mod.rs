//! Where the words stand. Sizes are exactly in proportion to the counts by the chosen scale; no two
//! words share a cell of ink; every word is placed, for when one does not fit, all shrink.
//!
//! A *tight* layout is made for one picture: the greatest scale at which all words fit. A *steady*
//! one is for a stream of frames. There a word reserves the ink that it touches over a band of
//! sizes, and while its size stays within the band nothing moves; so a frame costs what has changed
//! in it. A word that outgrows its place goes to the nearest free one, newcomers fill gaps, and
//! the scale follows what the words need in small steps.
//!
//! Invariant: the same frames in the same order give the same layout; nothing here reads a clock.

mod fit;
mod give;
mod place;
mod state;
mod steady;

use std::sync::Arc;

use hashbrown::HashMap;

pub use crate::config::{Packing, Scale};
use crate::font::{Book, Fonts, Shaped};
use crate::mask::Grid;
use crate::shape::Shape;
use place::{Claim, Field};

/// Sides of a cell in pixels by the pixels of the canvas up to which they are used, in a tight
/// layout and in a steady one: where letters are larger, fineness buys less and costs more.
const TIGHT: [(u32, f32); 2] = [(600_000, 0.5), (2_200_000, 1.0)];
const STEADY: [(u32, f32); 1] = [(600_000, 1.0)];
const LARGE: f32 = 2.0;
/// Largest size and width of a word, in parts of the canvas's height and width.
const MOST_HEIGHT: f32 = 0.4;
const MOST_WIDTH: f32 = 0.95;
/// Layouts beyond which none keeps its working space between frames.
const MANY: usize = 8;
/// Words among the largest that are never turned.
const NEVER_TURNED: usize = 3;

/// What the layout is told once.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Height of the canvas in pixels.
    pub height: u32,
    /// Share of the words, 0 to 1, that stand upright.
    pub vertical: f32,
    /// Varies the pattern.
    pub seed: u64,
    /// Least distance in pixels between a word's box and the ink of the words placed before.
    pub padding: f32,
    /// From counts to sizes.
    pub scale: Scale,
    /// One picture or a stream.
    pub packing: Packing,
    /// Layouts of these settings that there may be: they share the memory for ink that is kept.
    pub layouts: usize,
    /// Smallest size in pixels that is still legible: below it a frame says by how much it shrank.
    pub legible: f32,
    /// Where words may stand; everywhere if there is none.
    pub shape: Option<Shape>,
    /// Where glyphs come from.
    pub fonts: Book,
}

/// A word of the frame, in the order of its rank.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// By which it is the same from frame to frame.
    pub key: &'a str,
    /// As it is written in this frame.
    pub text: &'a str,
    /// How often it occurs.
    pub count: u64,
}

impl<'a> Word<'a> {
    /// A word that is always written in one way.
    pub fn new(text: &'a str, count: u64) -> Self {
        Self {
            key: text,
            text,
            count,
        }
    }
}

/// A word's place on the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The middle of the word's width on its baseline, in pixels from the left.
    pub x: f32,
    /// The same from the top.
    pub y: f32,
    /// Font size in pixels an em.
    pub size: f32,
    /// Width of the word in pixels, along its baseline.
    pub width: f32,
    /// Whether it is turned to read from the bottom to the top.
    pub turned: bool,
    /// Left edge, upper edge, width and height of what it covers on the canvas.
    pub bounds: [f32; 4],
}

/// A word that stands on the canvas.
#[derive(Debug, Clone)]
struct Spot {
    key: Box<str>,
    /// As the word was written when its ink was reserved.
    text: Box<str>,
    x: i32,
    y: i32,
    turned: bool,
    /// The band of sizes for which it has reserved its ink.
    class: i32,
    ink: Arc<Claim>,
    shaped: Arc<Shaped>,
    /// Whether its ink is on the canvas, which it is but for moments of a frame at work.
    stands: bool,
}

/// What ink is reserved for: a way of writing, a band of sizes, and whether it is turned.
type Reserved = (Box<str>, i32, bool);

/// The layout and what it keeps from frame to frame.
#[derive(Debug)]
pub struct Layout {
    settings: Settings,
    field: Field,
    /// The words of the frame by their ranks, and those ranks by the words' keys.
    stands: Vec<Option<Spot>>,
    ranks: HashMap<Box<str>, u32>,
    /// In a frame at work the words that have gone, among gaps; and the ranks of those that are new.
    gone: Vec<Option<Spot>>,
    fresh: Vec<usize>,
    /// A canvas for pushes, in a frame at work.
    firm: Option<Grid>,
    inks: HashMap<Reserved, (Arc<Claim>, u32)>,
    /// Bytes of those inks.
    ink_bytes: usize,
    /// Pixels of a word for each unit of what its count amounts to by the scale: while it stays as
    /// it is, so do the words whose counts do.
    unit: Option<f64>,
    /// Share of the room that the words' boxes may take, which a steady layout learns.
    fill: f32,
    frame: u32,
    /// Where words stood in the last frame.
    before: Vec<Option<(i32, i32)>>,
    /// Middles of the places of words that have gone in this frame.
    left: Vec<(i32, i32)>,
    /// How far a word moves in a frame on average.
    restless: f32,
    /// Pushes that were tried in this frame.
    tries: usize,
    /// The scale of the last frame and what it means.
    said: Said,
}

/// What a frame says of its layout as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Pixels an em for a word of count 1 by [`Scale::Area`] and [`Scale::Linear`].
    pub unit: f64,
    /// The smallest word's size in parts of what is legible, at most 1.
    pub shrunk: f32,
    /// Whether the words stand closer than the padding, because they fit at no size with it.
    pub crowded: bool,
}

impl Said {
    /// Of a frame without words.
    const NOTHING: Self = Self {
        unit: 0.0,
        shrunk: 1.0,
        crowded: false,
    };
}

/// One frame at work: words with what is known of them.
struct Task<'a> {
    words: &'a [Word<'a>],
    /// In proportion to the size, a frame's sum of squares being 1 by [`Scale::Area`].
    weight: Vec<f32>,
    shaped: Vec<Arc<Shaped>>,
    turned: Vec<bool>,
    /// Indices, that of the largest box first.
    order: Vec<usize>,
    /// What a weight of 1 is, by the scale.
    whole: f64,
}

impl Layout {
    /// An empty canvas.
    pub fn new(settings: Settings) -> Self {
        let cells: &[(u32, f32)] = match settings.packing {
            Packing::Tight => &TIGHT,
            Packing::Steady => &STEADY,
        };
        let size = (settings.width, settings.height);
        let pixels = size.0 * size.1;
        let cell = cells
            .iter()
            .find(|(most, _)| pixels <= *most)
            .map_or(LARGE, |(_, cell)| *cell);
        Self {
            field: Field::new(size, settings.shape.as_ref(), cell, settings.padding),
            settings,
            stands: Vec::new(),
            ranks: HashMap::new(),
            gone: Vec::new(),
            fresh: Vec::new(),
            firm: None,
            inks: HashMap::new(),
            ink_bytes: 0,
            unit: None,
            fill: 0.7,
            frame: 0,
            before: Vec::new(),
            left: Vec::new(),
            restless: 0.0,
            tries: 0,
            said: Said::NOTHING,
        }
    }

    /// Bytes that a layout of `words` words takes at most, but for what is kept at work.
    pub fn bytes(settings: &Settings, words: usize) -> usize {
        // A cell has no less than half a pixel, and the boxes of all words cover the canvas no more
        // than twice. A word has its places, its names and its glyphs.
        const WORD: usize = 1024;
        let pixels = settings.width as usize * settings.height as usize;
        let cells = match settings.packing {
            Packing::Tight if pixels <= TIGHT[0].0 as usize => 4 * pixels,
            Packing::Tight => pixels,
            Packing::Steady if pixels <= STEADY[0].0 as usize => pixels,
            Packing::Steady => pixels / 4,
        };
        // The canvas, and working space of two passes and of pushes.
        6 * cells / 8 + words * WORD + settings.ink_bytes()
    }

    /// Words for which there is a place for certain, however long they are.
    pub fn places(&mut self) -> usize {
        let coarse = self.coarse().places();
        self.field.places().min(coarse)
    }

    /// What there is to say of the last frame.
    pub fn said(&self) -> Said {
        self.said
    }

    /// Which of the `ranked` words, by position, a frame of `most` words shows: the first ones,
    /// except that a word which is shown already gives way only to one that is clearly more
    /// frequent. It keeps words about the last rank from coming and going with each frame.
    pub fn choose(&self, ranked: &[Word<'_>], most: usize) -> Vec<usize> {
        /// Share of a newcomer's count that is enough for a word that is shown, and by how much less
        /// is enough where counts are small.
        const NEARLY: f64 = 0.85;
        const ONE: u64 = 1;
        let steady = self.settings.packing == Packing::Steady;
        if ranked.len() <= most || self.ranks.is_empty() || !steady {
            return (0..most.min(ranked.len())).collect();
        }
        let shown = |index: &usize| self.ranks.contains_key(ranked[*index].key);
        // The newcomer of least count waits for the most frequent word that would go, and so on.
        let newcomers = (0..most).rev().filter(|index| !shown(index));
        let behind = (most..ranked.len()).filter(shown);
        let nearly = |(newcomer, kept): &(usize, usize)| {
            let (new, old) = (ranked[*newcomer].count, ranked[*kept].count);
            new <= old + ONE || new as f64 * NEARLY <= old as f64
        };
        let (waiting, kept): (Vec<_>, Vec<_>) = newcomers.zip(behind).take_while(nearly).unzip();
        (0..most)
            .filter(|index| !waiting.contains(index))
            .chain(kept)
            .collect()
    }

    /// Places every one of `words`, which stand in the order of their rank, no key twice.
    ///
    /// # Panics
    /// If they fit at no size, which they do up to the number of [`Layout::places`].
    pub fn arrange(&mut self, words: &[Word<'_>]) -> Vec<Place> {
        if words.is_empty() {
            self.stands.clear();
            self.ranks.clear();
            self.unit = None;
            self.field.clear();
            self.said = Said::NOTHING;
            return Vec::new();
        }
        self.frame = self.frame.wrapping_add(1);
        let (task, scale) = self.settings.fonts.clone().lend(|fonts| {
            let task = self.task(words, fonts);
            let scale = match self.settings.packing {
                Packing::Tight => self.fit(&task, fonts),
                Packing::Steady => self.keep(&task, fonts),
            };
            (task, scale)
        });
        if self.settings.layouts > MANY {
            self.field.rest();
            self.firm = None;
        }
        self.unit = Some(f64::from(scale) / task.whole);
        let smallest = task.weight.iter().copied().fold(f32::INFINITY, f32::min) * scale;
        self.said = Said {
            unit: f64::from(scale) / task.whole,
            shrunk: (smallest / self.settings.legible.max(0.01)).min(1.0),
            crowded: self.field.gap() < self.settings.padding,
        };
        let place = |(index, spot): (usize, &Spot)| {
            let size = task.weight[index] * scale;
            let (x, y) = (
                spot.x as f32 * self.field.cell,
                spot.y as f32 * self.field.cell,
            );
            let [left, lower, right, upper] = spot.shaped.bounds.map(|edge| edge * size);
            Place {
                x,
                y,
                size,
                width: spot.shaped.advance * size,
                turned: spot.turned,
                bounds: if spot.turned {
                    [x - upper, y - right, upper - lower, right - left]
                } else {
                    [x + left, y - upper, right - left, upper - lower]
                },
            }
        };
        let places = self.stands.iter().flatten().enumerate().map(place);
        let places = places.collect();
        self.rank();
        places
    }

    /// Brings the ranks of words that are new up to date, and forgets those of words that have gone.
    fn rank(&mut self) {
        for spot in self.gone.drain(..).flatten() {
            self.ranks.remove(&spot.key);
        }
        for rank in self.fresh.drain(..) {
            if let Some(spot) = &self.stands[rank] {
                self.ranks.insert(spot.key.clone(), rank as u32);
            }
        }
    }

    fn task<'a>(&mut self, words: &'a [Word<'a>], fonts: &mut Fonts) -> Task<'a> {
        let raw: Vec<f64> = words
            .iter()
            .map(|word| match self.settings.scale {
                Scale::Area => (word.count as f64).sqrt(),
                Scale::Linear => word.count as f64,
                Scale::Log => (word.count as f64).ln_1p(),
            })
            .collect();
        let whole = raw
            .iter()
            .map(|raw| raw * raw)
            .sum::<f64>()
            .sqrt()
            .max(1e-9);
        let weight: Vec<f32> = raw
            .iter()
            .map(|raw| (raw / whole).max(1e-6) as f32)
            .collect();
        let mut shaped = Vec::with_capacity(words.len());
        let mut turned = Vec::with_capacity(words.len());
        std::mem::swap(&mut self.stands, &mut self.gone);
        self.stands.clear();
        if self.settings.packing == Packing::Tight {
            // Each picture is made anew.
            self.gone.clear();
            self.ranks.clear();
        }
        for (rank, word) in words.iter().enumerate() {
            let known = self.ranks.get_mut(word.key);
            self.stands.push(known.and_then(|known| {
                let before = std::mem::replace(known, rank as u32);
                self.gone.get_mut(before as usize)?.take()
            }));
            if self.stands[rank].is_none() {
                self.fresh.push(rank);
            }
            let spot = self.stands[rank].as_ref();
            let glyphs = match spot.filter(|spot| *spot.text == *word.text) {
                Some(spot) => Arc::clone(&spot.shaped),
                None => fonts.shape(word.text),
            };
            turned.push(match spot {
                Some(spot) => spot.turned && rank >= NEVER_TURNED && glyphs.turns(),
                None => {
                    rank >= NEVER_TURNED
                        && glyphs.turns()
                        && chance(word.key, self.settings.seed) < self.settings.vertical
                }
            });
            shaped.push(glyphs);
        }
        let mut order: Vec<usize> = (0..words.len()).collect();
        let area = |(shaped, weight): (&Arc<Shaped>, &f32)| {
            let [left, lower, right, upper] = shaped.bounds;
            weight.powi(2) * (right - left) * (upper - lower)
        };
        let areas: Vec<f32> = shaped.iter().zip(&weight).map(area).collect();
        order.sort_unstable_by(|&a, &b| areas[b].total_cmp(&areas[a]).then(a.cmp(&b)));
        Task {
            words,
            weight,
            shaped,
            turned,
            order,
            whole,
        }
    }

    /// Share of the room that the words' boxes take at a scale of 1, overlaps counted twice.
    fn share(&self, task: &Task<'_>) -> f32 {
        let area: f32 = task
            .weight
            .iter()
            .zip(&task.shaped)
            .map(|(weight, shaped)| {
                let [left, lower, right, upper] = shaped.bounds;
                weight * weight * (right - left) * (upper - lower)
            })
            .sum();
        (area / self.field.room()).max(1e-12)
    }

    /// The scale at which every word is smaller than a cell: less makes nothing fit that does not.
    fn least_scale(&self, task: &Task<'_>, cell: f32) -> f32 {
        // In a steady layout a word keeps some room to grow.
        const ROOM: f32 = 0.9;
        let sizes = task.shaped.iter().zip(&task.weight);
        sizes
            .map(|(shaped, weight)| ROOM * cell / (shaped.reach() * weight))
            .fold(f32::INFINITY, f32::min)
    }

    /// The scale beyond which some word alone would be too large.
    fn most_scale(&self, task: &Task<'_>) -> f32 {
        let (width, height) = (self.settings.width as f32, self.settings.height as f32);
        (0..task.weight.len())
            .map(|index| {
                let along = if task.turned[index] { height } else { width };
                let [left, _, right, _] = task.shaped[index].bounds;
                (MOST_HEIGHT * height).min(MOST_WIDTH * along / (right - left).max(0.2))
                    / task.weight[index]
            })
            .fold(f32::INFINITY, f32::min)
    }
}

/// Where a word goes that was nowhere before: close to the middle, not always to the same side.
fn target(word: &str, seed: u64, field: &Field) -> (i32, i32) {
    let aside = |length: usize, salt: u64| {
        let chance = chance(word, seed ^ salt) - 0.5;
        (length as f32 * 0.08 * chance) as i32
    };
    (
        field.middle.0 + aside(field.canvas.width(), 0x5eed),
        field.middle.1 + aside(field.canvas.height(), 0xface),
    )
}

/// A number from 0 to 1 that depends on the word and the seed alone.
pub fn chance(word: &str, seed: u64) -> f32 {
    (hash(word, seed) >> 40) as f32 / (1_u64 << 24) as f32
}

/// FNV-1a with a final mix: the same on every machine and in every release.
pub fn hash(word: &str, seed: u64) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for byte in word.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state = (state ^ state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ state >> 33
}
