//! What goes wrong: damaged files, full disks, wrong epochs, other processes.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
};

use super::*;

#[test]
fn a_buffer_and_an_epoch_of_different_lives_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a"]);
    let early = w.epoch(1);
    w.write(["b"]);
    let late = w.epoch(2);
    r.read();
    let read = r.epoch(1);
    drop((w, r));
    let options = |folder: &Path| json!({"path": folder, "max_bytes": 1000});
    for (folder, saved) in [(folder.path(), &early), (other.path(), &late)] {
        let failed = open("sink", "disk-buffer-in", &options(folder), saved);
        let message = failed.err().unwrap().message;
        assert!(message.contains("do not belong together"), "{message}");
    }
    let message = try_reader(other.path(), &read).err().unwrap().message;
    assert!(message.contains("its reader stood at entry 2"), "{message}");
}

#[test]
fn entries_of_another_content_type_are_not_taken_for_these() {
    let folder = tempfile::tempdir().unwrap();
    let mut w = writer(folder.path(), &None);
    w.write(["a"]);
    w.epoch(1);
    let options = json!({"path": folder.path(), "content": {"format": "json"}});
    let failed = open("source", "disk-buffer-out", &options, &None);
    let message = failed.err().unwrap().message;
    assert!(
        message.contains("holds text, and json is to be read"),
        "{message}"
    );
}

#[test]
fn a_second_process_gets_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let _w = writer(folder.path(), &None);
    // SQLite keeps the locks of one process apart as it does those of two.
    let message = store::Store::open(folder.path()).unwrap_err().message;
    assert!(message.contains("another process has it open"), "{message}");
}

#[test]
fn damage_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("buffer.sqlite");
    let saved = {
        let mut w = writer(folder.path(), &None);
        for i in 0..40 {
            w.write([format!("{i:>3000}").as_str(); 10]);
        }
        w.epoch(1)
    };
    let options = json!({"path": folder.path(), "max_bytes": 1000});
    let whole = fs::read(&file).unwrap();
    let mut seen = [0; 2];
    for page in 0..whole.len() / 16384 {
        for cut in [false, true] {
            fs::write(&file, &whole).unwrap();
            let mut f = OpenOptions::new().write(true).open(&file).unwrap();
            let at = page as u64 * 16384 + [0, 100, 9000][page % 3];
            if cut {
                f.set_len(at).unwrap();
            } else {
                f.seek(SeekFrom::Start(at)).unwrap();
                f.write_all(&[0xA5; 64]).unwrap();
            }
            drop(f);
            let writer = open("sink", "disk-buffer-in", &options, &saved);
            let read = writer.and_then(|_w| {
                let mut r = try_reader(folder.path(), &None)?;
                let mut all = 0;
                while let (answer::MORE, out) = r.try_poll(usize::MAX, 0)? {
                    for (i, value) in out.texts().iter().enumerate() {
                        let entry = (all + i) / 10;
                        assert_eq!(*value, format!("{entry:>3000}"), "page {page}");
                    }
                    all += out.emitted();
                }
                assert_eq!(all, 400, "page {page}: some are missing without a word");
                Ok(())
            });
            match read {
                Ok(()) => seen[0] += 1,
                Err(e) => {
                    assert!(e.message.contains("buffer.sqlite"), "{e}");
                    seen[1] += 1;
                }
            }
        }
    }
    // Few places of the file are free.
    assert!(seen[1] > 8 * seen[0], "{seen:?}");
    fs::write(
        &file,
        "no database at all, but long enough to be taken for one",
    )
    .unwrap();
    let message = try_reader(folder.path(), &None).err().unwrap().message;
    assert!(message.contains("is damaged"), "{message}");
}

#[test]
fn a_full_disk_is_trouble_that_may_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store::Store::open(folder.path()).unwrap();
    store.append(0, &batch_of(["a"])).unwrap();
    store.pragma("max_page_count = 8");
    let large = batch_of(vec!["0123456789"; 30_000]);
    let error = store.append(1, &large).unwrap_err();
    assert!(
        error.is_transient() && error.message.contains("the disk is full"),
        "{error}"
    );
    store.append(1, &batch_of(["b"])).unwrap();
    store.pragma("max_page_count = 1000");
    store.append(2, &large).unwrap();
    store.publish(3).unwrap();
    drop(store);
    let mut r = reader(folder.path(), &None);
    assert_eq!(r.read().len(), 2 + 300_000);
}

#[test]
fn after_a_failure_the_writer_is_restored_before_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a"]);
    let saved = w.epoch(1);
    w.write(["lost"]);
    r.try_poll(1, 0).unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    spool.pragma("query_only = ON");
    let error = w.try_write(&batch_of(["lost"])).unwrap_err();
    assert_eq!(error.code, Code::FATAL);
    // The reader's region starts first, and opens what is on the disk.
    drop(r);
    let mut r = reader(folder.path(), &None);
    assert_eq!(r.read(), "a");
    let error = w.try_write(&batch_of(["lost"])).unwrap_err();
    assert!(error.message.contains("is to be restored"), "{error}");
    drop(w);
    let mut w = writer(folder.path(), &saved);
    w.write(["b"]);
    w.epoch(2);
    assert_eq!(r.read(), "b");
}

#[test]
fn a_reader_that_fails_behind_the_end_still_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    w.write(["a"]);
    w.ends();
    w.epoch(1);
    // The writer's region is over; its host holds the buffer open.
    let spool = Spool::open(folder.path()).unwrap();
    drop(w);
    assert_eq!(r.read_by(10), (vec!["a".to_owned()], true));
    r.checkpoint(1);
    spool.pragma("query_only = ON");
    let error = plain(r.stage.commit(1)).unwrap_err();
    assert_eq!(error.code, Code::FATAL);
    drop(r);
    let mut r = reader(folder.path(), &None);
    assert_eq!(r.read_by(10), (vec!["a".to_owned()], true));
}

#[test]
fn a_stage_that_was_replaced_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hung, mut stuck) = (writer(folder.path(), &None), reader(folder.path(), &None));
    hung.write(["lost"]);
    let (mut w, mut r) = (writer(folder.path(), &None), reader(folder.path(), &None));
    let error = hung.try_write(&batch_of(["late"])).unwrap_err();
    assert!(
        error.message.contains("another stage has this end"),
        "{error}"
    );
    w.write(["a"]);
    w.epoch(1);
    assert!(stuck.try_poll(1, 0).is_err());
    assert_eq!(r.read(), "a");
}
