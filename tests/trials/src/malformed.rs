//! Malformed input for each plugin that takes bytes: nothing panics, each message has one fate, and
//! what is written of the rest reads whole.

use std::{fs, path::Path, time::Duration};

use e2e::{
    host::{Folder, PATIENCE},
    process::{Finished, Process},
    summary::Summary,
    thirdparty::{self, Compiler},
};
use fastrand::Rng;

use crate::{
    flow::Tweets,
    frame::{Job, Run, Trial},
    malformed_inputs as inputs, malformed_network as network,
    mutate::mutated,
};

pub const TRIAL: Trial = Trial {
    name: "malformed",
    about: "500 malformed messages for each of 9 ways into a plugin (--long: 10,000)",
    ci: WAYS.len() as u64,
    long: Some(20 * WAYS.len() as u64),
    begin: || {
        Some(Box::new(Malformed {
            built: thirdparty::build(Compiler::Ours, false),
            tweets: Tweets::known(50, None),
        }))
    },
};

/// Messages of a run.
pub const MESSAGES: usize = 500;

/// What a way into a plugin is called, and a run of it.
type Way = (&'static str, fn(&Malformed, &mut Run) -> Result<(), String>);

const WAYS: [Way; 9] = [
    ("JSON", Malformed::json),
    ("Avro datums", Malformed::avro),
    ("Avro datums over Kafka", Malformed::kafka),
    ("a Twitter stream", network::twitter),
    ("websocket handshakes", network::websocket),
    ("CSV files", inputs::csv),
    ("compressed lines", inputs::compressed),
    ("Avro containers", inputs::containers),
    ("hosts.toml", inputs::hosts_toml),
];

pub struct Malformed {
    built: std::path::PathBuf,
    pub tweets: Tweets,
}

impl Job for Malformed {
    fn run(&mut self, run: &mut Run) -> Result<u64, String> {
        let (what, way) = WAYS[(run.seed % WAYS.len() as u64) as usize];
        let plugins = run.folder.path("plugins.d");
        fs::create_dir(&plugins).map_err(|e| e.to_string())?;
        fs::copy(self.built.join("libflow.so"), plugins.join("libflow.so"))
            .map_err(|e| e.to_string())?;
        way(self, run).map_err(|why| format!("{what}: {why}"))?;
        Ok(1)
    }
}

pub const SCHEMA: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "id_str", "type": "string"}, {"name": "text", "type": ["null", "string"]},
    {"name": "n", "type": "long", "default": 0}, {"name": "list", "type": {"type": "array", "items": "string"}, "default": []}]}"#;

/// Credentials that are none.
pub const CREDENTIALS: &str = r#"{ consumer_key = "env:T_1?a", consumer_secret = "env:T_2?b", token = "env:T_3?c", token_secret = "env:T_4?d" }"#;

impl Malformed {
    fn json(&self, run: &mut Run) -> Result<(), String> {
        let corpus: Vec<_> = self.tweets.lines().lines().collect();
        frames(&run.folder, &corpus, &mut run.rng);
        run.folder.write("t.avsc", SCHEMA);
        let direct = [
            (
                "processors",
                "filter",
                "filter",
                r#"field = "user.lang", contains = "e""#,
            ),
            (
                "processors",
                "route",
                "route",
                r#"field = "text", regex = "a""#,
            ),
            (
                "processors",
                "encode",
                "avro-encode",
                r#"schema = "t.avsc""#,
            ),
            ("processors", "cloud", "wordcloud", ""),
            (
                "sinks",
                "rows",
                "csv-file",
                r#"path = "out/a.csv", columns = ["id_str", "text"]"#,
            ),
            (
                "sinks",
                "datums",
                "avro-file",
                r#"path = "out/b.avro", schema = "t.avsc""#,
            ),
            ("sinks", "console", "console", ""),
            ("sinks", "page", "websocket", r#"listen = "127.0.0.1:0""#),
            (
                "sinks",
                "topic",
                "kafka",
                r#"brokers = "embedded", topic = "t""#,
            ),
        ];
        let lines = ["filter", "route.matched", "route.unmatched", "cloud"];
        let hosts = graph("format = \"json\"", &direct, &lines, "encode");
        let ran = checked(&run.folder, &hosts, &direct.map(|stage| stage.1))?;
        let summary = Summary::read(&ran.stdout);
        reads_whole(
            &run.folder,
            &summary,
            &[
                ("m/rows", "a.csv"),
                ("m/datums", "b.avro"),
                ("m/avro", "a.avro"),
            ],
        )
    }

    fn avro(&self, run: &mut Run) -> Result<(), String> {
        frames(&run.folder, &inputs::datums(), &mut run.rng);
        run.folder.write("t.avsc", SCHEMA);
        let direct = [
            ("processors", "decode", "avro-decode", ""),
            (
                "processors",
                "filter",
                "filter",
                r#"field = "text", contains = "e""#,
            ),
            ("processors", "cloud", "wordcloud", r#"text = ["text"]"#),
            ("sinks", "rows", "csv-file", r#"path = "out/a.csv""#),
            (
                "sinks",
                "topic",
                "kafka",
                r#"brokers = "embedded", topic = "t""#,
            ),
        ];
        let hosts = graph("schema = \"t.avsc\"", &direct, &["decode", "cloud"], "in");
        let ran = checked(&run.folder, &hosts, &direct.map(|stage| stage.1))?;
        let summary = Summary::read(&ran.stdout);
        reads_whole(
            &run.folder,
            &summary,
            &[("m/rows", "a.csv"), ("m/avro", "a.avro")],
        )
    }

    fn kafka(&self, run: &mut Run) -> Result<(), String> {
        frames(&run.folder, &inputs::datums(), &mut run.rng);
        run.folder.write("t.avsc", SCHEMA);
        let hosts = format!(
            r#"
version = 1
plugin_dirs = ["plugins.d"]
[hosts.feed.sources.in]
plugin = "flow-frames"
with = {{ path = "frames", schema = "t.avsc" }}
[hosts.feed.sinks.topic]
plugin = "kafka"
inputs = ["in"]
with = {{ brokers = "embedded", topic = "t" }}
[hosts.m.sources.topic]
plugin = "kafka"
limit = {MESSAGES}
with = {{ brokers = "embedded", topic = "t", group = "g", start = "earliest", format = "avro", schema = "t.avsc" }}
[hosts.m.processors.decode]
plugin = "avro-decode"
inputs = ["topic"]
[hosts.m.sinks.out]
plugin = "lines"
inputs = ["decode"]
with.path = "out/a.jsonl"
"#
        );
        checked(&run.folder, &hosts, &["decode"]).map(drop)
    }
}

/// Writes the messages for the source `flow-frames`.
fn frames<T: AsRef<[u8]>>(folder: &Folder, corpus: &[T], rng: &mut Rng) {
    let mut frames = Vec::new();
    for _ in 0..MESSAGES {
        let message = mutated(corpus, rng);
        let length = u32::try_from(message.len()).expect("messages are small");
        frames.extend_from_slice(&length.to_le_bytes());
        frames.extend_from_slice(&message);
    }
    fs::write(folder.path("frames"), frames).expect("a file");
}

/// Stages that all read the malformed messages; `lines` are written as they are, and one stage
/// into an Avro file.
fn graph(
    source: &str,
    direct: &[(&str, &str, &str, &str)],
    lines: &[&str],
    into_avro: &str,
) -> String {
    let mut text = format!(
        "version = 1\nplugin_dirs = [\"plugins.d\"]\n[hosts.m.sources.in]\n\
         plugin = \"flow-frames\"\nwith = {{ path = \"frames\", {source} }}\n"
    );
    let mut add = |table: &str, name: &str, plugin: &str, input: &str, with: &str| {
        text.push_str(&format!(
            "[hosts.m.{table}.{name}]\nplugin = \"{plugin}\"\ninputs = [\"{input}\"]\nwith = {{ {with} }}\n"
        ));
    };
    for (table, name, plugin, with) in direct {
        add(table, name, plugin, "in", with);
    }
    for input in lines {
        let name = format!("lines-{}", input.replace('.', "-"));
        add(
            "sinks",
            &name,
            "lines",
            input,
            &format!("path = \"out/{name}.txt\""),
        );
    }
    add(
        "sinks",
        "avro",
        "avro-file",
        into_avro,
        "path = \"out/a.avro\"",
    );
    text
}

/// Runs hosts to a good end: accounts balance, `direct` stages of `m` had every message, nothing
/// panicked, and there are as many dead letters as were counted.
fn checked(folder: &Folder, hosts: &str, direct: &[&str]) -> Result<Finished, String> {
    let ran = well(folder.run(hosts, &[]))?;
    let summary = Summary::read(&ran.stdout);
    for stage in direct {
        let counts = summary.stage(&format!("m/{stage}"));
        if counts.received != MESSAGES as u64 {
            return Err(format!(
                "{stage} received {} of {MESSAGES}",
                counts.received
            ));
        }
    }
    letters(folder, &summary)?;
    Ok(ran)
}

/// A run that ended with exit code 0, in which nobody panicked and each record has a fate.
pub fn well(ran: Finished) -> Result<Finished, String> {
    if ran.code != Some(0) || ran.stderr.contains("panicked") {
        return Err(format!("exit code {:?}:\n{}", ran.code, ran.stderr));
    }
    Summary::read(&ran.stdout).assert_balanced();
    Ok(ran)
}

/// There are as many dead letters as were counted, and some there are.
pub fn letters(folder: &Folder, summary: &Summary) -> Result<(), String> {
    let counted: u64 = summary.stages().map(|(_, c)| c.dead_lettered).sum();
    let mut kept = 0;
    for host in fs::read_dir(folder.path("state"))
        .map_err(|e| e.to_string())?
        .flatten()
    {
        for file in fs::read_dir(host.path().join("dead-letters"))
            .into_iter()
            .flatten()
            .flatten()
        {
            kept += avro(&file.path())?;
        }
    }
    if counted == 0 || counted != kept {
        return Err(format!(
            "{counted} dead letters were counted and {kept} are there"
        ));
    }
    Ok(())
}

/// What these stages wrote reads whole, and is what they say that they wrote.
fn reads_whole(folder: &Folder, summary: &Summary, files: &[(&str, &str)]) -> Result<(), String> {
    for (stage, name) in files {
        let path = folder.path("out").join(name);
        let wrote = summary.stage(stage).consumed;
        let read = if !path.exists() {
            0
        } else if name.ends_with(".avro") {
            avro(&path)?
        } else {
            let mut rows = csv::Reader::from_path(&path).map_err(|e| e.to_string())?;
            let mut count = 0;
            for row in rows.byte_records() {
                row.map_err(|e| format!("{name}: {e}"))?;
                count += 1;
            }
            count
        };
        if read != wrote {
            return Err(format!(
                "{stage} wrote {wrote} records, and {name} has {read}"
            ));
        }
    }
    Ok(())
}

/// How many records an Avro file has.
fn avro(path: &Path) -> Result<u64, String> {
    let file = fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut count = 0;
    for record in apache_avro::Reader::new(file).map_err(|e| e.to_string())? {
        record.map_err(|e| format!("{}: {e}", path.display()))?;
        count += 1;
    }
    Ok(count)
}

/// Starts a host of the folder.
pub fn start(folder: &Folder, hosts: &str) -> Process {
    folder.write("hosts.toml", hosts);
    let args = ["--config", "hosts.toml", "--summary", "json"];
    Process::start(&mut folder.host(&args))
}

/// Longest time for what answers at once.
pub const SOON: Duration = if PATIENCE.as_secs() > 60 {
    Duration::from_secs(60)
} else {
    PATIENCE
};
