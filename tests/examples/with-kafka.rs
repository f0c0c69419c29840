//! Runs a command beside Apache Kafka: `cargo run -p e2e --example with-kafka -- COMMAND ARGS...`.
//! The command finds the broker in `KAFKA_BROKERS`, and the listeners that want passwords or
//! certificates in `KAFKA_SECURE`. `tests/parts.sh kafka` brings what it needs.

use std::{
    env,
    process::{Command, ExitCode},
};

use e2e::kafka::Kafka;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let Some(program) = args.next() else {
        eprintln!("usage: with-kafka COMMAND ARGS...");
        return ExitCode::from(2);
    };
    let Some(kafka) = Kafka::start() else {
        return ExitCode::FAILURE;
    };
    eprintln!("Apache Kafka serves at {}", kafka.brokers());
    let status = Command::new(program)
        .args(args)
        .env("KAFKA_BROKERS", kafka.brokers())
        .env("KAFKA_SECURE", kafka.secure())
        .status();
    match status {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|c| u8::try_from(c).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("error: the command does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
