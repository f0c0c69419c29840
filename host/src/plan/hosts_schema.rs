//! JSON Schema of hosts.toml with the options of all plugins found, for editors.

use plugin_api::manifest::StageManifest;
use serde_json::{Map, Value as Json, json};

use super::registry::Registry;
use crate::config::{KINDS, StageKind, table_of};

/// The schema. Where a plugin is named, `with` is held against that plugin's options.
pub fn hosts_schema(registry: &Registry) -> Json {
    let mut defs = Map::new();
    for kind in KINDS {
        let mut stages: Vec<&StageManifest> = registry
            .stages()
            .map(|(_, s)| s)
            .filter(|s| s.kind == kind)
            .collect();
        stages.sort_by(|a, b| a.name.cmp(&b.name));
        for stage in &stages {
            let name = def_name(kind, &stage.name);
            let base = format!("#/$defs/{name}");
            defs.insert(name, editable(&stage.options, &base));
        }
        defs.insert(kind.to_string(), stage_schema(kind, &stages));
    }
    defs.insert("buffer".to_owned(), buffer());
    defs.insert("host".to_owned(), host());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hosts.toml",
        "type": "object",
        "required": ["version", "hosts"],
        "additionalProperties": false,
        "properties": {
            "version": {"const": 1, "description": "Version of this format."},
            "plugin_dirs": {
                "type": "array",
                "items": {"type": "string"},
                "default": ["plugins.d"],
                "description": "Folders searched for plugins besides the bundled ones."
            },
            "state_dir": {
                "type": "string",
                "default": "state",
                "description": "Folder for checkpoints and dead letters."
            },
            "admin": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "listen": {
                        "type": "string",
                        "description": "Loopback address for metrics and health, such as 127.0.0.1:9100."
                    }
                }
            },
            "plugins": {
                "type": "object",
                "description": "Plugins whose file must have a certain content.",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "sha256": {
                            "type": "string",
                            "pattern": "^[0-9A-Fa-f]{64}$",
                            "description": "SHA-256 of the plugin's file, as `host list` shows it."
                        }
                    }
                }
            },
            "hosts": {
                "type": "object",
                "description": "Groups of stages that each run in one process.",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": {"$ref": "#/$defs/host"}
            }
        },
        "$defs": defs
    })
}

/// What a name of a host or stage looks like.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$";

fn def_name(kind: StageKind, stage: &str) -> String {
    format!("{kind}.{stage}")
}

fn host() -> Json {
    let mut properties = Map::new();
    properties.insert(
        "autostart".to_owned(),
        json!({"type": "boolean", "default": true, "description": "Whether it runs when no host is named."}),
    );
    properties.insert(
        "checkpoint_interval".to_owned(),
        json!({"type": "string", "default": "1s", "description": "Time between two checkpoints."}),
    );
    properties.insert(
        "call_timeout".to_owned(),
        json!({"type": "string", "default": "60s", "description": "Longest time that a call of a stage may take before it counts as hanging."}),
    );
    properties.insert(
        "on_hang".to_owned(),
        json!({"enum": ["stop", "wait"], "default": "stop", "description": "What becomes of the host when a stage hangs: it ends with exit code 70, or says so and waits."}),
    );
    for kind in KINDS {
        properties.insert(
            table_of(kind).to_owned(),
            json!({
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": {"$ref": format!("#/$defs/{kind}")}
            }),
        );
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn buffer() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "Bounds of each edge into the stage.",
        "properties": {
            "type": {
                "enum": ["memory", "disk"],
                "default": "memory",
                "description": "Where records wait. On disk they outlive the process, and the stages on either side start again apart from each other."
            },
            "max_bytes": {"type": ["string", "integer"], "description": "Most bytes that queued records may hold. Default: 8 MiB in memory, 1 GiB on disk."},
            "max_records": {"type": "integer", "minimum": 1, "default": 16384, "description": "Most records that may be queued in memory."},
            "when_full": {
                "enum": ["block", "drop-oldest", "drop-newest"],
                "default": "block",
                "description": "What happens when either is reached: the sender waits, or records are dropped and counted."
            }
        }
    })
}

fn stage_schema(kind: StageKind, stages: &[&StageManifest]) -> Json {
    let names: Vec<Json> = stages
        .iter()
        .map(|s| json!({"const": s.name, "description": s.description}))
        .collect();
    let mut properties = json!({
        "plugin": {"oneOf": names, "description": "What the stage runs."},
        "on_error": {
            "enum": ["dead-letter", "drop", "stop"],
            "default": "dead-letter",
            "description": "What becomes of a rejected record."
        },
        "on_crash": {
            "enum": ["restart", "stop"],
            "default": "restart",
            "description": "What becomes of the stage after a crash."
        },
        "isolate": {
            "oneOf": [
                {"type": "boolean"},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "memory": {"type": ["string", "integer"], "description": "Most memory that the process may map, such as 512 MiB."}
                    }
                }
            ],
            "default": false,
            "description": "Whether the stage runs in a process of its own, whose end is an error of the stage only."
        },
        "with": {"type": "object", "description": "Options of the plugin."}
    });
    properties["workers"] = json!({"type": "integer", "minimum": 1, "maximum": 256, "default": 1, "description": "How many instances run side by side."});
    let mut required = vec!["plugin"];
    if kind == StageKind::Source {
        properties["limit"] =
            json!({"type": "integer", "minimum": 1, "description": "Stop after so many records."});
    } else {
        required.push("inputs");
        properties["inputs"] = json!({
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": true,
            "description": "The stages that it reads from: STAGE, or STAGE.PORT."
        });
        properties["ordering"] = json!({
            "enum": ["none", "key", "total"],
            "default": "key",
            "description": "What order is kept when records are spread over workers."
        });
        properties["buffer"] = json!({"$ref": "#/$defs/buffer"});
    }
    let rules: Vec<Json> = stages
        .iter()
        .map(|stage| {
            let mut then = json!({
                "properties": {"with": {"$ref": format!("#/$defs/{}", def_name(kind, &stage.name))}}
            });
            let needs = stage.options.get("required").and_then(Json::as_array);
            if needs.is_some_and(|r| !r.is_empty()) {
                then["required"] = json!(["with"]);
            }
            json!({
                "if": {"properties": {"plugin": {"const": stage.name}}, "required": ["plugin"]},
                "then": then
            })
        })
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties
    });
    if !rules.is_empty() {
        schema["allOf"] = Json::Array(rules);
    }
    schema
}

/// A plugin's schema as a part of this one: its references start at `base`, a secret admits only
/// a reference, and what is no string may be one that refers to the value.
fn editable(node: &Json, base: &str) -> Json {
    let map = match node {
        Json::Object(map) => map,
        Json::Array(list) => {
            return Json::Array(list.iter().map(|n| editable(n, base)).collect());
        }
        other => return other.clone(),
    };
    let mut out = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("$schema" | "title", _) => continue,
            ("$ref", Json::String(target)) => json!(target.replacen('#', base, 1)),
            ("default" | "const" | "enum" | "examples" | "required", _) => value.clone(),
            ("properties", Json::Object(properties)) => {
                let referable =
                    |(k, v): (&String, &Json)| (k.clone(), or_reference(editable(v, base)));
                Json::Object(properties.iter().map(referable).collect())
            }
            _ => editable(value, base),
        };
        out.insert(key.clone(), value);
    }
    if out.get("x-secret") == Some(&Json::Bool(true)) {
        out.insert("pattern".to_owned(), json!("^(env|file):"));
    }
    Json::Object(out)
}

/// The schema of a property that may be given as `env:` or `file:` though it is no free string.
fn or_reference(mut node: Json) -> Json {
    let is_scalar = node
        .get("type")
        .and_then(Json::as_str)
        .is_some_and(|t| ["integer", "number", "boolean"].contains(&t));
    if !is_scalar && node.get("enum").is_none() {
        return node;
    }
    let mut wrapped = Map::new();
    for key in ["description", "default"] {
        if let Some(value) = node.as_object_mut().and_then(|n| n.remove(key)) {
            wrapped.insert(key.to_owned(), value);
        }
    }
    wrapped.insert(
        "anyOf".to_owned(),
        json!([node, {"type": "string", "pattern": "^(env|file):"}]),
    );
    Json::Object(wrapped)
}
