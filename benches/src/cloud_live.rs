//! The word cloud live: what frames cost, how far words move from one to the next, and how full
//! the canvas stays.

use std::{
    collections::{HashMap, VecDeque},
    io::Read as _,
};

use plugin_api::{BatchBuilder, ContentType, Format, testing::Harness};
use plugin_wordcloud::{
    ThisPlugin,
    config::Options,
    layout::{Layout, Packing, Word},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Error,
    cloud::{Random, boxes, cpu_us, fill, settings, vocabulary},
    report::Report,
};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
const SHOWN: usize = 200;

/// Limits: milliseconds of CPU a frame, movement in percent of the diagonal, share of the canvas.
const P50_MS: f64 = 0.3;
const P99_MS: f64 = 1.0;
const MOVEMENT: f64 = 0.1;
const FILL: f64 = 0.65;
/// By which share a size may stray from what its count asks: what single precision rounds.
const STRAYS: f64 = 1e-5;

/// What is measured of a run of frames.
#[derive(Default)]
struct Frames {
    ms: Vec<f64>,
    /// The same of the whole stage, where it was measured.
    whole: Vec<f64>,
    fills: Vec<f64>,
    /// Where the words of the last frame stood.
    before: HashMap<String, (f64, f64)>,
    way: f64,
    moved: usize,
    kept: usize,
}

impl Frames {
    /// A frame, what it cost, and where its words stand.
    fn add<'a>(&mut self, ms: f64, words: impl Iterator<Item = (&'a str, f64, f64)>) {
        self.ms.push(ms);
        let mut now = HashMap::new();
        for (word, x, y) in words {
            if let Some((was_x, was_y)) = self.before.get(word) {
                let step = (x - was_x).hypot(y - was_y);
                self.kept += 1;
                self.moved += usize::from(step > 0.0);
                self.way += step;
            }
            now.insert(word.to_owned(), (x, y));
        }
        self.before = now;
    }

    /// Takes for each frame the median of three plays of the same, which differ in time only.
    fn median(plays: [Self; 3]) -> Self {
        let [mut first, second, third] = plays;
        let costs = first.ms.iter_mut().chain(&mut first.whole);
        let second = second.ms.iter().chain(&second.whole);
        let third = third.ms.iter().chain(&third.whole);
        for (cost, (one, other)) in costs.zip(second.zip(third)) {
            *cost = cost.clamp(one.min(*other), one.max(*other));
        }
        first
    }

    /// Prints what was measured, and reports it against the limits; that of the fill is one of
    /// `least_fill`, if there is one.
    fn conclude(mut self, report: &mut Report, least_fill: Option<f64>) {
        self.ms.sort_by(f64::total_cmp);
        self.whole.sort_by(f64::total_cmp);
        self.fills.sort_by(f64::total_cmp);
        let (p50, p99, most) = (at(&self.ms, 0.5), at(&self.ms, 0.99), at(&self.ms, 1.0));
        let mean = self.ms.iter().sum::<f64>() / self.ms.len() as f64;
        let diagonal = f64::from(WIDTH).hypot(f64::from(HEIGHT));
        let movement = self.way / self.kept as f64 / diagonal * 100.0;
        let least = at(&self.fills, 0.0);
        println!(
            "{} frames of {SHOWN} words on {WIDTH}x{HEIGHT}",
            self.ms.len()
        );
        println!(
            "layout, CPU ms: mean {mean:.3}, p50 {p50:.3} (at most {P50_MS}), p99 {p99:.3} (at most {P99_MS}), worst {most:.1}"
        );
        if !self.whole.is_empty() {
            println!(
                "whole stage, CPU ms: mean {:.3}, p50 {:.3}, p99 {:.3}",
                self.whole.iter().sum::<f64>() / self.whole.len() as f64,
                at(&self.whole, 0.5),
                at(&self.whole, 0.99)
            );
        }
        println!(
            "movement of kept words: {movement:.4} % of the diagonal a frame (at most {MOVEMENT}), {:.2} % of them moved",
            self.moved as f64 * 100.0 / self.kept as f64
        );
        println!(
            "fill: least {least:.3}{}, median {:.3}, most {:.3}",
            least_fill.map_or(String::new(), |fill| format!(" (at least {fill})")),
            at(&self.fills, 0.5),
            at(&self.fills, 1.0)
        );
        report.add("p50 ms", p50);
        report.add("p99 ms", p99);
        report.add("movement %", movement);
        report.add("least fill", least);
        let margins = [
            P50_MS / p50,
            P99_MS / p99,
            MOVEMENT / movement,
            least_fill.map_or(f64::INFINITY, |fill| least / fill),
        ];
        report.conclude(margins.into_iter().fold(f64::INFINITY, f64::min));
    }
}

/// Of sorted numbers the one at a share of their number.
fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Frames a second of the minute.
const FPS: i64 = 2;
/// A window, how often the minute is played, and seconds at first that are not measured: the cloud
/// forms.
const PLAYS: [(&str, i64, i64); 2] = [("10 000 records", 1, 10), ("30s", 20, 60)];

/// The archive's minute: by the default window, and over and over by a window of seconds; each three
/// times.
pub fn minute(report: &mut Report) -> Result<(), Error> {
    let packed = needs::data("archive-stream/2021-01-01-10-29.json.bz2").read();
    let mut archive = String::new();
    bzip2::read::MultiBzDecoder::new(&*packed).read_to_string(&mut archive)?;
    #[derive(Deserialize)]
    struct Stamp {
        timestamp_ms: Option<String>,
    }
    let mut tweets = Vec::new();
    for line in archive.lines() {
        let stamp: Stamp = serde_json::from_str(line)?;
        // Others are notices of deletion.
        if let Some(stamp) = stamp.timestamp_ms {
            tweets.push((stamp.parse::<i64>()?, line));
        }
    }
    tweets.sort_by_key(|(time, _)| *time);
    for (window, times, skip) in PLAYS {
        println!("window of {window}:");
        let play = || play(&tweets, window, times, skip);
        Frames::median([play()?, play()?, play()?]).conclude(report, None);
    }
    Ok(())
}

/// Plays the minute through the whole stage, in which a frame costs its choice of words, its layout,
/// its samples and its JSON. That is printed; a layout of its own on the same words says what it
/// costs, which is measured as that of the day is.
fn play(tweets: &[(i64, &str)], window: &str, times: i64, skip: i64) -> Result<Frames, Error> {
    let start = tweets.first().ok_or("no tweets")?.0;
    let options = json!({
        "window": window, "fps": FPS, "words": SHOWN, "width": WIDTH, "height": HEIGHT,
        "languages": ["en", "ja", "es", "ar"],
    });
    let json = ContentType::new(Format::Json);
    let parsed: Options = serde_json::from_value(options.clone())?;
    let settings = parsed.check().map_err(|error| error.message)?.settings;
    let mut layout = Layout::new(settings);
    let mut stage = Harness::<ThisPlugin>::processor("wordcloud", &options, &[json])?;
    let mut frames = Frames::default();
    for slice in 0..times * 60 * FPS {
        let from = start + slice % (60 * FPS) * 1000 / FPS;
        let mut batch = BatchBuilder::new();
        for (time, tweet) in tweets {
            if (from..from + 1000 / FPS).contains(time) {
                let time = time + slice / (60 * FPS) * 60_000;
                batch.push(Some(tweet.as_bytes())).ts_us(Some(time * 1000));
            }
        }
        stage.process(0, &batch.finish())?;
        stage.host().advance(1_000_000_000 / FPS as u64);
        let before = cpu_us();
        let out = stage.tick()?.1;
        let ms = (cpu_us() - before) / 1000.0;
        let Some(frame) = out.texts().pop() else {
            continue;
        };
        let frame: Told = serde_json::from_str(&frame)?;
        let words: Vec<Word<'_>> = frame.words.iter().map(Item::word).collect();
        let before = cpu_us();
        std::hint::black_box(layout.arrange(&words));
        let layout_ms = (cpu_us() - before) / 1000.0;
        if slice < skip * FPS {
            continue;
        }
        frames.whole.push(ms);
        let words = frame.words.iter();
        frames.add(layout_ms, words.map(|word| (word.key(), word.x, word.y)));
        let bounds = frame.words.iter().map(|word| word.bounds);
        frames.fills.push(fill(bounds, WIDTH, HEIGHT));
    }
    Ok(frames)
}

/// A frame as the stage puts it out.
#[derive(Deserialize)]
struct Told {
    words: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    key: Option<String>,
    count: u64,
    x: f64,
    y: f64,
    #[serde(rename = "box")]
    bounds: [f64; 4],
}

impl Item {
    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.text)
    }

    fn word(&self) -> Word<'_> {
        Word {
            key: self.key(),
            text: &self.text,
            count: self.count,
        }
    }
}

/// Seconds of a day and of the window.
const DAY: usize = 86_400;
const WINDOW: usize = 600;
/// Seconds between two frames.
const FRAME: usize = 2;

/// A stream of words over a day: busier by day than by night, topics that come and go.
struct Stream {
    random: Random,
    /// Weight of each word now, and of its usual share.
    usual: Vec<f64>,
    bursts: Vec<(usize, usize, f64)>,
}

impl Stream {
    fn new(words: usize) -> Self {
        Self {
            random: Random(11),
            usual: (0..words).map(|rank| 1.0 / (rank as f64 + 3.0)).collect(),
            bursts: Vec::new(),
        }
    }

    /// The words of a second.
    fn second(&mut self, now: usize, out: &mut Vec<u32>) {
        if self.random.below(300) == 0 {
            let word = self.random.below(self.usual.len() as u64) as usize;
            let height = 0.01 + self.random.below(60) as f64 / 1000.0;
            self.bursts.push((now, word, height * 7.0));
        }
        self.bursts.retain(|(start, _, _)| now - start < 7200);
        let mut weights = self.usual.clone();
        for (start, word, height) in &self.bursts {
            let age = (now - start) as f64;
            weights[*word] += height * (age / 300.0).min(1.0) * (-age / 1800.0).exp();
        }
        let mut sum = 0.0;
        for weight in &mut weights {
            sum += *weight;
            *weight = sum;
        }
        let daylight = 0.5 - 0.5 * (now as f64 / DAY as f64 * std::f64::consts::TAU).cos();
        let number = 20.0 + 100.0 * daylight;
        for _ in 0..number as usize {
            let at = self.random.below(1 << 30) as f64 / f64::from(1 << 30) * sum;
            out.push(weights.partition_point(|weight| *weight < at) as u32);
        }
    }
}

/// A day of frames of the layout alone.
pub fn day(report: &mut Report) -> Result<(), Error> {
    let vocabulary = vocabulary(3000);
    let mut stream = Stream::new(vocabulary.len());
    let mut window = VecDeque::new();
    let mut counts = vec![0_u64; vocabulary.len()];
    let mut layout = Layout::new(settings(WIDTH, HEIGHT, Packing::Steady));
    let mut frames = Frames::default();
    let mut strays = 0.0_f64;
    for now in 0..DAY {
        let mut second = Vec::new();
        stream.second(now, &mut second);
        for &word in &second {
            counts[word as usize] += 1;
        }
        window.push_back(second);
        if window.len() > WINDOW
            && let Some(old) = window.pop_front()
        {
            for word in old {
                counts[word as usize] -= 1;
            }
        }
        if now < WINDOW || now % FRAME != 0 {
            continue;
        }
        let mut order: Vec<usize> = (0..counts.len()).filter(|&word| counts[word] > 0).collect();
        order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then(a.cmp(&b)));
        order.truncate(SHOWN * 5 / 4);
        let ranked: Vec<Word<'_>> = order
            .iter()
            .map(|&word| Word::new(&vocabulary[word], counts[word]))
            .collect();
        let start = cpu_us();
        let chosen = layout.choose(&ranked, SHOWN);
        let words: Vec<Word<'_>> = chosen.iter().map(|&index| ranked[index]).collect();
        let places = layout.arrange(&words);
        let ms = (cpu_us() - start) / 1000.0;
        if places.len() < SHOWN.min(ranked.len()) {
            return Err("a word was dropped".into());
        }
        let unit = layout.said().unit;
        for (word, place) in words.iter().zip(&places) {
            let exact = unit * (word.count as f64).sqrt();
            strays = strays.max((f64::from(place.size) / exact - 1.0).abs());
        }
        let stand = words.iter().zip(&places);
        frames.add(
            ms,
            stand.map(|(word, place)| (word.text, f64::from(place.x), f64::from(place.y))),
        );
        if now % 60 == 0 {
            frames.fills.push(fill(boxes(&places), WIDTH, HEIGHT));
        }
    }
    println!("sizes stray by {strays:.6} (at most {STRAYS})");
    if strays > STRAYS {
        return Err("sizes are not exact".into());
    }
    frames.conclude(report, Some(FILL));
    Ok(())
}
