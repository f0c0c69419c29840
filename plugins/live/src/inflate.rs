//! Undoes gzip while the stream goes on: what a read brought can be used at once.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// Compressed bytes are fed in small bites, so that a bomb blows up by about 1 MiB at a time.
const BITE: usize = 1024;

/// A body that may be compressed.
pub enum Inflate {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Inflate {
    pub fn gzip() -> Self {
        Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
    }

    /// Hands on what `bytes` hold, piece by piece.
    ///
    /// # Errors
    /// If the stream is no gzip.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Plain => take(bytes),
            Self::Gzip(decoder) => {
                for bite in bytes.chunks(BITE) {
                    decoder.write_all(bite)?;
                    decoder.flush()?;
                    take(decoder.get_ref());
                    decoder.get_mut().clear();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    #[test]
    fn each_flush_of_the_sender_arrives_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut inflate = Inflate::gzip();
        for part in ["{\"a\":1}\r\n", "\r\n", &"{\"b\":2}\r\n".repeat(10_000)] {
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let mut got = Vec::new();
            inflate
                .feed(encoder.get_ref(), |bytes| got.extend_from_slice(bytes))
                .unwrap();
            assert_eq!(got, part.as_bytes());
            encoder.get_mut().clear();
        }
    }

    #[test]
    fn a_bomb_arrives_in_pieces() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'x'; 8 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let (mut total, mut largest) = (0, 0);
        let mut inflate = Inflate::gzip();
        inflate
            .feed(&bomb, |bytes| {
                total += bytes.len();
                largest = largest.max(bytes.len());
            })
            .unwrap();
        assert_eq!(total, 8 << 20);
        assert!(largest <= 2 << 20, "{largest}");
        assert!(Inflate::gzip().feed(b"no gzip at all", |_| {}).is_err());
    }
}
