//! A batch from outside of the process: refused, or every part of every record can be read and the
//! batch goes out as it came in.
#![no_main]

use host::wire::{self, FIXED};
use libfuzzer_sys::fuzz_target;
use plugin_api::{Batch, BatchBuilder};

fn sample() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(Some(b"one")).key(Some(b"k")).ts_us(Some(-5));
    builder
        .push(None)
        .header("id", Some(b"7"))
        .header("none", None);
    builder.push(Some(b""));
    let batch = builder.finish();
    let mut bytes = Vec::new();
    wire::head(&batch, &mut bytes);
    bytes.extend_from_slice(wire::payload(&batch));
    bytes
}

fn read(batch: &Batch) -> usize {
    batch
        .iter()
        .map(|record| {
            let headers = record
                .headers()
                .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
            let key = record.key().map_or(0, <[u8]>::len);
            record.bytes().len()
                + key
                + headers.take(1000).sum::<usize>()
                + usize::from(record.text().is_ok())
        })
        .sum()
}

fuzz_target!(init: fuzz::begin_with(&[sample()]), |data: &[u8]| {
    let Some((fixed, rest)) = data.split_first_chunk::<FIXED>() else {
        return;
    };
    let Ok(sizes) = wire::sizes(fixed) else {
        return;
    };
    // As a reader does, that has so many bytes and no more.
    let (tables, payload) = rest.split_at(sizes.tables.min(rest.len()));
    let payload = payload[..sizes.data.min(payload.len())].to_vec();
    let Ok(batch) = wire::batch(&sizes, tables, payload) else {
        return;
    };
    let all = read(&batch);
    let odd: Vec<u32> = (0..batch.len() as u32).filter(|index| index % 2 == 1).collect();
    assert!(read(&batch.select(&odd)) <= all);
    let mut again = Vec::new();
    wire::head(&batch, &mut again);
    assert_eq!(again, data[..FIXED + sizes.tables]);
});
