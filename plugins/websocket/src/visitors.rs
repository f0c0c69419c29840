//! Connections that are no readers (yet): bounded in number and time, so that strangers who never
//! end their request cannot keep others out.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::hub::Hub;

/// Most of them at a time.
const MOST: usize = 256;
/// What every visitor has, however many wait behind it.
const DUE: Duration = Duration::from_secs(1);

/// The visitors there are.
#[derive(Debug)]
pub struct Visitors {
    seats: Arc<Semaphore>,
    queue: Mutex<VecDeque<(Instant, Weak<Notify>)>>,
    /// Counts those that are sent away.
    hub: Arc<Hub>,
}

/// The seat of one; dropping it leaves.
#[derive(Debug)]
pub struct Seat {
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Ends when others want the seat.
    pub async fn wanted(&self) {
        self.leave.notified().await;
    }
}

impl Visitors {
    /// None so far.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(MOST)),
            queue: Mutex::default(),
            hub,
        }
    }

    /// A seat for one more: where there is none, that of whoever came first, once its time is over.
    pub async fn seat(&self) -> Option<Seat> {
        let permit = loop {
            let next = Arc::clone(&self.seats).acquire_owned();
            match timeout(self.patience(), next).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => {
                    self.dismiss();
                    // It has to be let go before the next one is looked at.
                    tokio::task::yield_now().await;
                }
            }
        };
        let leave = Arc::new(Notify::new());
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= MOST * 2 {
            queue.retain(|(_, seat)| seat.strong_count() > 0);
        }
        queue.push_back((Instant::now(), Arc::downgrade(&leave)));
        Some(Seat {
            leave,
            _permit: permit,
        })
    }

    /// How long until the first may be sent away.
    fn patience(&self) -> Duration {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue
            .front()
            .is_some_and(|(_, seat)| seat.strong_count() == 0)
        {
            queue.pop_front();
        }
        let waited = queue.front().map(|(since, _)| since.elapsed());
        waited.map_or(DUE, |waited| DUE.saturating_sub(waited))
    }

    fn dismiss(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, seat)) = queue.pop_front() {
            if let Some(leave) = seat.upgrade() {
                leave.notify_one();
                self.hub.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Bounds;

    #[tokio::test(start_paused = true)]
    async fn whoever_came_first_yields_when_its_time_is_over() {
        let visitors = Visitors::new(Arc::new(Hub::new(Bounds {
            records: 1,
            bytes: 1,
            topics: 0,
        })));
        let begun = Instant::now();
        let mut seats = VecDeque::new();
        for _ in 0..MOST {
            seats.push_back(visitors.seat().await.unwrap());
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let first = seats.pop_front().unwrap();
        let leaves = async {
            first.wanted().await;
            drop(first);
        };
        let (seat, ()) = tokio::join!(visitors.seat(), leaves);
        assert!(seat.is_some());
        assert!((DUE..DUE * 2).contains(&begun.elapsed()));
        assert_eq!(visitors.hub.refused.load(Ordering::Relaxed), 1);
        // One that leaves by itself makes room at once.
        let now = Instant::now();
        seats.pop_back();
        assert!(visitors.seat().await.is_some());
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}
