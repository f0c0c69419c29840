//! Cases as files: to add one, add a folder; no code is needed.
//!
//! ```ignore
//! #[test]
//! fn cases() {
//!     cases::run::<ThisPlugin>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
//! }
//! ```
//!
//! A case is a folder `cases/NAME/` with
//!
//! * `case.json`: `stage`; `kind` (`source`, `processor` or `sink`; default `processor`); `input`, a
//!   content type such as `"json"` or `{"format": "avro", "schema": "user.avsc"}`; `with`, the
//!   options. Files named there lie in the case's folder; what a sink writes, in one made for it.
//! * `in.jsonl` (or `in.txt`): the payloads, one a line. A file `in.bytes` is the same with bytes
//!   escaped as in Rust (`\x04\n`). A source reads files of its own instead.
//! * `out.jsonl` (or `.txt`, `.bytes`): what must come out. With several ports `out-PORT.jsonl`,
//!   of a sink the folder `out/`. No file: nothing comes out.
//! * `dead.jsonl`: what must be rejected, `{"index", "reason", "pointer"}` a line, of a source
//!   `{"bytes", "reason"}`. No file: nothing is.
//!
//! `UPDATE_CASES=1 cargo test` writes what came out in place of what was expected: look at the
//! difference before you keep it. The stage's clock stands still.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Harness, Outcome, TestHost, batch_of,
    conformance::{NOW_US, files},
    outcome::shown,
};
use crate::{ContentType, Format, StageError, abi::root::Plugin, manifest::Manifest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    stage: String,
    #[serde(default = "processor")]
    kind: String,
    #[serde(default)]
    input: Option<InputType>,
    #[serde(default)]
    with: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InputType {
    Plain(Format),
    Schema { format: Format, schema: PathBuf },
}

fn processor() -> String {
    "processor".to_owned()
}

/// What came out of a case or must: files by their stem (`out`, `out-PORT`, `dead`), lines each.
type Results = BTreeMap<String, Vec<Vec<u8>>>;

/// Runs all cases of a folder.
///
/// # Panics
/// If there is none, or one comes out otherwise; the message names each difference.
pub fn run<P: Plugin>(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    cases.retain(|path| path.join("case.json").exists());
    cases.sort();
    assert!(!cases.is_empty(), "no case in {}", folder.display());
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for case in &cases {
        let differences = one::<P>(case, update).unwrap_or_else(|e| vec![e]);
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        wrong.extend(differences.iter().map(|d| format!("{name}: {d}")));
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Runs a case; the differences.
fn one<P: Plugin>(folder: &Path, update: bool) -> Result<Vec<String>, String> {
    let text = fs::read(folder.join("case.json")).map_err(|e| e.to_string())?;
    let case: Case = serde_json::from_slice(&text).map_err(|e| format!("case.json: {e}"))?;
    let scratch = Scratch::new().map_err(|e| e.to_string())?;
    let (came, formats) = play::<P>(&case, folder, &scratch.0)
        .map_err(|e| format!("the stage failed: {} {e}", e.pointer))?;
    if update {
        rewrite(folder, &came, &formats, &scratch.0).map_err(|e| e.to_string())?;
    }
    let mut wrong = compare(&expected(folder)?, &came);
    if case.kind == "sink" {
        let written = |path: &Path| -> Results {
            let files = files(path).into_iter();
            files
                .map(|(name, text)| (name, vec![text.into_bytes()]))
                .collect()
        };
        wrong.extend(compare(&written(&folder.join("out")), &written(&scratch.0)));
    }
    Ok(wrong)
}

/// What the stage makes of the input, and the format of each output port.
fn play<P: Plugin>(
    case: &Case,
    folder: &Path,
    scratch: &Path,
) -> Result<(Results, BTreeMap<String, Format>), StageError> {
    let manifest = Manifest::of::<P>();
    let is_it =
        |s: &&crate::manifest::StageManifest| s.name == case.stage && s.kind.as_str() == case.kind;
    let stage = manifest.stages.iter().find(is_it);
    let stage = stage.ok_or_else(|| StageError::fatal("the plugin has no such stage"))?;
    let mut options = case.with.clone();
    for (name, value) in &mut options {
        let is_path = stage.options["properties"][name.as_str()]["format"] == "x-path";
        if let (true, Some(path)) = (is_path, value.as_str()) {
            let base = if case.kind == "sink" { scratch } else { folder };
            *value = json!(base.join(path));
        }
    }
    let inputs = match &case.input {
        None => Vec::new(),
        Some(InputType::Plain(format)) => vec![ContentType::new(*format)],
        Some(InputType::Schema { format, schema }) => {
            let schema = fs::read_to_string(folder.join(schema))
                .map_err(|e| StageError::fatal(format!("{}: {e}", schema.display())))?;
            vec![ContentType {
                format: *format,
                schema: Some(schema),
            }]
        }
    };
    let host = TestHost::leaked();
    host.set_now_us(NOW_US);
    let options = Value::Object(options);
    let mut stage_run = Harness::<P>::open_on(host, &case.kind, &case.stage, &options, &inputs)?;
    let input = lines(folder, "in").map_err(StageError::fatal)?;
    let batch = batch_of(input.unwrap_or_default());
    let mut all = match &*case.kind {
        "source" => stage_run.poll_to_end()?,
        "sink" => stage_run.write(&batch)?,
        _ => stage_run.process(0, &batch)?,
    };
    if case.kind != "source" {
        all.merge(stage_run.end(0)?);
    }
    all.merge(stage_run.checkpoint(1, true)?.1);
    stage_run.commit(1)?;
    let outputs = stage_run.planned().outputs.clone();
    stage_run.close()?;

    let stem = |port: usize| match stage.outputs.get(port) {
        Some(name) if stage.outputs.len() > 1 => format!("out-{name}"),
        _ => "out".to_owned(),
    };
    let mut came = dead(&all);
    for seen in all.seen() {
        let lines = came.entry(stem(seen.port as usize)).or_default();
        lines.push(seen.value.unwrap_or_default());
    }
    let formats = outputs.iter().enumerate();
    let formats = formats.map(|(port, output)| (stem(port), output.format));
    Ok((came, formats.collect()))
}

fn dead(all: &Outcome) -> Results {
    let mut dead: Vec<Value> = Vec::new();
    for (_, index, reason, pointer) in &all.rejected {
        let mut letter = json!({"index": index, "reason": reason});
        if !pointer.is_empty() {
            letter["pointer"] = json!(pointer);
        }
        dead.push(letter);
    }
    for (bytes, reason) in &all.rejected_raw {
        dead.push(json!({"bytes": bytes.escape_ascii().to_string(), "reason": reason}));
    }
    if dead.is_empty() {
        return Results::new();
    }
    let lines = dead.iter().map(|letter| letter.to_string().into_bytes());
    Results::from([("dead".to_owned(), lines.collect())])
}

/// Everything that a case expects in files of lines.
fn expected(folder: &Path) -> Result<Results, String> {
    let mut results = Results::new();
    let entries = fs::read_dir(folder).map_err(|e| e.to_string())?;
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_file()) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if stem == "dead" || stem == "out" || stem.starts_with("out-") {
            let mut lines = lines(folder, &stem)?.unwrap_or_default();
            if stem == "dead" {
                for line in &mut lines {
                    // Blanks and the order of keys are the author's.
                    let value: Value =
                        serde_json::from_slice(line).map_err(|e| format!("dead.jsonl: {e}"))?;
                    *line = value.to_string().into_bytes();
                }
            }
            results.insert(stem.into_owned(), lines);
        }
    }
    Ok(results)
}

fn compare(expected: &Results, came: &Results) -> Vec<String> {
    let none = Vec::new();
    let mut wrong = Vec::new();
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(came.keys()).collect();
    for name in names {
        let wanted = expected.get(name).unwrap_or(&none);
        let got = came.get(name).unwrap_or(&none);
        for line in 0..wanted.len().max(got.len()) {
            let show =
                |lines: &[Vec<u8>]| lines.get(line).map_or("nothing".to_owned(), |l| shown(l));
            if wanted.get(line) != got.get(line) {
                let (number, got, wanted) = (line + 1, show(got), show(wanted));
                wrong.push(format!(
                    "{name}, line {number}: {got}\n  instead of: {wanted}"
                ));
            }
        }
    }
    wrong
}

/// The lines of `STEM.bytes` or of `STEM.` with another ending.
fn lines(folder: &Path, stem: &str) -> Result<Option<Vec<Vec<u8>>>, String> {
    for ending in ["jsonl", "txt", "csv", "bytes"] {
        let path = folder.join(format!("{stem}.{ending}"));
        let Ok(content) = fs::read(&path) else {
            continue;
        };
        if content.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let content = content.strip_suffix(b"\n").unwrap_or(&content);
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| match ending {
            "bytes" => unescape(line).ok_or_else(|| format!("{}: what is `\\`?", path.display())),
            _ => Ok(line.to_vec()),
        });
        return lines.collect::<Result<_, _>>().map(Some);
    }
    Ok(None)
}

/// The reverse of `escape_ascii`.
fn unescape(line: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), line);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first()?;
        rest = after;
        out.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(out)
}

fn rewrite(
    folder: &Path,
    came: &Results,
    formats: &BTreeMap<String, Format>,
    scratch: &Path,
) -> std::io::Result<()> {
    for path in fs::read_dir(folder)?.flatten().map(|e| e.path()) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if stem == "dead" || stem == "out" || stem.starts_with("out-") {
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    for (stem, lines) in came {
        let ending = match formats.get(stem) {
            None | Some(Format::Json) => "jsonl",
            Some(Format::Text | Format::Csv | Format::Svg) => "txt",
            Some(_) => "bytes",
        };
        let mut text = Vec::new();
        for line in lines {
            match ending {
                "bytes" => text.extend(line.escape_ascii()),
                _ => text.extend(line),
            }
            text.push(b'\n');
        }
        fs::write(folder.join(format!("{stem}.{ending}")), text)?;
    }
    for (name, _) in files(scratch) {
        let to = folder.join("out").join(&name);
        fs::create_dir_all(to.parent().unwrap_or(folder))?;
        fs::copy(scratch.join(&name), to)?;
    }
    Ok(())
}

/// A folder that goes when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cases-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder of temporary files that stays is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}
