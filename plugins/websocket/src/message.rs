//! A record as it goes out: a websocket message, encoded once for all readers.

use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio_tungstenite::tungstenite::Bytes;

/// Records of other sizes are not worth the time, or would take too much of it.
const PACKED: std::ops::Range<usize> = 512..(1 << 20);
/// First bytes of a message: the last frame of it (there is but one), text or binary.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// A record as it goes out.
#[derive(Debug)]
pub struct Message {
    text: Bytes,
    packed: OnceLock<Bytes>,
}

impl Message {
    /// Encodes a record.
    pub fn new(text: &str) -> Self {
        Self {
            text: message(TEXT, text.as_bytes()),
            packed: OnceLock::new(),
        }
    }

    /// As a text message.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Whether it has been packed.
    pub fn is_packed(&self) -> bool {
        self.packed.get().is_some()
    }

    /// As a binary message in raw DEFLATE, made once for all; as text where that is no longer.
    pub fn packed(&self) -> &Bytes {
        self.packed.get_or_init(|| {
            if !PACKED.contains(&self.text.len()) {
                return self.text.clone();
            }
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(5));
            let text = &self.text[head(&self.text)..];
            match encoder.write_all(text).and_then(|()| encoder.finish()) {
                Ok(packed) if packed.len() < text.len() => message(BINARY, &packed),
                _ => self.text.clone(),
            }
        })
    }
}

/// A message as a server sends it: one frame, not masked (RFC 6455, 5.2).
fn message(kind: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(kind);
    match payload.len() {
        short @ ..126 => frame.push(short as u8),
        medium @ ..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// Length of what stands before the payload of a message.
fn head(frame: &[u8]) -> usize {
    match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_packed_message_unpacks_to_the_text_and_a_short_one_stays_text() {
        let text = "word ".repeat(40_000);
        let message = Message::new(&text);
        let packed = message.packed();
        assert_eq!(packed[0], BINARY);
        assert!(packed.len() < text.len() / 20);
        let mut unpacked = String::new();
        flate2::read::DeflateDecoder::new(&packed[head(packed)..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        assert_eq!(Message::new("short").packed()[0], TEXT);
    }
}
