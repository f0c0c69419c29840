//! Proof by breaking it: the host as it was built, killed, starved and cut off, over and over.
//!
//! `cargo run --release -p trials -- NAME [--runs N] [--seed S]`, `-- NAME --long`, `-- list`,
//! `-- fuzz --seconds N`. Each violation says how to repeat it; the last line is
//! `NAME: N runs, V violations`, and the exit code is 1 if there were any. A trial whose parts are
//! missing says so and ends with `skipped`: exit code 0, but 1 where `CI=true`. `HOST_FOLDER` names a
//! host that is built already.

mod brokers;
mod disk_full;
mod fault;
mod flow;
mod frame;
mod fuzz;
mod io_faults;
mod kill;
mod kill_buffer;
mod kill_files;
mod leak;
mod ledger;
mod malformed;
mod malformed_inputs;
mod malformed_network;
mod misbehaving;
mod mutate;
mod preload;
mod proxies;
mod secrets;
mod secrets_hosts;
mod simulated;
mod slow_sink;
mod tail;
mod tcp;
mod topic;
mod truncated;

use std::process::ExitCode;

use clap::Parser;
use frame::Trial;

const TRIALS: &[Trial] = &[
    simulated::TRIAL,
    kill_files::TRIAL,
    kill_buffer::TRIAL,
    io_faults::TRIAL,
    disk_full::TRIAL,
    proxies::TRIAL,
    brokers::TRIAL,
    slow_sink::TRIAL,
    misbehaving::TRIAL,
    truncated::TRIAL,
    malformed::TRIAL,
    secrets::TRIAL,
    leak::TRIAL,
    fuzz::TRIAL,
];

/// Breaks the host and counts what was lost or doubled.
#[derive(Parser)]
struct Args {
    /// Which trial; `list` names them all.
    name: String,
    /// How many runs; the trial's number for CI where it is left out.
    #[arg(long, conflicts_with = "long")]
    runs: Option<u64>,
    /// Of the first run; each further one counts one up. Another each time where it is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// The long number of runs.
    #[arg(long)]
    long: bool,
    /// For each target of `fuzz`, in place of a number of runs.
    #[arg(long, conflicts_with_all = ["runs", "long"])]
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.name == "list" {
        let shown = |runs: Option<u64>| {
            let number = runs.filter(|runs| *runs < u64::MAX);
            number.map_or_else(|| "all".to_owned(), |runs| runs.to_string())
        };
        for trial in TRIALS {
            let (ci, long) = (shown(Some(trial.ci)), shown(trial.long));
            println!(
                "{:<12} CI {ci:>4}, long {long:>5}  {}",
                trial.name, trial.about
            );
        }
        return ExitCode::SUCCESS;
    }
    let Some(trial) = TRIALS.iter().find(|trial| trial.name == args.name) else {
        eprintln!(
            "error: no trial is called `{}`\nhint: `list` names them all",
            args.name
        );
        return ExitCode::from(2);
    };
    if args.seconds.is_some() && trial.name != fuzz::TRIAL.name {
        eprintln!("error: only `{}` takes --seconds", fuzz::TRIAL.name);
        return ExitCode::from(2);
    }
    let seconds = args.seconds.map(|each| each * fuzz::TARGETS.len() as u64);
    frame::go(trial, args.runs.or(seconds), args.seed, args.long)
}
