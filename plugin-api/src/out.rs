//! Where a stage puts batches and reports what became of its input.

use crate::{
    Batch, Reject,
    abi::services::{OutApi, OutHandle},
};

/// Answer of [`Out::emit`]. The batch was taken in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// There is room for more.
    Ok,
    /// The budget is used up: return soon.
    Full,
}

/// Where a stage puts batches and reports fates, during one call.
///
/// Each input record has one fate: consumed, filtered or rejected. What is not reported counts as
/// consumed when the call is done with the batch (unless the stage is `LATE`).
pub struct Out<'a, 'h> {
    handle: &'a mut OutHandle<'h>,
    seq: u64,
    /// Fates reported for the current batch.
    pub(crate) fated: u64,
}

impl<'a, 'h> Out<'a, 'h> {
    pub(crate) fn new(handle: &'a mut OutHandle<'h>, seq: u64) -> Self {
        Self {
            handle,
            seq,
            fated: 0,
        }
    }

    /// Sends a batch to output `port`. Never blocks. An empty batch is dropped.
    pub fn emit(&mut self, port: u32, batch: Batch) -> Emit {
        if batch.is_empty() || self.handle.emit(port, batch.into_raw()) {
            Emit::Ok
        } else {
            Emit::Full
        }
    }

    /// `n` records of the current batch were passed over on purpose. In a source: `n` items were
    /// read that are not for anyone (keep-alives are none, control messages are).
    pub fn filtered(&mut self, n: u64) {
        self.fated += n;
        if n > 0 {
            self.handle.filtered(self.seq, n);
        }
    }

    /// Record `index` of the current batch cannot be used.
    pub fn reject(&mut self, index: u32, why: &Reject) {
        self.fated += 1;
        self.handle
            .reject(self.seq, index, &why.reason, &why.pointer);
    }

    /// A source read bytes that are no record.
    pub fn reject_raw(&mut self, bytes: &[u8], why: &Reject) {
        self.handle.reject_raw(bytes, &why.reason, &why.pointer);
    }

    /// `LATE` stages: `n` records of batch `seq` were used.
    pub fn consumed_at(&mut self, seq: u64, n: u64) {
        if n > 0 {
            self.handle.consumed(seq, n);
        }
    }

    /// `LATE` stages: `n` records of batch `seq` were passed over on purpose.
    pub fn filtered_at(&mut self, seq: u64, n: u64) {
        if n > 0 {
            self.handle.filtered(seq, n);
        }
    }

    /// `LATE` stages: record `index` of batch `seq` cannot be used.
    pub fn reject_at(&mut self, seq: u64, index: u32, why: &Reject) {
        self.handle.reject(seq, index, &why.reason, &why.pointer);
    }
}
