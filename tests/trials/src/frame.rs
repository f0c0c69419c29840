//! What all trials share: runs with seeds, what counts as a violation, and the last line.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use e2e::host::Folder;
use fastrand::Rng;

/// A trial, as `list` shows it.
pub struct Trial {
    pub name: &'static str,
    pub about: &'static str,
    /// Runs in CI.
    pub ci: u64,
    /// Runs of `--long`; `None`: until the job says that nothing is left.
    pub long: Option<u64>,
    /// Brings the parts; `None` after saying which is missing.
    pub begin: fn() -> Option<Box<dyn Job>>,
}

/// The parts of a trial, at work.
pub trait Job {
    /// Makes one run, or several that hang together, at most `run.most`: how many were made, 0 if
    /// nothing is left to be tried. An error, or a panic, is a violation.
    fn run(&mut self, run: &mut Run) -> Result<u64, String>;
}

/// What a run is given.
pub struct Run {
    /// A folder of its own; kept after a violation.
    pub folder: Folder,
    pub seed: u64,
    pub rng: Rng,
    pub most: u64,
    /// Whether this is a `--long` one.
    pub long: bool,
}

/// Makes the runs and prints what came of them.
pub fn go(trial: &Trial, runs: Option<u64>, seed: Option<u64>, long: bool) -> ExitCode {
    let name = trial.name;
    let all = if long { trial.long } else { Some(trial.ci) };
    let all = runs.or(all).unwrap_or(u64::MAX);
    let first = match seed {
        Some(seed) => seed,
        // Whoever tries everything begins at the beginning.
        None if all == u64::MAX || trial.ci == u64::MAX => 0,
        None => fastrand::u64(1..1_000_000_000),
    };
    // A panic is told as a violation; of the hook's words only the place is kept.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            println!("  (said at {place})");
        }
    }));
    let begun = match catch_unwind(AssertUnwindSafe(trial.begin)) {
        Ok(Some(job)) => Ok(job),
        Ok(None) => {
            println!("{name}: skipped");
            let ci = std::env::var("CI").as_deref() == Ok("true");
            return ExitCode::from(u8::from(ci));
        }
        Err(panic) => Err(words(&*panic)),
    };
    let mut job = match begun {
        Ok(job) => job,
        Err(why) => {
            println!("error: {name} cannot begin: {why}");
            return ExitCode::FAILURE;
        }
    };
    println!("{name}: {} (first seed {first})", trial.about);
    let started = Instant::now();
    let (mut done, mut violations) = (0, 0);
    while done < all {
        let seed = first + done;
        let mut run = Run {
            folder: Folder::new(),
            seed,
            rng: Rng::with_seed(seed),
            most: all - done,
            long,
        };
        let result = catch_unwind(AssertUnwindSafe(|| job.run(&mut run)))
            .unwrap_or_else(|panic| Err(words(&*panic)));
        let made = match result {
            Ok(0) => break,
            Ok(made) => made,
            Err(why) => {
                violations += 1;
                let kept = run.folder.keep();
                let mode = if long {
                    "--long".to_owned()
                } else {
                    format!("--runs {}", all - done)
                };
                println!("VIOLATION in the run of seed {seed}: {why}");
                println!("  its folder: {}", kept.display());
                println!(
                    "  to repeat it: cargo run --release -p trials -- {name} --seed {seed} {mode}"
                );
                1
            }
        };
        done += made;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{name}: took {seconds:.0} s");
    println!("{name}: {done} runs, {violations} violations");
    ExitCode::from(u8::from(violations > 0))
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}
