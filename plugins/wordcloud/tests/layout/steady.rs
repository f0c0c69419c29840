//! What carries over from frame to frame: places, padding, seats; and what does not.

use super::*;

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
    wander(90, 70, 800, 450);
    // The cells are of two pixels here.
    wander(240, 200, 1920, 1080);
}

/// So many of the `known` words are shown.
fn wander(known: usize, shown: usize, width: u32, height: u32) {
    let vocabulary = vocabulary(known, 11);
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
        // The words past the last that is shown come and go.
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then(a.cmp(&b)));
        order.truncate(shown);
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
