//! Malformed files.

use std::{io::Write as _, process::Stdio, thread};

use avro_data::{
    Schema,
    container::{Codec, Writer},
};
use e2e::summary::Summary;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::{
    frame::Run,
    malformed::{MESSAGES, Malformed, SCHEMA, letters, well},
    mutate::mutated,
    truncated,
};

/// Datums of the schema, of all sizes.
pub fn datums() -> Vec<Vec<u8>> {
    let datum = |n: usize| {
        let mut datum = Vec::new();
        truncated::string(&n.to_string(), &mut datum);
        datum.push(if n.is_multiple_of(3) { 0 } else { 2 });
        if !n.is_multiple_of(3) {
            truncated::string(&"é".repeat(n * n % 300), &mut datum);
        }
        truncated::long(n as u64 * 7_919_191, &mut datum);
        truncated::long(1, &mut datum);
        truncated::string("one", &mut datum);
        datum.push(0);
        datum
    };
    (0..40).map(datum).collect()
}

/// Many files, so that an open quote does not swallow everything.
pub fn csv(_: &Malformed, run: &mut Run) -> Result<(), String> {
    let rows = [
        "1,one,2.5",
        "2,\"zwei, \"\"2\"\"\",",
        "3,\"a\nb\",1e9",
        "4,é🦀,-1",
        ",,",
    ];
    let schema = json!({"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "long"}, {"name": "b", "type": "string"},
        {"name": "c", "type": ["null", "double"]}]});
    run.folder.write("r.avsc", &schema.to_string());
    std::fs::create_dir(run.folder.path("in")).map_err(|e| e.to_string())?;
    for file in 0..MESSAGES / 5 {
        let mut text = b"a,b,c\n".to_vec();
        for _ in 0..5 {
            text.extend(mutated(&rows, &mut run.rng));
            text.push(b'\n');
        }
        let path = run.folder.path(&format!("in/{file}.csv"));
        std::fs::write(path, text).map_err(|e| e.to_string())?;
    }
    let read = |name: &str, with: &str| {
        format!(
            "[hosts.m.sources.{name}]\nplugin = \"csv-file\"\nwith = {{ path = \"in/*.csv\"{with} }}\n\
             [hosts.m.sinks.{name}-out]\nplugin = \"lines\"\ninputs = [\"{name}\"]\n\
             with.path = \"out/{name}\"\n"
        )
    };
    let (json, avro) = (
        read("json", ""),
        read("avro", ", schema = \"r.avsc\", format = \"json\""),
    );
    let ran = well(run.folder.run(&format!("version = 1\n{json}{avro}"), &[]))?;
    let summary = Summary::read(&ran.stdout);
    let received = summary.stage("m/json").received;
    if received < MESSAGES as u64 / 4 {
        return Err(format!("of {MESSAGES} rows it found {received}"));
    }
    letters(&run.folder, &summary)
}

pub fn compressed(malformed: &Malformed, run: &mut Run) -> Result<(), String> {
    let text: String = malformed
        .tweets
        .lines()
        .lines()
        .take(5)
        .flat_map(|l| [l, "\n"])
        .collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    let gzip = gzip.finish().map_err(|e| e.to_string())?;
    let zstd = zstd::encode_all(text.as_bytes(), 1).map_err(|e| e.to_string())?;
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2
        .write_all(text.as_bytes())
        .map_err(|e| e.to_string())?;
    let bzip2 = bzip2.finish().map_err(|e| e.to_string())?;
    let corpus = [gzip, zstd, bzip2];
    std::fs::create_dir(run.folder.path("in")).map_err(|e| e.to_string())?;
    for file in 0..MESSAGES {
        let one = &corpus[file % 3..file % 3 + 1];
        let path = run.folder.path(&format!("in/{file:03}"));
        std::fs::write(path, mutated(one, &mut run.rng)).map_err(|e| e.to_string())?;
    }
    let hosts = "version = 1\n[hosts.m.sources.in]\nplugin = \"lines\"\n\
        with = { path = \"in/*\", format = \"bytes\" }\n[hosts.m.sinks.out]\nplugin = \"lines\"\n\
        inputs = [\"in\"]\nwith.path = \"out/a\"\n";
    let ran = well(run.folder.run(hosts, &[]))?;
    letters(&run.folder, &Summary::read(&ran.stdout))
}

/// Through the source as a library, since a schema that was changed rightly ends a run.
pub fn containers(_: &Malformed, run: &mut Run) -> Result<(), String> {
    let schema = Schema::parse(SCHEMA).map_err(|e| e.to_string())?;
    let mut corpus = Vec::new();
    for codec in [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let writer = Writer::new(Vec::new(), &schema, codec, 400);
        let mut writer = writer.map_err(|e| e.to_string())?;
        for datum in datums() {
            writer.append(&datum).map_err(|e| e.to_string())?;
        }
        corpus.push(writer.finish().map_err(|e| e.to_string())?);
    }
    let schema = run.folder.write("t.avsc", SCHEMA);
    let path = run.folder.path("one.avro");
    let mut told = 0;
    for _ in 0..MESSAGES {
        std::fs::write(&path, mutated(&corpus, &mut run.rng)).map_err(|e| e.to_string())?;
        match truncated::read(&path, &schema) {
            Ok(read) => {
                if read.errors.len() > 1 || read.letters > 1 + datums().len() {
                    return Err(format!("more than one error for a file: {:?}", read.errors));
                }
                told += read.errors.len();
            }
            Err(why) if why.contains("one.avro") && !why.contains("panicked") => told += 1,
            Err(why) => return Err(format!("no clear error: {why}")),
        }
    }
    if told < MESSAGES / 2 {
        return Err(format!("{told} of {MESSAGES} malformed files were noticed"));
    }
    Ok(())
}

pub fn hosts_toml(_: &Malformed, run: &mut Run) -> Result<(), String> {
    const LANES: usize = 4;
    let shipped = std::fs::read(e2e::root().join("hosts.toml")).map_err(|e| e.to_string())?;
    let names = (0..MESSAGES).map(|number| format!("{number}.toml"));
    let names: Vec<_> = names.collect();
    for name in &names {
        let text = mutated(&[&shipped], &mut run.rng);
        std::fs::write(run.folder.path(name), text).map_err(|e| e.to_string())?;
    }
    let folder = &run.folder;
    let validate = |name: &String| {
        let mut host = folder.host(&["validate", "--config", name]);
        let out = host
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&out.stderr);
        match out.status.code() {
            Some(0) => Ok(()),
            Some(78) if said.contains("error: ") => Ok(()),
            code => Err(format!("{name} ended with {code:?}: {said}")),
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = names
            .chunks(MESSAGES.div_ceil(LANES))
            .map(|names| scope.spawn(move || names.iter().try_for_each(validate)))
            .collect();
        let ended = lanes
            .into_iter()
            .map(|lane| lane.join().expect("it does not panic"));
        ended.collect::<Result<Vec<()>, String>>()
    })?;
    Ok(())
}
