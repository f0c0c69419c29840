//! The epochs of a region: what the coordinator says is done, and what happened is told to it.

use std::sync::atomic::Ordering::Relaxed;

use plugin_api::batch::monotonic_ns;

use super::{Life, Region, SOURCES};
use crate::{
    checkpoint::{
        coordinator::{InstanceId, Order},
        epoch::Epoch,
        store::WriteError,
    },
    engine::{edge::Control, live, supervisor::Message},
};

/// A region that has run for so long is healthy again.
const STABLE_NS: u64 = 60_000_000_000;

impl Region {
    /// Does what the coordinator says.
    pub fn obey(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        match order {
            Order::Begin(to, barrier) => {
                self.letters.begin(barrier.epoch);
                self.tell_all(&to, &Control::Begin(barrier));
            }
            Order::Confirm(to, epoch) => self.tell_all(&to, &Control::Confirm(epoch)),
            Order::Commit(to, epoch) => self.tell_all(&to, &Control::Commit(epoch)),
            Order::Abort(to, epoch) => {
                if let Err(e) = self.letters.abort() {
                    tracing::error!(host = self.shared.host, "dead letters: {e}");
                }
                self.tell_all(&to, &Control::Abort(epoch));
            }
            Order::Store(epoch) => self.keep(*epoch),
            Order::Retire { epoch, last } => {
                let took = self.coordinator.taken_ns(monotonic_ns());
                self.shared.took_ns.store(took, Relaxed);
                if let Err(e) = self.store.committed(epoch, last) {
                    tracing::error!(
                        host = self.shared.host,
                        "old checkpoints in {} stay: {e}",
                        self.store.folder().display()
                    );
                }
            }
            Order::Restart(why) => {
                let _ = self.tell.send(Message::RegionFailed(self.index, why));
            }
        }
    }

    fn tell_all(&self, to: &[InstanceId], control: &Control) {
        for id in to {
            self.tell(*id, control.clone());
        }
    }

    /// Writes an epoch on a thread of its own: a slow disk holds up nobody.
    fn keep(&mut self, mut epoch: Epoch) {
        self.keeping = true;
        self.complete(&mut epoch);
        epoch.took_us = self.coordinator.taken_ns(monotonic_ns()) / 1_000;
        let (letters, store) = (self.letters.clone(), self.store.clone());
        let (tell, region, start) = (self.tell.clone(), self.index, self.start);
        let shared = self.shared.clone();
        let number = epoch.number;
        let keep = move || {
            let written = letters.checkpoint().and_then(|mark| {
                epoch.letters = mark;
                epoch.at_us = now_us();
                store.write(&epoch)
            });
            if let Ok(bytes) = written {
                shared.epoch.store(number, Relaxed);
                shared.at_us.store(epoch.at_us, Relaxed);
                shared.bytes.store(bytes, Relaxed);
            }
            let stored = Message::Stored {
                region,
                start,
                epoch: number,
                written: written.map(drop),
            };
            // Nobody listens any more: the process ends.
            let _ = tell.send(stored);
        };
        if let Err(e) = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || live(keep))
        {
            let stored = Message::Stored {
                region: self.index,
                start: self.start,
                epoch: number,
                written: Err(WriteError::Undone(e)),
            };
            let _ = self.tell.send(stored);
        }
    }

    /// An epoch was kept, or not.
    pub fn stored(&mut self, start: u64, epoch: u64, written: Result<(), WriteError>) {
        self.keeping = false;
        if start != self.start || self.life != Life::Running {
            self.wait_if_torn();
            return;
        }
        if let Err(WriteError::Undone(e)) = &written {
            tracing::warn!(
                host = self.shared.host,
                "epoch {epoch} cannot be kept in {}: {e}; the next one holds its records too",
                self.store.folder().display()
            );
        }
        let order = self.coordinator.stored(epoch, written);
        self.obey(order);
    }

    /// A source reads nothing more.
    pub fn source_done(&mut self, id: InstanceId, ended: bool) {
        self.sources_left.remove(&id);
        if ended {
            self.ended.insert(id);
        }
        if !self.opened.contains(&id) {
            // It never opened: nobody waits for it.
            self.opened.insert(id);
            self.settled.insert(id);
        }
    }

    /// Begins an epoch if it is time, or if the run of this region ends.
    pub fn advance(&mut self, now_ns: u64) {
        if self.life != Life::Running || !self.whole {
            return;
        }
        if self.restarts > 0 && now_ns.saturating_sub(self.started_ns) > STABLE_NS {
            self.restarts = 0;
            self.own_stages().for_each(|s| s.poison.set_careful(false));
        }
        let end = self.sources_left.is_empty();
        let complete = self.classes[SOURCES]
            .iter()
            .all(|id| self.ended.contains(id));
        let order = self.coordinator.advance(now_ns, end.then_some(complete));
        self.obey(order);
    }

    /// When `advance` or `start_again` is to be called at the latest.
    pub fn due(&self) -> Option<u64> {
        match self.life {
            Life::Running if self.whole => self.coordinator.due(),
            Life::Waiting { until_ns } => Some(until_ns),
            _ => None,
        }
    }
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
