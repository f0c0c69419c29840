//! The source `twitter`. A thread of its own reads the stream and makes batches; `poll` hands
//! them on.

mod backoff;
mod config;
mod framing;
mod inflate;
mod intake;
mod listener;
mod refusal;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use plugin_api::feed::{Feed, Next, feed};
use plugin_api::prelude::*;

pub use config::Options;
use intake::{Intake, Parcel};
use listener::{Listener, Shared};

/// Parcels that wait for the engine; with the bytes below, what an overtaken stage holds.
const PARCELS: usize = 64;
/// Bytes of parcels that wait for the engine.
pub(crate) const PARCEL_BYTES: usize = 4 << 20;
/// How long `close` waits for the reading thread. Asleep in a back-off, it is left behind: it
/// wakes, sees that nobody is there, and ends.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The source `twitter`: see its [`Options`].
pub struct Twitter {
    feed: Option<Feed<Parcel>>,
    /// A batch that was larger than the budget.
    rest: VecDeque<Batch>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
    is_local: bool,
}

impl Source for Twitter {
    const NAME: &'static str = "twitter";
    type Options = Options;

    fn plan(options: &Options) -> Result<Planned, StageError> {
        config::plan(options)
    }

    fn open(options: Options, ctx: &Context) -> Result<Self, StageError> {
        let url = config::base_url(&options)?;
        let (sender, feed) = feed(PARCELS, PARCEL_BYTES);
        let shared = Arc::new(Shared::default());
        let intake = Intake::new(ctx.clone(), sender);
        let listener = Listener::new(options, url.clone(), ctx.clone(), intake, shared.clone())?;
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("twitter".into())
            .spawn(move || {
                listener.run();
                drop(end);
            })
            .map_err(|e| StageError::transient(format!("no thread for the stream: {e}")))?;
        Ok(Self {
            feed: Some(feed),
            rest: VecDeque::new(),
            shared,
            ended,
            is_local: config::is_local(&url),
        })
    }

    fn poll(
        &mut self,
        mut budget: usize,
        deadline_ns: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Poll, StageError> {
        let mut deadline = deadline_ns;
        loop {
            while let Some(batch) = self.rest.pop_front() {
                if budget == 0 {
                    self.rest.push_front(batch);
                    return Ok(Poll::More);
                }
                let full = self.emit(batch, &mut budget, out);
                // What else is there already goes along, but nothing is waited for.
                deadline = 0;
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
                    if parcel.batch.is_empty() {
                        deadline = 0;
                    } else {
                        self.rest.push_back(parcel.batch);
                    }
                }
                Next::Idle if deadline == 0 => return Ok(Poll::More),
                Next::Idle if self.shared.is_draining() && !self.shared.connected.load(SeqCst) => {
                    return Ok(Poll::Finished);
                }
                Next::Idle => return Ok(Poll::Idle),
                Next::Finished => {
                    return self.shared.take_error().map_or(Ok(Poll::Finished), Err);
                }
            }
        }
    }

    /// A server of this machine may be drained before us: what it sent is read. Another's stream
    /// has no end, so there it stops at once.
    fn drain(&mut self) -> Drain {
        if self.is_local {
            self.shared.drain();
            Drain::ToEnd
        } else {
            Drain::Stop
        }
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.shared.stop.store(true, SeqCst);
        self.feed = None;
        // An error means that the thread has ended, which is what is waited for.
        let _ = self.ended.recv_timeout(CLOSE_WAIT);
        Ok(())
    }
}

impl Twitter {
    /// Emits as much of a batch as the budget allows; true if the engine wants no more now.
    fn emit(&mut self, batch: Batch, budget: &mut usize, out: &mut Out<'_, '_>) -> bool {
        let taken = batch.len().min(*budget);
        *budget -= taken;
        if taken == batch.len() {
            return out.emit(0, batch) == Emit::Full;
        }
        let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first: Vec<u32> = (0..index(taken)).collect();
        let later: Vec<u32> = (index(taken)..index(batch.len())).collect();
        let full = out.emit(0, batch.select(&first)) == Emit::Full;
        self.rest.push_front(batch.select(&later));
        full
    }
}

impl Drop for Twitter {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
    }
}
