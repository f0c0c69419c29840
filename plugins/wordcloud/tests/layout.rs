//! The promises of the layout: no two words share ink, every word is placed, sizes are exact, the
//! same input gives the same picture, and words keep their places from frame to frame.
#![allow(clippy::unwrap_used)]

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

#[test]
fn every_word_is_placed_apart_at_its_exact_size_on_any_canvas() {
    for (number, width, height) in [
        (1, 320, 200),
        (7, 640, 360),
        (80, 800, 400),
        (60, 300, 600),
        (200, 480, 270),
    ] {
        let vocabulary = vocabulary(number, number as u64);
        let words = ranked(&vocabulary);
        for packing in [Packing::Tight, Packing::Steady] {
            let settings = Settings {
                packing,
                ..settings(width, height)
            };
            let places = Layout::new(settings).arrange(&words);
            let ink = assert_apart(&words, &places, width, height);
            assert_exact_sizes(&words, &places);
            println!(
                "{number} words on {width}x{height}, {packing:?}: ink {:.0} %, largest {}",
                ink * 100.0,
                places[0].size
            );
            let least = if packing == Packing::Tight {
                0.25
            } else {
                0.18
            };
            if number >= 60 {
                assert!(ink > least, "the canvas is left empty: {ink}");
            }
        }
    }
}

#[test]
fn one_long_word_makes_all_shrink_rather_than_any_be_dropped() {
    let mut vocabulary = vocabulary(40, 5);
    vocabulary[0] = "Donaudampfschifffahrtsgesellschaftskapitän".into();
    let words = ranked(&vocabulary);
    let places = Layout::new(settings(400, 300)).arrange(&words);
    assert_apart(&words, &places, 400, 300);
    assert_exact_sizes(&words, &places);
}

#[test]
fn words_of_other_scripts_are_placed_too() {
    let words = [
        ("東京", 9),
        ("данные", 8),
        ("مرحبا", 7),
        ("สวัสดี", 6),
        ("🎉", 5),
        ("hello", 4),
    ];
    let words: Vec<_> = words
        .iter()
        .map(|(text, count)| Word::new(text, *count))
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fonts");
    let fonts = Book::new(Sources {
        files: vec![folder.into()],
        ..Sources::default()
    });
    let places = Layout::new(Settings {
        fonts: fonts.clone(),
        ..settings(640, 360)
    })
    .arrange(&words);
    assert_eq!(places.len(), words.len());
    assert_exact_sizes(&words, &places);
    // Their ink, as the fonts draw it, touches no other's.
    let mut canvas = Grid::new(640, 360);
    for (word, place) in words.iter().zip(&places) {
        let ink = fonts.lend(|fonts| {
            let shaped = fonts.shape(word.text);
            assert!(shaped.missing.is_empty(), "{}", word.text);
            fonts.ink(&shaped, (place.size, place.size), 1.0, place.turned)
        });
        let (x, y) = (place.x as i32 + ink.left, place.y as i32 + ink.top);
        assert!(canvas.fits(&ink, x, y), "{}", word.text);
        canvas.stamp(&ink, x, y);
    }
    assert!(canvas.count() > 640 * 360 / 20);
}

#[test]
fn the_same_frames_give_the_same_pictures_and_a_seed_another() {
    let vocabulary = vocabulary(60, 3);
    let words = ranked(&vocabulary);
    let run = |seed| {
        let mut layout = Layout::new(Settings {
            seed,
            ..settings(640, 360)
        });
        [layout.arrange(&words), layout.arrange(&words[5..])]
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn words_keep_their_places_while_counts_wander() {
    let vocabulary = vocabulary(90, 11);
    let (width, height) = (800, 450);
    let mut counts: Vec<u64> = ranked(&vocabulary).iter().map(|word| word.count).collect();
    let mut layout = Layout::new(settings(width, height));
    let mut before: Vec<(usize, Place)> = Vec::new();
    let (mut state, mut moved, mut kept) = (9, 0, 0);
    for frame in 0..25 {
        for count in &mut counts {
            *count = (*count + random(&mut state, 3 + *count / 50))
                .saturating_sub(random(&mut state, 3 + *count / 50))
                .max(1);
        }
        // The words past the 70th come and go.
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then(a.cmp(&b)));
        order.truncate(70);
        let words: Vec<_> = order
            .iter()
            .map(|&index| Word::new(&vocabulary[index], counts[index]))
            .collect();
        // As in a process that begins again with each frame.
        let mut saved = Vec::new();
        layout.save(&mut saved);
        let mut again = Layout::load(settings(width, height), &saved);
        let places = layout.arrange(&words);
        if let Some(again) = &mut again {
            assert_eq!(
                again.arrange(&words),
                places,
                "frame {frame} after a restart"
            );
        }
        assert_eq!(again.is_some(), frame > 0);
        assert_apart(&words, &places, width, height);
        assert_exact_sizes(&words, &places);
        for (index, old) in &before {
            if let Some(now) = order.iter().position(|other| other == index) {
                kept += 1;
                moved += usize::from((places[now].x, places[now].y) != (old.x, old.y));
            }
        }
        before = order.iter().copied().zip(places).collect();
        assert!(frame < 24 || kept > 1000);
    }
    println!("{moved} of {kept} kept words moved");
    assert!(moved * 20 <= kept, "{moved} of {kept} kept words moved");
}

#[test]
fn a_saved_layout_is_of_its_settings_and_whole() {
    let vocabulary = vocabulary(30, 4);
    let mut layout = Layout::new(settings(320, 200));
    layout.arrange(&ranked(&vocabulary));
    let mut saved = Vec::new();
    layout.save(&mut saved);
    let load = |saved: &[u8]| Layout::load(settings(320, 200), saved).is_some();
    assert!(load(&saved));
    assert!(Layout::load(settings(320, 201), &saved).is_none());
    for len in 0..saved.len() {
        assert!(!load(&saved[..len]), "{len} bytes");
    }
    assert!(!load(&[&saved[..], &[0]].concat()));
}

#[test]
fn a_word_that_is_written_otherwise_stays_where_it_is() {
    let capital = |text: &String| {
        let (first, rest) = text.split_at(text.ceil_char_boundary(1));
        format!("{}{rest}", first.to_uppercase())
    };
    let (mut stayed, mut all) = (0, 0);
    for seed in 1..=12 {
        let vocabulary = vocabulary(60, seed);
        let capitals: Vec<String> = vocabulary.iter().map(capital).collect();
        let mut layout = Layout::new(settings(640, 360));
        let words = ranked(&vocabulary);
        let before = layout.arrange(&words);
        let third = |rank: usize| rank.is_multiple_of(3);
        let mut written = words.clone();
        for (rank, word) in written.iter_mut().enumerate() {
            if third(rank) {
                word.text = &capitals[rank];
            }
        }
        let after = layout.arrange(&written);
        assert_apart(&written, &after, 640, 360);
        let near = |rank: &usize| {
            let (old, new) = (&before[*rank], &after[*rank]);
            (old.x - new.x).hypot(old.y - new.y) < 40.0
        };
        stayed += (0..words.len()).filter(near).count();
        all += words.len();
    }
    assert!(stayed * 100 >= all * 88, "{stayed} of {all}");
}

#[test]
fn a_word_that_rises_to_the_top_is_not_turned_any_more() {
    let vocabulary = vocabulary(60, 6);
    let mut settings = settings(640, 360);
    settings.vertical = 1.0;
    let mut layout = Layout::new(settings);
    let words = ranked(&vocabulary);
    let before = layout.arrange(&words);
    let rises = (20..60).find(|&rank| before[rank].turned);
    let rises = rises.expect("all that can be are turned");
    let mut risen = words.clone();
    let top = Word::new(words[rises].text, words[0].count + 1);
    risen.remove(rises);
    risen.insert(0, top);
    let after = layout.arrange(&risen);
    assert!(!after[0].turned);
    assert_apart(&risen, &after, 640, 360);
}

#[test]
fn an_empty_frame_is_empty_and_the_next_one_starts_afresh() {
    let vocabulary = vocabulary(10, 2);
    let mut layout = Layout::new(settings(320, 200));
    let first = layout.arrange(&ranked(&vocabulary));
    assert_eq!(layout.arrange(&[]), []);
    assert_eq!(layout.arrange(&ranked(&vocabulary)), first);
}

#[test]
fn sizes_follow_the_scale_and_a_canvas_that_is_too_small_says_so() {
    let vocabulary = vocabulary(40, 5);
    let words = ranked(&vocabulary);
    for scale in [Scale::Area, Scale::Linear, Scale::Log] {
        let mut layout = Layout::new(Settings {
            scale,
            ..settings(800, 400)
        });
        let places = layout.arrange(&words);
        let raw = |count: u64| match scale {
            Scale::Area => (count as f64).sqrt(),
            Scale::Linear => count as f64,
            Scale::Log => (count as f64).ln_1p(),
        };
        for (word, place) in words.iter().zip(&places) {
            let exact = raw(word.count) * layout.said().unit;
            assert!((f64::from(place.size) / exact - 1.0).abs() < 1e-5);
        }
    }
    let mut small = Layout::new(settings(160, 100));
    small.arrange(&words);
    let shrunk = small.said().shrunk;
    assert!(shrunk < 1.0 && shrunk > 0.0, "{shrunk}");
    let mut large = Layout::new(settings(1920, 1080));
    large.arrange(&words);
    assert_eq!(large.said().shrunk, 1.0);
}

#[test]
fn the_box_of_a_word_holds_its_ink_and_padding_keeps_words_apart() {
    let vocabulary = vocabulary(30, 8);
    let words = ranked(&vocabulary);
    for packing in [Packing::Tight, Packing::Steady] {
        let places = Layout::new(Settings {
            padding: 6.0,
            packing,
            ..settings(800, 400)
        })
        .arrange(&words);
        assert_apart(&words, &places, 800, 400);
        for place in &places {
            let [x, y, wide, high] = place.bounds;
            assert!(x >= 0.0 && y >= 0.0 && x + wide <= 800.0 && y + high <= 400.0);
            let (along, across) = if place.turned {
                (high, wide)
            } else {
                (wide, high)
            };
            assert!(along <= place.width * 1.1 && across <= place.size * 1.4);
        }
    }
}

#[test]
fn padding_is_kept_from_frame_to_frame() {
    let vocabulary = vocabulary(50, 8);
    let mut counts: Vec<u64> = ranked(&vocabulary).iter().map(|word| word.count).collect();
    let mut layout = Layout::new(Settings {
        padding: 3.0,
        ..settings(480, 270)
    });
    let mut state = 3;
    for _ in 0..30 {
        for count in &mut counts {
            let most = 3 + *count / 4;
            *count = (*count + random(&mut state, most)).saturating_sub(random(&mut state, most));
            *count = (*count).max(1);
        }
        let words = vocabulary.iter().zip(&counts);
        let mut words: Vec<_> = words.map(|(text, count)| Word::new(text, *count)).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.count));
        let places = layout.arrange(&words);
        assert_padded(&draw_apart(&words, &places, 480, 270), 480, 3);
        assert!(!layout.said().crowded);
    }
}

#[test]
fn a_padding_that_gave_way_comes_back_with_a_new_cloud() {
    let vocabulary = vocabulary(100, 8);
    let words = ranked(&vocabulary);
    let mut layout = Layout::new(Settings {
        padding: 20.0,
        ..settings(100, 100)
    });
    layout.arrange(&words);
    assert!(layout.said().crowded);
    layout.arrange(&[]);
    let few = &words[..2];
    let places = layout.arrange(few);
    assert!(!layout.said().crowded);
    assert_padded(&draw_apart(few, &places, 100, 100), 100, 20);
}

#[test]
fn a_picture_does_not_depend_on_the_one_before() {
    let vocabulary = vocabulary(80, 4);
    let words = ranked(&vocabulary);
    let mut layout = Layout::new(Settings {
        packing: Packing::Tight,
        ..settings(320, 200)
    });
    let first = layout.arrange(&words);
    layout.arrange(&words[20..]);
    assert_eq!(layout.arrange(&words), first);
}

#[test]
fn words_stand_inside_a_shape_only() {
    // A disc, drawn black on white.
    let (wide, high) = (100_u32, 100_u32);
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, wide, high);
    encoder.set_color(png::ColorType::Grayscale);
    let inside = |x: f32, y: f32| (x - 0.5).hypot(y - 0.5) < 0.5;
    let pixels: Vec<u8> = (0..wide * high)
        .map(|at| {
            let (x, y) = (at % wide, at / wide);
            let dark = inside((x as f32 + 0.5) / 100.0, (y as f32 + 0.5) / 100.0);
            if dark { 0 } else { 255 }
        })
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    let vocabulary = vocabulary(60, 4);
    let words = ranked(&vocabulary);
    for packing in [Packing::Tight, Packing::Steady] {
        let places = Layout::new(Settings {
            shape: Some(Shape::read(&png).unwrap()),
            packing,
            ..settings(600, 600)
        })
        .arrange(&words);
        assert_apart(&words, &places, 600, 600);
        for place in &places {
            let [x, y, wide, high] = place.bounds;
            // The middles of a box's sides are close to ink.
            let middle = ((x + wide / 2.0) / 600.0, (y + high / 2.0) / 600.0);
            assert!(inside(middle.0, middle.1), "{place:?}");
        }
    }
    assert!(Shape::read(b"no picture").is_err());
}

#[test]
fn a_word_that_is_shown_gives_way_only_to_one_that_is_clearly_more_frequent() {
    let word = |text, count| Word::new(text, count);
    let first = [word("a", 50), word("b", 40), word("c", 30), word("d", 29)];
    let mut layout = Layout::new(settings(400, 200));
    assert_eq!(layout.choose(&first, 3), [0, 1, 2]);
    layout.arrange(&first[..3]);
    let close = [word("a", 50), word("b", 40), word("d", 30), word("c", 29)];
    assert_eq!(layout.choose(&close, 3), [0, 1, 3]);
    let clear = [word("a", 50), word("d", 45), word("b", 40), word("c", 29)];
    assert_eq!(layout.choose(&clear, 3), [0, 1, 2]);
    // What counts is the newcomer, not how close to it the other words are.
    let close = [word("a", 50), word("d", 31), word("b", 30), word("c", 29)];
    assert_eq!(layout.choose(&close, 3), [0, 2, 3]);
    let two = [
        word("a", 50),
        word("e", 40),
        word("d", 32),
        word("c", 31),
        word("b", 28),
    ];
    assert_eq!(layout.choose(&two, 3), [0, 1, 3]);
    let tight = Layout::new(Settings {
        packing: Packing::Tight,
        ..settings(400, 200)
    });
    assert_eq!(tight.choose(&close, 3), [0, 1, 2]);
}

#[test]
fn words_that_fit_at_no_size_with_the_padding_stand_closer() {
    let vocabulary = vocabulary(100, 6);
    let words = ranked(&vocabulary);
    for packing in [Packing::Tight, Packing::Steady] {
        let mut layout = Layout::new(Settings {
            padding: 20.0,
            packing,
            ..settings(100, 100)
        });
        assert!(layout.places() >= words.len());
        let places = layout.arrange(&words);
        assert_apart(&words, &places, 100, 100);
        assert!(layout.said().crowded);
        // Fewer words have room again when they are laid out afresh.
        layout.arrange(&[]);
        layout.arrange(&words[..1]);
        assert!(!layout.said().crowded);
    }
}

#[test]
fn a_shape_says_for_how_many_words_it_has_room_and_holds_them() {
    let stripes = |every: u32, wide: u32| {
        let pixels: Vec<u8> = (0..100 * 100)
            .map(|at| if at % every < wide { 0 } else { 255 })
            .collect();
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, 100, 100);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        Shape::read(&png).unwrap()
    };
    let vocabulary = vocabulary(40, 7);
    for packing in [Packing::Tight, Packing::Steady] {
        let layout = |every, wide| {
            Layout::new(Settings {
                shape: Some(stripes(every, wide)),
                packing,
                ..settings(300, 300)
            })
        };
        assert_eq!(layout(10, 0).places(), 0);
        let mut narrow = layout(10, 1);
        let places = narrow.places();
        assert!(places >= vocabulary.len(), "{places}");
        let words = ranked(&vocabulary);
        // Too small to be told apart by whole pixels, but there.
        assert_eq!(narrow.arrange(&words).len(), words.len());
        assert_apart(&words, &layout(20, 8).arrange(&words), 300, 300);
    }
}
