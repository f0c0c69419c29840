//! Where the words stand. Sizes are exactly proportional to the square root of the counts; no two
//! words share a cell of ink; every word is placed, for when one does not fit, all shrink.
//!
//! A frame starts from the one before: a word that was there stays on its spot while its ink still
//! fits, else it moves to the nearest place that is free; newcomers go to the free place nearest to
//! the middle. The common scale keeps still while the area of the words calls for nearly the same.
//! A few outlying words are drawn inwards each frame, so that holes close without a jump.
//!
//! Invariant: the same frames in the same order give the same layout; nothing here reads a clock.

mod place;

use hashbrown::HashMap;

use crate::font::Face;
use crate::mask::{Grid, Ink};

/// Side of a cell of the canvas in pixels.
pub const CELL: f32 = 2.0;
/// Share of the greatest scale that fits which a fresh layout uses: air for the words to change.
const EASE: f32 = 0.95;
/// How far the scale may be from what the words' area calls for before it follows.
const TOO_LARGE: f32 = 1.06;
const TOO_SMALL: f32 = 0.93;
/// Largest size and width of a word, in parts of the canvas's height and width.
const MOST_HEIGHT: f32 = 0.34;
const MOST_WIDTH: f32 = 0.92;
/// How much further out the large words may drift than in a fresh layout, as a ratio of squared
/// distances, before all is laid out afresh; and for how many frames that is not considered.
const DRIFT: f32 = 1.7;
const SETTLED: u32 = 20;
/// Words among the largest that are never turned.
const NEVER_TURNED: usize = 8;

/// What the layout is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Height of the canvas in pixels.
    pub height: u32,
    /// Share of the words, 0 to 1, that stand upright.
    pub vertical: f32,
    /// Varies the pattern.
    pub seed: u64,
}

/// A word of the frame, in the order of its rank.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// How often it occurs.
    pub count: u64,
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
    /// Width of the word in pixels.
    pub width: f32,
    /// Whether it is turned to read from the bottom to the top.
    pub turned: bool,
}

#[derive(Debug, Clone, Copy)]
struct Spot {
    x: i32,
    y: i32,
    turned: bool,
}

/// The layout and what it keeps from frame to frame.
#[derive(Debug)]
pub struct Layout {
    settings: Settings,
    face: Face,
    canvas: Grid,
    blocked: Grid,
    spots: HashMap<Box<str>, Spot>,
    scale: Option<f32>,
    /// Share of the canvas that the words' boxes took in the last fresh layout.
    fill: f32,
    /// How far out the words stood in it.
    spread: f32,
    /// Frames since.
    age: u32,
}

/// One frame at work: words with what is known of them.
struct Task {
    /// Square root of the word's share of all counts.
    weight: Vec<f32>,
    /// Width in parts of the em.
    advance: Vec<f32>,
    turned: Vec<bool>,
    home: Vec<Option<(i32, i32)>>,
    /// Indices, largest first.
    order: Vec<usize>,
}

struct Laid {
    anchors: Vec<(i32, i32)>,
    inks: Vec<Ink>,
}

impl Layout {
    /// An empty canvas.
    pub fn new(settings: Settings) -> Self {
        let (wide, high) = (
            (settings.width as f32 / CELL) as usize,
            (settings.height as f32 / CELL) as usize,
        );
        Self {
            settings,
            face: Face::embedded(),
            canvas: Grid::new(wide, high),
            blocked: Grid::new(wide, high),
            spots: HashMap::new(),
            scale: None,
            fill: 0.6,
            spread: 0.0,
            age: 0,
        }
    }

    /// Places every one of `words`, which stand in the order of their rank.
    pub fn arrange(&mut self, words: &[Word<'_>]) -> Vec<Place> {
        if words.is_empty() {
            self.spots.clear();
            self.scale = None;
            return Vec::new();
        }
        let mut task = self.task(words);
        let kept = task.home.iter().filter(|home| home.is_some()).count();
        let followed = match self.scale {
            Some(scale) if kept * 2 >= words.len().min(self.spots.len()) => {
                self.age += 1;
                let (scale, laid) = self.follow(words, &task, scale);
                let drifted = self.age > SETTLED && self.spread(&laid) > self.spread * DRIFT;
                (!drifted).then_some((scale, laid))
            }
            _ => None,
        };
        let (scale, laid) = match followed {
            Some(followed) => followed,
            None => {
                task.home.fill(None);
                let (scale, laid) = self.begin(words, &task);
                (self.spread, self.age) = (self.spread(&laid), 0);
                (scale, laid)
            }
        };
        self.scale = Some(scale);
        self.spots.clear();
        let mut places = Vec::with_capacity(words.len());
        for (index, word) in words.iter().enumerate() {
            let (x, y) = laid.anchors[index];
            let turned = task.turned[index];
            self.spots.insert(word.text.into(), Spot { x, y, turned });
            let size = rounded(task.weight[index] * scale);
            places.push(Place {
                x: x as f32 * CELL,
                y: y as f32 * CELL,
                size,
                width: task.advance[index] * size,
                turned,
            });
        }
        places
    }

    fn task(&self, words: &[Word<'_>]) -> Task {
        let total: u64 = words.iter().map(|word| word.count).sum::<u64>().max(1);
        let weight: Vec<f32> = words
            .iter()
            .map(|word| (word.count as f64 / total as f64).sqrt().max(1e-4) as f32)
            .collect();
        let advance = words
            .iter()
            .map(|word| self.face.advance(word.text))
            .collect();
        let spots: Vec<_> = words.iter().map(|word| self.spots.get(word.text)).collect();
        let turned = words
            .iter()
            .zip(&spots)
            .enumerate()
            .map(|(rank, (word, spot))| match spot {
                Some(spot) => spot.turned && rank >= NEVER_TURNED,
                None => {
                    rank >= NEVER_TURNED
                        && chance(word.text, self.settings.seed) < self.settings.vertical
                }
            });
        let turned: Vec<bool> = turned.collect();
        let home = spots
            .iter()
            .zip(&turned)
            .map(|(spot, &turned)| {
                spot.filter(|spot| spot.turned == turned)
                    .map(|spot| (spot.x, spot.y))
            })
            .collect();
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|&a, &b| weight[b].total_cmp(&weight[a]).then(a.cmp(&b)));
        Task {
            weight,
            advance,
            turned,
            home,
            order,
        }
    }

    /// Mean squared distance of the words from the middle, in parts of the canvas, the large ones
    /// counting most.
    fn spread(&self, laid: &Laid) -> f32 {
        let (mut sum, mut mass) = (0.0, 0.0);
        for (index, ink) in laid.inks.iter().enumerate() {
            let weight = (ink.width * ink.height) as f32;
            sum += weight * weight * self.distance(laid, index);
            mass += weight * weight;
        }
        sum / mass
    }

    /// Squared distance of a word from the middle, in parts of the canvas.
    fn distance(&self, laid: &Laid, index: usize) -> f32 {
        let (ink, (x, y)) = (&laid.inks[index], laid.anchors[index]);
        let middle = |anchor: i32, edge: i32, length: usize, whole: usize| {
            ((anchor + edge) as f32 + length as f32 / 2.0) / whole as f32 - 0.5
        };
        middle(x, ink.left, ink.width, self.canvas.width()).powi(2)
            + middle(y, ink.top, ink.height, self.canvas.height()).powi(2)
    }

    /// The scale at which the words' boxes make up `fill` of the canvas.
    fn scale_for(&self, task: &Task, fill: f32) -> f32 {
        let area: f32 = task
            .weight
            .iter()
            .zip(&task.advance)
            .map(|(weight, advance)| weight * weight * advance * 0.75)
            .sum();
        (fill * self.settings.width as f32 * self.settings.height as f32 / area.max(1e-9)).sqrt()
    }

    /// The scale beyond which some word alone would be too large.
    fn most_scale(&self, task: &Task) -> f32 {
        let (width, height) = (self.settings.width as f32, self.settings.height as f32);
        (0..task.weight.len())
            .map(|index| {
                let along = if task.turned[index] { height } else { width };
                (MOST_HEIGHT * height).min(MOST_WIDTH * along / task.advance[index].max(0.2))
                    / task.weight[index]
            })
            .fold(f32::INFINITY, f32::min)
    }

    /// A fresh layout at nearly the greatest scale that fits.
    fn begin(&mut self, words: &[Word<'_>], task: &Task) -> (f32, Laid) {
        let most = self.most_scale(task);
        let mut high = most.min(self.scale_for(task, 1.1));
        let mut low = high;
        if self.place_all(words, task, high).is_none() {
            low = high * 0.8;
            while self.place_all(words, task, low).is_none() {
                high = low;
                low *= 0.8;
            }
            for _ in 0..4 {
                let middle = (low * high).sqrt();
                if self.place_all(words, task, middle).is_some() {
                    low = middle;
                } else {
                    high = middle;
                }
            }
        }
        let mut scale = if low < most { low * EASE } else { low };
        self.fill = (scale / self.scale_for(task, 1.0)).powi(2);
        loop {
            // A smaller scale nearly always fits where a larger one did; where it does not, the
            // next one is tried.
            if let Some(laid) = self.place_all(words, task, scale) {
                return (scale, laid);
            }
            scale *= 0.97;
        }
    }

    /// A frame that keeps the words of the last where they are as far as it can.
    fn follow(&mut self, words: &[Word<'_>], task: &Task, last: f32) -> (f32, Laid) {
        let wanted = self.scale_for(task, self.fill);
        let most = self.most_scale(task);
        let mut scale = if last > wanted * TOO_LARGE {
            wanted
        } else if last < wanted * TOO_SMALL {
            wanted.min(last * 1.06)
        } else {
            last
        }
        .min(most);
        loop {
            if let Some(laid) = self.place_kept(words, task, scale) {
                return (scale, laid);
            }
            if let Some(laid) = self.place_all(words, task, scale) {
                return (scale, laid);
            }
            scale *= 0.95;
        }
    }
}

/// Sizes go out with two decimals; ink is measured at the very size that goes out.
fn rounded(size: f32) -> f32 {
    (size * 100.0).round().max(1.0) / 100.0
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
