use super::*;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

fn names(path: &Path) -> Vec<String> {
    let found = find(path).unwrap();
    found
        .iter()
        .map(|origin| origin.name().to_owned())
        .collect()
}

fn read_all(mut reader: Reader) -> (Vec<u8>, Compression) {
    let mut all = Vec::new();
    let mut buffer = [0; 7];
    loop {
        match reader.read(&mut buffer, Duration::from_secs(5)).unwrap() {
            Got::Bytes(count) => all.extend_from_slice(&buffer[..count]),
            Got::Pending => {}
            Got::End => return (all, reader.compression()),
        }
    }
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(codec).unwrap();
    encoder.write(bytes, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

#[test]
fn a_path_means_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("2021/01")).unwrap();
    for name in [
        "b.json",
        "a.json",
        "a.csv",
        ".hidden",
        "c.json.inprogress",
        "2021/x.json",
        "2021/01/y.json",
    ] {
        fs::write(root.join(name), "").unwrap();
    }
    assert_eq!(names(root), ["a.csv", "a.json", "b.json"]);
    assert_eq!(names(&root.join("a.json")), ["a.json"]);
    assert_eq!(names(&root.join("*.json")), ["a.json", "b.json"]);
    assert_eq!(names(&root.join("?.csv")), ["a.csv"]);
    assert_eq!(names(&root.join("*/*.json")), ["2021/x.json"]);
    assert_eq!(
        names(&root.join("**/*.json")),
        ["2021/01/y.json", "2021/x.json", "a.json", "b.json"]
    );
    assert_eq!(names(&root.join("20*/**/y*")), ["2021/01/y.json"]);
    assert_eq!(
        names(&root.join("c.json.inprogress")),
        ["c.json.inprogress"]
    );
    assert_eq!(names(Path::new("-")), ["stdin"]);
    assert_eq!(
        find(&root.join("*.xml")).unwrap_err().to_string(),
        "no file fits"
    );
    assert!(find(&root.join("absent")).is_err());
}

#[test]
fn streams_are_decompressed_by_their_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misleading.txt");
    let (one, two) = (b"one\n".repeat(1000), b"two\n".repeat(1000));
    let both = [one.clone(), two.clone()].concat();
    let gzip = |bytes: &[u8]| compress(Codec::Gzip, bytes);
    let zstd = |bytes: &[u8]| compress(Codec::Zstd, bytes);
    for (content, compression) in [
        (both.clone(), Compression::None),
        ([gzip(&one), gzip(&two)].concat(), Compression::Gzip),
        ([zstd(&one), zstd(&two)].concat(), Compression::Zstd),
        ([bzip2(&one), bzip2(&two)].concat(), Compression::Bzip2),
    ] {
        fs::write(&path, &content).unwrap();
        let origin = &find(&path).unwrap()[0];
        assert_eq!(
            read_all(Reader::open(origin).unwrap()),
            (both.clone(), compression)
        );
        let pipe = Reader::threaded(move || std::io::Cursor::new(content)).unwrap();
        assert_eq!(read_all(pipe), (both.clone(), compression));
    }
}

#[test]
fn short_and_empty_streams_are_plain() {
    for content in [&b""[..], b"x", b"\x1f", b"BZ", b"BZhello"] {
        let pipe = Reader::threaded(move || content).unwrap();
        assert_eq!(read_all(pipe), (content.to_vec(), Compression::None));
    }
}

#[test]
fn a_torn_stream_is_an_error_after_its_whole_bytes() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let mut content = compress(codec, &b"line\n".repeat(100_000));
        content.truncate(content.len() / 2);
        let mut reader = Reader::threaded(move || std::io::Cursor::new(content)).unwrap();
        let mut buffer = [0; 1000];
        let mut count = 0;
        let failed = loop {
            match reader.read(&mut buffer, Duration::from_secs(5)) {
                Ok(Got::Bytes(bytes)) => count += bytes,
                Ok(Got::Pending) => {}
                Ok(Got::End) => break false,
                Err(_) => break true,
            }
        };
        assert!(failed && count > 0, "{codec:?}: {count}");
    }
}

#[test]
fn a_silent_pipe_is_pending() {
    struct Silent(std::sync::mpsc::Receiver<()>);
    impl std::io::Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(0)
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut reader = Reader::threaded(move || Silent(receiver)).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(
        reader.read(&mut buffer, Duration::ZERO).unwrap(),
        Got::Pending
    );
    drop(sender);
    assert_eq!(read_all(reader).0, b"");
}

#[test]
fn a_flush_shows_every_byte() {
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(codec).unwrap();
        encoder.write(b"hello", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        let seen = out.clone();
        let mut reader = Reader::threaded(move || std::io::Cursor::new(seen)).unwrap();
        let mut buffer = [0; 5];
        let mut count = 0;
        while count < 5 {
            match reader.read(&mut buffer[count..], Duration::from_secs(5)) {
                Ok(Got::Bytes(bytes)) => count += bytes,
                Ok(Got::Pending) => {}
                other => panic!("{codec:?}: {other:?} after {count} bytes"),
            }
        }
        assert_eq!(&buffer, b"hello", "{codec:?}");
    }
}

#[test]
fn a_reader_of_standard_output_that_goes_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut stdout = Stdout::over(fs::File::from(std::os::fd::OwnedFd::from(writer)));
    stdout.buffer().extend(b"read");
    stdout.flush().unwrap();
    assert!(!stdout.is_closed());
    drop(reader);
    for _ in 0..2 {
        stdout.buffer().extend(b"not read");
        stdout.flush().unwrap();
        assert!(stdout.is_closed() && stdout.buffer().is_empty());
    }
}
