//! Measures ours and a named peer in turn, several times, on the same input:
//! `cargo run --release -p benches -- NAME`, or `list`. The last line is
//! `NAME ratio=X (goal ≥ Y)`; for a limit X is the limit over what was measured. The exit code is
//! 1 if the goal was missed.

mod bluesky;
mod checkpoint;
mod cloud;
mod cloud_count;
mod cloud_live;
mod edge;
mod fanout;
mod filter;
mod host;
mod isolate;
mod latency;
mod memory;
mod report;
mod spool;
mod start;
mod tweets;

use std::process::ExitCode;

use report::Report;

type Error = Box<dyn std::error::Error>;

/// A measurement.
struct Bench {
    name: &'static str,
    about: &'static str,
    /// What the ratio has to reach.
    goal: f64,
    run: fn(&mut Report) -> Result<(), Error>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "extract",
        about: "CPU a tweet from JSON to Avro datum, against json.loads + avro-python3 1.8.1",
        goal: 38.0,
        run: tweets::extract,
    },
    Bench {
        name: "container",
        about: "CPU a tweet from JSON into a deflate container, against the original's path",
        goal: 38.0,
        run: tweets::container,
    },
    Bench {
        name: "bluesky",
        about: "CPU a post from frame to Avro datum: at most twice a tweet's datum of the same size; 10x less than Python's websockets + json + fastavro",
        goal: 1.0,
        run: bluesky::run,
    },
    Bench {
        name: "filter",
        about: "lines → filter → lines on 1 GB of 300-byte lines, against Redpanda Connect's core",
        goal: 5.0,
        run: filter::run,
    },
    Bench {
        name: "cloud",
        about: "a word cloud's picture: CPU against word_cloud 1.9.6 (4x and 10x less) at no less fill, beside d3-cloud",
        goal: 1.0,
        run: cloud::picture,
    },
    Bench {
        name: "cloud-day",
        about: "a day of frames of 200 words at 1080p: CPU p50 0.3 ms, p99 1 ms; movement 0.1 %; fill 0.65",
        goal: 1.0,
        run: cloud_live::day,
    },
    Bench {
        name: "cloud-minute",
        about: "the archive's minute through the whole stage, 200 words at 1080p: the limits of cloud-day but for the fill",
        goal: 1.0,
        run: cloud_live::minute,
    },
    Bench {
        name: "edge",
        about: "an edge with a crossing of the ABI: at most 1 µs a batch plus 5 ns a record",
        goal: 1.0,
        run: edge::run,
    },
    Bench {
        name: "checkpoint",
        about: "throughput with an epoch each second over that without, to files of lines and of Avro",
        goal: 0.95,
        run: checkpoint::run,
    },
    Bench {
        name: "latency",
        about: "p99 from source to sink with an epoch each second: at most twice that without",
        goal: 1.0,
        run: latency::run,
    },
    Bench {
        name: "isolate",
        about: "a stage in a process of its own: a batch of 1 crosses in 27 µs, one of 1,000 × 300 B in 110",
        goal: 1.0,
        run: isolate::run,
    },
    Bench {
        name: "memory",
        about: "peak memory of the whole demo: at most 150 MiB",
        goal: 1.0,
        run: memory::run,
    },
    Bench {
        name: "start",
        about: "from `host --config` to the first record through three stages: at most 150 ms",
        goal: 1.0,
        run: start::run,
    },
    Bench {
        name: "cloud-count",
        about: "the word cloud: at most 3 µs a tweet to count its words, 6 with cutting it into them",
        goal: 1.0,
        run: cloud_count::run,
    },
    Bench {
        name: "spool",
        about: "the disk buffer, made durable by batch and by epoch, against append and fsync",
        goal: 0.2,
        run: spool::run,
    },
    Bench {
        name: "fanout",
        about: "10,000 websocket readers at 2 frames/s: p99 at most 0.75 of plain tungstenite's, 12 KiB each",
        goal: 1.0,
        run: fanout::run,
    },
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "list" {
        for bench in BENCHES {
            println!("{:<12} {} (goal ≥ {})", bench.name, bench.about, bench.goal);
        }
        return ExitCode::SUCCESS;
    }
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        eprintln!("usage: cargo run --release -p benches -- NAME\nhint: `list` names them all");
        return ExitCode::from(2);
    };
    let mut report = Report::default();
    println!("{}", bench.about);
    match (bench.run)(&mut report) {
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => {
            let ratio = report.print();
            println!("{} ratio={ratio:.2} (goal ≥ {})", bench.name, bench.goal);
            ExitCode::from(u8::from(ratio < bench.goal))
        }
    }
}
