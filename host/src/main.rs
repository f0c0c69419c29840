//! Parses the command line, dispatches, and ends with the exit code.

use std::process::ExitCode;

use clap::Parser;
use host::cli::{self, Cli, run::Found};

fn main() -> ExitCode {
    ExitCode::from(cli::dispatch(
        Cli::parse(),
        &Found::default(),
        &cli::run::run,
    ))
}
