//! CPU time a line of a file of JSON lines takes on its way into datums and container files:
//! `cargo run --release -p avro-data --example speed -- SCHEMA LINES.json`.

use std::hint::black_box;

use avro_data::container::{Codec, DEFAULT_BLOCK_SIZE, Writer};
use avro_data::{Extractor, Schema};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, schema, lines] = arguments.as_slice() else {
        return Err("usage: speed SCHEMA LINES.json".into());
    };
    let schema = Schema::parse(&std::fs::read_to_string(schema)?)?;
    let bytes = std::fs::read(lines)?;
    let mut extractor = Extractor::new(&schema)?;
    let mut datum = Vec::new();
    let lines: Vec<&[u8]> = bytes
        .split(|b| *b == b'\n')
        .filter(|line| {
            datum.clear();
            extractor.extract(line, &mut datum).is_ok()
        })
        .collect();
    let each = |name: &str, run: &mut dyn FnMut() -> u64| {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..9 {
            let start = cpu_ns();
            size = black_box(run());
            times.push((cpu_ns() - start) as f64 / 1000.0 / lines.len() as f64);
        }
        times.sort_by(f64::total_cmp);
        let size = size / lines.len() as u64;
        println!(
            "{name:<16} min {:6.2} us  median {:6.2} us  {size} B",
            times[0], times[4]
        );
    };
    println!("{} lines", lines.len());
    each("datum", &mut || {
        let mut size = 0;
        for line in &lines {
            datum.clear();
            extractor.extract(line, &mut datum).expect("taken before");
            size += datum.len() as u64;
        }
        size
    });
    for codec in Codec::ALL {
        each(codec.name(), &mut || {
            let mut writer = Writer::new(std::io::sink(), &schema, codec, DEFAULT_BLOCK_SIZE)
                .expect("nothing fails here");
            for line in &lines {
                writer
                    .append_with(|block| extractor.extract(line, block))
                    .expect("nothing fails here")
                    .expect("taken before");
            }
            writer.flush().expect("nothing fails here");
            writer.written()
        });
    }
    Ok(())
}

/// What this process has used of the CPU, in nanoseconds; Linux only.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or_default()
}
