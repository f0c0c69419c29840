use super::*;
use crate::{ByteSize, Span};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DAY_US: i64 = 86_400_000_000;

fn rolling(fs: &MemoryFiles, path: &str, roll: Roll) -> Rolling {
    let names = Names {
        host: "archive".into(),
        stage: "out".into(),
        worker: 3,
    };
    Rolling::on(
        Arc::new(fs.clone()),
        Template::parse(path).unwrap(),
        names,
        roll,
    )
}

fn write(files: &mut Rolling, now_us: i64, bytes: &[u8]) {
    files.open(now_us).unwrap().append(bytes);
    files.add_records(1);
}

#[test]
fn a_template_renders_its_placeholders() {
    let names = Names {
        host: "h".into(),
        stage: "s".into(),
        worker: 7,
    };
    let at = |text: &str, now_us| {
        let template = Template::parse(text).unwrap();
        template.render(&names, now_us).display().to_string()
    };
    // 2024-02-29 23:59:58 UTC
    let leap = 1_709_251_198_000_000;
    assert_eq!(
        at("a/{date}/{hour}-{time}.x", leap),
        "a/2024-02-29/23-235958.x"
    );
    assert_eq!(at("{host}.{stage}.{worker}", 0), "h.s.7");
    assert_eq!(at("{{{date}}}", -1), "{1969-12-31}");
    assert_eq!(at("{date}", 951_782_400_000_000), "2000-02-29");
}

#[test]
fn a_template_refuses_what_it_does_not_know() {
    let error = |text: &str| Template::parse(text).unwrap_err().to_string();
    assert!(error("x-{day}.csv").starts_with("`{day}` is no placeholder; known are {date}"));
    assert_eq!(error("x-{date.csv"), "`x-{date.csv` has a lone `{`");
    assert_eq!(error("x}"), "`x}` has a lone `}`");
    assert_eq!(error("out/"), "`out/` names no file");
}

#[test]
fn a_file_takes_its_name_only_when_finished() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "out/{stage}.csv", Roll::default());
    assert_eq!(files.finish().unwrap(), None, "no record, no file");
    write(&mut files, 0, b"one\n");
    assert_eq!(fs.names(), [PathBuf::from("out/out.csv.inprogress")]);
    assert_eq!(
        files.finish().unwrap(),
        Some(Finished {
            path: "out/out.csv".into(),
            bytes: 4,
            records: 1
        })
    );
    assert_eq!(fs.names(), [PathBuf::from("out/out.csv")]);
    assert_eq!(fs.synced_folders(), [PathBuf::from("out")]);
}

#[test]
fn a_taken_name_is_counted_up_before_its_extension() {
    for (path, second, third) in [
        ("x.avro", "x-1.avro", "x-2.avro"),
        ("x.jsonl.gz", "x-1.jsonl.gz", "x-2.jsonl.gz"),
        ("x.v2.csv", "x.v2-1.csv", "x.v2-2.csv"),
        (".hidden", ".hidden-1", ".hidden-2"),
        ("bare", "bare-1", "bare-2"),
    ] {
        let fs = MemoryFiles::default();
        let mut names = Vec::new();
        for _ in 0..3 {
            let mut files = rolling(&fs, path, Roll::default());
            write(&mut files, 0, b"x");
            names.push(files.finish().unwrap().unwrap().path);
        }
        assert_eq!(names, [path, second, third].map(PathBuf::from));
    }
}

#[test]
fn what_a_killed_writer_left_is_never_touched() {
    let fs = MemoryFiles::default();
    let mut killed = rolling(&fs, "x.csv", Roll::default());
    write(&mut killed, 0, b"half");
    killed.flush().unwrap();
    drop(killed);
    let mut files = rolling(&fs, "x.csv", Roll::default());
    write(&mut files, 0, b"whole");
    assert_eq!(files.finish().unwrap().unwrap().path, Path::new("x.csv"));
    assert_eq!(fs.read("x.csv.inprogress").unwrap(), b"half");
    assert_eq!(fs.read("x.csv").unwrap(), b"whole");
}

#[test]
fn files_roll_by_bytes_records_interval_and_date() {
    let fs = MemoryFiles::default();
    let rolls = |roll, path: &str| {
        let mut files = rolling(&fs, path, roll);
        write(&mut files, DAY_US - 10, b"12345");
        move |now_us| files.due(now_us)
    };
    let one = Roll::default();
    let due = rolls(one.clone(), "plain");
    assert!(!due(i64::MAX));
    let due = rolls(
        Roll {
            max_bytes: Some(ByteSize(5)),
            ..one.clone()
        },
        "bytes",
    );
    assert!(due(0));
    let due = rolls(
        Roll {
            max_bytes: Some(ByteSize(6)),
            ..one.clone()
        },
        "bytes",
    );
    assert!(!due(0));
    let due = rolls(
        Roll {
            max_records: Some(1),
            ..one.clone()
        },
        "records",
    );
    assert!(due(0));
    let interval = Some(Span(Duration::from_micros(5)));
    let due = rolls(
        Roll {
            interval,
            ..one.clone()
        },
        "interval",
    );
    assert!(!due(DAY_US - 6) && due(DAY_US - 5));
    let due = rolls(one.clone(), "{date}");
    assert!(!due(DAY_US - 1) && due(DAY_US));
    let due = rolls(one, "{hour}");
    assert!(!due(DAY_US - 1) && due(DAY_US));
}

#[test]
fn a_file_without_records_neither_rolls_nor_stays() {
    let fs = MemoryFiles::default();
    let mut files = rolling(
        &fs,
        "{date}",
        Roll {
            max_bytes: Some(ByteSize(1)),
            ..Roll::default()
        },
    );
    files.open(0).unwrap().append(b"header");
    assert!(!files.due(DAY_US));
    assert_eq!(files.finish().unwrap(), None);
    assert!(fs.names().is_empty());
}

#[test]
fn many_files_of_one_name_are_numbered_in_turn() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x.log", Roll::default());
    for number in 0..5 {
        write(&mut files, 0, b"x");
        let path = files.finish().unwrap().unwrap().path;
        let wanted = if number == 0 {
            "x.log".into()
        } else {
            format!("x-{number}.log")
        };
        assert_eq!(path, Path::new(&wanted));
    }
}

#[test]
fn a_full_disk_loses_and_doubles_nothing() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"0123456789");
    fs.set_room(Some(4));
    let error = files.flush().unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().starts_with("cannot write x.inprogress: "));
    write(&mut files, 0, b"abc");
    assert!(files.finish().unwrap_err().is_transient());
    fs.set_room(None);
    assert_eq!(files.finish().unwrap().unwrap().bytes, 13);
    assert_eq!(fs.read("x").unwrap(), b"0123456789abc");
}

#[test]
fn a_failed_fsync_is_never_retried() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"x");
    fs.fail_syncs(1);
    assert!(!files.finish().unwrap_err().is_transient());
    let error = files.finish().unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot finish x.inprogress: an earlier fsync failed, so its content is not certain"
    );
    assert_eq!(fs.names(), [PathBuf::from("x.inprogress")]);
}

#[test]
fn a_sync_in_the_background_reports_its_end() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    assert!(
        matches!(files.poll_sync(), Some(Ok(()))),
        "no file, nothing to wait for"
    );
    write(&mut files, 0, b"x");
    let wait = |files: &mut Rolling| loop {
        if let Some(result) = files.poll_sync() {
            return result;
        }
        std::thread::yield_now();
    };
    files.begin_sync().unwrap();
    wait(&mut files).unwrap();
    fs.fail_syncs(1);
    files.begin_sync().unwrap();
    assert!(wait(&mut files).is_err());
    assert!(files.begin_sync().is_err());
}

#[test]
fn a_roll_waits_for_the_sync_in_the_background() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"x");
    fs.fail_syncs(1);
    files.begin_sync().unwrap();
    assert!(
        files.finish().is_err(),
        "the error must not be lost between two fsyncs"
    );
}

#[test]
fn on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/x.txt");
    let mut names = Vec::new();
    for round in 0..2 {
        let template = Template::parse(path.to_str().unwrap()).unwrap();
        let mut files = Rolling::new(template, Names::default(), Roll::default());
        write(&mut files, 0, format!("round {round}").as_bytes());
        files.begin_sync().unwrap();
        write(&mut files, 0, b"!");
        names.push(files.finish().unwrap().unwrap().path);
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        names,
        ["a/b/x.txt", "a/b/x-1.txt"].map(|name| folder.path().join(name))
    );
    assert_eq!(read("a/b/x.txt"), "round 0!");
    assert_eq!(read("a/b/x-1.txt"), "round 1!");
    assert_eq!(
        std::fs::read_dir(folder.path().join("a/b"))
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn a_rename_never_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, "new").unwrap();
    std::fs::write(&to, "old").unwrap();
    let error = Os.rename_no_replace(&from, &to).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
    std::fs::remove_file(&to).unwrap();
    Os.rename_no_replace(&from, &to).unwrap();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
    assert!(!from.exists());
}
