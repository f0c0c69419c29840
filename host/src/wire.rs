//! A batch as bytes, for what leaves the process: a disk buffer, a stage in a child process.
//!
//! First the head (counts, record and header tables), then the payload bytes as they lie in memory,
//! so that a batch is written by two writes and its payload copied by none of ours. Numbers are
//! little-endian.

use plugin_api::{
    Batch,
    abi::batch::{HdrMeta, RawBatch, RecMeta},
};

/// Bytes of the fixed part of a head.
pub const FIXED: usize = 24;
/// Largest batch that is taken from outside, in bytes of payload.
pub const MAX_DATA: usize = 1 << 30;
/// Most records, and most headers, of a batch that is taken from outside.
pub const MAX_ROWS: usize = 1 << 24;

const REC: usize = 32;
const HDR: usize = 16;

/// What the fixed part of a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the tables that follow.
    pub tables: usize,
    /// Bytes of the payload behind them.
    pub data: usize,
    recs: usize,
    born_ns: u64,
}

/// Appends the head of a batch; its payload is [`payload`].
pub fn head(batch: &Batch, out: &mut Vec<u8>) {
    let raw = batch.raw();
    let count = |n: usize| u32::try_from(n).expect("a batch is addressed by 32 bits");
    out.reserve(FIXED + raw.recs().len() * REC + raw.hdrs().len() * HDR);
    out.extend_from_slice(&count(raw.recs().len()).to_le_bytes());
    out.extend_from_slice(&count(raw.hdrs().len()).to_le_bytes());
    out.extend_from_slice(&(raw.data().len() as u64).to_le_bytes());
    out.extend_from_slice(&raw.born_ns().to_le_bytes());
    for r in raw.recs() {
        for n in [r.val_off, r.val_len, r.key_off, r.key_len] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&r.ts_us.to_le_bytes());
        out.extend_from_slice(&r.hdr_start.to_le_bytes());
        out.extend_from_slice(&r.hdr_count.to_le_bytes());
    }
    for h in raw.hdrs() {
        for n in [h.key_off, h.key_len, h.val_off, h.val_len] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

/// The payload bytes of a batch.
pub fn payload(batch: &Batch) -> &[u8] {
    batch.raw().data()
}

/// Reads the fixed part of a head.
///
/// # Errors
/// It says sizes that no batch has.
pub fn sizes(fixed: &[u8; FIXED]) -> Result<Sizes, String> {
    let recs = u32_at(fixed, 0) as usize;
    let hdrs = u32_at(fixed, 4) as usize;
    let data = u64_at(fixed, 8);
    let data = usize::try_from(data)
        .ok()
        .filter(|n| *n <= MAX_DATA)
        .ok_or_else(|| format!("a batch of {data} bytes is too large"))?;
    if recs > MAX_ROWS || hdrs > MAX_ROWS {
        return Err(format!(
            "a batch of {recs} records and {hdrs} headers is too large"
        ));
    }
    Ok(Sizes {
        tables: recs * REC + hdrs * HDR,
        data,
        recs,
        born_ns: u64_at(fixed, 16),
    })
}

/// Makes the batch again.
///
/// # Errors
/// The lengths are not those of `sizes`, or a record points outside the payload.
pub fn batch(sizes: &Sizes, tables: &[u8], data: Vec<u8>) -> Result<Batch, String> {
    if tables.len() != sizes.tables || data.len() != sizes.data {
        return Err("a batch is shorter than its head says".into());
    }
    let (recs, hdrs) = tables.split_at(sizes.recs * REC);
    let recs = recs.chunks_exact(REC).map(|b| RecMeta {
        val_off: u32_at(b, 0),
        val_len: u32_at(b, 4),
        key_off: u32_at(b, 8),
        key_len: u32_at(b, 12),
        ts_us: u64_at(b, 16).cast_signed(),
        hdr_start: u32_at(b, 24),
        hdr_count: u32_at(b, 28),
    });
    let hdrs = hdrs.chunks_exact(HDR).map(|b| HdrMeta {
        key_off: u32_at(b, 0),
        key_len: u32_at(b, 4),
        val_off: u32_at(b, 8),
        val_len: u32_at(b, 12),
    });
    RawBatch::from_parts(data, recs.collect(), hdrs.collect(), sizes.born_ns).try_into()
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    fn sample() -> Batch {
        let mut b = BatchBuilder::new();
        b.push(Some(b"one")).key(Some(b"k")).ts_us(Some(-5));
        b.push(None).header("id", Some(b"7")).header("none", None);
        b.push(Some(b""));
        b.finish()
    }

    fn fixed(head: &[u8]) -> [u8; FIXED] {
        head[..FIXED].try_into().unwrap()
    }

    #[test]
    fn a_batch_comes_back_as_it_went() {
        let batch = sample();
        let mut bytes = Vec::new();
        head(&batch, &mut bytes);
        let s = sizes(&fixed(&bytes)).unwrap();
        assert_eq!(s.tables, bytes.len() - FIXED);
        let back = super::batch(&s, &bytes[FIXED..], payload(&batch).to_vec()).unwrap();
        assert_eq!(back.born_ns(), batch.born_ns());
        assert_eq!(back.raw().recs(), batch.raw().recs());
        assert_eq!(back.raw().hdrs(), batch.raw().hdrs());
        assert_eq!(back.raw().data(), batch.raw().data());
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let mut bytes = Vec::new();
        head(&sample(), &mut bytes);
        let s = sizes(&fixed(&bytes)).unwrap();
        assert!(super::batch(&s, &bytes[FIXED..], vec![0; s.data - 1]).is_err());
        let mut wild = bytes.clone();
        wild[FIXED] = 200;
        let data = payload(&sample()).to_vec();
        assert!(super::batch(&s, &wild[FIXED..], data).is_err());
        bytes[15] = 1;
        assert!(sizes(&fixed(&bytes)).is_err());
    }
}
