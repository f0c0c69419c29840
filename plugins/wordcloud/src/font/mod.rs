//! Words as glyphs: which face has each character, in what order and shape the glyphs stand, and
//! what they look like.
//!
//! Faces are asked in order: those that the plugin carries (Noto Sans Bold for Latin, Greek and
//! Cyrillic, and its sisters for Arabic, Hebrew, Devanagari and Thai), then those of the machine.
//! Letters are set without kerning or optional ligatures, as the page sets them too, so that what
//! is laid out here is what is drawn there; forms and ligatures that a script demands are set.
//!
//! Invariant: glyph 0, the box that faces draw for what they lack, is never drawn.

mod face;
mod ink;
mod system;

use std::{
    cell::RefCell,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use harfrust::{Buffer, Direction, Feature, ShapeOptions, ShapePlan, ShaperFont, Tag};
use hashbrown::{HashMap, HashSet};
use icu_segmenter::GraphemeClusterSegmenter;
use unicode_bidi::BidiInfo;
use unicode_script::{Script, UnicodeScript as _};
use unicode_width::UnicodeWidthChar as _;

use face::Face;
pub use face::{Coverage, Picture};
use ink::GLYPH_BYTES;
pub use system::MOST_BYTES;
use system::System;

pub use typeface::NOTO_SANS;

use crate::emoji::is_emoji;

/// The other carried faces, each with the first and last characters for which it is asked.
const SISTERS: [(char, char, &[u8]); 4] = [
    ('\u{590}', '\u{5ff}', typeface::HEBREW),
    ('\u{600}', '\u{77f}', typeface::ARABIC),
    ('\u{900}', '\u{97f}', typeface::DEVANAGARI),
    ('\u{e00}', '\u{e7f}', typeface::THAI),
];
/// Bytes of words' glyphs that are kept, and what a word takes beside them.
const WORD_BYTES: usize = 8 << 20;
const BESIDE_GLYPHS: usize = 200;
/// Bytes that all fonts together keep of glyphs and words.
pub const KEPT_BYTES: usize = GLYPH_BYTES + WORD_BYTES;
/// Clusters of which it is kept that no face has them.
const KEPT: usize = 20_000;
/// Above and below the baseline, in parts of the em, of what another program will draw.
const BOX: (f32, f32) = (1.0, -0.34);

/// Where glyphs come from besides the carried faces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Fonts, or folders of them, that are asked before those of the machine.
    pub files: Vec<PathBuf>,
    /// Whether the machine's fonts are used.
    pub machine: bool,
    /// Whether a page draws the words, which has the carried faces and its reader's others.
    pub page: bool,
}

impl Shaped {
    /// How far its ink reaches from its anchor, in parts of the em.
    pub fn reach(&self) -> f32 {
        self.bounds
            .iter()
            .fold(0.0, |most, edge| edge.abs().max(most))
    }

    /// Whether the word may be turned: pictures, which are not read, stand upright.
    pub fn turns(&self) -> bool {
        !self.glyphs.iter().all(|glyph| glyph.solid)
    }
}

/// The faces that several layouts and drawings share, made when they are first needed.
#[derive(Debug, Clone, Default)]
pub struct Book {
    sources: Sources,
    fonts: Arc<Mutex<Option<Fonts>>>,
}

impl Book {
    /// Faces from these sources.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            fonts: Arc::default(),
        }
    }

    /// Lends the faces to `work`.
    pub fn lend<T>(&self, work: impl FnOnce(&mut Fonts) -> T) -> T {
        let mut fonts: MutexGuard<'_, _> =
            self.fonts.lock().unwrap_or_else(PoisonError::into_inner);
        work(fonts.get_or_insert_with(|| Fonts::new(&self.sources)))
    }
}

/// A glyph of a word. Lengths are parts of the em.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glyph {
    /// Its face; none: no face has the character, and a disc stands for it.
    pub face: Option<u16>,
    /// Its number in the face.
    pub id: u16,
    /// From the word's left edge to the pen.
    pub x: f32,
    /// From the baseline up.
    pub y: f32,
    /// Whether it is a picture, or a disc: a full square, seen from the layout.
    pub solid: bool,
}

/// A word as glyphs, from left to right as they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// The glyphs.
    pub glyphs: Vec<Glyph>,
    /// Width along the baseline.
    pub advance: f32,
    /// Left, lower, right and upper edge of the ink, from the middle of the width on the baseline;
    /// the axis points up.
    pub bounds: [f32; 4],
    /// Whether another program draws it in a face of its own: a full box, seen from the layout.
    pub boxed: bool,
    /// Characters that no face has.
    pub missing: Vec<char>,
}

/// All faces, and the words shaped with them.
pub struct Fonts {
    faces: Vec<Face>,
    sisters: [Option<Option<u16>>; SISTERS.len()],
    system: System,
    page: bool,
    /// Faces of the machine that are read.
    read: Vec<u16>,
    lacking: HashSet<Box<str>>,
    words: HashMap<Box<str>, Arc<Shaped>>,
    /// Bytes of those.
    bytes: usize,
    outlines: RefCell<ink::Outlines>,
    buffer: Option<Buffer>,
    /// What shaping a run goes by: its face, its script, and whether it reads from right to left.
    plans: HashMap<(u16, Option<harfrust::Script>, bool), ShapePlan>,
    clusters: icu_segmenter::GraphemeClusterSegmenterBorrowed<'static>,
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fonts of {} faces", self.faces.len())
    }
}

/// Whether a character is invisible by itself and may be left to the face of its neighbours.
fn ignorable(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

impl Fonts {
    /// The carried faces; others are looked for when they are needed.
    pub fn new(sources: &Sources) -> Self {
        let first = Face::embedded(NOTO_SANS).expect("the carried face is well formed");
        Self {
            faces: vec![first],
            sisters: Default::default(),
            system: System::new(sources.files.clone(), sources.machine),
            page: sources.page,
            read: Vec::new(),
            lacking: HashSet::new(),
            words: HashMap::new(),
            bytes: 0,
            outlines: RefCell::default(),
            buffer: None,
            plans: HashMap::new(),
            clusters: GraphemeClusterSegmenter::new(),
        }
    }

    /// The glyphs of `word`.
    pub fn shape(&mut self, word: &str) -> Arc<Shaped> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let shaped = Arc::new(self.set(word));
        if self.bytes >= WORD_BYTES {
            self.words.clear();
            self.bytes = 0;
        }
        self.bytes += word.len() + size_of_val(&*shaped.glyphs) + BESIDE_GLYPHS;
        self.words.insert(word.into(), Arc::clone(&shaped));
        shaped
    }

    /// The face for a cluster of characters that belong together.
    fn face_for(&mut self, cluster: &str) -> Option<u16> {
        let letters: Vec<char> = cluster
            .chars()
            .filter(|letter| !ignorable(*letter))
            .collect();
        let has = |face: &Face| letters.iter().all(|&letter| face.has(letter));
        let emoji = is_emoji(cluster);
        if !emoji && has(&self.faces[0]) {
            return Some(0);
        }
        for (index, (first, last, data)) in SISTERS.iter().enumerate() {
            if letters
                .iter()
                .any(|letter| (*first..=*last).contains(letter))
            {
                let faces = &mut self.faces;
                let face = *self.sisters[index].get_or_insert_with(|| {
                    faces.push(Face::embedded(data)?);
                    Some(faces.len() as u16 - 1)
                });
                if let Some(face) = face.filter(|&face| has(&self.faces[usize::from(face)])) {
                    return Some(face);
                }
            }
        }
        if let Some(&face) = self
            .read
            .iter()
            .find(|&&face| has(&self.faces[usize::from(face)]))
        {
            return Some(face);
        }
        if self.lacking.contains(cluster) || letters.is_empty() {
            return None;
        }
        if let Some(face) = self.system.find(&letters, emoji) {
            self.faces.push(face);
            let face = self.faces.len() as u16 - 1;
            self.read.push(face);
            return Some(face);
        }
        if has(&self.faces[0]) {
            return Some(0);
        }
        if self.lacking.len() >= KEPT {
            self.lacking.clear();
        }
        self.lacking.insert(cluster.into());
        None
    }

    fn set(&mut self, word: &str) -> Shaped {
        let bidi = BidiInfo::new(word, None);
        let mut shaped = Shaped {
            glyphs: Vec::new(),
            advance: 0.0,
            bounds: [0.0; 4],
            boxed: false,
            missing: Vec::new(),
        };
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let backwards = levels[run.start].is_rtl();
                let mut pieces = self.pieces(&word[run.clone()]);
                if backwards {
                    pieces.reverse();
                }
                for (text, face) in pieces {
                    match face {
                        Some(face) => self.run(text, face, backwards, &mut shaped),
                        None => discs(text, &mut shaped),
                    }
                }
            }
        }
        self.measure(&mut shaped);
        if self.page && !shaped.glyphs.iter().all(|glyph| self.carries(glyph.face)) {
            let half = shaped.advance / 2.0;
            shaped.boxed = true;
            shaped.bounds = [-half, BOX.1, half, BOX.0];
        }
        shaped
    }

    /// Whether a page has the face, too.
    fn carries(&self, face: Option<u16>) -> bool {
        face.is_some_and(|face| face == 0 || self.sisters.contains(&Some(Some(face))))
    }

    /// Cuts a run of one direction where the face or the script changes.
    fn pieces<'a>(&mut self, run: &'a str) -> Vec<(&'a str, Option<u16>)> {
        let mut ends = self.clusters.segment_str(run);
        let mut start = ends.next().unwrap_or(0);
        let ends: Vec<usize> = ends.collect();
        let mut pieces: Vec<(usize, usize, Option<u16>, Script)> = Vec::new();
        for end in ends {
            let cluster = &run[start..end];
            let script = cluster
                .chars()
                .map(|letter| letter.script())
                .find(|script| !matches!(script, Script::Common | Script::Inherited))
                .unwrap_or(Script::Common);
            let face = self.face_for(cluster);
            match pieces.last_mut() {
                Some((_, last, before, known))
                    if *before == face
                        && (script == Script::Common
                            || *known == Script::Common
                            || *known == script) =>
                {
                    *last = end;
                    if *known == Script::Common {
                        *known = script;
                    }
                }
                _ => pieces.push((start, end, face, script)),
            }
            start = end;
        }
        pieces
            .into_iter()
            .map(|(start, end, face, _)| (&run[start..end], face))
            .collect()
    }

    fn run(&mut self, text: &str, number: u16, backwards: bool, shaped: &mut Shaped) {
        let off = |tag: &[u8; 4]| Feature::new(Tag::new(tag), 0, ..);
        let face = &self.faces[usize::from(number)];
        let mut buffer = self.buffer.take().unwrap_or_default();
        buffer.clear();
        buffer.push_str(text);
        buffer.set_direction(if backwards {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        });
        buffer.guess_segment_properties();
        let features = [off(b"kern"), off(b"liga"), off(b"clig")];
        let script = buffer.script();
        let plan = self.plans.entry((number, script, backwards));
        let plan = plan.or_insert_with(|| {
            let direction = buffer.direction();
            ShapePlan::new(
                &face.shaper,
                direction,
                script,
                buffer.language(),
                &features,
            )
        });
        let options = ShapeOptions::new().plan(Some(plan)).features(&features);
        let font = ShaperFont::new(&face.shaper);
        if harfrust::shape(&font, &mut buffer, options).is_err() {
            discs(text, shaped);
            self.buffer = Some(buffer);
            return;
        }
        let part = |value: i32| value as f32 / face.units;
        let mut blank = None;
        for (info, at) in buffer.glyph_infos().iter().zip(buffer.glyph_positions()) {
            let id = u16::try_from(info.glyph_id).unwrap_or(0);
            let letter = text
                .get(info.cluster as usize..)
                .and_then(|rest| rest.chars().next())
                .filter(|letter| !ignorable(*letter));
            if id == 0 {
                if let Some(letter) = letter {
                    discs(letter.encode_utf8(&mut [0; 4]), shaped);
                }
                continue;
            }
            // What is neither an outline nor a picture that is read, as glyphs of colour vectors.
            if let Some(letter) = letter
                && !letter.is_whitespace()
                && face.blank(id)
            {
                if blank.replace(info.cluster) != Some(info.cluster) {
                    discs(letter.encode_utf8(&mut [0; 4]), shaped);
                }
                continue;
            }
            shaped.glyphs.push(Glyph {
                face: Some(number),
                id,
                x: shaped.advance + part(at.x_offset),
                y: part(at.y_offset),
                solid: face.picture(id).is_some(),
            });
            shaped.advance += part(at.x_advance);
        }
        self.buffer = Some(buffer);
    }

    fn measure(&self, shaped: &mut Shaped) {
        let mut all = [
            f32::INFINITY,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NEG_INFINITY,
        ];
        let half = shaped.advance / 2.0;
        for glyph in &shaped.glyphs {
            let bounds = match glyph.face {
                Some(face) => self.faces[usize::from(face)].bounds(glyph.id),
                None => Some(DISC),
            };
            if let Some([left, low, right, high]) = bounds {
                let (x, y) = (glyph.x - half, glyph.y);
                all[0] = all[0].min(left + x);
                all[1] = all[1].min(low + y);
                all[2] = all[2].max(right + x);
                all[3] = all[3].max(high + y);
            }
        }
        shaped.bounds = if all[0] <= all[2] {
            all
        } else {
            [-half.max(0.05), 0.0, half.max(0.05), 0.1]
        };
        shaped.advance = shaped.advance.max(0.1);
    }

    /// Coverage of a glyph whose pen stands at (x, y) in pixels, the axis pointing down.
    pub fn coverage(&self, face: u16, id: u16, size: f32, x: f32, y: f32) -> Coverage {
        self.faces[usize::from(face)].coverage(id, size, x, y)
    }

    /// A glyph's outline as the data of an SVG path, and the units of an em.
    pub fn path(&self, face: u16, id: u16) -> (String, f32) {
        let face = &self.faces[usize::from(face)];
        (face.path(id), face.units)
    }

    /// A glyph that is a picture.
    pub fn picture(&self, face: u16, id: u16) -> Option<Picture> {
        self.faces[usize::from(face)].picture(id)
    }
}

/// The disc that stands for what no face has: left, lower, right and upper edge.
pub const DISC: [f32; 4] = [0.08, -0.04, 0.88, 0.76];

/// Sets a disc for each character of `text` that is not invisible.
fn discs(text: &str, shaped: &mut Shaped) {
    let mut joined = false;
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0) > 0;
        if ignorable(letter) || !wide {
            joined |= letter == '\u{200d}';
            continue;
        }
        if !shaped.missing.contains(&letter) {
            shaped.missing.push(letter);
        }
        // What is joined to the character before makes one picture with it.
        if !std::mem::take(&mut joined) {
            shaped.glyphs.push(Glyph {
                face: None,
                id: 0,
                x: shaped.advance,
                y: 0.0,
                solid: true,
            });
            shaped.advance += 0.96;
        }
    }
}

#[cfg(test)]
mod tests;
