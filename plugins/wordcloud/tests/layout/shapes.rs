//! Clouds in a shape.

use super::*;

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
        let owner = draw_apart(&words, &places, 600, 600);
        for (at, word) in owner.iter().enumerate().filter(|(_, word)| word.is_some()) {
            let (x, y) = (at % 600, at / 600);
            assert_eq!(pixels[y / 6 * 100 + x / 6], 0, "{word:?} at {x}, {y}");
        }
    }
    assert!(Shape::read(b"no picture").is_err());
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
