//! Bytes made wrong: cut, doubled, mixed, and spiced with what parsers stumble over.

use fastrand::Rng;

/// What has broken parsers before.
const SPICE: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\r\n",
    b"\n",
    b"\"",
    b"\"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\xFF",
    b"\xC3",
    b"\xED\xA0\x80",
    b"\xEF\xBB\xBF",
    b"{",
    b"}",
    b"[[[[[[[[[[[[[[[[",
    b",",
    b"-",
    b"1e999",
    b"99999999999999999999999999",
    b"null",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    b"%00",
];
/// Deeper than any parser's patience.
const DEEP: usize = 100_000;

/// One of these, changed in one to five places.
pub fn mutated<T: AsRef<[u8]>>(corpus: &[T], rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng| corpus[rng.usize(..corpus.len())].as_ref().to_vec();
    let mut bytes = pick(rng);
    if rng.usize(..100) == 0 {
        let deep = rng.choice([b'[', b'{', b'"']).unwrap_or(b'[');
        bytes.extend(std::iter::repeat_n(deep, DEEP));
    }
    for _ in 0..rng.usize(1..=5) {
        let at = rng.usize(..=bytes.len());
        let to = (at + rng.usize(..=16)).min(bytes.len());
        match rng.usize(..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.usize(..8),
            1 if at < bytes.len() => bytes[at] = rng.u8(..),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let other = pick(rng);
                let from = rng.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let spice = SPICE[rng.usize(..SPICE.len())];
                bytes.splice(at..at, spice.iter().copied());
            }
        }
    }
    bytes
}
