use super::*;
use crate::{ByteSize, Span};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DAY_US: i64 = 86_400_000_000;

fn names(stage: &str) -> Names {
    Names {
        host: "archive".into(),
        stage: stage.into(),
        worker: 3,
    }
}

fn rolling(fs: &MemoryFiles, path: &str, roll: Roll) -> Rolling {
    let template = Template::parse(path).unwrap();
    Rolling::on(Arc::new(fs.clone()), template, names("out"), roll)
}

fn write(files: &mut Rolling, now_us: i64, bytes: &[u8]) {
    files.open(now_us).unwrap().append(bytes);
    files.add_records(1);
}

/// An epoch up to its state.
fn checkpoint(files: &mut Rolling, epoch: u64) -> Result<Vec<u8>, FileError> {
    files.checkpoint(epoch, String::new());
    loop {
        if let Some(state) = files.checkpoint_poll(epoch)? {
            return Ok(state);
        }
        std::thread::yield_now();
    }
}

/// The last epoch.
fn finish(files: &mut Rolling) -> Result<Vec<Finished>, FileError> {
    files.roll()?;
    checkpoint(files, 99)?;
    files.commit(99)
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
fn a_file_takes_its_name_only_by_a_commit() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "out/{stage}.csv", Roll::default());
    assert_eq!(finish(&mut files).unwrap(), [], "no record, no file");
    write(&mut files, 0, b"one\n");
    let in_progress = [PathBuf::from("out/out.csv.archive.out.3-1.inprogress")];
    assert_eq!(fs.names(), in_progress);
    files.roll().unwrap();
    checkpoint(&mut files, 1).unwrap();
    assert_eq!(fs.names(), in_progress);
    let wanted = Finished {
        path: "out/out.csv".into(),
        bytes: 4,
        records: 1,
    };
    assert_eq!(files.commit(1).unwrap(), [wanted]);
    assert_eq!(fs.names(), [PathBuf::from("out/out.csv")]);
    // For the name in progress and for the one at last.
    assert_eq!(fs.synced_folders(), ["out", "out"].map(PathBuf::from));
    assert_eq!(files.commit(1).unwrap(), [], "a commit may be repeated");
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
            names.push(finish(&mut files).unwrap()[0].path.clone());
        }
        assert_eq!(names, [path, second, third].map(PathBuf::from));
    }
}

#[test]
fn a_restore_cuts_what_is_listed_and_deletes_what_is_not() {
    let fs = MemoryFiles::default();
    let by_two = Roll {
        max_records: Some(2),
        ..Roll::default()
    };
    let path = "{date}/x-{hour}.csv";
    let mut killed = rolling(&fs, path, by_two.clone());
    write(&mut killed, 0, b"a");
    write(&mut killed, 0, b"b");
    killed.roll().unwrap();
    write(&mut killed, 7 * DAY_US, b"c");
    let state = checkpoint(&mut killed, 5).unwrap();
    write(&mut killed, 7 * DAY_US, b"d");
    killed.roll().unwrap();
    write(&mut killed, 9 * DAY_US, b"e");
    killed.flush().unwrap();
    killed.settle().unwrap();
    drop(killed);
    // Of another stage, of another template, and of nobody: never touched.
    let others = [
        "1970-01-10/x-00.csv.archive.out.4-1.inprogress",
        "1970-01-10/x-00.csv.archive.other.3-1.inprogress",
        "1970-01-10/x-zz.csv.archive.out.3-1.inprogress",
        "new/x-00.csv.archive.out.3-1.inprogress",
        "1970-01-10/x.inprogress",
    ];
    for other in others {
        fs.create_new(Path::new(other)).unwrap();
    }

    let mut files = rolling(&fs, path, by_two);
    assert_eq!(files.restore(5, Some(&state)).unwrap(), Some(String::new()));
    assert_eq!(files.room(), Some(1), "records are counted on");
    assert_eq!(files.due_at(), Some(7 * DAY_US + 3_600_000_000));
    let committed = files.commit(5).unwrap();
    assert_eq!(committed[0].path, Path::new("1970-01-01/x-00.csv"));
    write(&mut files, 7 * DAY_US, b"D");
    files.roll().unwrap();
    write(&mut files, 9 * DAY_US, b"E");
    let mut finished: Vec<_> = finish(&mut files).unwrap();
    finished.retain(|file| fs.read(&file.path).is_some());
    let contents = finished.iter().map(|file| fs.read(&file.path).unwrap());
    assert_eq!(contents.collect::<Vec<_>>(), [&b"cD"[..], b"E"]);
    let mut wanted: Vec<_> = others.map(PathBuf::from).into();
    let done = [
        "1970-01-01/x-00.csv",
        "1970-01-08/x-00.csv",
        "1970-01-10/x-00.csv",
    ];
    wanted.extend(done.map(PathBuf::from));
    wanted.sort();
    assert_eq!(fs.names(), wanted);

    // Without a state all of its own go, also from folders that are no longer written to.
    let own = Path::new("1970-01-01/x-07.csv.archive.out.3-12.inprogress");
    fs.create_new(own).unwrap();
    let mut files = rolling(&fs, path, Roll::default());
    files.restore(0, None).unwrap();
    assert_eq!(fs.names(), wanted);
    write(&mut files, 0, b"f");
    let number = files.current().unwrap().path().to_str().unwrap().to_owned();
    assert!(
        number.ends_with(".3-13.inprogress"),
        "{number}: no number twice"
    );
}

#[test]
fn what_a_checkpoint_counts_on_and_is_gone_is_said() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"abc");
    let state = checkpoint(&mut files, 1).unwrap();
    let path = files.current().unwrap().path().to_owned();
    let error = |fs: &MemoryFiles| {
        let mut files = rolling(fs, "x", Roll::default());
        files.restore(1, Some(&state)).unwrap_err().to_string()
    };
    fs.resume(&path, 2).unwrap();
    assert_eq!(
        error(&fs),
        "cannot go on with x.archive.out.3-1.inprogress: it is shorter than the 3 bytes that the \
         checkpoint counts on"
    );
    fs.remove(&path).unwrap();
    let bystander = Path::new("x.archive.out.3-7.inprogress");
    fs.create_new(bystander).unwrap();
    assert!(error(&fs).starts_with("cannot go on with x.archive.out.3-1.inprogress: "));
    assert_eq!(fs.names(), [bystander], "nothing is deleted before that");
    let newer = br#"{"version":2,"next":1}"#;
    let error = rolling(&fs, "x", Roll::default()).restore(1, Some(newer));
    assert!(error.unwrap_err().to_string().contains("has version 2"));
}

#[test]
fn a_moved_folder_is_found_again() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "old/x", Roll::default());
    write(&mut files, 0, b"a");
    files.roll().unwrap();
    write(&mut files, 0, b"b");
    let state = checkpoint(&mut files, 1).unwrap();
    for number in [1, 2] {
        let path = |folder| PathBuf::from(format!("{folder}/x.archive.out.3-{number}.inprogress"));
        fs.rename(&path("old"), &path("new")).unwrap();
    }
    let mut files = rolling(&fs, "new/x", Roll::default());
    files.restore(1, Some(&state)).unwrap();
    files.commit(1).unwrap();
    finish(&mut files).unwrap();
    assert_eq!(fs.names(), ["new/x", "new/x-1"].map(PathBuf::from));
}

#[test]
fn an_aborted_epoch_joins_the_next() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"a");
    files.roll().unwrap();
    checkpoint(&mut files, 1).unwrap();
    files.abort(1);
    files.abort(7); // an epoch that it never saw
    assert_eq!(files.commit(1).unwrap(), []);
    write(&mut files, 0, b"b");
    checkpoint(&mut files, 2).unwrap();
    write(&mut files, 0, b"c");
    assert_eq!(files.commit(2).unwrap().len(), 1);
    assert_eq!(finish(&mut files).unwrap().len(), 1);
    assert_eq!(fs.read("x").unwrap(), b"a");
    assert_eq!(fs.read("x-1").unwrap(), b"bc");
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
    let one_byte = Roll {
        max_bytes: Some(ByteSize(1)),
        ..Roll::default()
    };
    let mut files = rolling(&fs, "{date}", one_byte);
    files.open(0).unwrap().append(b"header");
    assert!(!files.due(DAY_US));
    let state = checkpoint(&mut files, 1).unwrap();
    assert_eq!(finish(&mut files).unwrap(), []);
    assert!(fs.names().is_empty());
    // The epoch did not count on it.
    let mut files = rolling(&fs, "{date}", Roll::default());
    assert_eq!(files.restore(1, Some(&state)).unwrap(), None);
}

#[test]
fn many_files_of_one_name_are_numbered_in_turn() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x.log", Roll::default());
    for number in 0..5 {
        write(&mut files, 0, b"x");
        let path = finish(&mut files).unwrap()[0].path.clone();
        let wanted = match number {
            0 => "x.log".into(),
            _ => format!("x-{number}.log"),
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
    assert!(
        error
            .to_string()
            .starts_with("cannot write x.archive.out.3-1.inprogress: ")
    );
    write(&mut files, 0, b"abc");
    files.roll().unwrap();
    files.checkpoint(1, String::new());
    write(&mut files, 0, b"of the next epoch");
    assert!(files.checkpoint_poll(1).unwrap_err().is_transient());
    fs.set_room(Some(12));
    assert!(files.checkpoint_poll(1).unwrap().is_some());
    assert_eq!(files.commit(1).unwrap()[0].bytes, 13);
    assert_eq!(fs.read("x").unwrap(), b"0123456789abc");
    fs.set_room(None);
    finish(&mut files).unwrap();
    assert_eq!(fs.read("x-1").unwrap(), b"of the next epoch");
}

#[test]
fn a_failed_fsync_is_never_retried() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"x");
    let state = checkpoint(&mut files, 1).unwrap();
    write(&mut files, 0, b"y");
    fs.fail_syncs(1);
    assert!(!checkpoint(&mut files, 2).unwrap_err().is_transient());
    let error = checkpoint(&mut files, 3).unwrap_err().to_string();
    let wanted = "cannot go on with x.archive.out.3-1.inprogress: an earlier fsync failed, so its \
                  content is unknown";
    assert_eq!(error, wanted);
    // The region restarts: the same file goes on.
    let mut files = rolling(&fs, "x", Roll::default());
    files.restore(1, Some(&state)).unwrap();
    write(&mut files, 0, b"z");
    finish(&mut files).unwrap();
    assert_eq!(fs.read("x").unwrap(), b"xz");
}

#[test]
fn a_failed_fsync_of_the_folder_is_never_retried() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"x");
    files.roll().unwrap();
    let state = checkpoint(&mut files, 1).unwrap();
    fs.fail_syncs(1);
    for _ in 0..2 {
        assert!(!files.commit(1).unwrap_err().is_transient());
    }
    let mut files = rolling(&fs, "x", Roll::default());
    files.restore(1, Some(&state)).unwrap();
    let synced = fs.synced_folders().len();
    assert_eq!(files.commit(1).unwrap(), [], "it has its name already");
    assert_eq!(fs.synced_folders().len(), synced + 1);
    assert_eq!(fs.names(), [PathBuf::from("x")]);
}

#[test]
fn a_file_that_nothing_was_added_to_is_not_synced_again() {
    let fs = MemoryFiles::default();
    let mut files = rolling(&fs, "x", Roll::default());
    write(&mut files, 0, b"x");
    checkpoint(&mut files, 1).unwrap();
    files.commit(1).unwrap();
    fs.fail_syncs(1);
    checkpoint(&mut files, 2).unwrap();
    files.commit(2).unwrap();
    write(&mut files, 0, b"y");
    assert!(checkpoint(&mut files, 3).is_err());
}

#[test]
fn on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("{date}/b/x.txt");
    let template = || Template::parse(path.to_str().unwrap()).unwrap();
    let mut finished = Vec::new();
    for round in 0..2 {
        let mut files = Rolling::new(template(), names("out"), Roll::default());
        files.restore(0, None).unwrap();
        write(&mut files, 0, format!("round {round}").as_bytes());
        let state = checkpoint(&mut files, 1).unwrap();
        write(&mut files, 0, b" lost");
        files.flush().unwrap();
        drop(files);
        let mut files = Rolling::new(template(), names("out"), Roll::default());
        files.restore(1, Some(&state)).unwrap();
        write(&mut files, 0, b"!");
        finished.extend(finish(&mut files).unwrap());
    }
    let at = |name: &str| folder.path().join("1970-01-01/b").join(name);
    let paths: Vec<_> = finished.into_iter().map(|file| file.path).collect();
    assert_eq!(paths, ["x.txt", "x-1.txt"].map(at));
    assert_eq!(std::fs::read_to_string(at("x.txt")).unwrap(), "round 0!");
    assert_eq!(std::fs::read_to_string(at("x-1.txt")).unwrap(), "round 1!");
    assert_eq!(std::fs::read_dir(at("")).unwrap().count(), 2);
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
