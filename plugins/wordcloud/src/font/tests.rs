use super::*;

fn fonts(page: bool) -> Fonts {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fonts");
    Fonts::new(&Sources {
        files: vec![folder.into()],
        machine: false,
        page,
    })
}

fn ids(shaped: &Shaped) -> Vec<(Option<u16>, u16)> {
    shaped
        .glyphs
        .iter()
        .map(|glyph| (glyph.face, glyph.id))
        .collect()
}

#[test]
fn no_script_is_drawn_as_boxes() {
    let mut fonts = fonts(false);
    for word in [
        "word",
        "Größe",
        "данные",
        "λόγος",
        "東京",
        "日本語",
        "가나다",
        "سلام",
        "हिन्दी",
        "क्षत्रिय",
        "שלום",
        "สวัสดี",
        "#عربي",
        "iPhoneアプリ",
        "🎉",
        "👩‍🚀",
        "👍🏽",
        "🇩🇪",
        "e\u{301}a",
    ] {
        let shaped = fonts.shape(word);
        assert!(shaped.missing.is_empty(), "{word}: {:?}", shaped.missing);
        assert!(!shaped.glyphs.is_empty(), "{word}");
        for glyph in &shaped.glyphs {
            assert!(glyph.face.is_some() && glyph.id != 0, "{word}: {glyph:?}");
        }
        let ink = fonts.ink(&shaped, (40.0, 40.0), 1.0, false);
        assert!(ink.width > 5 && ink.height > 5, "{word}");
    }
}

#[test]
fn arabic_letters_join_and_stand_from_right_to_left() {
    let mut fonts = fonts(false);
    let (alone, joined) = (fonts.shape("س"), fonts.shape("سس"));
    assert_eq!(joined.glyphs.len(), 2);
    assert!(ids(&joined).iter().all(|id| *id != ids(&alone)[0]));
    // The first letter of the text stands on the right.
    let word = fonts.shape("سلام");
    let seen = fonts.shape("سـ");
    let last = word
        .glyphs
        .iter()
        .max_by(|a, b| a.x.total_cmp(&b.x))
        .unwrap();
    assert!(ids(&seen).contains(&(last.face, last.id)));
    // In a hashtag of Arabic letters the sign is the rightmost.
    let tag = fonts.shape("#سلام");
    let rightmost = tag
        .glyphs
        .iter()
        .max_by(|a, b| a.x.total_cmp(&b.x))
        .unwrap();
    assert_eq!(rightmost.face, Some(0));
    // Digits keep their order within it.
    let digits = fonts.shape("سلام2021");
    let mut latin = digits.glyphs.clone();
    latin.retain(|glyph| glyph.face == Some(0));
    latin.sort_by(|a, b| a.x.total_cmp(&b.x));
    let latin: Vec<_> = latin.iter().map(|glyph| (glyph.face, glyph.id)).collect();
    assert_eq!(latin, ids(&fonts.shape("2021")));
}

#[test]
fn devanagari_vowels_are_reordered_and_conjuncts_formed() {
    let mut fonts = fonts(false);
    // The vowel sign i is written behind its consonant and stands before it.
    let syllable = fonts.shape("कि");
    let consonant = fonts.shape("क");
    assert_eq!(syllable.glyphs.len(), 2);
    assert_eq!(syllable.glyphs[1].id, consonant.glyphs[0].id);
    // Three characters, one conjunct.
    assert_eq!(fonts.shape("क्ष").glyphs.len(), 1);
}

#[test]
fn an_emoji_of_several_characters_is_one_picture() {
    let mut fonts = fonts(false);
    for word in ["👩‍🚀", "👍🏽", "🇩🇪"] {
        let shaped = fonts.shape(word);
        assert_eq!(shaped.glyphs.len(), 1, "{word}: {shaped:?}");
        let glyph = shaped.glyphs[0];
        assert!(glyph.solid && fonts.picture(glyph.face.unwrap(), glyph.id).is_some());
    }
}

#[test]
fn an_emoji_that_its_font_has_in_another_way_is_a_disc_and_is_named() {
    let emoji = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fonts/emoji.ttf");
    let mut bytes = std::fs::read(emoji).unwrap();
    // A font that knows the characters and whose pictures are in tables that nobody reads.
    for tag in [b"CBDT", b"CBLC"] {
        let at = bytes.windows(4).position(|four| four == tag).unwrap();
        bytes[at] = b'X';
    }
    let folder = std::env::temp_dir().join(format!("wordcloud-fonts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("emoji.ttf"), &bytes).unwrap();
    let sources = Sources {
        files: vec![folder.clone()],
        ..Sources::default()
    };
    let shaped = Fonts::new(&sources).shape("👩‍🚀");
    assert_eq!(shaped.missing, ['👩', '🚀']);
    assert_eq!(shaped.glyphs.len(), 1);
    assert!(shaped.glyphs[0].face.is_none());
    // The same where the face is asked all the same, as for a letter that no other has.
    let mut fonts = Fonts::new(&sources);
    fonts.faces.push(Face::read(bytes, 0).unwrap());
    fonts.read.push(1);
    let shaped = fonts.shape("👩‍🚀");
    assert_eq!(shaped.missing, ['👩']);
    assert!(shaped.glyphs.len() == 1 && shaped.glyphs[0].face.is_none());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_no_font_has_is_a_disc_and_is_named() {
    let mut fonts = Fonts::new(&Sources::default());
    let shaped = fonts.shape("a東🎉b");
    assert_eq!(shaped.missing, ['東', '🎉']);
    assert_eq!(
        shaped
            .glyphs
            .iter()
            .filter(|glyph| glyph.face.is_none())
            .count(),
        2
    );
    assert!(
        shaped
            .glyphs
            .iter()
            .all(|glyph| glyph.face.is_none() || glyph.id != 0)
    );
    // An emoji of two people and what joins them is a single disc.
    assert_eq!(fonts.shape("👩‍🚀").glyphs.len(), 1);
}

#[test]
fn for_a_page_a_word_of_another_font_is_a_full_box() {
    let mut fonts = fonts(true);
    for word in ["word", "سلام", "שלום", "नमस्ते", "ไทย"] {
        assert!(!fonts.shape(word).boxed, "{word}");
    }
    for word in ["東京", "سلام東", "🎉"] {
        let shaped = fonts.shape(word);
        assert!(shaped.boxed);
        let ink = fonts.ink(&shaped, (20.0, 20.0), 2.0, false);
        assert!((0..ink.height).all(|y| (0..ink.width).all(|x| ink.get(x, y))));
        assert!((ink.width as f32 * 2.0 - shaped.advance * 20.0).abs() <= 4.0);
    }
}

#[test]
fn ink_grows_with_the_size_and_swept_ink_covers_each_size_between() {
    let mut fonts = fonts(false);
    let word = fonts.shape("Weather");
    let [small, large] = [20.0, 40.0].map(|size| fonts.ink(&word, (size, size), 2.0, false));
    assert!(small.width * 2 <= large.width + 3 && large.width <= small.width * 2 + 3);
    assert!((small.left + small.width as i32 / 2).abs() <= 1);
    let swept = fonts.ink(&word, (40.0, 44.0), 1.0, false);
    for step in 0..=16 {
        let size = 40.0 + step as f32 / 4.0;
        for glyph in &word.glyphs {
            let pen = (glyph.x - word.advance / 2.0) * size;
            let drawn = fonts.coverage(glyph.face.unwrap(), glyph.id, size, pen, 0.0);
            for (at, &share) in drawn.pixels.iter().enumerate() {
                let column = drawn.left + (at % drawn.width) as i32 - swept.left;
                let line = drawn.top + (at / drawn.width) as i32 - swept.top;
                assert!(
                    share == 0 || swept.get(column as usize, line as usize),
                    "{size}: {column}, {line}: {share}"
                );
            }
        }
    }
}

#[test]
fn a_turned_word_is_the_same_ink_read_upwards() {
    let mut fonts = fonts(false);
    let word = fonts.shape("Type");
    let [flat, turned] = [false, true].map(|turned| fonts.ink(&word, (30.0, 31.0), 2.0, turned));
    assert_eq!((flat.width, flat.height), (turned.height, turned.width));
    for y in 0..flat.height {
        for x in 0..flat.width {
            assert_eq!(flat.get(x, y), turned.get(y, flat.width - 1 - x));
        }
    }
}
