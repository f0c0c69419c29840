//! The thread's side: batches are made where records are read, so that the engine's thread only
//! hands them on.

use plugin_api::{
    Batch, BatchBuilder, BatchLimits, Context, Reject, batch::monotonic_ns, feed::FeedSender,
};

use crate::stage::PARCEL_BYTES;

/// Bytes of a message that cannot be used which are kept in its dead letter.
const SHOWN_BYTES: usize = 64 << 10;

/// What a dead letter takes besides its bytes and its reason.
const REJECT_BYTES: usize = 128;

/// What goes from the reading thread to the engine's.
#[derive(Debug)]
pub(crate) struct Parcel<M> {
    pub batch: Batch,
    pub filtered: u64,
    pub rejects: Vec<(Vec<u8>, Reject)>,
    pub mark: Option<M>,
}

/// The stage is closed; nobody takes what is read.
#[derive(Debug)]
pub struct Gone;

/// Gathers what a stream brings. Each message has one fate: a record, filtered, or rejected.
pub struct Intake<M = ()> {
    ctx: Context,
    feed: FeedSender<Parcel<M>>,
    limits: BatchLimits,
    builder: BatchBuilder,
    filtered: u64,
    rejects: Vec<(Vec<u8>, Reject)>,
    rejected_bytes: usize,
    mark: Option<M>,
}

impl<M> Intake<M> {
    pub(crate) fn new(ctx: Context, feed: FeedSender<Parcel<M>>) -> Self {
        Self {
            limits: ctx.batch_limits(),
            ctx,
            feed,
            builder: BatchBuilder::new(),
            filtered: 0,
            rejects: Vec::new(),
            rejected_bytes: 0,
            mark: None,
        }
    }

    /// The host's services.
    pub fn ctx(&self) -> &Context {
        &self.ctx
    }

    /// Appends a record: its event time and headers are set on what this returns. Ask for
    /// [`Intake::flush_if_full`] behind it.
    pub fn record(&mut self, payload: &[u8]) -> &mut BatchBuilder {
        self.builder.push(Some(payload))
    }

    /// Messages that are well but wanted by nobody.
    pub fn filtered(&mut self, messages: u64) {
        self.filtered += messages;
    }

    /// Bytes that are no message become a dead letter, cut to a bounded size.
    ///
    /// # Errors
    /// If the stage is closed.
    pub fn reject(&mut self, bytes: &[u8], why: impl Into<String>) -> Result<(), Gone> {
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        let why = why.into();
        self.rejected_bytes += shown.len() + why.len() + REJECT_BYTES;
        self.rejects.push((shown.to_vec(), Reject::new(why)));
        if self.rejected_bytes >= self.limits.max_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// The place in the stream behind all that was gathered so far. The stage learns it when all
    /// of that has gone on.
    pub fn mark(&mut self, mark: M) {
        self.mark = Some(mark);
    }

    /// The mark that waits, for marks that grow with what they stand behind.
    pub fn waiting_mark(&mut self) -> &mut Option<M> {
        &mut self.mark
    }

    /// When what is gathered must go on, at the latest; `None`: nothing is.
    pub fn due_ns(&self) -> Option<u64> {
        if !self.builder.is_empty() {
            return Some(self.builder.born_ns() + self.limits.linger_ns);
        }
        let waits = self.filtered > 0 || !self.rejects.is_empty() || self.mark.is_some();
        waits.then_some(0)
    }

    /// Whether the engine keeps up: a full batch could go on now without waiting. While a source
    /// waits, its server sends on into the buffers between; one that pays for what is sent leaves.
    pub fn has_room(&self) -> bool {
        // A batch may be full but for a byte when another record comes, and hold twice the memory
        // that it uses.
        let batch = (3 * self.limits.max_bytes).min(PARCEL_BYTES / 4 * 3);
        self.feed.has_room(batch)
    }

    /// Sends on what is gathered, waiting while the engine is behind: so back-pressure reaches
    /// the socket.
    ///
    /// # Errors
    /// If the stage is closed.
    pub fn flush(&mut self) -> Result<(), Gone> {
        if self.due_ns().is_none() {
            return Ok(());
        }
        let parcel = Parcel {
            batch: self.builder.finish(),
            filtered: std::mem::take(&mut self.filtered),
            rejects: std::mem::take(&mut self.rejects),
            mark: self.mark.take(),
        };
        let bytes = parcel.batch.pinned_bytes() + std::mem::take(&mut self.rejected_bytes);
        self.feed.send(parcel, bytes).map_err(|_| Gone)
    }

    /// The same, if a batch is full.
    ///
    /// # Errors
    /// If the stage is closed.
    pub fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.builder.is_full(&self.limits) {
            return self.flush();
        }
        Ok(())
    }

    /// The same, if what is gathered has waited long enough.
    ///
    /// # Errors
    /// If the stage is closed.
    pub fn flush_if_due(&mut self) -> Result<(), Gone> {
        match self.due_ns() {
            Some(due) if due <= monotonic_ns() => self.flush(),
            _ => Ok(()),
        }
    }
}
