//! Runs the simulation: `simulation [RUNS] [SEED] [FROM]`.

use std::{process::ExitCode, time::Instant};

use simulation::mistake::Mistake;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1);
    let first = numbers.next();
    if first.as_deref() == Some("mistakes") {
        return mistakes();
    }
    let runs = first.and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut numbers = numbers.map_while(|n| n.parse().ok());
    let seed = numbers.next().unwrap_or(1);
    let from = numbers.next().unwrap_or(0);
    let began = Instant::now();
    let outcome = simulation::run_from(from, runs, seed, None);
    let seconds = began.elapsed().as_secs_f64();
    for violation in outcome.violations.iter().take(20) {
        println!("{violation}");
    }
    println!(
        "{} runs: {} crashes ({} with the power), {} restarts, {} given up, {} changed graphs, {} \
         more jobs, {} steps; {} violations; {:.0} crashes a second",
        outcome.runs,
        outcome.crashes,
        outcome.power,
        outcome.restarts,
        outcome.given_up,
        outcome.changed,
        outcome.jobs,
        outcome.steps,
        outcome.violations.len(),
        (outcome.crashes + outcome.restarts) as f64 / seconds
    );
    if outcome.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn mistakes() -> ExitCode {
    let mut caught = 0;
    for mistake in Mistake::ALL {
        match simulation::notices(mistake, 20_000, 1) {
            Some((runs, violation)) => {
                caught += 1;
                println!("{mistake:?}: noticed in run {runs}: {violation}");
            }
            None => println!("{mistake:?}: not noticed"),
        }
    }
    println!("{caught} of {} mistakes were noticed", Mistake::ALL.len());
    if caught == Mistake::ALL.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
