//! One face: its bytes, and the glyphs in them as outlines, pictures and coverage.

use std::{cell::RefCell, sync::Arc};

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use hashbrown::HashMap;
use ttf_parser::{GlyphId, OutlineBuilder, RasterImageFormat, Tag};

/// Weight that is asked of faces that have an axis of it.
const BOLD: f32 = 700.0;

/// The bytes of a face, without a copy where they are part of the program.
enum Data {
    Embedded(&'static [u8]),
    Read(Arc<Vec<u8>>),
}

/// A typeface that shapes and draws.
pub(super) struct Face {
    data: Data,
    index: u32,
    pub(super) shaper: harfrust::Font,
    pub(super) units: f32,
    pub(super) embedded: bool,
    /// Edges of glyphs that were asked for.
    edges: RefCell<HashMap<u16, Option<[f32; 4]>>>,
}

/// Coverage of a glyph: its upper left pixel relative to the pen on the baseline, and its rows.
pub struct Coverage {
    /// From the pen to the left edge.
    pub left: i32,
    /// From the baseline to the upper edge; the axis points down.
    pub top: i32,
    /// Pixels a row.
    pub width: usize,
    /// A byte a pixel.
    pub pixels: Vec<u8>,
}

/// A glyph that is a picture, as colour emoji are.
pub struct Picture {
    /// PNG.
    pub png: Vec<u8>,
    /// Its left edge, upper edge, width and height in parts of the em; the axis points up.
    pub place: [f32; 4],
}

impl Face {
    pub(super) fn embedded(data: &'static [u8]) -> Option<Self> {
        let shaper = harfrust::Font::new(data, 0)?;
        Self::new(Data::Embedded(data), shaper, 0)
    }

    pub(super) fn read(data: Vec<u8>, index: u32) -> Option<Self> {
        let data = Arc::new(data);
        let shared: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::clone(&data) as _;
        let mut shaper = harfrust::Font::new(shared, index)?;
        if !shaper.axes().is_empty() {
            shaper = shaper
                .instance_builder()
                .variations([("wght", BOLD)])
                .build();
        }
        Self::new(Data::Read(data), shaper, index)
    }

    fn new(data: Data, shaper: harfrust::Font, index: u32) -> Option<Self> {
        let units = f32::from(shaper.units_per_em());
        let embedded = matches!(data, Data::Embedded(_));
        (units > 0.0).then_some(Self {
            data,
            index,
            shaper,
            units,
            embedded,
            edges: RefCell::default(),
        })
    }

    fn parsed(&self) -> Option<ttf_parser::Face<'_>> {
        let bytes: &[u8] = match &self.data {
            Data::Embedded(bytes) => bytes,
            Data::Read(bytes) => bytes,
        };
        let mut face = ttf_parser::Face::parse(bytes, self.index).ok()?;
        let _ = face.set_variation(Tag::from_bytes(b"wght"), BOLD);
        Some(face)
    }

    pub(super) fn has(&self, letter: char) -> bool {
        self.shaper
            .charmap()
            .map_unicode(letter)
            .is_some_and(|id| id.to_u32() != 0)
    }

    /// Left, lower, right and upper edge of a glyph in parts of the em; none if it has no ink.
    pub(super) fn bounds(&self, id: u16) -> Option<[f32; 4]> {
        *self
            .edges
            .borrow_mut()
            .entry(id)
            .or_insert_with(|| self.edges(id))
    }

    fn edges(&self, id: u16) -> Option<[f32; 4]> {
        let face = self.parsed()?;
        if let Some(picture) = self.picture(id) {
            let [left, top, wide, high] = picture.place;
            return Some([left, top - high, left + wide, top]);
        }
        let mut nothing = Trace::default();
        let rect = face.outline_glyph(GlyphId(id), &mut nothing)?;
        let part = |value: i16| f32::from(value) / self.units;
        Some([
            part(rect.x_min),
            part(rect.y_min),
            part(rect.x_max),
            part(rect.y_max),
        ])
    }

    /// Whether nothing can be drawn of a glyph, which the carried faces have looked after.
    pub(super) fn blank(&self, id: u16) -> bool {
        !self.embedded && self.bounds(id).is_none()
    }

    /// Coverage of a glyph at `size` pixels an em, whose pen stands at (x, y).
    pub(super) fn coverage(&self, id: u16, size: f32, x: f32, y: f32) -> Coverage {
        let empty = Coverage {
            left: 0,
            top: 0,
            width: 0,
            pixels: Vec::new(),
        };
        let Some(face) = self.parsed() else {
            return empty;
        };
        let mut trace = Trace::default();
        let Some(rect) = face.outline_glyph(GlyphId(id), &mut trace) else {
            return empty;
        };
        let scale = size / self.units;
        let left = (f32::from(rect.x_min) * scale + x).floor();
        let top = (y - f32::from(rect.y_max) * scale).floor();
        let width = (f32::from(rect.x_max) * scale + x - left).ceil() as usize + 1;
        let height = (y - f32::from(rect.y_min) * scale - top).ceil() as usize + 1;
        let mut raster = Rasterizer::new(width, height);
        let to = |at: Point| point(at.x * scale + x - left, y - at.y * scale - top);
        let mut pen = point(0.0, 0.0);
        for step in &trace.steps {
            pen = match *step {
                Step::Move(at) => at,
                Step::Line(at) => {
                    raster.draw_line(to(pen), to(at));
                    at
                }
                Step::Quad(by, at) => {
                    raster.draw_quad(to(pen), to(by), to(at));
                    at
                }
                Step::Cubic(by, and, at) => {
                    raster.draw_cubic(to(pen), to(by), to(and), to(at));
                    at
                }
            };
        }
        let mut pixels = vec![0; width * height];
        raster.for_each_pixel(|index, share| pixels[index] = (share * 255.0).min(255.0) as u8);
        Coverage {
            left: left as i32,
            top: top as i32,
            width,
            pixels,
        }
    }

    /// The outline as the data of an SVG path in units of the face, the axis pointing up.
    pub(super) fn path(&self, id: u16) -> String {
        use std::fmt::Write as _;
        let mut trace = Trace::default();
        if let Some(face) = self.parsed() {
            face.outline_glyph(GlyphId(id), &mut trace);
        }
        let mut path = String::new();
        for (index, step) in trace.steps.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Move(at) if index == 0 => write!(path, "M{} {}", at.x, at.y),
                Step::Move(at) => write!(path, "ZM{} {}", at.x, at.y),
                Step::Line(at) => write!(path, "L{} {}", at.x, at.y),
                Step::Quad(by, at) => write!(path, "Q{} {} {} {}", by.x, by.y, at.x, at.y),
                Step::Cubic(by, and, at) => write!(
                    path,
                    "C{} {} {} {} {} {}",
                    by.x, by.y, and.x, and.y, at.x, at.y
                ),
            };
        }
        if !path.is_empty() {
            path.push('Z');
        }
        path
    }

    /// The glyph as a picture, where the face has it as one.
    pub(super) fn picture(&self, id: u16) -> Option<Picture> {
        if self.embedded {
            return None;
        }
        let face = self.parsed()?;
        let image = face.glyph_raster_image(GlyphId(id), u16::MAX)?;
        if image.format != RasterImageFormat::PNG {
            return None;
        }
        let part = |value: f32| value / f32::from(image.pixels_per_em.max(1));
        let (wide, high) = (f32::from(image.width), f32::from(image.height));
        let (left, low) = (f32::from(image.x), f32::from(image.y));
        Some(Picture {
            png: image.data.to_vec(),
            place: [part(left), part(low + high), part(wide), part(high)],
        })
    }
}

#[derive(Clone, Copy)]
enum Step {
    Move(Point),
    Line(Point),
    Quad(Point, Point),
    Cubic(Point, Point, Point),
}

/// An outline as it comes, each contour closed.
#[derive(Default)]
struct Trace {
    steps: Vec<Step>,
    start: Point,
}

impl OutlineBuilder for Trace {
    fn move_to(&mut self, x: f32, y: f32) {
        self.start = point(x, y);
        self.steps.push(Step::Move(self.start));
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.steps.push(Step::Line(point(x, y)));
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.steps.push(Step::Quad(point(x1, y1), point(x, y)));
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.steps
            .push(Step::Cubic(point(x1, y1), point(x2, y2), point(x, y)));
    }
    fn close(&mut self) {
        self.steps.push(Step::Line(self.start));
    }
}
