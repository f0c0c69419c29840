//! The stage's side: what the reading thread has sent goes on to the engine.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use plugin_api::{
    Batch, Context, Drain, Emit, Out, Poll, StageError,
    batch::monotonic_ns,
    feed::{Feed, Next, feed},
};

use crate::intake::{Intake, Parcel};

/// Parcels that wait for the engine; with the bytes below, what an overtaken stage holds.
const PARCELS: usize = 1_024;
/// Bytes of parcels that wait for the engine, at most: a source declares them as memory.
pub const PARCEL_BYTES: usize = 4 << 20;
/// How long closing waits for the reading thread. Asleep in a back-off, it is left behind: it
/// wakes, sees that nobody is there, and ends.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A server that is never quiet is drained for so long.
const DRAIN_NS: u64 = 10_000_000_000;

/// What a stage and its reading thread tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    stop: AtomicBool,
    /// When the run began to end: read what is there, then finish. 0: it did not.
    draining_ns: AtomicU64,
    /// It ends, and the server would send for ever: what was read goes on, nothing more is read.
    leaving: AtomicBool,
    connected: AtomicBool,
    /// The thread came to its end, rather than to a panic.
    is_done: AtomicBool,
    error: Mutex<Option<StageError>>,
}

impl Shared {
    /// The stage is closed.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// The run ends: what is there is read, then the stage is finished.
    pub fn is_draining(&self) -> bool {
        self.draining_ns.load(SeqCst) > 0
    }

    /// The run ends: nothing more is read, or the server has had long enough to pause.
    pub fn is_drained(&self) -> bool {
        self.leaving.load(SeqCst)
            || self.is_draining() && monotonic_ns() - self.draining_ns.load(SeqCst) >= DRAIN_NS
    }

    /// The thread says whether it has a connection. Without one, and with everything sent on, a
    /// drain is over.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, SeqCst);
    }

    /// Why the thread gave up, if it did.
    fn take_error(&self) -> Option<StageError> {
        if !self.is_done.load(SeqCst) {
            return Some(StageError::fatal(
                "the thread that reads the stream panicked",
            ));
        }
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn finish(&self, result: Result<(), StageError>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
        self.is_done.store(true, SeqCst);
    }
}

/// What has gone on to the engine, for a stage that keeps a position.
#[derive(Debug)]
pub enum Passed<'a, M> {
    /// These records.
    Records(&'a Batch),
    /// All that the thread had sent before it set this mark.
    Mark(M),
}

/// A source's reading thread, and what it has read. `M`: what the thread tells the stage about
/// the place in the stream that it has reached, if the stage keeps one.
pub struct Live<M = ()> {
    feed: Option<Feed<Parcel<M>>>,
    /// Batches that were larger than the budget, and the marks behind them.
    rest: VecDeque<(Batch, Option<M>)>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl<M: Send + 'static> Live<M> {
    /// Starts the thread. When `run` returns, the source is finished, or has failed.
    ///
    /// # Errors
    /// Transient, if there is no thread to be had.
    pub fn start(
        name: &str,
        ctx: &Context,
        run: impl FnOnce(&mut Intake<M>, &Shared) -> Result<(), StageError> + Send + 'static,
    ) -> Result<Self, StageError> {
        let (sender, feed) = feed(PARCELS, PARCEL_BYTES);
        let shared = Arc::new(Shared::default());
        let mut intake = Intake::new(ctx.clone(), sender);
        let (end, ended) = mpsc::channel();
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let result = run(&mut intake, &of_thread);
                // Before the feed ends, which it does with the intake.
                of_thread.finish(result);
                drop(intake);
                drop(end);
            })
            .map_err(|e| StageError::transient(format!("no thread for the stream: {e}")))?;
        Ok(Self {
            feed: Some(feed),
            rest: VecDeque::new(),
            shared,
            ended,
        })
    }

    /// `Source::poll` of a stage that keeps no position.
    ///
    /// # Errors
    /// The one that ended the thread.
    pub fn poll(
        &mut self,
        budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        self.poll_with(budget, deadline_ns, out, |_| {})
    }

    /// The same; `passed` learns what has gone on, in its order.
    ///
    /// # Errors
    /// The one that ended the thread.
    pub fn poll_with(
        &mut self,
        mut budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
        mut passed: impl FnMut(Passed<'_, M>),
    ) -> Result<Poll, StageError> {
        let mut deadline = deadline_ns;
        // Something has gone on in this call: an error comes in the next one, on its own.
        let mut handed_on = false;
        // The connection is gone, but what was sent on before that may have come meanwhile.
        let mut looked_again = false;
        loop {
            // A flood must not hold up barriers.
            if handed_on && monotonic_ns() >= deadline_ns {
                return Ok(Poll::More);
            }
            while let Some((batch, mark)) = self.rest.pop_front() {
                if budget == 0 {
                    self.rest.push_front((batch, mark));
                    return Ok(Poll::More);
                }
                let full = self.emit(batch, mark, &mut budget, out, &mut passed);
                // What else is there already goes along, but nothing is waited for.
                (deadline, handed_on) = (0, true);
                if full {
                    return Ok(Poll::More);
                }
            }
            let Some(feed) = &mut self.feed else {
                return Ok(Poll::Finished);
            };
            match feed.next(deadline) {
                Next::Item(parcel) => {
                    out.filtered(parcel.filtered);
                    for (bytes, why) in &parcel.rejects {
                        out.reject_raw(bytes, why);
                    }
                    handed_on = true;
                    if parcel.batch.is_empty() {
                        deadline = 0;
                        // At once: no snapshot falls between a dead letter and its mark.
                        let mark = parcel.mark.map(Passed::Mark);
                        mark.into_iter().for_each(&mut passed);
                    } else {
                        self.rest.push_back((parcel.batch, parcel.mark));
                    }
                }
                Next::Idle if handed_on => return Ok(Poll::More),
                Next::Idle => {
                    if !self.shared.is_draining() || self.shared.connected.load(SeqCst) {
                        return Ok(Poll::Idle);
                    }
                    if looked_again {
                        return Ok(Poll::Finished);
                    }
                    looked_again = true;
                }
                Next::Finished if handed_on => return Ok(Poll::More),
                Next::Finished => {
                    return self.shared.take_error().map_or(Ok(Poll::Finished), Err);
                }
            }
        }
    }

    /// Emits as much of a batch as the budget allows; true if the engine wants no more now.
    fn emit(
        &mut self,
        batch: Batch,
        mark: Option<M>,
        budget: &mut usize,
        out: &mut Out<'_, '_>,
        passed: &mut impl FnMut(Passed<'_, M>),
    ) -> bool {
        let taken = batch.len().min(*budget);
        *budget -= taken;
        if taken == batch.len() {
            passed(Passed::Records(&batch));
            mark.map(Passed::Mark).into_iter().for_each(passed);
            return out.emit(0, batch) == Emit::Full;
        }
        let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first: Vec<u32> = (0..index(taken)).collect();
        let later: Vec<u32> = (index(taken)..index(batch.len())).collect();
        let first = batch.select(&first);
        passed(Passed::Records(&first));
        let full = out.emit(0, first) == Emit::Full;
        self.rest.push_front((batch.select(&later), mark));
        full
    }

    /// `Source::drain`. A server of this machine may be drained before us: what it sends is read
    /// to its first pause. Another's stream has no end, and is left at once. What was read goes on.
    pub fn drain(&mut self, is_local: bool) -> Drain {
        self.shared.leaving.store(!is_local, SeqCst);
        self.shared.draining_ns.store(monotonic_ns(), SeqCst);
        Drain::ToEnd
    }

    /// `Source::close`: the thread is told, and waited for a little.
    pub fn close(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.feed = None;
        // An error means that the thread has ended, which is what is waited for.
        let _ = self.ended.recv_timeout(CLOSE_WAIT);
    }
}

impl<M> Drop for Live<M> {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
    }
}
