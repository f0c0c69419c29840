use std::io::Cursor;

use super::*;
use crate::Schema;
use crate::datum::wire;

const TEXT: &str = r#"{"type":"record","name":"T","fields":[{"name":"t","type":"string"}]}"#;

fn datum(i: usize) -> Vec<u8> {
    let mut datum = Vec::new();
    wire::put_bytes(
        format!("record {i} {}", "lorem ipsum ".repeat(i % 7)).as_bytes(),
        &mut datum,
    );
    datum
}

fn file(codec: Codec, records: usize, block_size: usize) -> Vec<u8> {
    let schema = Schema::parse(TEXT).unwrap();
    let mut writer = Writer::new(Vec::new(), &schema, codec, block_size).unwrap();
    for i in 0..records {
        writer.append(&datum(i)).unwrap();
    }
    writer.finish().unwrap()
}

/// Every record, and the error at the end if there is one.
fn read(bytes: &[u8]) -> (usize, Option<ReadError>) {
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (0, Some(error)),
    };
    let mut read = 0;
    loop {
        match reader.next() {
            Ok(Some(found)) => {
                assert_eq!(found, datum(read));
                read += 1;
            }
            Ok(None) => return (read, None),
            Err(error) => {
                assert!(reader.next().unwrap().is_none(), "an error comes once");
                return (read, Some(error));
            }
        }
    }
}

#[test]
fn every_codec_and_every_truncation() {
    for codec in Codec::ALL {
        let bytes = file(codec, 40, 400);
        let (read_all, error) = read(&bytes);
        assert_eq!(read_all, 40);
        assert!(error.is_none());
        let mut before = 0;
        let mut whole_files = 0;
        for cut in 0..bytes.len() {
            let (read, error) = read(&bytes[..cut]);
            assert!(
                read >= before,
                "{codec:?}: a longer file gives no less: {cut}"
            );
            before = read;
            match error {
                // A file may end after any block, and then says nothing.
                None => whole_files += 1,
                Some(ReadError::Torn { at, .. }) => assert_eq!(at, cut as u64),
                Some(error) => panic!("{codec:?} {cut}: {error}"),
            }
        }
        // All but the last marker: nothing is missing.
        assert_eq!(before, 40, "{codec:?}");
        let blocks = bytes
            .windows(16)
            .filter(|w| *w == &bytes[bytes.len() - 16..])
            .count()
            - 1;
        assert_eq!(whole_files, blocks, "{codec:?}");
    }
}

#[test]
fn every_flipped_byte_is_survived() {
    for codec in Codec::ALL {
        let bytes = file(codec, 20, 300);
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            if let Ok(mut reader) = Reader::with_limits(&*broken, Limits { block: 1 << 20 }) {
                while let Ok(Some(_)) = reader.next() {}
            }
        }
    }
}

#[test]
fn sizes_that_lie_allocate_nothing() {
    let mut bytes = file(Codec::Null, 1, 1);
    let header = bytes.len() - (datum(0).len() + 2 + 16);
    bytes.truncate(header);
    wire::put_long(1, &mut bytes);
    wire::put_long(1 << 40, &mut bytes);
    let (_, error) = read(&bytes);
    assert_eq!(
        error.unwrap().to_string(),
        format!("corrupt at byte {header}: a block of more than 67108864 bytes")
    );
    // A bomb: small when packed, large when not.
    let schema = Schema::parse(TEXT).unwrap();
    for codec in [Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let mut writer = Writer::new(Vec::new(), &schema, codec, 1).unwrap();
        let mut bomb = Vec::new();
        wire::put_bytes(&vec![b'a'; 2 << 20], &mut bomb);
        writer.append(&bomb).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = Reader::with_limits(&*bytes, Limits { block: 1 << 20 }).unwrap();
        let error = reader.next().unwrap_err().to_string();
        assert!(
            error.ends_with("a block of more than 1048576 bytes"),
            "{codec:?}: {error}"
        );
    }
    // Records without bytes in any number.
    let nothing = Schema::parse(r#"{"type":"record","name":"N","fields":[]}"#).unwrap();
    let mut bytes = header::write(&nothing, Codec::Null, [7; 16]);
    wire::put_long(1 << 50, &mut bytes);
    wire::put_long(0, &mut bytes);
    bytes.extend_from_slice(&[7; 16]);
    assert!(Reader::new(&*bytes).unwrap().next().is_err());
}

#[test]
fn goes_on_from_any_position() {
    for codec in Codec::ALL {
        let bytes = file(codec, 50, 400);
        let mut reader = Reader::new(Cursor::new(&bytes)).unwrap();
        let mut positions = vec![reader.position()];
        while reader.next().unwrap().is_some() {
            positions.push(reader.position());
        }
        for (i, position) in positions.iter().enumerate() {
            let mut again = Reader::new(Cursor::new(&bytes)).unwrap();
            again.seek(*position).unwrap();
            let expected = datum(i);
            assert_eq!(again.next().unwrap(), (i < 50).then_some(&*expected));
        }
    }
}

#[test]
fn bytes_after_a_deflate_stream_are_passed_over() {
    let schema = Schema::parse(TEXT).unwrap();
    let mut bytes = header::write(&schema, Codec::Deflate, [9; 16]);
    let (first, second) = (datum(1), datum(2));
    for datum in [&first, &second] {
        let mut packer = codec::Packer::new(Codec::Deflate).unwrap();
        let mut packed = Vec::new();
        let data = packer.pack(datum, &mut packed).unwrap();
        wire::put_long(1, &mut bytes);
        wire::put_long(data.len() as i64 + 3, &mut bytes);
        bytes.extend_from_slice(data);
        // Most of a checksum, as Python's writers leave it.
        bytes.extend_from_slice(&[1, 2, 3]);
        bytes.extend_from_slice(&[9; 16]);
    }
    let mut reader = Reader::new(&*bytes).unwrap();
    assert_eq!(reader.next().unwrap(), Some(&*first));
    assert_eq!(reader.next().unwrap(), Some(&*second));
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_writer_goes_on_where_a_file_was_cut_back() {
    let schema = Schema::parse(TEXT).unwrap();
    let mut writer = Writer::new(Vec::new(), &schema, Codec::Deflate, 1 << 20).unwrap();
    for i in 0..10 {
        writer.append(&datum(i)).unwrap();
    }
    writer.flush().unwrap();
    let (length, sync) = (writer.written(), writer.sync());
    writer.append(b"lost").unwrap();
    let mut bytes = writer.finish().unwrap();
    bytes.truncate(length as usize);
    let mut writer = Writer::resume(bytes, Codec::Deflate, 1 << 20, sync, length).unwrap();
    for i in 10..20 {
        writer.append(&datum(i)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let (read, error) = read(&bytes);
    assert_eq!(read, 20);
    assert!(error.is_none());
}

#[test]
fn says_what_is_no_container_file() {
    let error = |bytes: &[u8]| read(bytes).1.unwrap().to_string();
    assert_eq!(error(b"{\"a\": 1}"), "not an Avro container file");
    assert_eq!(
        error(b""),
        "torn after 0 bytes: the file ends within its header"
    );
    let mut bytes = file(Codec::Null, 1, 1);
    let at = bytes.windows(4).position(|w| w == b"null").unwrap();
    bytes[at..at + 4].copy_from_slice(b"nulx");
    assert_eq!(
        error(&bytes),
        "its codec `nulx` is not supported: there are null, deflate, snappy, zstandard"
    );
}
