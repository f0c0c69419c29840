//! The framing of the streams of Twitter and X: messages do not depend on how their bytes arrive, none of the
//! stream is lost, and no more is held than is allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself, which uses nothing of its crate.
#[allow(dead_code)]
#[path = "../../plugins/live/src/framing.rs"]
mod framing;

use framing::{Framing, Piece};

const MAX: usize = 64;

fn pieces(stream: &[u8], delimited: bool, chunk: usize) -> Vec<String> {
    let mut framing = Framing::new(MAX, delimited);
    let mut pieces = Vec::new();
    for bytes in stream.chunks(chunk) {
        framing.push(bytes);
        take(&mut framing, &mut pieces);
    }
    framing.end();
    take(&mut framing, &mut pieces);
    pieces
}

fn take(framing: &mut Framing, pieces: &mut Vec<String>) {
    while let Some(piece) = framing.next_piece() {
        if let Piece::Message(message) | Piece::Miscounted(message) = piece {
            assert!(message.len() <= MAX && !message.is_empty());
        }
        pieces.push(match piece {
            // How much is shown of it depends on how it came.
            Piece::TooLong { total, .. } => format!("too long: {total}"),
            other => format!("{other:?}"),
        });
    }
}

fuzz_target!(
    init: fuzz::begin_with(&[
        b"\x00\x05{\"text\":\"a\"}\r\n\r\n{\"id\":1,\n\"a\":2}\r\n".to_vec(),
        b"\x01\x0314\r\n{\"text\":\"ab\"}\r\n\r\n999\r\n{}\r\n".to_vec(),
        [b"\x00\x07".to_vec(), vec![b'x'; 200], b"\r\nshort\r\n".to_vec()].concat(),
    ]),
    |data: &[u8]| {
        let [delimited, chunk, stream @ ..] = data else {
            return;
        };
        let delimited = delimited & 1 == 1;
        let whole = pieces(stream, delimited, stream.len().max(1));
        let parts = pieces(stream, delimited, usize::from(*chunk).max(1));
        assert_eq!(whole, parts);
    }
);
