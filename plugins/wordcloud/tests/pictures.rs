//! Pictures of a cloud: PNG by its pixels, SVG by its structure.
#![allow(clippy::unwrap_used)]

use std::{io::Cursor, path::PathBuf};

use plugin_wordcloud::{
    draw::{Drawing, undrawn},
    font::{Book, Sources},
    layout::{Layout, Packing, Place, Settings, Word},
    palette::{Background, Palette, rgb},
};

fn book() -> Book {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fonts"));
    Book::new(Sources {
        files: vec![folder],
        machine: false,
        page: false,
    })
}

const WORDS: [(&str, u64); 14] = [
    ("weather", 90),
    ("R&D <b>", 70),
    ("東京", 60),
    ("سلام", 55),
    ("हिन्दी", 50),
    ("🎉", 45),
    ("данные", 40),
    ("iPhoneアプリ", 30),
    ("#عربي", 25),
    ("👩‍🚀", 22),
    ("שלום", 20),
    ("สวัสดี", 18),
    ("\"quoted\"", 15),
    ("naïve", 12),
];

fn draw(background: Background, vertical: f32) -> (Vec<Place>, Vec<u8>, String) {
    let words: Vec<Word<'_>> = WORDS
        .iter()
        .map(|&(text, count)| Word::new(text, count))
        .collect();
    let book = book();
    let places = Layout::new(Settings {
        width: 640,
        height: 360,
        vertical,
        seed: 3,
        padding: 2.0,
        packing: Packing::Tight,
        fonts: book.clone(),
        ..Settings::default()
    })
    .arrange(&words);
    let drawing = Drawing {
        width: 640,
        height: 360,
        background,
        colors: Palette::OkabeIto.colors(background),
        title: "words & more".into(),
        words: words
            .iter()
            .zip(&places)
            .enumerate()
            .map(|(index, (word, place))| (*word, *place, index as u8))
            .collect(),
    };
    let (mut png, mut svg) = (Vec::new(), Vec::new());
    book.lend(|fonts| {
        drawing.png(fonts, &mut png).unwrap();
        drawing.svg(fonts, &mut svg);
    });
    // For a look at them.
    if let Some(folder) = std::env::var_os("PICTURES") {
        let name = PathBuf::from(folder).join(format!("{background:?}-{vertical}"));
        std::fs::write(name.with_extension("png"), &png).unwrap();
        std::fs::write(name.with_extension("svg"), &svg).unwrap();
    }
    (places, png, String::from_utf8(svg).unwrap())
}

fn pixels(png: &[u8]) -> Vec<[u8; 4]> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (640, 360));
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut bytes).unwrap();
    bytes.as_chunks().0.to_vec()
}

#[test]
fn each_word_is_drawn_in_its_colour_inside_its_box_and_nowhere_else() {
    for vertical in [0.0, 1.0] {
        let (places, png, _) = draw(Background::Light, vertical);
        let pixels = pixels(&png);
        let colors = Palette::OkabeIto.colors(Background::Light);
        let mut outside = vec![true; pixels.len()];
        for (index, place) in places.iter().enumerate() {
            let [x, y, wide, high] = place.bounds;
            let (mut inked, mut own) = (0, 0);
            let [red, green, blue] = rgb(colors[index % 8]);
            for line in y.floor().max(0.0) as usize..((y + high).ceil() as usize).min(360) {
                for column in x.floor().max(0.0) as usize..((x + wide).ceil() as usize).min(640) {
                    outside[line * 640 + column] = false;
                    let pixel = pixels[line * 640 + column];
                    inked += usize::from(pixel != [255; 4]);
                    own += usize::from(pixel == [red, green, blue, 255]);
                }
            }
            let area = (wide * high) as usize;
            let (word, _) = WORDS[index];
            assert!(inked * 8 > area, "{word}: {inked} of {area}");
            let picture = word.chars().any(|letter| letter > '\u{1f000}');
            assert!(picture || own > 0, "{word} has not its colour");
        }
        let astray = (0..pixels.len()).filter(|&at| outside[at] && pixels[at] != [255; 4]);
        assert_eq!(astray.count(), 0);
    }
}

#[test]
fn a_clear_background_is_clear_and_a_dark_one_dark() {
    let (_, png, svg) = draw(Background::Clear, 0.0);
    assert!(pixels(&png).contains(&[0; 4]));
    assert!(!svg.contains("<rect"));
    let (_, png, svg) = draw(Background::Dark, 0.1);
    assert!(pixels(&png).iter().all(|pixel| pixel[3] == 255));
    assert!(svg.contains("fill=\"#14171c\""));
}

#[test]
fn svg_is_well_formed_and_says_each_word_as_it_is() {
    let (places, _, svg) = draw(Background::Light, 0.5);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let named = |name: &'static str| {
        document
            .descendants()
            .filter(move |node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
    };
    let titles: Vec<&str> = named("title").filter_map(|node| node.text()).collect();
    assert_eq!(titles[0], "words & more");
    for ((word, count), title) in WORDS.iter().zip(&titles[1..]) {
        assert_eq!(*title, format!("{word}: {count}"));
    }
    assert_eq!(named("g").count(), places.len());
    for link in named("use") {
        let target = link.attribute("href").unwrap().trim_start_matches('#');
        assert!(
            document
                .descendants()
                .any(|node| node.attribute("id") == Some(target))
        );
    }
    assert!(named("path").all(|path| path.attribute("d").unwrap().starts_with('M')));
    assert_eq!(named("image").count(), 2);
}

#[test]
fn what_no_font_has_is_named_and_drawn_as_a_disc() {
    let book = Book::new(Sources::default());
    let lacking = book.lend(|fonts| undrawn(["a東b", "京東", "word"].into_iter(), fonts));
    assert_eq!(lacking, ['京', '東']);
    let words = [Word::new("東", 1)];
    let settings = Settings {
        width: 640,
        height: 360,
        packing: Packing::Tight,
        fonts: book.clone(),
        ..Settings::default()
    };
    let places = Layout::new(settings).arrange(&words);
    let drawing = Drawing {
        width: 640,
        height: 360,
        background: Background::Light,
        colors: Palette::Tol.colors(Background::Light),
        title: String::new(),
        words: vec![(words[0], places[0], 0)],
    };
    let mut png = Vec::new();
    book.lend(|fonts| drawing.png(fonts, &mut png)).unwrap();
    let pixels = pixels(&png);
    let [x, y, wide, high] = places[0].bounds;
    let middle = (y + high / 2.0) as usize * 640 + (x + wide / 2.0) as usize;
    assert_ne!(pixels[middle], [255; 4]);
    assert_eq!(pixels[y as usize * 640 + x as usize], [255; 4]);
}
