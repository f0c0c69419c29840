//! Source and sink through the real boundary.

#![allow(clippy::unwrap_used)]

use plugin_api::testing::{Harness, Outcome, batch_of};
use plugin_api::{BatchBuilder, ContentType, Format, Poll, StageError};
use plugin_lines::ThisPlugin;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

type Stage = Harness<ThisPlugin>;

fn read(options: &Value) -> Outcome {
    Stage::source("lines", options)
        .unwrap()
        .poll_to_end()
        .unwrap()
}

fn ids(outcome: &Outcome) -> Vec<String> {
    let batches = outcome.batches.iter();
    let ids = batches.flat_map(|(_, batch)| {
        let ids = batch
            .iter()
            .map(|record| record.header("id").unwrap().to_vec());
        ids.collect::<Vec<_>>()
    });
    ids.map(|id| String::from_utf8(id).unwrap()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sink(path: &Path, more: &Value, input: ContentType) -> Result<Stage, StageError> {
    let mut options = json!({ "path": path });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    Stage::sink("lines", &options, &[input])
}

#[test]
fn a_folder_is_read_file_by_file_with_ids() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "one\n\ntwo\r\n").unwrap();
    fs::write(folder.path().join("b.gz"), gzip(b"three\nfour")).unwrap();
    fs::write(folder.path().join("c.txt.inprogress"), "no\n").unwrap();
    let outcome = read(&json!({ "path": folder.path() }));
    assert_eq!(outcome.texts(), ["one", "two", "three", "four"]);
    let ids = ids(&outcome);
    let (files, positions): (Vec<_>, Vec<_>) =
        ids.iter().map(|id| id.split_once(':').unwrap()).unzip();
    assert_eq!(positions, ["0", "5", "0", "6"]);
    assert!(files[0] == files[1] && files[1] != files[2] && files[2] == files[3]);
    assert!(files.iter().all(|file| file.len() == 12));
    assert_eq!(outcome.filtered_count(), 1);
    let outcome = read(&json!({ "path": folder.path().join("*.txt"), "ids": false }));
    assert_eq!(outcome.texts(), ["one", "two"]);
    assert_eq!(outcome.batches[0].1.record(0).headers().count(), 0);
}

/// What came of a source: texts, ids, blank lines, dead letters.
type Account = (Vec<String>, Vec<String>, u64, Vec<(Vec<u8>, String)>);

fn account(outcome: &Outcome) -> Account {
    let rejected = outcome.rejected_raw.clone();
    (
        outcome.texts(),
        ids(outcome),
        outcome.filtered_count(),
        rejected,
    )
}

fn restored(options: &Value, state: &[u8], place: (u32, u32)) -> Result<Stage, StageError> {
    let host = plugin_api::testing::TestHost::leaked();
    Stage::open_as(
        host,
        "source",
        "lines",
        options,
        &[],
        (1, Some(state)),
        place,
    )
}

#[test]
fn a_source_goes_on_from_each_checkpoint_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(600_000);
    let content = format!("one\r\n\n  \ntwo\n{long}\r\nthree\n\nfour\nfive");
    fs::write(folder.path().join("1"), &content).unwrap();
    fs::write(folder.path().join("2.gz"), gzip(content.as_bytes())).unwrap();
    fs::write(folder.path().join("3"), "").unwrap();
    let zstd = zstd::encode_all(content.as_bytes(), 0).unwrap();
    fs::write(folder.path().join("4.zst"), zstd).unwrap();
    let options = json!({ "path": folder.path(), "max_line_bytes": 1_000 });
    let whole = account(&read(&options));
    assert_eq!((whole.0.len(), whole.2, whole.3.len()), (15, 9, 3));
    let mut all = Outcome::default();
    let mut stage = Stage::source("lines", &options).unwrap();
    loop {
        // A deadline of now: each read is a poll of its own.
        let (poll, outcome) = stage.poll(1, 0).unwrap();
        all.merge(outcome);
        let (state, _) = stage.checkpoint(1, false).unwrap();
        if poll == Poll::Finished {
            break;
        }
        // A restart that reads nothing before the next changes nothing.
        stage = restored(&options, &state, (0, 1)).unwrap();
        let (again, _) = stage.checkpoint(2, false).unwrap();
        assert_eq!(String::from_utf8(again), String::from_utf8(state.clone()));
        // The long line takes more than one read, so here progress needs company.
        let (_, outcome) = stage.poll(1, 1_000).unwrap();
        all.merge(outcome);
    }
    assert_eq!(account(&all), whole);
}

#[test]
fn a_file_that_shrank_or_vanished_is_named() {
    for (name, packed) in [("x", false), ("x.gz", true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let write = |text: &str| {
            let bytes = if packed {
                gzip(text.as_bytes())
            } else {
                text.into()
            };
            fs::write(&path, bytes).unwrap();
        };
        write("one\ntwo\nthree\n");
        fs::write(folder.path().join("y"), "last\n").unwrap();
        let options = json!({ "path": folder.path() });
        let mut stage = Stage::source("lines", &options).unwrap();
        stage.poll_records(2).unwrap();
        let (state, _) = stage.checkpoint(1, false).unwrap();
        let error = || restored(&options, &state, (0, 1)).err().unwrap().message;
        write("one\n");
        let message = error();
        let wanted =
            "it has only 4 bytes, and the last checkpoint is at 8: was it cut or replaced?";
        assert!(
            message.starts_with("cannot read /") && message.ends_with(wanted),
            "{message}"
        );
        fs::remove_file(&path).unwrap();
        let wanted = format!("{name} is gone, and the last checkpoint is in the middle of it");
        assert!(error().starts_with(&wanted));
    }
}

#[test]
fn workers_share_the_files_also_when_others_come() {
    let folder = tempfile::tempdir().unwrap();
    let write = |names: std::ops::Range<usize>| {
        for name in names {
            fs::write(
                folder.path().join(format!("{name:03}")),
                format!("{name}\n"),
            )
            .unwrap();
        }
    };
    write(100..140);
    let options = json!({ "path": folder.path() });
    let mut states = Vec::new();
    let mut all = Vec::new();
    for worker in 0..3 {
        let host = plugin_api::testing::TestHost::leaked();
        let start = (0, None);
        let mut stage =
            Stage::open_as(host, "source", "lines", &options, &[], start, (worker, 3)).unwrap();
        let texts = stage.poll_records(5).unwrap().texts();
        assert_eq!(texts.len(), 5);
        all.extend(texts);
        states.push(stage.checkpoint(1, false).unwrap().0);
    }
    write(140..150);
    for (worker, state) in states.iter().enumerate() {
        let mut stage = restored(&options, state, (worker as u32, 3)).unwrap();
        all.extend(stage.poll_to_end().unwrap().texts());
    }
    all.sort();
    assert_eq!(
        all,
        (100..150).map(|name| name.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_line_too_long_is_a_dead_letter_and_reading_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut content = "a\n".to_owned();
    content.push_str(&"x".repeat(3_000_000));
    content.push_str("\nb\nccccccccccc\nd");
    fs::write(&path, content).unwrap();
    let outcome = read(&json!({ "path": path, "max_line_bytes": 10 }));
    assert_eq!(outcome.texts(), ["a", "b", "d"]);
    let rejected: Vec<_> = outcome
        .rejected_raw
        .iter()
        .map(|(bytes, why)| (bytes.len(), why.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [
            (
                10,
                "a line of 3000000 bytes is longer than max_line_bytes = 10, at x:2"
            ),
            (
                10,
                "a line of 11 bytes is longer than max_line_bytes = 10, at x:3000005"
            ),
        ]
    );
}

#[test]
fn a_damaged_file_gives_its_whole_lines_and_the_next_has_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u32| format!("line {number} {}\n", number.wrapping_mul(2_654_435_761));
    let text: String = (0..50_000).map(line).collect();
    let mut torn = gzip(text.as_bytes());
    torn.truncate(torn.len() / 2);
    fs::write(folder.path().join("1.gz"), torn).unwrap();
    fs::write(folder.path().join("2"), "whole\n").unwrap();
    let outcome = read(&json!({ "path": folder.path() }));
    let mut texts = outcome.texts();
    assert_eq!(texts.pop().unwrap(), "whole");
    let lines: Vec<_> = text.lines().take(texts.len()).collect();
    assert_eq!(texts, lines);
    assert_eq!(outcome.rejected_raw.len(), 1);
    let (bytes, reason) = &outcome.rejected_raw[0];
    assert!(
        reason.starts_with("1.gz is damaged after byte "),
        "{reason}"
    );
    let whole: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert_eq!(&text.as_bytes()[whole..whole + bytes.len()], &bytes[..]);
}

#[test]
fn a_budget_is_a_hard_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "line\n".repeat(5_000)).unwrap();
    let mut source = Stage::source("lines", &json!({ "path": path })).unwrap();
    let mut counts = Vec::new();
    for budget in [1, 7, 1_500, 100_000] {
        let (poll, outcome) = source.poll(budget, 1_000).unwrap();
        counts.push((poll, outcome.emitted()));
    }
    assert_eq!(
        counts,
        [
            (Poll::More, 1),
            (Poll::More, 7),
            (Poll::More, 1_500),
            (Poll::Finished, 3_492)
        ]
    );
}

#[test]
fn a_full_output_pauses_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "line\n".repeat(2_500)).unwrap();
    let mut source = Stage::source("lines", &json!({ "path": path })).unwrap();
    source.room(1);
    let mut counts = Vec::new();
    loop {
        let (poll, outcome) = source.poll(usize::MAX, 1_000).unwrap();
        counts.push(outcome.emitted());
        if poll == Poll::Finished {
            break;
        }
    }
    assert_eq!(counts, [1_000, 1_000, 500, 0]);
}

#[test]
fn a_pipe_is_read_as_lines_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let mut source = Stage::source("lines", &json!({ "path": path })).unwrap();
    assert_eq!(source.poll(10, 0).unwrap().0, Poll::Idle);
    let mut pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for text in ["first", "second"] {
        writeln!(pipe, "{text}").unwrap();
        assert_eq!(source.poll_records(1).unwrap().texts(), [text]);
    }
    drop(pipe);
    assert_eq!(source.poll_to_end().unwrap().emitted(), 0);
}

#[test]
fn formats_are_planned_and_wrong_options_named() {
    let plan =
        |options: Value| Stage::plan("source", "lines", &options, &[]).map(|(_, planned)| planned);
    let planned = plan(json!({ "path": "x", "format": "json" })).unwrap();
    assert_eq!(planned.outputs, [ContentType::json()]);
    let error = plan(json!({ "path": "x", "max_line_bytes": 0 }))
        .err()
        .unwrap();
    assert_eq!(error.pointer, "/max_line_bytes");
    let error = Stage::source("lines", &json!({ "path": "/nowhere/at/all" }))
        .err()
        .unwrap();
    assert_eq!(error.pointer, "/path");
    assert!(
        error
            .message
            .starts_with("cannot read /nowhere/at/all: No such file"),
        "{error}"
    );
    let sink = |path: &str, input| {
        Stage::plan("sink", "lines", &json!({ "path": path }), &[input]).map(|_| ())
    };
    assert!(sink("-", ContentType::text()).is_ok());
    let error = sink("x", ContentType::avro("\"long\"")).unwrap_err();
    assert_eq!(
        error.message,
        "avro cannot be written as lines; decode it first with avro-decode"
    );
    assert_eq!(
        sink("x-{day}", ContentType::text()).unwrap_err().pointer,
        "/path"
    );
}

#[test]
fn lines_are_written_and_named_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/out-{worker}.txt");
    let mut stage = sink(&path, &json!({}), ContentType::text()).unwrap();
    let outcome = stage
        .write(&batch_of(["one", "", "two\nlines", "three"]))
        .unwrap();
    assert_eq!(outcome.consumed_count(), 3);
    assert_eq!(outcome.rejected[0].1, 2);
    stage.checkpoint(1, false).unwrap();
    let open = folder
        .path()
        .join("deep/out-0.txt.test.lines.0-1.inprogress");
    assert_eq!(fs::read_to_string(&open).unwrap(), "one\n\nthree\n");
    stage.finish().unwrap();
    assert!(!open.exists());
    let done = folder.path().join("deep/out-0.txt");
    assert_eq!(fs::read_to_string(done).unwrap(), "one\n\nthree\n");
}

#[test]
fn json_with_line_breaks_becomes_one_line_and_a_tombstone_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    let mut stage = sink(&path, &json!({}), ContentType::json()).unwrap();
    let mut batch = BatchBuilder::new();
    batch
        .push(Some(b"{\"a\":\r\n1}"))
        .push(None)
        .push(Some(b"2"));
    let outcome = stage.write(&batch.finish()).unwrap();
    assert_eq!(
        outcome.rejected[0].2,
        "the record has no value to write as a line"
    );
    stage.finish().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "{\"a\":  1}\n2\n");
}

#[test]
fn files_roll_and_read_back_compressed_or_not() {
    for codec in ["none", "gzip", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let options = json!({ "codec": codec, "roll": { "max_records": 1_500 } });
        let mut stage = sink(&folder.path().join("x.txt"), &options, ContentType::text()).unwrap();
        let lines: Vec<String> = (0..4_000).map(|number| format!("line {number}")).collect();
        for (epoch, batch) in lines.chunks(1_000).enumerate() {
            stage.write(&batch_of(batch)).unwrap();
            stage.checkpoint(1 + epoch as u64, false).unwrap();
        }
        stage.finish().unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["x-1.txt", "x-2.txt", "x.txt"]);
        let mut all = Vec::new();
        for (name, count) in [("x.txt", 1_500), ("x-1.txt", 1_500), ("x-2.txt", 1_000)] {
            let outcome = read(&json!({ "path": folder.path().join(name) }));
            assert_eq!(outcome.emitted(), count, "{codec}");
            all.extend(outcome.texts());
        }
        assert_eq!(all, lines, "{codec}");
    }
}

#[test]
fn a_file_goes_on_after_a_crash_compressed_or_not() {
    for codec in ["none", "gzip", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        let options = json!({ "path": path, "codec": codec });
        let mut stage = sink(&path, &options, ContentType::text()).unwrap();
        stage.write(&batch_of(["one", "two"])).unwrap();
        stage.begin_checkpoint(1, false).unwrap();
        stage
            .write(&batch_of(["of an epoch that never was"]))
            .unwrap();
        let state = loop {
            if let (Some(state), _) = stage.poll_checkpoint(1).unwrap() {
                break state;
            }
            std::thread::yield_now();
        };
        stage.host().advance(1_000_000_001);
        stage.tick().unwrap();
        drop(stage);
        let again = |options: &Value| {
            let host = plugin_api::testing::TestHost::leaked();
            let inputs = [ContentType::text()];
            let restored = (1, Some(&state[..]));
            let mut stage =
                Stage::open_at(host, "sink", "lines", options, &inputs, restored).unwrap();
            stage.commit(1).unwrap();
            stage.write(&batch_of(["three"])).unwrap();
            stage
        };
        drop(again(&options));
        again(&options).finish().unwrap();
        let outcome = read(&json!({ "path": path }));
        assert_eq!(outcome.texts(), ["one", "two", "three"], "{codec}");
        assert_eq!(outcome.rejected_raw, [], "{codec}");
    }
}

#[test]
fn a_file_of_another_codec_ends_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut stage = sink(&path, &json!({ "codec": "gzip" }), ContentType::text()).unwrap();
    stage.write(&batch_of(["one"])).unwrap();
    let (state, _) = stage.checkpoint(1, false).unwrap();
    drop(stage);
    let host = plugin_api::testing::TestHost::leaked();
    let options = json!({ "path": path, "codec": "none" });
    let inputs = [ContentType::text()];
    let restored = (1, Some(&state[..]));
    let mut stage = Stage::open_at(host, "sink", "lines", &options, &inputs, restored).unwrap();
    stage.write(&batch_of(["two"])).unwrap();
    stage.finish().unwrap();
    assert_eq!(read(&json!({ "path": path })).texts(), ["one"]);
    let plain = fs::read_to_string(folder.path().join("x-1")).unwrap();
    assert_eq!(plain, "two\n");
}

#[test]
fn what_was_written_shows_within_a_second_on_a_quiet_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = sink(&folder.path().join("x"), &json!({}), ContentType::text()).unwrap();
    stage.write(&batch_of(["hello"])).unwrap();
    let mut shown = String::new();
    stage.host().advance(1_000_000_001);
    stage.tick().unwrap();
    let mut file = fs::File::open(folder.path().join("x.test.lines.0-1.inprogress")).unwrap();
    file.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "hello\n");
}

#[test]
fn a_file_rolls_at_midnight_without_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let host = plugin_api::testing::TestHost::leaked();
    host.set_now_us(86_400_000_000 - 2_000_000);
    let options = json!({ "path": folder.path().join("{date}.txt") });
    let inputs = [ContentType::new(Format::Text)];
    let mut stage = Stage::open_on(host, "sink", "lines", &options, &inputs).unwrap();
    stage.write(&batch_of(["hello"])).unwrap();
    stage.tick().unwrap();
    assert!(!folder.path().join("1970-01-01.txt").exists());
    host.set_now_us(86_400_000_000);
    stage.tick().unwrap();
    stage.checkpoint(1, false).unwrap();
    stage.commit(1).unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("1970-01-01.txt")).unwrap(),
        "hello\n"
    );
}
