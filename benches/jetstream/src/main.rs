//! What a post of Bluesky costs on its way from a frame to an Avro datum: beside the datum of a
//! tweet of v1.1 of the same size, and beside Python's websockets, json and fastavro, which read
//! the same frames from a server of this program.
//!
//!     jetstream PYTHON ROOT ROUNDS     prints a title and a value a line

mod documents;
mod server;

use std::{fs, hint::black_box, path::Path, process::Command};

use avro_data::{Extractor, Schema};
use plugin_bluesky::Converter;

use crate::documents::Documents;

type Error = Box<dyn std::error::Error>;

/// Posts in a round, all different: the source would leave out what it has had.
const POSTS: usize = 50_000;
/// So many make a batch.
const BATCH: usize = 1_000;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, root, rounds] = &arguments[..] else {
        return Err("usage: jetstream PYTHON ROOT ROUNDS".into());
    };
    let root = Path::new(root);
    let documents = Documents::of_one_size(POSTS);
    println!("bytes {}", documents.bytes());
    let server = server::Server::start(documents.posts.clone())?;
    for _ in 0..rounds.parse()? {
        let ours = posts(&documents, root, "{}")?;
        let tracked = posts(
            &documents,
            root,
            r#"{"track":["word","lighthouse keeper"]}"#,
        )?;
        let tweet = tweets(&documents, root)?;
        println!("ours, µs a post {:.4}", ours.0 + ours.1);
        println!("frame to record {:.4}", ours.0);
        println!("with track {:.4}", tracked.0 + tracked.1);
        println!("tweet's datum {tweet:.4}");
        let peer = Command::new(python)
            .arg(root.join("benches/python/jetstream.py"))
            .arg(root.join("schemas/bluesky/tweet_full.avsc"))
            .args([server.address(), POSTS.to_string()])
            .output()?;
        if !peer.status.success() {
            return Err(String::from_utf8_lossy(&peer.stderr).into_owned().into());
        }
        println!("peer, µs a post {}", String::from_utf8(peer.stdout)?.trim());
    }
    Ok(())
}

fn extractor(root: &Path, schema: &str) -> Result<Extractor, Error> {
    let text = fs::read_to_string(root.join("schemas").join(schema))?;
    Ok(Extractor::new(&Schema::parse(&text)?)?)
}

/// Frames → batches of records → datums: microseconds a post, of each of the two.
fn posts(documents: &Documents, root: &Path, options: &str) -> Result<(f64, f64), Error> {
    let mut extractor = extractor(root, "bluesky/tweet_full.avsc")?;
    let mut converter = Converter::new(options).map_err(|e| e.message)?;
    let mut datum = Vec::new();
    let (mut records, mut reading, mut writing) = (0, 0.0, 0.0);
    for frames in documents.posts.chunks(BATCH) {
        let start = cpu_us();
        for frame in frames {
            records += usize::from(converter.take(frame.as_bytes()));
        }
        let batch = converter.batch();
        let read = cpu_us();
        for record in &batch {
            datum.clear();
            extractor.extract(record.bytes(), &mut datum)?;
            black_box(&datum);
        }
        reading += read - start;
        writing += cpu_us() - read;
    }
    if records != documents.posts.len() {
        return Err(format!("{records} of {POSTS} posts came through").into());
    }
    Ok((reading / POSTS as f64, writing / POSTS as f64))
}

/// Tweets → datums: microseconds a tweet.
fn tweets(documents: &Documents, root: &Path) -> Result<f64, Error> {
    let mut extractor = extractor(root, "tweet_full.avsc")?;
    let mut datum = Vec::new();
    let start = cpu_us();
    for tweet in &documents.tweets {
        datum.clear();
        extractor.extract(tweet.as_bytes(), &mut datum)?;
        black_box(&datum);
    }
    Ok((cpu_us() - start) / documents.tweets.len() as f64)
}

/// CPU time of this thread.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
