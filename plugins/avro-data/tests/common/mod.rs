//! What the tests share: the real cases, random numbers that are the same every time.
#![allow(dead_code)] // each test binary uses a part

use std::io::Read;

use avro_data::Schema;

/// The archived minute of the sample stream.
pub fn archive() -> needs::Need {
    needs::data("archive-stream/2021-01-01-10-29.json.bz2")
}

/// Its lines.
pub fn lines() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    bzip2::read::MultiBzDecoder::new(&*archive().read())
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
        .split(|b| *b == b'\n')
        .filter(|l| l.len() > 1)
        .map(<[u8]>::to_vec)
        .collect()
}

/// A schema that ships.
pub fn shipped(name: &str) -> Schema {
    let path = format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    Schema::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// xorshift64*: enough for picking places.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}
