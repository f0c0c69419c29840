//! The layout of the word cloud: one picture against amueller/word_cloud and d3-cloud.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use plugin_wordcloud::layout::{Layout, Packing, Place, Settings, Word};
use serde_json::{Value, json};

use crate::{Error, report::Report};

const ROUNDS: usize = 3;
/// Canvas, number of words, and how many times less CPU than word_cloud is asked.
const CASES: [(u32, u32, usize, f64); 4] = [
    (800, 400, 200, 4.0),
    (800, 400, 1000, 4.0),
    (1920, 1080, 200, 10.0),
    (1920, 1080, 1000, 10.0),
];
/// By how much less of the canvas ours may fill than a peer.
const FILL: f64 = 0.03;
/// Greatest ratio between two words' sizes over what it should be, which single precision rounds.
const STRAYS: f64 = 1.0 + 1e-5;

/// A layout as it is compared: index of the word, size, and the box of its ink.
struct Laid {
    cpu_s: f64,
    words: Vec<[f64; 6]>,
}

impl Laid {
    fn from(answer: &Value) -> Result<Self, Error> {
        let words = answer["words"].as_array().ok_or("no words")?;
        let row = |word: &Value| {
            let mut row = [0.0; 6];
            for (into, value) in row.iter_mut().zip(word.as_array()?) {
                *into = value.as_f64()?;
            }
            Some(row)
        };
        Ok(Self {
            cpu_s: answer["cpu"].as_f64().ok_or("no time")?,
            words: words.iter().filter_map(row).collect(),
        })
    }

    /// Share of the canvas inside words' boxes.
    fn fill(&self, width: u32, height: u32) -> f64 {
        let boxes = self
            .words
            .iter()
            .map(|word| [word[2], word[3], word[4], word[5]]);
        fill(boxes, width, height)
    }

    /// How far the sizes stray from the square root of the counts: the greatest ratio between two
    /// words' sizes over what it should be.
    fn strays(&self, counts: &[u64]) -> f64 {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for word in &self.words {
            let unit = word[1] / (counts[word[0] as usize] as f64).sqrt();
            (low, high) = (low.min(unit), high.max(unit));
        }
        high / low
    }
}

/// Share of the pixels that boxes touch: left edge, upper edge, width and height.
pub(crate) fn fill(boxes: impl Iterator<Item = [f64; 4]>, width: u32, height: u32) -> f64 {
    let mut pixels = vec![false; (width * height) as usize];
    let within = |at: f64, most: u32| at.clamp(0.0, f64::from(most)) as usize;
    for [x, y, wide, high] in boxes {
        let (from, to) = (within(x.floor(), width), within((x + wide).ceil(), width));
        for line in within(y.floor(), height)..within((y + high).ceil(), height) {
            pixels[line * width as usize..][from..to].fill(true);
        }
    }
    pixels.iter().filter(|pixel| **pixel).count() as f64 / pixels.len() as f64
}

pub(crate) fn boxes(places: &[Place]) -> impl Iterator<Item = [f64; 4]> {
    places.iter().map(|place| place.bounds.map(f64::from))
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Words of one to four syllables.
pub(crate) fn vocabulary(number: usize) -> Vec<String> {
    const SYLLABLES: [&str; 24] = [
        "ka", "to", "mi", "lon", "er", "data", "st", "re", "am", "ber", "gy", "q", "pl", "ing",
        "so", "fi", "wo", "na", "ter", "ba", "chu", "li", "ve", "mo",
    ];
    let mut random = Random(5);
    let mut words: Vec<String> = Vec::new();
    while words.len() < number {
        let word: String = (0..1 + random.below(4))
            .map(|_| SYLLABLES[random.below(24) as usize])
            .collect();
        if word.len() > 1 && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

pub(crate) fn settings(width: u32, height: u32, packing: Packing) -> Settings {
    Settings {
        width,
        height,
        vertical: 0.1,
        seed: 1,
        padding: if packing == Packing::Tight { 0.0 } else { 1.0 },
        legible: 8.0,
        packing,
        ..Settings::default()
    }
}

/// CPU time of this thread, in microseconds.
pub(crate) fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn ours(words: &[Word<'_>], width: u32, height: u32) -> (Laid, Vec<Place>) {
    let start = cpu_us();
    let places = Layout::new(settings(width, height, Packing::Tight)).arrange(words);
    let cpu_s = (cpu_us() - start) / 1e6;
    let row = |(index, place): (usize, &Place)| {
        let [x, y, wide, high] = place.bounds.map(f64::from);
        [index as f64, f64::from(place.size), x, y, wide, high]
    };
    let words = places.iter().enumerate().map(row).collect();
    (Laid { cpu_s, words }, places)
}

/// The peers, in a folder of their own that outlives the run.
struct Peers {
    python: PathBuf,
    node: PathBuf,
    scripts: PathBuf,
}

impl Peers {
    fn get() -> Result<Self, Error> {
        let folder = needs::parts_dir().join("cloud-peers");
        fs::create_dir_all(&folder)?;
        let python = folder.join("python/bin/python");
        if !python.exists() {
            run(Command::new("python3")
                .args(["-m", "venv"])
                .arg(folder.join("python")))?;
        }
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "wordcloud==1.9.6"]))?;
        fs::write(folder.join("package.json"), "{\"private\":true}")?;
        let packages = ["d3-cloud@1.2.9", "@napi-rs/canvas"];
        if !folder.join("node_modules/d3-cloud").exists() {
            run(Command::new("npm")
                .args(["install", "--silent", "--ignore-scripts"])
                .args(packages)
                .current_dir(&folder))?;
        }
        Ok(Self {
            python,
            node: folder.join("package.json"),
            scripts: Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud"),
        })
    }

    fn word_cloud(&self, task: &Value) -> Result<Laid, Error> {
        let mut command = Command::new(&self.python);
        ask(command.arg(self.scripts.join("word_cloud.py")), task)
    }

    fn d3_cloud(&self, task: &Value) -> Result<Laid, Error> {
        let mut command = Command::new("node");
        ask(
            command
                .arg(self.scripts.join("d3_cloud.mjs"))
                .arg(&self.node),
            task,
        )
    }
}

fn run(command: &mut Command) -> Result<(), Error> {
    let out = command.output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr)).into())
}

fn ask(command: &mut Command, task: &Value) -> Result<Laid, Error> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(task.to_string().as_bytes())?;
    drop(input);
    let out = child.wait_with_output()?;
    Laid::from(&serde_json::from_slice(&out.stdout)?)
}

/// The same layout so many times, by the median of what it took.
fn median(mut lay: impl FnMut() -> Result<Laid, Error>) -> Result<Laid, Error> {
    let mut rounds = (0..ROUNDS).map(|_| lay()).collect::<Result<Vec<_>, _>>()?;
    rounds.sort_by(|one, other| one.cpu_s.total_cmp(&other.cpu_s));
    Ok(rounds.swap_remove(ROUNDS / 2))
}

/// One picture: the CPU that it takes and how well the canvas is filled. No side keeps words apart
/// by more than their ink.
pub fn picture(report: &mut Report) -> Result<(), Error> {
    let peers = Peers::get()
        .inspect_err(|error| println!("without the peers, which could not be had: {error}"))
        .ok();
    let folder = tempfile::tempdir()?;
    let font = folder.path().join("font.ttf");
    fs::write(&font, typeface::NOTO_SANS)?;
    let mut worst = f64::INFINITY;
    println!("canvas     words  by           CPU ms   fill  placed  sizes stray");
    for (width, height, number, goal) in CASES {
        let vocabulary = vocabulary(number);
        let counts: Vec<u64> = (0..number).map(|rank| 10_000 / (rank as u64 + 3)).collect();
        let words: Vec<Word<'_>> = vocabulary
            .iter()
            .zip(&counts)
            .map(|(text, &count)| Word::new(text, count))
            .collect();
        let say = |by: &str, laid: &Laid| {
            println!(
                "{:<9}  {number:>5}  {by:<10}  {:>7.1}  {:>5.3}  {:>5.1}%  {:>6.4}x",
                format!("{width}x{height}"),
                laid.cpu_s * 1000.0,
                laid.fill(width, height),
                laid.words.len() as f64 * 100.0 / number as f64,
                laid.strays(&counts),
            );
        };
        let mut places = Vec::new();
        let laid = median(|| {
            let (laid, stand) = ours(&words, width, height);
            places = stand;
            Ok(laid)
        })?;
        say("ours", &laid);
        if laid.words.len() < number {
            return Err("a word was dropped".into());
        }
        if laid.strays(&counts) > STRAYS {
            return Err("sizes are not exact".into());
        }
        let Some(peers) = &peers else {
            worst = 0.0;
            continue;
        };
        let sized: Vec<Value> = vocabulary
            .iter()
            .zip(&places)
            .map(|(text, place)| json!([text, place.size, place.turned]))
            .collect();
        let counted: Vec<Value> = words
            .iter()
            .map(|word| json!([word.text, word.count]))
            .collect();
        let task = |words: Vec<Value>| json!({"words": words, "width": width, "height": height, "font": font});
        let task_of_counts = task(counted);
        let python = median(|| peers.word_cloud(&task_of_counts))?;
        say("word_cloud", &python);
        let task_of_sizes = task(sized);
        let node = median(|| peers.d3_cloud(&task_of_sizes))?;
        say("d3-cloud", &node);
        let ratio = python.cpu_s / laid.cpu_s;
        let short =
            python.fill(width, height).max(node.fill(width, height)) - laid.fill(width, height);
        println!(
            "           {:.1} times less CPU than word_cloud (goal {goal}), {:.1} than d3-cloud; fill {short:+.3} below theirs (at most {FILL})",
            ratio,
            node.cpu_s / laid.cpu_s
        );
        worst = worst.min(if short > FILL { 0.0 } else { ratio / goal });
        report.add(&format!("{width}x{height}, {number}: ratio"), ratio);
    }
    report.conclude(worst);
    Ok(())
}
