//! The promises of the layout: no two words share ink, every word is placed, sizes are exact, the
//! same input gives the same picture, and words keep their places from frame to frame.
#![allow(clippy::unwrap_used)]

mod apart;
mod shapes;
mod steady;

use ab_glyph::{Font, FontRef, point};
use plugin_wordcloud::{
    font::{Book, NOTO_SANS, Sources},
    layout::{Layout, Packing, Place, Scale, Settings, Word},
    mask::Grid,
    shape::Shape,
};

const SYLLABLES: [&str; 20] = [
    "ka", "to", "mi", "lon", "er", "data", "st", "re", "am", "ber", "gy", "q", "pl", "über", "ing",
    "so", "fi", "wo", "JX", "na",
];

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn vocabulary(number: usize, seed: u64) -> Vec<String> {
    let mut state = seed;
    let mut words = Vec::new();
    while words.len() < number {
        let word: String = (0..1 + random(&mut state, 4))
            .map(|_| SYLLABLES[random(&mut state, 20) as usize])
            .collect();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Counts as in language: the n-th word occurs in proportion to 1/n.
fn ranked(words: &[String]) -> Vec<Word<'_>> {
    words
        .iter()
        .enumerate()
        .map(|(rank, text)| Word::new(text, 10_000 / (rank as u64 + 3)))
        .collect()
}

fn settings(width: u32, height: u32) -> Settings {
    Settings {
        width,
        height,
        vertical: 0.2,
        seed: 1,
        padding: 1.0,
        legible: 8.0,
        ..Settings::default()
    }
}

/// Draws every word pixel by pixel, apart from the layout's own masks, and fails where two meet.
/// Answers the share of the canvas within the words' ink.
fn assert_apart(words: &[Word<'_>], places: &[Place], width: u32, height: u32) -> f64 {
    let owner = draw_apart(words, places, width, height);
    owner.iter().filter(|cell| cell.is_some()).count() as f64 / owner.len() as f64
}

/// The same, and answers for each pixel the word that has ink there.
fn draw_apart<'a>(
    words: &[Word<'a>],
    places: &[Place],
    width: u32,
    height: u32,
) -> Vec<Option<&'a str>> {
    let font = FontRef::try_from_slice(NOTO_SANS).unwrap();
    let per_em = font.units_per_em().unwrap();
    let mut owner = vec![None; (width * height) as usize];
    assert_eq!(words.len(), places.len(), "every word is placed");
    for (word, place) in words.iter().zip(places) {
        let scale = place.size * font.height_unscaled() / per_em;
        let mut pen = -place.width / 2.0;
        for letter in word.text.chars() {
            let id = font.glyph_id(letter);
            // A turned word is drawn flat about the corner of a pixel, then turned.
            let (x, y) = match place.turned {
                true => (pen - place.y.fract(), place.x.fract()),
                false => (pen + place.x.fract(), place.y.fract()),
            };
            if let Some(outline) =
                font.outline_glyph(id.with_scale_and_position(scale, point(x, y)))
            {
                let origin = outline.px_bounds().min;
                outline.draw(|x, y, share| {
                    if share > 0.01 {
                        let (x, y) = (origin.x as i32 + x as i32, origin.y as i32 + y as i32);
                        let (x, y) = if place.turned { (y, -x - 1) } else { (x, y) };
                        let (x, y) = (place.x.floor() as i32 + x, place.y.floor() as i32 + y);
                        assert!(
                            (0..width as i32).contains(&x) && (0..height as i32).contains(&y),
                            "{} leaves the canvas",
                            word.text
                        );
                        let cell = &mut owner[(y * width as i32 + x) as usize];
                        assert!(
                            cell.is_none_or(|other| other == word.text),
                            "{} and {} overlap",
                            word.text,
                            cell.unwrap_or("")
                        );
                        *cell = Some(word.text);
                    }
                });
            }
            pen += font.h_advance_unscaled(id) * place.size / per_em;
        }
    }
    owner
}

/// Fails where between two words there are less than `padding` pixels.
fn assert_padded(owner: &[Option<&str>], width: usize, padding: usize) {
    let height = owner.len() / width;
    for (at, word) in owner.iter().enumerate().filter(|(_, word)| word.is_some()) {
        let (x, y) = (at % width, at / width);
        for line in y.saturating_sub(padding)..(y + padding + 1).min(height) {
            let row = &owner[line * width + x..line * width + (x + padding + 1).min(width)];
            for other in row.iter().flatten() {
                assert_eq!(Some(*other), *word, "too close at {x}, {y}");
            }
        }
    }
}

fn assert_exact_sizes(words: &[Word<'_>], places: &[Place]) {
    let ratio = f64::from(places[0].size) / (words[0].count as f64).sqrt();
    for (word, place) in words.iter().zip(places) {
        let exact = ratio * (word.count as f64).sqrt();
        assert!(
            (f64::from(place.size) - exact).abs() <= 0.006 + exact * 0.001,
            "{}: {} for {exact}",
            word.text,
            place.size
        );
    }
}
