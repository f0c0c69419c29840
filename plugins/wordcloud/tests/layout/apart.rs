//! Every word is placed at its exact size, and no two share ink.

use super::*;

#[test]
fn every_word_is_placed_apart_at_its_exact_size_on_any_canvas() {
    for (number, width, height) in [
        (1, 320, 200),
        (7, 640, 360),
        (80, 800, 400),
        (60, 300, 600),
        (200, 480, 270),
        (150, 1280, 720),
        (1000, 1920, 1080),
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
