//! A registry without plugin files: stages whose options and plans resemble the shipped ones.
#![allow(dead_code)]

mod options;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use host::cli::prepare::{Prepared, prepare};
use host::config::ConfigSource;
use host::plan::{self, Double, PluginEntry, Refused, Registry, Request};
use plugin_api::manifest::{StageKind, StageManifest};
use plugin_api::prelude::*;
use plugin_api::schemars::{JsonSchema, schema_for};

use options::*;

/// Where relative paths of every test start.
pub const FOLDER: &str = "/nowhere/config";

type PlanFn = fn(&serde_json::Value, &[ContentType]) -> Result<Planned, StageError>;

struct Fake(Vec<(StageKind, &'static str, PlanFn)>);

impl plan::Planner for Fake {
    fn plan(
        &self,
        kind: StageKind,
        stage: &str,
        options: &[u8],
        inputs: &[ContentType],
    ) -> Result<Planned, StageError> {
        let options = serde_json::from_slice(options).expect("the host writes JSON");
        let (_, _, plan) = self
            .0
            .iter()
            .find(|s| s.0 == kind && s.1 == stage)
            .expect("the host asks only for what there is");
        plan(&options, inputs)
    }
}

fn manifest<O: JsonSchema>(
    kind: StageKind,
    name: &str,
    inputs: &[&str],
    outputs: &[&str],
) -> StageManifest {
    let options = schema_for!(O).to_value();
    let description = options["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    StageManifest {
        name: name.to_owned(),
        kind,
        description,
        inputs: owned(inputs),
        outputs: owned(outputs),
        options,
        state_version: 1,
        workers: kind != StageKind::Source || name == "generate",
    }
}

fn place(options: &serde_json::Value) -> Option<String> {
    let text = |key: &str| options[key].as_str().unwrap_or_default().to_owned();
    (text("brokers") == "embedded").then(|| format!("kafka://embedded/{}", text("topic")))
}

fn kafka_source(options: &serde_json::Value, _: &[ContentType]) -> Result<Planned, StageError> {
    let content = match options["format"].as_str() {
        Some("avro") if options["schema"].is_null() => {
            return Err(StageError::config("/schema", "`avro` needs a schema"));
        }
        Some("avro") => ContentType::avro(r#"{"type":"record","name":"tweet","fields":[]}"#),
        Some("png") => ContentType::new(Format::Png),
        _ => ContentType::json(),
    };
    let planned = Planned::new(content);
    Ok(match place(options) {
        Some(place) => planned
            .reads(place)
            .warn("the embedded broker keeps the newest 5 MiB of a partition"),
        None => planned,
    })
}

fn kafka_sink(options: &serde_json::Value, _: &[ContentType]) -> Result<Planned, StageError> {
    match place(options) {
        Some(place) => Ok(Planned::sink().writes(place)),
        None => Ok(Planned::sink()),
    }
}

fn avro_encode(options: &serde_json::Value, inputs: &[ContentType]) -> Result<Planned, StageError> {
    if inputs[0].format != Format::Json {
        return Err(StageError::config(
            "/inputs",
            format!("`avro-encode` reads json, not {}", inputs[0]),
        ));
    }
    let path = options["schema"].as_str().expect("checked by the host");
    let text = std::fs::read_to_string(path)
        .map_err(|e| StageError::config("/schema", format!("cannot read {path}: {e}")))?;
    Ok(Planned::new(ContentType::avro(text)))
}

fn wordcloud(_: &serde_json::Value, inputs: &[ContentType]) -> Result<Planned, StageError> {
    match inputs[0].format {
        Format::Json | Format::Avro | Format::Text => Ok(Planned::new(ContentType::json())),
        other => Err(StageError::config(
            "/inputs/0",
            format!("`wordcloud` reads json, avro or text, not {other}"),
        )),
    }
}

/// The plugins.
pub fn registry() -> Registry {
    use StageKind::{Processor, Sink, Source};
    let stages: Vec<(StageManifest, PlanFn)> = vec![
        (
            manifest::<Generate>(Source, "generate", &[], &["out"]),
            |_, _| Ok(Planned::new(ContentType::json())),
        ),
        (
            manifest::<Twitter>(Source, "twitter", &[], &["out"]),
            |o, _| match o["track"].as_array() {
                Some(track) if track.len() > 3 => Err(StageError::config(
                    "/track/3",
                    "a phrase too many: at most 3",
                )),
                _ => Ok(Planned::new(ContentType::json())
                    .live()
                    .memory("messages read ahead", 6 << 20)),
            },
        ),
        (
            manifest::<KafkaSource>(Source, "kafka", &[], &["out"]),
            kafka_source,
        ),
        (
            manifest::<KafkaSink>(Sink, "kafka", &["in"], &[]),
            kafka_sink,
        ),
        (
            manifest::<AvroEncode>(Processor, "avro-encode", &["in"], &["out"]),
            avro_encode,
        ),
        (
            manifest::<Route>(Processor, "route", &["in"], &["matched", "unmatched"]),
            |_, i| Ok(Planned::outputs(vec![i[0].clone(), i[0].clone()])),
        ),
        (
            manifest::<Wordcloud>(Processor, "wordcloud", &["in"], &["out"]),
            wordcloud,
        ),
        (
            manifest::<Join>(Processor, "join", &["left", "right"], &["out"]),
            |_, i| Ok(Planned::new(i[1].clone())),
        ),
        (
            manifest::<Console>(Sink, "console", &["in"], &[]),
            |_, _| Ok(Planned::sink().prints()),
        ),
        (manifest::<Broken>(Sink, "broken", &["in"], &[]), |_, _| {
            Err(StageError::fatal(
                "the plugin panicked: index out of bounds",
            ))
        }),
    ];
    let of = |names: &[&str]| -> Vec<StageManifest> {
        let all = stages.iter().map(|s| s.0.clone());
        all.filter(|m| names.contains(&m.name.as_str())).collect()
    };
    let plugin = |name: &str, stage_names: &[&str]| {
        let planners = Fake(
            stages
                .iter()
                .map(|(m, plan)| (m.kind, &*String::leak(m.name.clone()), *plan))
                .collect(),
        );
        Arc::new(PluginEntry {
            name: format!("plugin-{name}"),
            version: "1.0.0".to_owned(),
            license: "MIT OR Apache-2.0".to_owned(),
            description: format!("The plugin {name}"),
            file: PathBuf::from(format!("/nowhere/libplugin_{name}.so")),
            sha256: "0".repeat(64),
            bundled: true,
            stages: of(stage_names),
            planner: Arc::new(planners),
        })
    };
    Registry {
        plugins: vec![
            plugin("avro", &["avro-encode"]),
            plugin("console", &["console"]),
            plugin("filter", &["route"]),
            plugin("generate", &["generate"]),
            plugin("kafka", &["kafka"]),
            plugin("twitter", &["twitter"]),
            plugin("wordcloud", &["wordcloud"]),
            plugin("misc", &["join", "broken"]),
        ],
        refused: vec![Refused {
            file: PathBuf::from("/nowhere/plugins.d/libgeo.so"),
            reason: "others may write to it".to_owned(),
            hint: Some("chmod o-w /nowhere/plugins.d/libgeo.so".to_owned()),
        }],
        doubles: vec![Double {
            what: "sink console".to_owned(),
            used: PathBuf::from("/nowhere/libplugin_console.so"),
            unused: PathBuf::from("/nowhere/plugins.d/libprint.so"),
        }],
    }
}

/// The environment of every test.
pub fn environment() -> BTreeMap<String, String> {
    [
        ("KEY", "open-sesame"),
        ("EMPTY", ""),
        ("NUMBER", "42"),
        ("WORD", "forty"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

/// Parses and plans, as `run` and `validate` do; `hosts` as after `-n`.
pub fn plan(text: &str, hosts: &[&str], allow_missing: bool) -> Prepared {
    let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let source = ConfigSource::BuiltIn {
        name: "hosts.toml".to_owned(),
        text: text.to_owned(),
        folder: PathBuf::from(FOLDER),
    };
    let request = Request {
        hosts: &hosts,
        environment: &environment(),
        allow_missing,
        check_all: hosts.is_empty(),
    };
    static REGISTRY: LazyLock<Registry> = LazyLock::new(registry);
    prepare(&source, &|_, _| REGISTRY.clone(), &request)
}
