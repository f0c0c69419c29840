//! The file of an epoch: refused in words, or read as something that is written the same way. The
//! checksum is made right first, or nothing behind it would be reached.
#![no_main]

use host::checkpoint::epoch::{Epoch, LettersMark, Snapshot, Tally};
use libfuzzer_sys::fuzz_target;

fn sample() -> Vec<u8> {
    let snapshot = Snapshot {
        plugin: "source lines".into(),
        version: 1,
        state: b"{\"at\": 5}".to_vec(),
        ended: vec!["a/0.0>0".into()],
        finished: true,
        tally: Tally {
            received: 7,
            ..Tally::default()
        },
    };
    let epoch = Epoch {
        number: 3,
        last: true,
        complete: false,
        at_us: 1,
        took_us: 2,
        instances: [
            ("a/0".to_owned(), snapshot),
            ("b/0".to_owned(), Snapshot::default()),
        ]
        .into(),
        letters: LettersMark {
            file: Some(("x.avro".into(), 5)),
            count: 1,
            next: 2,
        },
    };
    let mut bytes = epoch.encode();
    bytes.truncate(bytes.len() - 4);
    bytes
}

fuzz_target!(init: fuzz::begin_with(&[sample()]), |data: &[u8]| {
    let _ = Epoch::decode(data);
    let sum = crc32fast::hash(data).to_le_bytes();
    if let Ok(epoch) = Epoch::decode(&[data, &sum].concat()) {
        assert_eq!(Epoch::decode(&epoch.encode()), Ok(epoch));
    }
});
