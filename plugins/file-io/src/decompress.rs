//! Decompression by magic bytes: names lie, content does not.

use std::fmt;
use std::io::{self, Cursor, Read};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also several members in one file.
    Gzip,
    /// Zstandard, also several frames in one file.
    Zstd,
    /// bzip2, also several streams in one file.
    Bzip2,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        })
    }
}

const MAGIC: [(&[u8], Compression); 11] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (b"BZh1", Compression::Bzip2),
    (b"BZh2", Compression::Bzip2),
    (b"BZh3", Compression::Bzip2),
    (b"BZh4", Compression::Bzip2),
    (b"BZh5", Compression::Bzip2),
    (b"BZh6", Compression::Bzip2),
    (b"BZh7", Compression::Bzip2),
    (b"BZh8", Compression::Bzip2),
    (b"BZh9", Compression::Bzip2),
];

/// Looks at the first bytes of a stream and decompresses what follows. Blocks until it is clear what
/// they are.
///
/// # Errors
/// If the stream cannot be read.
pub fn decoder(
    mut stream: impl Read + Send + 'static,
) -> io::Result<(Box<dyn Read + Send>, Compression)> {
    let mut head = Vec::with_capacity(4);
    // Byte by byte and no further than needed: a slow pipe of plain text must not be held up.
    let compression = loop {
        let fits = |magic: &[u8]| magic.starts_with(&head);
        match MAGIC.iter().find(|(magic, _)| fits(magic)) {
            None => break Compression::None,
            Some((magic, compression)) if head.len() == magic.len() => break *compression,
            Some(_) => {}
        }
        if stream.by_ref().take(1).read_to_end(&mut head)? == 0 {
            break Compression::None;
        }
    };
    let whole = Cursor::new(head).chain(stream);
    let decoded: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(whole)?),
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(whole)),
    };
    Ok((decoded, compression))
}
