//! Batches as they cross the boundary: one reference-counted header, freed by whoever made it.

use std::{
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering, fence},
};

use abi_stable::StableAbi;

/// Offset that marks an absent value, key or header value; its length is 0.
pub const ABSENT: u32 = u32::MAX;

/// Where a record's parts lie in the bytes of its batch.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecMeta {
    /// Offset of the value, or [`ABSENT`].
    pub val_off: u32,
    /// Length of the value in bytes.
    pub val_len: u32,
    /// Offset of the key, or [`ABSENT`].
    pub key_off: u32,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// Event time, microseconds since 1970; `i64::MIN`: none.
    pub ts_us: i64,
    /// Index of the first header.
    pub hdr_start: u32,
    /// How many headers follow from there.
    pub hdr_count: u32,
}

/// Where a header's name and value lie in the bytes of its batch.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HdrMeta {
    /// Offset of the name.
    pub key_off: u32,
    /// Length of the name in bytes.
    pub key_len: u32,
    /// Offset of the value, or [`ABSENT`].
    pub val_off: u32,
    /// Length of the value in bytes.
    pub val_len: u32,
}

/// The head of every batch. Frozen: never a field more.
#[repr(C)]
#[derive(StableAbi)]
pub struct BatchHeader {
    refs: AtomicUsize,
    free: unsafe extern "C" fn(*mut BatchHeader),
    data: *const u8,
    data_len: usize,
    recs: *const RecMeta,
    recs_len: usize,
    hdrs: *const HdrMeta,
    hdrs_len: usize,
    born_ns: u64,
    flags: u64,
    reserved: [usize; 3],
}

/// A handle on a batch that has not been checked: what crosses the boundary.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct RawBatch(NonNull<BatchHeader>);

// SAFETY: a batch is immutable once made, its count is atomic, and `free` may be called from any
// thread (part of the contract of whoever makes a batch).
unsafe impl Send for RawBatch {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for RawBatch {}

impl Clone for RawBatch {
    fn clone(&self) -> Self {
        self.header().refs.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for RawBatch {
    fn drop(&mut self) {
        if self.header().refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            let free = self.header().free;
            // SAFETY: the count was ours and the last, so nobody else holds the header, and
            // `free` belongs to the allocator that made it.
            unsafe { free(self.0.as_ptr()) }
        }
    }
}

impl RawBatch {
    fn header(&self) -> &BatchHeader {
        // SAFETY: a handle owns one count, so the header lives at least as long as the handle;
        // headers are immutable apart from the atomic count.
        unsafe { self.0.as_ref() }
    }

    /// All payload bytes that the batch pins.
    pub fn data(&self) -> &[u8] {
        let h = self.header();
        // SAFETY: whoever made the batch promised `data_len` readable bytes at `data`, non-null
        // even when empty, that do not change while a count is held.
        unsafe { std::slice::from_raw_parts(h.data, h.data_len) }
    }

    /// The records.
    pub fn recs(&self) -> &[RecMeta] {
        let h = self.header();
        // SAFETY: as for `data`, with the alignment of RecMeta.
        unsafe { std::slice::from_raw_parts(h.recs, h.recs_len) }
    }

    /// The headers of all records.
    pub fn hdrs(&self) -> &[HdrMeta] {
        let h = self.header();
        // SAFETY: as for `data`, with the alignment of HdrMeta.
        unsafe { std::slice::from_raw_parts(h.hdrs, h.hdrs_len) }
    }

    /// When the oldest record of the batch was read, on the monotonic clock.
    pub fn born_ns(&self) -> u64 {
        self.header().born_ns
    }

    /// Makes a batch of owned parts.
    pub fn from_parts(data: Vec<u8>, recs: Vec<RecMeta>, hdrs: Vec<HdrMeta>, born_ns: u64) -> Self {
        let view = (data.as_ptr(), data.len(), hdrs.as_ptr(), hdrs.len());
        Owned::boxed(
            view,
            recs,
            born_ns,
            Store::Parts {
                _data: data,
                _hdrs: hdrs,
            },
        )
    }

    /// A batch of other records over the bytes and headers of this one.
    pub fn with_recs(&self, recs: Vec<RecMeta>) -> Self {
        let h = self.header();
        let view = (h.data, h.data_len, h.hdrs, h.hdrs_len);
        Owned::boxed(
            view,
            recs,
            h.born_ns,
            Store::Parent {
                _batch: self.clone(),
            },
        )
    }

    /// Whether every range lies inside the bytes; said in words if not.
    ///
    /// # Errors
    /// The first record or header out of bounds, named.
    pub fn check(&self) -> Result<(), String> {
        let (len, hdrs) = (self.data().len(), self.hdrs().len());
        // Room left behind each range; one that is negative makes the sum of bits negative, so
        // that the loop has no branch. A record at fault is looked for only then.
        let left = self.recs().iter().fold(0, |bits, r| {
            bits | room(len, r.val_off, r.val_len)
                | room(len, r.key_off, r.key_len)
                | (hdrs as i64 - i64::from(r.hdr_start) - i64::from(r.hdr_count))
        });
        let left = self.hdrs().iter().fold(left, |bits, h| {
            bits | room(len, h.key_off, h.key_len) | room(len, h.val_off, h.val_len)
        });
        if left >= 0 {
            return Ok(());
        }
        let outside = |what: &str, i: usize| {
            Err(format!(
                "{what} {i} points outside its batch of {len} bytes"
            ))
        };
        for (i, r) in self.recs().iter().enumerate() {
            let rest = hdrs as i64 - i64::from(r.hdr_start) - i64::from(r.hdr_count);
            if room(len, r.val_off, r.val_len) | room(len, r.key_off, r.key_len) | rest < 0 {
                return outside("record", i);
            }
        }
        for (i, h) in self.hdrs().iter().enumerate() {
            if room(len, h.key_off, h.key_len) | room(len, h.val_off, h.val_len) < 0 {
                return outside("header", i);
            }
        }
        Ok(())
    }
}

/// Bytes left behind a range, negative if it ends outside. An absent one has length 0.
fn room(len: usize, off: u32, n: u32) -> i64 {
    if off == ABSENT {
        -i64::from(n)
    } else {
        // A slice has at most isize::MAX bytes.
        len as i64 - i64::from(off) - i64::from(n)
    }
}

/// What keeps a batch's bytes alive.
enum Store {
    Parts { _data: Vec<u8>, _hdrs: Vec<HdrMeta> },
    Parent { _batch: RawBatch },
}

#[repr(C)]
struct Owned {
    header: BatchHeader,
    recs: Vec<RecMeta>,
    store: Store,
}

impl Owned {
    fn boxed(
        (data, data_len, hdrs, hdrs_len): (*const u8, usize, *const HdrMeta, usize),
        recs: Vec<RecMeta>,
        born_ns: u64,
        store: Store,
    ) -> RawBatch {
        let header = BatchHeader {
            refs: AtomicUsize::new(1),
            free: free_owned,
            data,
            data_len,
            recs: recs.as_ptr(),
            recs_len: recs.len(),
            hdrs,
            hdrs_len,
            born_ns,
            flags: 0,
            reserved: [0; 3],
        };
        let owned = ManuallyDrop::new(Box::new(Owned {
            header,
            recs,
            store,
        }));
        RawBatch(NonNull::from(&**owned).cast())
    }
}

unsafe extern "C" fn free_owned(header: *mut BatchHeader) {
    // A panic must not cross the boundary; none of these destructors panics, and an allocator
    // that does leaves nothing to be saved.
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: `header` is the first field of the `Owned` that `boxed` leaked, and the last
        // count is gone.
        let owned = unsafe { Box::from_raw(header.cast::<Owned>()) };
        let Owned { recs, store, .. } = *owned;
        drop((recs, store));
    });
}
