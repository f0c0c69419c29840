//! What a batch has to be that a stage hands over.

use plugin_api::{Batch, abi::batch::RawBatch};

/// Largest batch in bytes of payload.
const MAX_BATCH_BYTES: usize = 64 << 20;
/// Most records of a batch.
const MAX_BATCH_RECORDS: usize = 1 << 20;

/// Whether both are the same records over the same bytes: then what is known of one holds for the
/// other.
pub fn are_same(one: &RawBatch, other: &RawBatch) -> bool {
    std::ptr::eq(one.recs(), other.recs())
        && std::ptr::eq(one.data(), other.data())
        && std::ptr::eq(one.hdrs(), other.hdrs())
}

/// Whether it is larger than any batch may be.
pub fn is_giant(batch: &Batch) -> bool {
    batch.len() > MAX_BATCH_RECORDS || batch.raw().data().len() > MAX_BATCH_BYTES
}

/// The first record that is not UTF-8.
pub fn not_text(batch: &Batch) -> Option<usize> {
    // One pass over all bytes is faster by far than one for each record, and most text is ASCII;
    // not where the records share few of the bytes with others.
    let (recs, data) = (batch.raw().recs(), batch.raw().data());
    let used: usize = recs.iter().map(|r| r.val_len as usize).sum();
    if data.len() / 2 <= used && data.is_ascii() {
        return None;
    }
    batch
        .iter()
        .position(|r| str::from_utf8(r.bytes()).is_err())
}

#[cfg(test)]
mod tests {
    use plugin_api::BatchBuilder;

    use super::*;

    fn batch(records: &[&[u8]]) -> Batch {
        let mut b = BatchBuilder::new();
        for record in records {
            b.push(Some(record));
        }
        b.finish()
    }

    #[test]
    fn text_is_judged_by_record() {
        assert_eq!(not_text(&batch(&[b"plain", "ä".as_bytes(), b""])), None);
        assert_eq!(not_text(&batch(&[b"plain", b"\xFF"])), Some(1));
        let cut = "ä".as_bytes();
        let halves = batch(&[&cut[..1], &cut[1..]]);
        assert_eq!(not_text(&halves), Some(0), "together they would be text");
        let shared = batch(&[b"a", b"\xFF", b"b", b"c"]).select(&[0, 2]);
        assert_eq!(not_text(&shared), None, "bytes of others do not count");
        assert_eq!(not_text(&batch(&[])), None);
    }

    #[test]
    fn only_the_very_same_records_are_known() {
        let one = batch(&[b"a", b"b"]);
        assert!(are_same(one.raw(), one.clone().raw()));
        assert!(!are_same(one.raw(), one.select(&[0, 1]).raw()));
        assert!(!are_same(one.raw(), batch(&[b"a", b"b"]).raw()));
    }
}
