//! SVG. Each glyph stands once among the definitions; a word is a group of uses of them, with its
//! text and count as its title.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use hashbrown::HashMap;

use super::Drawing;
use crate::font::{DISC, Fonts};

/// What a definition is scaled to: path data in whole units of its face stay short.
const UNITS: f32 = 1000.0;

pub(super) fn write(drawing: &Drawing<'_>, fonts: &mut Fonts, out: &mut Vec<u8>) {
    let (width, height) = (drawing.width, drawing.height);
    let mut glyphs: HashMap<Option<(u16, u16)>, (usize, f32)> = HashMap::new();
    let (mut defs, mut body) = (
        String::new(),
        String::with_capacity(drawing.words.len() * 256),
    );
    for (word, place, color) in &drawing.words {
        let shaped = fonts.shape(word.text);
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            "<g transform=\"translate({} {}){} scale({}e-3)\" fill=\"{}\"><title>",
            short(place.x),
            short(place.y),
            if place.turned { " rotate(-90)" } else { "" },
            short(place.size),
            drawing.color(*color),
        );
        escape(word.text, &mut body);
        let _ = write!(body, ": {}</title>", word.count);
        for glyph in &shaped.glyphs {
            let key = glyph.face.map(|face| (face, glyph.id));
            let number = glyphs.len();
            let (number, units) = *glyphs
                .entry(key)
                .or_insert_with(|| (number, define(number, key, fonts, &mut defs)));
            if units == 0.0 {
                continue;
            }
            let x = (glyph.x - shaped.advance / 2.0) * UNITS;
            let _ = write!(
                body,
                "<use href=\"#g{number}\" transform=\"translate({}",
                short(x)
            );
            let _ = write!(body, " {})", short(-glyph.y * UNITS));
            if units != UNITS {
                let _ = write!(body, " scale({})", UNITS / units);
            }
            body.push_str("\"/>");
        }
        body.push_str("</g>");
    }
    let mut svg = String::with_capacity(defs.len() + body.len() + 512);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\"><title>",
    );
    escape(&drawing.title, &mut svg);
    let _ = write!(svg, "</title><defs>{defs}</defs>");
    if let Some(color) = drawing.background.color() {
        let _ = write!(
            svg,
            "<rect width=\"{width}\" height=\"{height}\" fill=\"{color}\"/>"
        );
    }
    svg.push_str(&body);
    svg.push_str("</svg>");
    out.extend_from_slice(svg.as_bytes());
}

/// Adds a definition and answers how many of its units make an em; 0 for a glyph without ink.
fn define(number: usize, key: Option<(u16, u16)>, fonts: &Fonts, defs: &mut String) -> f32 {
    let Some((face, id)) = key else {
        let [left, lower, right, upper] = DISC.map(|edge| edge * UNITS);
        let (x, y, r) = (
            (left + right) / 2.0,
            -(lower + upper) / 2.0,
            (right - left) / 2.0,
        );
        let _ = write!(
            defs,
            "<circle id=\"g{number}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"
        );
        return UNITS;
    };
    if let Some(picture) = fonts.picture(face, id) {
        let [left, top, wide, high] = picture.place.map(|length| length * UNITS);
        let _ = write!(
            defs,
            "<image id=\"g{number}\" x=\"{left}\" y=\"{}\" width=\"{wide}\" height=\"{high}\" href=\"data:image/png;base64,",
            -top
        );
        STANDARD.encode_string(&picture.png, defs);
        defs.push_str("\"/>");
        return UNITS;
    }
    let (path, units) = fonts.path(face, id);
    if path.is_empty() {
        return 0.0;
    }
    // The axis of a face points up.
    let _ = write!(
        defs,
        "<path id=\"g{number}\" transform=\"scale(1 -1)\" d=\"{path}\"/>"
    );
    units
}

/// A number with two decimals at most.
fn short(value: f32) -> String {
    format!("{}", (f64::from(value) * 100.0).round() / 100.0)
}

fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What XML does not allow at all.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
}
