//! PNG, one pixel of the canvas each.

use std::io::Cursor;

use super::Drawing;
use crate::font::{Coverage, DISC, Fonts, Glyph, Picture};
use crate::layout::Place;
use crate::palette::rgb;

/// The picture as it is drawn: red, green, blue and alpha of each pixel.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
}

pub(super) fn write(
    drawing: &Drawing<'_>,
    fonts: &mut Fonts,
    out: &mut Vec<u8>,
) -> Result<(), png::EncodingError> {
    let behind = match drawing.background.color() {
        Some(color) => opaque(rgb(color), 255),
        None => [0; 4],
    };
    let (width, height) = (drawing.width as usize, drawing.height as usize);
    let mut canvas = Canvas {
        width,
        height,
        pixels: vec![behind; width * height],
    };
    for (word, place, color) in &drawing.words {
        let shaped = fonts.shape(word.text);
        for glyph in &shaped.glyphs {
            let pen = (glyph.x - shaped.advance / 2.0) * place.size;
            canvas.glyph(glyph, place, pen, rgb(drawing.color(*color)), fonts);
        }
    }
    let mut encoder = png::Encoder::new(Cursor::new(out), drawing.width, drawing.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(canvas.pixels.as_flattened())?;
    writer.finish()
}

fn opaque([red, green, blue]: [u8; 3], alpha: u8) -> [u8; 4] {
    [red, green, blue, alpha]
}

impl Canvas {
    /// Draws a glyph whose pen stands `pen` pixels along the baseline from the word's anchor.
    fn glyph(&mut self, glyph: &Glyph, place: &Place, pen: f32, color: [u8; 3], fonts: &Fonts) {
        let (size, up) = (place.size, glyph.y * place.size);
        let Some(face) = glyph.face else {
            self.disc(place, pen, color);
            return;
        };
        if let Some(picture) = glyph.solid.then(|| fonts.picture(face, glyph.id)).flatten() {
            self.picture(&picture, place, pen, up);
            return;
        }
        // A turned word is drawn flat about the corner of a pixel and turned pixel by pixel: its
        // baseline goes up along the column of its anchor.
        let (along, down) = if place.turned {
            (pen - place.y.fract(), place.x.fract() - up)
        } else {
            (pen + place.x.fract(), place.y.fract() - up)
        };
        let (x, y) = (place.x.floor() as i32, place.y.floor() as i32);
        let Coverage {
            left,
            top,
            width,
            pixels,
        } = fonts.coverage(face, glyph.id, size, along, down);
        for (line, row) in pixels.chunks(width.max(1)).enumerate() {
            for (column, &share) in row.iter().enumerate().filter(|(_, share)| **share > 0) {
                let (dx, dy) = (left + column as i32, top + line as i32);
                let (dx, dy) = if place.turned {
                    (dy, -dx - 1)
                } else {
                    (dx, dy)
                };
                self.blend(x + dx, y + dy, opaque(color, share));
            }
        }
    }

    /// Draws what stands for a character that no face has.
    fn disc(&mut self, place: &Place, pen: f32, color: [u8; 3]) {
        let [left, lower, right, upper] = DISC.map(|edge| edge * place.size);
        let radius = (right - left) / 2.0;
        let (along, up) = (pen + left + radius, lower + (upper - lower) / 2.0);
        let (x, y) = on_canvas(place, along, up);
        for line in (y - radius).floor() as i32..=(y + radius).ceil() as i32 {
            for column in (x - radius).floor() as i32..=(x + radius).ceil() as i32 {
                let away = (column as f32 + 0.5 - x).hypot(line as f32 + 0.5 - y);
                let share = (radius - away + 0.5).clamp(0.0, 1.0);
                self.blend(column, line, opaque(color, (share * 255.0) as u8));
            }
        }
    }

    /// Draws a picture, each pixel the mean of those that it covers.
    fn picture(&mut self, picture: &Picture, place: &Place, pen: f32, up: f32) {
        let Some((wide, high, pixels)) = decode(&picture.png) else {
            return;
        };
        let [left, top, width, height] = picture.place.map(|length| length * place.size);
        let (from, above) = (pen + left, up + top);
        let (a, b) = (
            on_canvas(place, from, above),
            on_canvas(place, from + width, above - height),
        );
        let step = (width / wide as f32, height / high as f32);
        for y in a.1.min(b.1).floor() as i32..a.1.max(b.1).ceil() as i32 {
            for x in a.0.min(b.0).floor() as i32..a.0.max(b.0).ceil() as i32 {
                let (dx, dy) = (x as f32 - place.x, y as f32 - place.y);
                let (along, down) = if place.turned {
                    (-dy - 1.0, dx)
                } else {
                    (dx, dy)
                };
                let clamp = |at: f32, most: usize| at.clamp(0.0, most as f32) as usize;
                let columns = clamp((along - from) / step.0, wide)
                    ..clamp(((along + 1.0 - from) / step.0).ceil(), wide);
                let rows = clamp((down + above) / step.1, high)
                    ..clamp(((down + 1.0 + above) / step.1).ceil(), high);
                let number = (columns.len() * rows.len()) as u32;
                if number == 0 {
                    continue;
                }
                let (mut sum, mut alpha) = ([0_u32; 3], 0_u32);
                for row in rows {
                    for pixel in &pixels[row * wide..][columns.clone()] {
                        let share = u32::from(pixel[3]);
                        alpha += share;
                        for (sum, part) in sum.iter_mut().zip(pixel) {
                            *sum += u32::from(*part) * share;
                        }
                    }
                }
                let color = sum.map(|sum| (sum / alpha.max(1)) as u8);
                self.blend(x, y, opaque(color, (alpha / number) as u8));
            }
        }
    }

    /// Puts a colour over what is there.
    fn blend(&mut self, x: i32, y: i32, [red, green, blue, share]: [u8; 4]) {
        let inside = |at: i32, most: usize| usize::try_from(at).ok().filter(|at| *at < most);
        let (Some(x), Some(y)) = (inside(x, self.width), inside(y, self.height)) else {
            return;
        };
        let under = &mut self.pixels[y * self.width + x];
        let over = u32::from(share);
        let rest = u32::from(under[3]) * (255 - over) / 255;
        let alpha = over + rest;
        if alpha == 0 {
            return;
        }
        for (under, part) in under.iter_mut().zip([red, green, blue]) {
            *under = ((u32::from(part) * over + u32::from(*under) * rest) / alpha) as u8;
        }
        under[3] = alpha as u8;
    }
}

/// Where a point of a word is, given along its baseline and up from it.
fn on_canvas(place: &Place, along: f32, up: f32) -> (f32, f32) {
    if place.turned {
        (place.x - up, place.y - along)
    } else {
        (place.x + along, place.y - up)
    }
}

fn decode(bytes: &[u8]) -> Option<(usize, usize, Vec<[u8; 4]>)> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(
        png::Transformations::normalize_to_color8() | png::Transformations::ALPHA,
    );
    let mut reader = decoder.read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut pixels).ok()?;
    let pixels = match info.color_type {
        png::ColorType::Rgba => pixels.as_chunks().0.to_vec(),
        png::ColorType::GrayscaleAlpha => pixels
            .as_chunks()
            .0
            .iter()
            .map(|&[grey, alpha]| opaque([grey; 3], alpha))
            .collect(),
        _ => return None,
    };
    Some((info.width as usize, info.height as usize, pixels))
}
