//! Batches and records: immutable, shared by reference count, read without copying.

use crate::{
    Reject,
    abi::batch::{ABSENT, HdrMeta, RawBatch, RecMeta},
};

/// Monotonic clock in nanoseconds; the same for host and plugins.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs()
}

/// A group of records of one content type. Cloning adds to a count and copies nothing.
#[derive(Clone)]
pub struct Batch(RawBatch);

impl TryFrom<RawBatch> for Batch {
    type Error = String;
    fn try_from(raw: RawBatch) -> Result<Self, String> {
        raw.check()?;
        Ok(Self(raw))
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Batch({} records, {} bytes)",
            self.len(),
            self.0.data().len()
        )
    }
}

impl Batch {
    /// A batch whose ranges were checked before.
    pub(crate) fn checked(raw: RawBatch) -> Self {
        Self(raw)
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.recs().len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// If there is none, as a slice does.
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        Record {
            batch: self,
            meta: &self.0.recs()[index],
            index: index as u32,
        }
    }

    /// All records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> + Clone {
        let recs = self.0.recs();
        recs.iter().enumerate().map(|(i, meta)| Record {
            batch: self,
            meta,
            index: i as u32,
        })
    }

    /// A batch of the records at these indices. Shares the bytes, unless it would keep less than
    /// a quarter of them: then it copies, so that a few records do not pin a large batch.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let (recs, hdrs) = (self.0.recs(), self.0.hdrs());
        let hdr_range = |r: &RecMeta| r.hdr_start as usize..(r.hdr_start + r.hdr_count) as usize;
        let kept: usize = indices
            .iter()
            .map(|&i| {
                let r = &recs[i as usize];
                let h: usize = hdrs[hdr_range(r)]
                    .iter()
                    .map(|h| (h.key_len + h.val_len) as usize)
                    .sum();
                (r.val_len + r.key_len) as usize + h
            })
            .sum();
        if kept * 4 >= self.0.data().len() {
            return Self(
                self.0
                    .with_recs(indices.iter().map(|&i| recs[i as usize]).collect()),
            );
        }
        let mut copy = BatchBuilder::new();
        for &i in indices {
            let record = self.record(i as usize);
            copy.record_like(&record).push(record.value());
        }
        copy.finish()
    }

    /// Bytes of memory that this batch keeps alive.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        self.0.data().len() + size_of_val(self.0.recs()) + size_of_val(self.0.hdrs())
    }

    /// When the oldest record was read, on the monotonic clock in nanoseconds.
    #[must_use]
    pub fn born_ns(&self) -> u64 {
        self.0.born_ns()
    }

    /// The handle that crosses the boundary.
    #[must_use]
    pub fn raw(&self) -> &RawBatch {
        &self.0
    }

    /// As [`raw`](Self::raw), giving up this handle.
    #[must_use]
    pub fn into_raw(self) -> RawBatch {
        self.0
    }

    fn range(&self, off: u32, len: u32) -> Option<&[u8]> {
        if off == ABSENT {
            return None;
        }
        // Checked when the batch came in; a slice all the same, so that no error of that check
        // could read beyond the bytes.
        self.0.data().get(off as usize..off as usize + len as usize)
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Record<'a>;
    type IntoIter = Box<dyn Iterator<Item = Record<'a>> + 'a>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

/// One record of a batch.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    batch: &'a Batch,
    meta: &'a RecMeta,
    index: u32,
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}: {} bytes)", self.index, self.bytes().len())
    }
}

impl<'a> Record<'a> {
    /// The payload; `None`: absent (Kafka's tombstone), which differs from empty.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.batch.range(self.meta.val_off, self.meta.val_len)
    }

    /// The payload, empty where it is absent.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.value().unwrap_or_default()
    }

    /// The payload as text.
    ///
    /// # Errors
    /// A reason to reject the record: it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, Reject> {
        std::str::from_utf8(self.bytes())
            .map_err(|e| Reject::new(format!("not UTF-8 from byte {}", e.valid_up_to())))
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.batch.range(self.meta.key_off, self.meta.key_len)
    }

    /// Event time in microseconds since 1970.
    #[must_use]
    pub fn ts_us(&self) -> Option<i64> {
        (self.meta.ts_us != i64::MIN).then_some(self.meta.ts_us)
    }

    /// Headers in order: name and value. A name that is not UTF-8 reads as empty.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let batch = self.batch;
        let (start, n) = (self.meta.hdr_start as usize, self.meta.hdr_count as usize);
        batch
            .0
            .hdrs()
            .get(start..start + n)
            .unwrap_or_default()
            .iter()
            .map(move |h| {
                let name = batch.range(h.key_off, h.key_len).unwrap_or_default();
                (
                    std::str::from_utf8(name).unwrap_or_default(),
                    batch.range(h.val_off, h.val_len),
                )
            })
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers()
            .find(|(n, _)| *n == name)
            .and_then(|(_, v)| v)
    }

    /// Its index in the batch.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// How large a batch may grow at a source before it is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BatchLimits {
    /// Records.
    pub max_records: usize,
    /// Bytes.
    pub max_bytes: usize,
    /// Longest wait for company, in nanoseconds.
    pub linger_ns: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            max_records: 1_000,
            max_bytes: 1 << 20,
            linger_ns: 5_000_000,
        }
    }
}

/// Makes batches. Reusable: [`finish`](Self::finish) leaves it empty, with the sizes of the last
/// batch reserved, so that a steady stream grows nothing.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    data: Vec<u8>,
    recs: Vec<RecMeta>,
    hdrs: Vec<HdrMeta>,
    /// Key, event time and headers of the next record, where it is to be like another.
    like: Option<RecMeta>,
    born_ns: u64,
    reserve: (usize, usize, usize),
}

/// The most bytes a batch can hold: offsets are 32 bits and the last is taken.
const MAX_DATA: usize = ABSENT as usize - 1;

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn place(&mut self, bytes: Option<&[u8]>) -> (u32, u32) {
        let Some(bytes) = bytes else {
            return (ABSENT, 0);
        };
        let off = self.data.len();
        assert!(off + bytes.len() <= MAX_DATA, "a batch holds at most 4 GiB");
        self.data.extend_from_slice(bytes);
        (off as u32, bytes.len() as u32)
    }

    fn begin(&mut self) -> RecMeta {
        if self.recs.is_empty() {
            if self.data.capacity() == 0 {
                self.data.reserve(self.reserve.0);
                self.recs.reserve(self.reserve.1);
                self.hdrs.reserve(self.reserve.2);
            }
            if self.born_ns == 0 {
                self.born_ns = monotonic_ns();
            }
        }
        self.like.take().unwrap_or(RecMeta {
            val_off: ABSENT,
            val_len: 0,
            key_off: ABSENT,
            key_len: 0,
            ts_us: i64::MIN,
            hdr_start: self.hdrs.len() as u32,
            hdr_count: 0,
        })
    }

    /// The next record takes over key, event time and headers of `record` (its bytes are copied),
    /// and the batch is as old as the oldest such record's.
    pub fn record_like(&mut self, record: &Record<'_>) -> &mut Self {
        if self.data.capacity() == 0 {
            self.data.reserve(self.reserve.0);
        }
        let (key_off, key_len) = self.place(record.key());
        let hdr_start = self.hdrs.len() as u32;
        for (name, value) in record.headers() {
            self.place_header(name, value);
        }
        self.like = Some(RecMeta {
            val_off: ABSENT,
            val_len: 0,
            key_off,
            key_len,
            ts_us: record.meta.ts_us,
            hdr_start,
            hdr_count: self.hdrs.len() as u32 - hdr_start,
        });
        let born = record.batch.born_ns();
        self.born_ns = if self.born_ns == 0 {
            born
        } else {
            self.born_ns.min(born)
        };
        self
    }

    fn place_header(&mut self, name: &str, value: Option<&[u8]>) {
        let (key_off, key_len) = self.place(Some(name.as_bytes()));
        let (val_off, val_len) = self.place(value);
        self.hdrs.push(HdrMeta {
            key_off,
            key_len,
            val_off,
            val_len,
        });
    }

    /// Appends a record; `None`: its value is absent.
    pub fn push(&mut self, value: Option<&[u8]>) -> &mut Self {
        let mut meta = self.begin();
        (meta.val_off, meta.val_len) = self.place(value);
        self.recs.push(meta);
        self
    }

    /// Appends a record whose value `write` puts at the end of the buffer.
    ///
    /// # Errors
    /// Those of `write`; then no record was appended.
    pub fn write<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<&mut Self, E> {
        let mut meta = self.begin();
        let start = self.data.len();
        if let Err(e) = write(&mut self.data) {
            self.data.truncate(start);
            self.hdrs.truncate(meta.hdr_start as usize);
            return Err(e);
        }
        assert!(self.data.len() <= MAX_DATA, "a batch holds at most 4 GiB");
        (meta.val_off, meta.val_len) = (start as u32, (self.data.len() - start) as u32);
        self.recs.push(meta);
        Ok(self)
    }

    /// Appends bytes that records are cut from with [`cut`](Self::cut); their offset.
    ///
    /// # Panics
    /// If the batch grew beyond 4 GiB.
    pub fn append_bytes(&mut self, bytes: &[u8]) -> u32 {
        if self.data.capacity() == 0 {
            self.data.reserve(self.reserve.0.max(bytes.len()));
        }
        self.place(Some(bytes)).0
    }

    /// Appends a record over bytes that are in the batch already.
    ///
    /// # Panics
    /// If the range is not inside the bytes appended so far.
    pub fn cut(&mut self, offset: u32, len: u32) -> &mut Self {
        assert!(
            offset as usize + len as usize <= self.data.len(),
            "a record within the bytes"
        );
        let mut meta = self.begin();
        (meta.val_off, meta.val_len) = (offset, len);
        self.recs.push(meta);
        self
    }

    fn last(&mut self) -> &mut RecMeta {
        self.recs
            .last_mut()
            .expect("a record was pushed before its key, time or headers")
    }

    /// Sets the key of the last record.
    pub fn key(&mut self, key: Option<&[u8]>) -> &mut Self {
        let (off, len) = self.place(key);
        let last = self.last();
        (last.key_off, last.key_len) = (off, len);
        self
    }

    /// Sets the event time of the last record, microseconds since 1970.
    pub fn ts_us(&mut self, ts_us: Option<i64>) -> &mut Self {
        self.last().ts_us = ts_us.unwrap_or(i64::MIN);
        self
    }

    /// Adds a header to the last record.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        self.place_header(name, value);
        self.last().hdr_count += 1;
        self
    }

    /// Records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.recs.len()
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recs.is_empty()
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// When the first record was begun, on the monotonic clock; 0 while empty.
    #[must_use]
    pub fn born_ns(&self) -> u64 {
        self.born_ns
    }

    /// Whether a batch of these limits is complete.
    #[must_use]
    pub fn is_full(&self, limits: &BatchLimits) -> bool {
        self.recs.len() >= limits.max_records || self.data.len() >= limits.max_bytes
    }

    /// The batch; the builder is empty again.
    pub fn finish(&mut self) -> Batch {
        let data = std::mem::take(&mut self.data);
        let recs = std::mem::take(&mut self.recs);
        let hdrs = std::mem::take(&mut self.hdrs);
        self.reserve = (data.len() + data.len() / 8, recs.len(), hdrs.len());
        self.like = None;
        let born = std::mem::take(&mut self.born_ns);
        Batch(RawBatch::from_parts(data, recs, hdrs, born))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Batch {
        let mut b = BatchBuilder::new();
        b.push(Some(b"one"))
            .key(Some(b"k"))
            .ts_us(Some(7))
            .header("id", Some(b"1"))
            .header("none", None);
        b.push(None);
        b.push(Some(b"")).key(Some(b""));
        b.finish()
    }

    #[test]
    fn absent_and_empty_differ() {
        let b = three();
        assert_eq!(b.record(0).value(), Some(&b"one"[..]));
        assert_eq!(
            b.record(0).headers().collect::<Vec<_>>(),
            [("id", Some(&b"1"[..])), ("none", None)]
        );
        assert_eq!(
            (b.record(1).value(), b.record(1).key(), b.record(1).ts_us()),
            (None, None, None)
        );
        assert_eq!(
            (b.record(2).value(), b.record(2).key()),
            (Some(&b""[..]), Some(&b""[..]))
        );
    }

    #[test]
    fn select_shares_or_copies() {
        let mut builder = BatchBuilder::new();
        for i in 0..100u32 {
            builder
                .push(Some(&[i as u8; 50]))
                .header("id", Some(&i.to_le_bytes()));
        }
        let all = builder.finish();
        let many = all.select(&(0..50).collect::<Vec<_>>());
        assert_eq!(
            many.record(0).bytes().as_ptr(),
            all.record(0).bytes().as_ptr()
        );
        let few = all.select(&[99, 3]);
        assert!(few.pinned_bytes() < 300);
        assert_eq!(few.record(0).bytes(), all.record(99).bytes());
        assert_eq!(few.record(1).header("id"), Some(&3u32.to_le_bytes()[..]));
        drop(all);
        assert_eq!(many.record(49).bytes(), &[49; 50]);
    }

    #[test]
    fn a_failed_write_leaves_no_trace() {
        let source = three();
        let mut b = BatchBuilder::new();
        b.push(Some(b"a"));
        let failed = b.record_like(&source.record(0)).write(|buf| {
            buf.extend_from_slice(b"half");
            Err("no")
        });
        assert!(failed.is_err());
        b.record_like(&source.record(0)).push(Some(b"b"));
        let b = b.finish();
        assert_eq!(b.len(), 2);
        assert_eq!(b.record(0).headers().count(), 0);
        assert_eq!(
            (b.record(1).bytes(), b.record(1).ts_us()),
            (&b"b"[..], Some(7))
        );
        assert_eq!(b.record(1).header("id"), Some(&b"1"[..]));
    }

    #[test]
    fn ranges_outside_are_refused() {
        let bad = RecMeta {
            val_off: 2,
            val_len: 2,
            key_off: ABSENT,
            ..RecMeta::default()
        };
        let raw = RawBatch::from_parts(vec![1, 2, 3], vec![bad], vec![], 0);
        assert!(Batch::try_from(raw).is_err());
        let bad = RecMeta {
            val_off: ABSENT,
            key_off: ABSENT,
            hdr_start: u32::MAX,
            hdr_count: 1,
            ..RecMeta::default()
        };
        let raw = RawBatch::from_parts(vec![], vec![bad], vec![], 0);
        assert!(Batch::try_from(raw).is_err());
    }

    #[test]
    fn batches_cross_threads() {
        let b = three();
        let copies: Vec<_> = (0..4).map(|_| b.clone()).collect();
        let threads: Vec<_> = copies
            .into_iter()
            .map(|c| std::thread::spawn(move || c.record(0).bytes().len()))
            .collect();
        drop(b);
        for t in threads {
            assert_eq!(t.join().unwrap(), 3);
        }
    }
}
