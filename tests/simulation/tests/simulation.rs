//! The simulation finds nothing, and finds what it should.

use simulation::mistake::Mistake;

/// Most runs after which a mistake has to be noticed.
const MOST_RUNS: u64 = 3_000;

#[test]
fn each_record_is_where_it_belongs_whatever_crashes() {
    let outcome = simulation::run(600, 7);
    let none: [String; 0] = [];
    assert_eq!(outcome.violations, none);
    let seen = [
        outcome.crashes,
        outcome.power,
        outcome.restarts,
        outcome.given_up,
        outcome.changed,
    ];
    assert!(seen.iter().all(|n| *n > 0), "{outcome:?}");
}

#[test]
fn every_mistake_is_noticed() {
    let missed = |mistake: &Mistake| simulation::notices(*mistake, MOST_RUNS, 1).is_none();
    let missed: Vec<_> = Mistake::ALL.into_iter().filter(missed).collect();
    assert_eq!(missed, []);
}

#[test]
fn a_run_is_repeated_by_its_seed_and_number() {
    let once = simulation::run_from(5, 20, 9, None);
    assert_eq!(simulation::run_from(5, 20, 9, None), once);
    let mistake = Some(Mistake::AbortUndoes);
    let many = simulation::run_from(0, 200, 1, mistake).violations;
    let first = many.first().expect("it is noticed");
    let number = first.rsplit_once(' ').map(|(_, n)| n.trim_end_matches(')'));
    let number = number.and_then(|n| n.parse().ok()).expect("it is named");
    assert_eq!(
        simulation::run_from(number, 1, 1, mistake).violations,
        std::slice::from_ref(first)
    );
}
