use std::collections::HashMap;

use super::*;

const FREE: Bounds = Bounds {
    records: None,
    span_us: None,
    words: 1 << 20,
    tokens: 1 << 30,
};

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// Counts everything again from the kept records, as nobody should.
fn naive(records: &[(i64, Vec<String>)], bounds: &Bounds, newest: i64) -> Vec<(i64, Vec<String>)> {
    let mut kept: Vec<_> = records.to_vec();
    kept.sort_by_key(|record| record.0);
    if let Some(span) = bounds.span_us {
        kept.retain(|record| record.0 > newest - span);
    }
    if let Some(most) = bounds.records {
        kept = kept.split_off(kept.len().saturating_sub(most));
    }
    kept
}

#[test]
fn counts_equal_those_of_a_naive_recount_after_every_record() {
    let kinds = [
        Bounds {
            records: Some(20),
            ..FREE
        },
        Bounds {
            span_us: Some(50),
            ..FREE
        },
        Bounds {
            records: Some(15),
            span_us: Some(60),
            ..FREE
        },
    ];
    for (seed, bounds) in kinds.into_iter().enumerate() {
        let mut state = seed as u64 + 1;
        let mut window = Window::new(bounds);
        let (mut records, mut newest) = (Vec::new(), 0_i64);
        for step in 0..1500_i64 {
            let time = step * 3 - random(&mut state, 40) as i64;
            let words: Vec<String> = (0..random(&mut state, 40))
                .map(|_| format!("w{}", random(&mut state, 30)))
                .collect();
            words.iter().for_each(|word| window.word(word));
            newest = newest.max(time);
            let late = bounds.span_us.is_some_and(|span| time <= newest - span);
            assert_eq!(
                window.end_record(time),
                if late { Added::Late } else { Added::Counted }
            );
            records.push((time, words));
            // A record pushed out by number never comes back, so the naive list forgets it too.
            records = naive(&records, &bounds, newest);
            let mut counts: HashMap<&str, u64> = HashMap::new();
            records
                .iter()
                .flat_map(|record| &record.1)
                .for_each(|word| *counts.entry(word).or_default() += 1);
            let mut wanted: Vec<(&str, u64)> = counts.into_iter().collect();
            wanted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            assert_eq!(window.records(), records.len());
            assert_eq!(window.distinct(), wanted.len());
            assert_eq!(
                window.tokens() as u64,
                wanted.iter().map(|word| word.1).sum::<u64>()
            );
            wanted.truncate(7);
            assert_eq!(window.top(7, 1), wanted, "step {step} of {bounds:?}");
        }
    }
}

#[test]
fn memory_stays_within_its_bounds_and_says_what_it_left_out() {
    let mut window = Window::new(Bounds {
        words: 3,
        tokens: 100,
        ..FREE
    });
    for word in ["a", "b", "c", "d", "a"] {
        window.word(word);
    }
    window.end_record(0);
    assert_eq!(
        (window.distinct(), window.refused(), window.tokens()),
        (3, 1, 4)
    );
    for record in 0..1000 {
        (0..10).for_each(|_| window.word("a"));
        window.end_record(record);
    }
    assert_eq!(window.records(), 6);
    assert_eq!(window.cut(), 995);
    assert_eq!(window.top(9, 1), [("a", 60)]);
    assert!(window.links.len() <= 8, "{}", window.links.len());
}

#[test]
fn time_passes_without_records_too() {
    let mut window = Window::new(Bounds {
        span_us: Some(10),
        ..FREE
    });
    window.word("once");
    window.end_record(100);
    assert!(!window.expire(109));
    assert!(window.expire(110));
    assert_eq!((window.records(), window.count("once")), (0, 0));
    assert_eq!(
        window.end_record(95),
        Added::Counted,
        "held up on its way, but not late by event time"
    );
}

#[test]
fn a_window_saved_and_loaded_goes_on_the_same() {
    let bounds = Bounds {
        records: Some(5),
        ..FREE
    };
    let mut window = Window::new(bounds);
    let texts = |n: usize| (0..n * 3).map(move |word| format!("w{}", word % (n + 2)));
    for n in 0..20 {
        for word in texts(n) {
            window.word(&word);
        }
        window.end_record(n as i64);
        let mut state = Vec::new();
        window.save(&mut state);
        let mut loaded = Window::load(bounds, &state).expect("what was saved");
        assert_eq!(loaded.top(100, 1), window.top(100, 1));
        assert_eq!(loaded.tokens(), window.tokens());
        let mut again = Vec::new();
        loaded.save(&mut again);
        let twice = Window::load(bounds, &again).expect("what was saved");
        assert_eq!(twice.top(100, 1), window.top(100, 1));
        // They stay the same when records leave.
        let mut other = Window::load(bounds, &again).expect("what was saved");
        for w in [&mut loaded, &mut other] {
            w.word("new");
            w.end_record(100);
        }
        assert_eq!(loaded.top(100, 1), other.top(100, 1));
    }
    let mut state = Vec::new();
    window.save(&mut state);
    for len in 0..state.len() {
        assert!(Window::load(bounds, &state[..len]).is_none(), "{len} bytes");
    }
    state.push(0);
    assert!(Window::load(bounds, &state).is_none());
    // A window that is smaller by now keeps the newest.
    state.pop();
    let smaller = Window::load(
        Bounds {
            records: Some(1),
            ..bounds
        },
        &state,
    );
    assert_eq!(smaller.expect("what was saved").records(), 1);
}
