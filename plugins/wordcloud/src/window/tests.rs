use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::groups::{Admitted, Groups, Losses};
use super::*;

const FREE: Bounds = Bounds {
    records: None,
    span_us: None,
    lateness_us: None,
    words: 1 << 20,
    tokens: 1 << 30,
    samples: 1 << 16,
};

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// The owner's part of these groups.
fn nothing(_: &(), _: &mut Vec<u8>) {}

/// Words of a window by their keys.
fn words_of<'a>(window: &'a Window, keys: &[&str]) -> Vec<Counted<'a>> {
    let top = window.top(window.distinct(), 1);
    let word = |key: &&str| top.iter().find(|word| word.key == *key).copied();
    keys.iter().filter_map(word).collect()
}

type Words = Vec<(String, String)>;

/// A record that came: its time, where it came from, and the words that it stands for, which it
/// shares with those that repeat it.
#[derive(Clone)]
struct Came {
    time_us: i64,
    origin: Option<Origin>,
    words: Rc<Words>,
}

/// What is in the windows, counted again each time, as nobody should.
#[derive(Default)]
struct Naive {
    groups: BTreeMap<String, Vec<Came>>,
    newest_us: Option<i64>,
    late: u64,
}

impl Naive {
    fn add(&mut self, bounds: &Bounds, group: &str, came: Came) {
        let newest = self
            .newest_us
            .map_or(came.time_us, |time| time.max(came.time_us));
        self.newest_us = Some(newest);
        let outside = |came: &Came| {
            bounds
                .span_us
                .is_some_and(|span| came.time_us <= newest - span)
        };
        for records in self.groups.values_mut() {
            records.retain(|came| !outside(came));
        }
        if outside(&came)
            || bounds
                .lateness_us
                .is_some_and(|by| came.time_us < newest - by)
        {
            self.late += 1;
            return;
        }
        let records = self.groups.entry(group.to_owned()).or_default();
        let same = records
            .iter()
            .find(|other| came.origin.is_some() && other.origin == came.origin);
        let words = same.map_or(came.words, |same| same.words.clone());
        records.push(Came { words, ..came });
        if bounds.span_us.is_some() {
            records.sort_by_key(|came| came.time_us);
        }
        if let Some(most) = bounds.records {
            records.drain(..records.len().saturating_sub(most));
        }
    }

    /// Key, the way of writing and count of each word of a group, as a frame has them.
    fn counts(&self, group: &str) -> Vec<(String, String, u64)> {
        let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        let mut seen: Vec<*const Words> = Vec::new();
        for came in &self.groups[group] {
            if seen.contains(&Rc::as_ptr(&came.words)) {
                continue;
            }
            seen.push(Rc::as_ptr(&came.words));
            for (text, key) in came.words.iter() {
                let written = counts.entry(key).or_default();
                *written.entry(text).or_default() += 1;
            }
        }
        let word = |(key, written): (&str, BTreeMap<&str, u64>)| {
            let most = written.values().max().copied().unwrap_or(0);
            let best = |text: &&str| written[*text] == most;
            let folded = Some(key).filter(|key| written.get(key) == Some(&most));
            let text = folded.or_else(|| written.keys().copied().find(best));
            (
                key.to_owned(),
                text.unwrap_or_default().to_owned(),
                written.values().sum::<u64>(),
            )
        };
        let mut counts: Vec<_> = counts.into_iter().map(word).collect();
        counts.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(&b.0)));
        counts
    }
}

fn add(groups: &mut Groups<()>, group: &str, came: &Came) {
    match groups.admit(group, came.time_us, came.origin) {
        Admitted::Late | Admitted::Repeated => {}
        Admitted::Counted(slot) => {
            for (text, key) in came.words.iter() {
                groups.word(slot, text, key);
            }
            groups.end_record(slot, came.time_us, came.origin, "a text");
        }
    }
}

/// Words of a small vocabulary in several ways of writing.
fn some_words(state: &mut u64) -> Words {
    let word = |state: &mut u64| {
        let key = format!("word{}", random(state, 30));
        let text = match random(state, 4) {
            0 => key.to_uppercase(),
            1 => key.replace('w', "W"),
            _ => key.clone(),
        };
        (text, key)
    };
    (0..random(state, 40)).map(|_| word(state)).collect()
}

fn compare(groups: &Groups<()>, naive: &Naive, bounds: &Bounds, context: &str) {
    for (name, records) in &naive.groups {
        let wanted = naive.counts(name);
        let Some(group) = groups.named(name) else {
            assert!(wanted.is_empty(), "no group {name} {context}");
            continue;
        };
        let window = &group.window;
        if !bounds.everything() {
            assert_eq!(window.records(), records.len() as u64, "{context}");
        }
        assert_eq!(window.distinct(), wanted.len(), "{context}");
        assert_eq!(
            window.tokens(),
            wanted.iter().map(|word| word.2).sum::<u64>(),
            "{context}"
        );
        let found = |n| -> Vec<(String, String, u64)> {
            let owned =
                |word: &Counted<'_>| (word.key.to_owned(), word.text.to_owned(), word.count);
            window.top(n, 1).iter().map(owned).collect()
        };
        assert_eq!(found(100), wanted, "{context}");
        assert_eq!(found(7), wanted[..wanted.len().min(7)], "{context}");
    }
}

/// Random streams: out of order, late, retweeted, in groups, written in several ways, with a
/// restore in the middle; after each record the counts are those of a count from scratch.
#[test]
fn counts_equal_a_recount_after_every_record() {
    let windows = [
        (Some(20), None),
        (None, Some(50)),
        (Some(15), Some(60)),
        (None, None),
    ];
    let (mut kinds, mut restores) = (0, 0);
    for (records, span_us) in windows {
        for lateness_us in [None, Some(20)] {
            for names in [1, 5] {
                for retweets in [false, true] {
                    kinds += 1;
                    let bounds = Bounds {
                        records,
                        span_us,
                        lateness_us,
                        ..FREE
                    };
                    let mut state = kinds;
                    let mut groups: Groups<()> = Groups::new(bounds, 10);
                    let mut naive = Naive::default();
                    let steps = if bounds.everything() { 150 } else { 600 };
                    for step in 0..steps {
                        let came = Came {
                            time_us: step * 3 - random(&mut state, 80) as i64,
                            origin: (retweets && random(&mut state, 2) == 0)
                                .then(|| Origin::from(random(&mut state, 9))),
                            words: Rc::new(some_words(&mut state)),
                        };
                        let group = format!("g{}", random(&mut state, names));
                        add(&mut groups, &group, &came);
                        naive.add(&bounds, &group, came);
                        if random(&mut state, 20) == 0 {
                            let mut saved = Vec::new();
                            groups.save(5, 1, nothing, &mut saved);
                            groups = Groups::load(bounds, 10, |_| true, |_| None, &saved)
                                .expect("what was saved");
                            restores += 1;
                        }
                        if random(&mut state, 20) == 0 {
                            groups.shrink();
                        }
                        groups.expire(i64::MIN);
                        let context = format!("at step {step} of {bounds:?}, {names} groups");
                        compare(&groups, &naive, &bounds, &context);
                        assert_eq!(groups.losses().late, naive.late, "{context}");
                    }
                }
            }
        }
    }
    assert!(restores > 300, "{restores}");
}

fn with_words(groups: &mut Groups<()>, group: &str, time_us: i64, words: &[&str]) -> Admitted {
    let admitted = groups.admit(group, time_us, None);
    if let Admitted::Counted(slot) = admitted {
        words.iter().for_each(|word| groups.word(slot, word, word));
        groups.end_record(slot, time_us, None, &words.join(" "));
    }
    admitted
}

#[test]
fn memory_stays_within_its_bounds_and_says_what_it_left_out() {
    let bounds = Bounds {
        records: Some(1 << 20),
        words: 3,
        tokens: 100,
        ..FREE
    };
    let mut groups = Groups::new(bounds, 10);
    with_words(&mut groups, "", 0, &["a", "b", "c", "d", "a"]);
    let window = |groups: &Groups<()>| {
        let window = &groups.named("").expect("a group").window;
        (window.records(), window.forms(), window.tokens())
    };
    assert_eq!(window(&groups), (1, 3, 4));
    assert_eq!(groups.losses().words, 1);
    for time in 0..1000 {
        with_words(&mut groups, "", time, &["a"; 10]);
    }
    assert_eq!(window(&groups), (5, 1, 50));
    assert_eq!(groups.losses().records, 996);
    let group = groups.named("").expect("a group");
    assert_eq!(group.window.count("a"), 50);
    assert!(
        group.window.links.len() <= 7,
        "{}",
        group.window.links.len()
    );
    // A way of writing is one word more, and its key another.
    let Admitted::Counted(slot) = groups.admit("", 1000, None) else {
        panic!("not counted")
    };
    groups.word(slot, "B", "b");
    groups.word(slot, "C", "c");
    groups.word(slot, "A", "a");
    groups.end_record(slot, 1000, None, "");
    assert_eq!(window(&groups), (6, 3, 51));
}

#[test]
fn groups_share_one_bound_on_memory() {
    let bounds = Bounds {
        records: Some(1000),
        words: 4,
        tokens: 100,
        ..FREE
    };
    let mut groups = Groups::new(bounds, 3);
    for time in 0..8 {
        with_words(&mut groups, ["x", "y"][time % 2], time as i64, &["a", "b"]);
    }
    assert_eq!(groups.losses(), Losses::default());
    // No room for a word in another group, and for records only in place of the oldest of all.
    for time in 8..12 {
        with_words(&mut groups, "z", time, &["a", "b", "c", "d"]);
    }
    let records = |groups: &Groups<()>, name| groups.named(name).map(|g| g.window.records());
    assert_eq!(groups.losses().words, 16);
    assert_eq!(groups.losses().records, 2);
    assert_eq!(records(&groups, "x"), Some(3));
    assert_eq!(records(&groups, "y"), Some(3));
    // A fourth group takes the place of the one that was quiet longest.
    with_words(&mut groups, "w", 12, &["a"]);
    assert_eq!(records(&groups, "x"), None);
    assert_eq!(groups.losses().groups, 1);
    with_words(&mut groups, "w", 13, &["a"]);
    assert_eq!(
        groups.losses().words,
        16,
        "the words of the group that left have made room"
    );
    let mut saved = Vec::new();
    groups.save(5, 1, nothing, &mut saved);
    let fewer: Groups<()> =
        Groups::load(bounds, 1, |_| true, |_| None, &saved).expect("what was saved");
    assert_eq!(records(&fewer, "w"), Some(2));
    assert_eq!(fewer.len(), 1);
}

#[test]
fn time_passes_without_records_and_in_other_groups() {
    let bounds = Bounds {
        span_us: Some(10),
        ..FREE
    };
    let mut groups = Groups::new(bounds, 10);
    with_words(&mut groups, "x", 100, &["once"]);
    let records = |groups: &Groups<()>| groups.named("x").map(|g| g.window.records());
    groups.expire(109);
    assert_eq!(records(&groups), Some(1));
    groups.expire(110);
    assert_eq!(records(&groups), Some(0));
    let held_up = with_words(&mut groups, "x", 95, &["word"]);
    assert_ne!(held_up, Admitted::Late, "not late by event time");
    with_words(&mut groups, "y", 105, &["word"]);
    groups.expire(i64::MIN);
    assert_eq!(records(&groups), Some(0));
}

#[test]
fn samples_are_the_newest_texts_and_shared() {
    let bounds = Bounds {
        records: Some(100),
        ..FREE
    };
    let mut groups = Groups::new(bounds, 1);
    for (time, words) in ["storm rain", "storm rain", "sun", "rain storm hail", "calm"]
        .iter()
        .enumerate()
    {
        let words: Vec<&str> = words.split(' ').collect();
        with_words(&mut groups, "", time as i64, &words);
    }
    let samples = |groups: &Groups<()>, each| {
        let group = groups.named("").expect("a group");
        let words = words_of(&group.window, &["storm", "rain", "sun"]);
        let samples = Recent::default().samples(&group.window, &words, each);
        let texts: Vec<String> = samples.texts.iter().map(ToString::to_string).collect();
        let of: Vec<Vec<u32>> = (0..words.len())
            .map(|word| samples.of(word).into())
            .collect();
        (texts, of)
    };
    assert_eq!(
        samples(&groups, 1),
        (
            vec!["rain storm hail".into(), "sun".into()],
            vec![vec![0], vec![0], vec![1]]
        )
    );
    let two = samples(&groups, 2);
    assert_eq!(
        two,
        (
            vec!["rain storm hail".into(), "sun".into(), "storm rain".into()],
            vec![vec![0, 2], vec![0, 2], vec![1]]
        )
    );
    assert_eq!(samples(&groups, 0).0.len(), 0);
    // A state has the samples of its most frequent words.
    let mut saved = Vec::new();
    groups.save(5, 2, nothing, &mut saved);
    let loaded = Groups::load(bounds, 1, |_| true, |_| None, &saved).expect("what was saved");
    assert_eq!(samples(&loaded, 2), two);
    // Texts are kept within their bytes.
    let small = Bounds {
        samples: 100,
        ..bounds
    };
    let mut groups = Groups::new(small, 1);
    with_words(&mut groups, "", 0, &["storm", "one"]);
    with_words(&mut groups, "", 1, &["rain", "two"]);
    with_words(&mut groups, "", 2, &["sun", "three"]);
    assert_eq!(samples(&groups, 1).0, ["sun three", "rain two"]);
}

#[test]
fn a_state_that_is_torn_or_for_other_bounds_is_known() {
    let bounds = Bounds {
        records: Some(5),
        ..FREE
    };
    let mut groups: Groups<()> = Groups::new(bounds, 2);
    let mut state = 1;
    for step in 0..20 {
        let came = Came {
            time_us: 20 - step,
            origin: Some(Origin::from(random(&mut state, 9))),
            words: Rc::new(some_words(&mut state)),
        };
        add(&mut groups, ["x", "y"][step as usize % 2], &came);
    }
    let mut saved = Vec::new();
    groups.save(5, 1, nothing, &mut saved);
    let load = |bounds, saved: &[u8]| Groups::<()>::load(bounds, 2, |_| true, |_| None, saved);
    for len in 0..saved.len() {
        assert!(load(bounds, &saved[..len]).is_none(), "{len} bytes");
    }
    let more = [saved.as_slice(), &[0]].concat();
    assert!(load(bounds, &more).is_none());
    let records = |groups: Option<Groups<()>>| {
        let groups = groups.expect("what was saved");
        groups.named("x").map(|group| group.window.records())
    };
    let smaller = Bounds {
        records: Some(1),
        ..bounds
    };
    assert_eq!(records(load(smaller, &saved)), Some(1));
    let by_time = Bounds {
        records: None,
        span_us: Some(4),
        ..bounds
    };
    // Of x the times 12, 10, 8, 6, 4 were left, and 20 is the newest of all.
    assert_eq!(records(load(by_time, &saved)), Some(0));
    let all = Bounds {
        records: None,
        ..bounds
    };
    let everything = load(all, &saved).expect("what was saved");
    let mut counted: HashMap<&str, u64> = HashMap::new();
    for group in groups.iter() {
        counted.insert(&group.name, group.window.distinct() as u64);
    }
    for group in everything.iter() {
        assert_eq!(group.window.distinct() as u64, counted[&*group.name]);
    }
}

#[test]
fn a_window_gives_back_what_it_does_not_need_any_more() {
    let bounds = Bounds {
        span_us: Some(1_000),
        ..FREE
    };
    let mut groups = Groups::new(bounds, 1);
    for burst in 0..3_000 {
        let word = format!("word{burst}");
        with_words(&mut groups, "", burst % 900, &["storm", &word]);
    }
    let capacity = |groups: &Groups<()>| {
        let window = &groups.named("").expect("a group").window;
        let entries = window.entries.capacity();
        [
            entries,
            window.records.capacity(),
            window.links.capacity(),
            window.forms.end(),
        ]
    };
    assert!(capacity(&groups).iter().all(|has| *has > 2_000));
    with_words(&mut groups, "", 1_890, &["storm", "rain"]);
    groups.shrink();
    assert!(
        capacity(&groups).iter().all(|has| *has <= 128),
        "{:?}",
        capacity(&groups)
    );
    let group = groups.named("").expect("a group");
    let storm = words_of(&group.window, &["storm"]);
    let samples = Recent::default().samples(&group.window, &storm, 2).texts;
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0], "storm rain");
    let count = group.window.count("storm");
    assert_eq!(group.window.records(), count);
    // It goes on as if nothing had been.
    with_words(&mut groups, "", 2_895, &["storm"]);
    assert_eq!(groups.named("").expect("a group").window.records(), 1);
    assert_eq!(groups.named("").expect("a group").window.forms(), 1);
}

#[test]
fn texts_of_every_length_stay_within_their_bytes() {
    let most = 64 << 10;
    let mut texts = Texts::default();
    for (number, length) in [1_200, 10].into_iter().cycle().enumerate().take(10_000) {
        texts.keep(&"x".repeat(length), number as u32, most);
    }
    for number in 0..10_000 {
        texts.keep("short", number, most);
    }
    let held = texts.held();
    assert!(held <= most && held > most / 8, "{held}");
}

#[test]
fn a_state_for_everything_counts_what_is_in_it() {
    let bounded = Bounds {
        records: Some(2),
        ..FREE
    };
    let mut groups = Groups::new(bounded, 1);
    for time in 0..5 {
        with_words(&mut groups, "", time, &["storm", "rain"]);
    }
    let mut saved = Vec::new();
    groups.save(5, 1, nothing, &mut saved);
    let groups = Groups::<()>::load(FREE, 1, |_| true, |_| None, &saved).expect("what was saved");
    let window = &groups.named("").expect("a group").window;
    assert_eq!((window.records(), window.tokens()), (2, 4));
}

#[test]
fn samples_that_follow_the_frames_are_those_of_a_look_at_all() {
    let mut state = 3;
    for each in [1, 3] {
        let bounds = Bounds {
            records: Some(60),
            samples: 3000,
            ..FREE
        };
        let mut groups = Groups::new(bounds, 1);
        let mut recent = Recent::default();
        for frame in 0..400 {
            for time in 0..random(&mut state, 6) {
                // Words come and go, so that their numbers are used again.
                let word = |at: u64| format!("w{}", frame / 20 + at * at / 40);
                let words = (0..1 + random(&mut state, 4)).map(|_| random(&mut state, 30));
                let words: Vec<String> = words.map(word).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                with_words(&mut groups, "", frame as i64 + time as i64, &words);
            }
            let Some(group) = groups.named("") else {
                continue;
            };
            let top = group.window.top(15 + frame as usize % 5, 1);
            let all = Recent::default().samples(&group.window, &top, each);
            assert_eq!(recent.samples(&group.window, &top, each), all, "{frame}");
        }
    }
}
