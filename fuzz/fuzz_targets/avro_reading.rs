//! Avro containers: read to their end or to one error, in bounded memory, with the same records
//! from any place that the reader named.
#![no_main]

use std::io::Cursor;

use avro_data::{
    Schema,
    container::{Codec, Limits, Reader, Writer},
};
use libfuzzer_sys::fuzz_target;

const SCHEMA: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]},
    {"name": "c", "type": {"type": "array", "items": "double"}},
    {"name": "d", "type": {"type": "map", "values": "bytes"}}]}"#;

fn seeds() -> Vec<Vec<u8>> {
    let schema = Schema::parse(SCHEMA).expect("a schema");
    let datums: [&[u8]; 3] = [
        &[2, 0, 0, 0],
        &[4, 2, 4, b'h', b'i', 0, 0],
        &[6, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, b'k', 2, b'v', 0],
    ];
    [Codec::Null, Codec::Deflate, Codec::Snappy, Codec::Zstd]
        .map(|codec| {
            let mut writer = Writer::new(Vec::new(), &schema, codec, 16).expect("a writer");
            for datum in datums.iter().cycle().take(9) {
                writer.append(datum).expect("memory takes it");
            }
            writer.finish().expect("memory takes it")
        })
        .to_vec()
}

fuzz_target!(init: fuzz::begin_with(&seeds()), |data: &[u8]| {
    let limits = Limits { block: 1 << 20 };
    let Ok(mut reader) = Reader::with_limits(Cursor::new(data), limits) else {
        return;
    };
    let mut count = 0_u32;
    let mut remembered = None;
    loop {
        if count == 3 {
            remembered = Some((reader.position(), None));
        }
        match reader.next() {
            Ok(Some(datum)) => {
                if let Some((_, slot @ None)) = &mut remembered {
                    *slot = Some(datum.to_vec());
                }
            }
            Ok(None) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(matches!(reader.next(), Ok(None)), "an error ends the file");
                break;
            }
        }
        count += 1;
        // Records without bytes may be many.
        if count == 100_000 {
            break;
        }
    }
    if let Some((position, Some(datum))) = remembered {
        let again = Reader::with_limits(Cursor::new(data), limits);
        let mut again = again.expect("it was read before");
        again.seek(position).expect("it was there before");
        let found = again.next().expect("it was there before");
        assert_eq!(found, Some(&*datum));
    }
});
