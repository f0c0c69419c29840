//! Thousands of readers of one feed, at the sink `websocket` and at a plain server on tungstenite,
//! in turn: how old frames are when a reader has them whole, what a reader costs before they come
//! and after, and what those cost the others who never read, or never end their request.
//!
//! `fanout [READERS [ROUNDS]]` prints a line `NAME VALUE` for each figure of each round. Server and
//! readers are processes of their own, since together they take more descriptors than one may have.

mod child;
mod read;
mod round;
mod serve;
mod slow;

use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

/// Two frames a second, as a live cloud has them.
const EVERY: std::time::Duration = std::time::Duration::from_millis(500);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    raise_limit();
    let done = match *args {
        ["serve", who] => serve::run(who),
        ["read", address, count] => read::run(address, count),
        ["hold", address, count] => slow::hold(address, count),
        [] => round::all("10000", "3"),
        [readers] => round::all(readers, "3"),
        [readers, rounds] => round::all(readers, rounds),
        _ => Err("usage: fanout [READERS [ROUNDS]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As many descriptors as the system lets us have.
fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Too few of them show when they are needed.
    let _ = setrlimit(Resource::Nofile, most);
}

/// The clock that all processes have in common, in microseconds.
fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}
