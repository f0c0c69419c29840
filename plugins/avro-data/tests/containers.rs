//! Container files of others, and ours read by others.

#![allow(clippy::unwrap_used)]

mod common;

use apache_avro::types::Value as Avro;
use avro_data::container::{Codec, ReadError, Reader, Writer};
use avro_data::{Extractor, Schema, datum};
use needs::Need;

fn original() -> Need {
    needs::data("stream-mining/tweet_full.avro")
}

fn original_schema() -> Need {
    needs::data("stream-mining/tweet_full.avsc")
}

/// The file that the original's writer left torn: only its last marker is missing.
fn the_originals_torn_file_gives_all_its_records() {
    let bytes = original().read();
    let mut reader = Reader::new(&*bytes).unwrap();
    assert_eq!(reader.schema().fields()[1].name, "t.created_at");
    let (mut records, mut json) = (0, Vec::new());
    let schema = reader.schema().clone();
    let error = loop {
        match reader.next() {
            Ok(Some(record)) => {
                records += 1;
                json.clear();
                datum::to_json(&schema, record, &mut json).unwrap();
                let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
                assert!(value["t.id"].as_i64().unwrap() > 0);
            }
            Ok(None) => panic!("a torn file must be said to be torn"),
            Err(error) => break error,
        }
    };
    assert_eq!(records, 61);
    assert_eq!(
        error.to_string(),
        "torn after 27444 bytes: the file ends before the marker that ends the last block; all \
         of its records are there"
    );
    assert!(reader.next().unwrap().is_none());
}

fn every_truncation_of_the_originals_file_gives_its_whole_records() {
    let bytes = original().read();
    let (mut before, mut clean) = (0, 0);
    for cut in 0..=bytes.len() {
        let mut records = 0;
        let end = match Reader::new(&bytes[..cut]) {
            Ok(mut reader) => loop {
                match reader.next() {
                    Ok(Some(_)) => records += 1,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
            Err(error) => Some(error),
        };
        assert!(records >= before, "{cut}: {records} after {before}");
        before = records;
        match end {
            None => clean += 1,
            Some(ReadError::Torn { at, .. }) => assert_eq!(at, cut as u64),
            Some(other) => panic!("{cut}: {other}"),
        }
    }
    // Clean after the header and after each of the two blocks that have their marker.
    assert_eq!((before, clean), (61, 3));
}

fn apache_avro_reads_ours_and_ours_reads_apache_avros() {
    let lines = common::lines();
    let schema = common::shipped("tweet_full.avsc");
    let mut extractor = Extractor::new(&schema).unwrap();
    let mut datums = Vec::new();
    for line in lines.iter().take(600) {
        let mut datum = Vec::new();
        if extractor.extract(line, &mut datum).is_ok() {
            datums.push(datum);
        }
    }
    let oracle = apache_avro::Schema::parse_str(schema.json()).unwrap();
    let values: Vec<Avro> = datums
        .iter()
        .map(|d| {
            apache_avro::reader::datum::GenericDatumReader::builder(&oracle)
                .build()
                .unwrap()
                .read_value(&mut &**d)
                .unwrap()
        })
        .collect();
    for (codec, theirs) in [
        (Codec::Null, apache_avro::Codec::Null),
        (
            Codec::Deflate,
            apache_avro::Codec::Deflate(Default::default()),
        ),
        (Codec::Snappy, apache_avro::Codec::Snappy),
        (
            Codec::Zstd,
            apache_avro::Codec::Zstandard(Default::default()),
        ),
    ] {
        let mut writer = Writer::new(Vec::new(), &schema, codec, 16 << 10).unwrap();
        for datum in &datums {
            writer.append(datum).unwrap();
        }
        let ours = writer.finish().unwrap();
        let read: Vec<Avro> = apache_avro::Reader::new(&*ours)
            .unwrap()
            .map(|v| v.unwrap())
            .collect();
        assert_eq!(read, values, "{codec:?}");

        let mut writer = apache_avro::Writer::with_codec(&oracle, Vec::new(), theirs).unwrap();
        for value in &values {
            writer.append_value(value.clone()).unwrap();
        }
        let theirs = writer.into_inner().unwrap();
        let mut reader = Reader::new(&*theirs).unwrap();
        assert_eq!(reader.codec(), codec);
        for datum in &datums {
            assert_eq!(reader.next().unwrap(), Some(&**datum), "{codec:?}");
        }
        assert_eq!(reader.next().unwrap(), None);
    }
}

fn the_original_schema_parses_as_it_is() {
    let path = original_schema().path();
    let original = Schema::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let shipped = common::shipped("tweet_full.avsc");
    assert_eq!(original.fields().len(), 56);
    for (theirs, ours) in original.fields().iter().zip(shipped.fields()) {
        assert_eq!(theirs.name.replace('.', "_"), ours.name);
        assert_eq!(
            original.type_name(theirs.node),
            shipped.type_name(ours.node)
        );
    }
    // Topics and files of the original go on.
    assert!(original.same_datums(&shipped));
    assert!(!original.same_datums(&common::shipped("tweet.avsc")));
}

needs::tests! {
    the_originals_torn_file_gives_all_its_records:
        original();
    every_truncation_of_the_originals_file_gives_its_whole_records:
        original();
    apache_avro_reads_ours_and_ours_reads_apache_avros:
        common::archive();
    the_original_schema_parses_as_it_is:
        original_schema();
}
