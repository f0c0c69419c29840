//! A file of dead letters: read to its end or to one error in words; of a file that was cut, what
//! reads is how the whole one begins.
#![no_main]

use std::{path::Path, sync::Arc};

use host::checkpoint::{
    dead_letters::{DeadLetter, DeadLetters},
    epoch::LettersMark,
    letters::{Letter, Letters},
};
use libfuzzer_sys::fuzz_target;
use plugin_api::{BatchBuilder, files::MemoryFiles};

/// Two files as a host writes them, of one and of several letters.
fn seeds() -> Vec<Vec<u8>> {
    let mut batch = BatchBuilder::new();
    batch.push(Some(b"\xff")).key(Some(b"k")).ts_us(Some(5));
    batch
        .push(None)
        .header("id", Some(b"1"))
        .header("none", None);
    let batch = batch.finish();
    [1, 4]
        .map(|count| {
            let files = MemoryFiles::default();
            let letters = DeadLetters::new(Arc::new(files.clone()), Path::new("/"), "h", "r");
            letters
                .restore(&LettersMark::default())
                .expect("memory takes it");
            for number in 0..count {
                let record = batch.record(number % 2);
                let letter = DeadLetter {
                    stage: "s",
                    input: (number > 0).then_some(3),
                    content_type: "bytes",
                    reason: "it is \"none\"",
                    pointer: "/a",
                    payload: record.value(),
                    record: Some(record),
                };
                letters
                    .write(letters.life(), 0, &letter)
                    .expect("memory takes it");
                if number == 2 {
                    // What follows is another block.
                    letters.checkpoint().expect("memory takes it");
                }
            }
            let mark = letters.checkpoint().expect("memory takes it");
            let (name, _) = mark.file.expect("a file");
            files
                .read(letters.folder().join(name))
                .expect("it was written")
        })
        .to_vec()
}

fn read(bytes: &[u8]) -> Result<Vec<Letter>, String> {
    let mut all = Vec::new();
    let mut letters = Letters::read(bytes, Path::new("r-000000.avro"))?;
    while let Some(letter) = letters.next() {
        match letter {
            Ok(letter) => {
                assert!(!letter.id.is_empty());
                all.push(letter);
            }
            Err(why) => {
                assert!(why.contains("r-000000.avro"), "{why}");
                assert!(letters.next().is_none(), "an error ends the file");
            }
        }
    }
    Ok(all)
}

fuzz_target!(init: fuzz::begin_with(&seeds()), |data: &[u8]| {
    let Ok(whole) = read(data) else {
        return;
    };
    for len in [data.len() / 2, data.len() - 1] {
        if let Ok(some) = read(&data[..len]) {
            assert!(whole.starts_with(&some));
        }
    }
});
