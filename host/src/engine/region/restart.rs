//! How a region falls and starts again, drains, and ends.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};

use plugin_api::{batch::monotonic_ns, manifest::StageKind};

use super::{Life, Region, SOURCES};
use crate::{
    checkpoint::coordinator::InstanceId,
    engine::{edge::Control, retry::backoff_ns, shared::Phase},
};

/// Restarts in a row after which a region is given up.
const MAX_RESTARTS: u32 = 5;

impl Region {
    /// A crash found the record that it was over.
    pub fn poison_found(&mut self) {
        self.poison_found = true;
    }

    /// Whether one more restart is due after a crash; counts it.
    pub fn may_restart(&mut self) -> bool {
        if !std::mem::take(&mut self.poison_found) {
            self.restarts += 1;
        }
        self.restarts <= MAX_RESTARTS
    }

    /// Ends all instances, to start them again. Live sources go on, apart from `failed`'s stage.
    pub fn tear_down(&mut self, failed: Option<InstanceId>) {
        let broken = failed.and_then(|id| self.stage_of.get(&id)).copied();
        self.life = Life::Tearing;
        self.start += 1;
        self.coordinator.fell();
        self.survivors = self.classes[SOURCES]
            .iter()
            .copied()
            .filter(|id| {
                let stage = self.stage_of.get(id).copied();
                stage != broken
                    && self.alive.contains(id)
                    && (self.opened.contains(id) || self.survivors.contains(id))
                    && self.stage(*id).is_some_and(|s| s.live)
            })
            .collect();
        for print in self.survivors.iter().filter_map(|id| self.print(*id)) {
            print.shared.inboxes[print.worker].unsay();
        }
        let survive: BTreeSet<usize> = self.survivors.iter().map(|id| self.stage_of[id]).collect();
        for (index, stage) in self.stages.iter().enumerate() {
            if self.stage_of.values().any(|s| *s == index) && !survive.contains(&index) {
                stage.tear();
                stage.set_phase(Phase::Restarting);
            }
        }
        // Classes that were not started have no instance to wait for.
        for id in self.classes[self.next_class..].iter().flatten() {
            if !self.survivors.contains(id) {
                self.alive.remove(id);
            }
        }
        self.shared.restarts.fetch_add(1, Relaxed);
        self.shared.restarting.store(true, Relaxed);
        self.wait_if_torn();
    }

    /// A live source failed while its region was being started again: it is made anew as well.
    pub fn survivor_failed(&mut self, id: InstanceId) {
        let Some(stage) = self.stage_of.get(&id).copied() else {
            return;
        };
        self.survivors
            .retain(|s| self.stage_of.get(s) != Some(&stage));
        self.stages[stage].tear();
        if let Life::Waiting { .. } = self.life {
            // Its threads are waited for once more.
            self.life = Life::Tearing;
        }
        self.wait_if_torn();
    }

    pub(super) fn wait_if_torn(&mut self) {
        let ended = self.alive.is_subset(&self.survivors) && !self.keeping;
        if self.life == Life::Tearing && ended {
            let wait = backoff_ns(self.restarts.saturating_sub(1));
            self.life = Life::Waiting {
                until_ns: monotonic_ns() + wait,
            };
        }
    }

    /// Waits no longer than needed: the run ends.
    pub fn hurry(&mut self) {
        if let Life::Waiting { until_ns } = &mut self.life {
            *until_ns = 0;
        }
    }

    /// Starts all again whose time has come. `ends`: the run ends meanwhile.
    pub fn start_again(&mut self, now_ns: u64, ends: bool) -> bool {
        let Life::Waiting { until_ns } = self.life else {
            return false;
        };
        if now_ns < until_ns {
            return false;
        }
        self.life = Life::Running;
        self.started_ns = now_ns;
        self.next_class = 0;
        self.recovered.clear();
        self.decided = None;
        self.whole = false;
        self.drained.retain(|id| self.survivors.contains(id));
        for (id, stage) in &self.stage_of {
            self.opened.remove(id);
            if self.survivors.contains(id) {
                continue;
            }
            self.settled.remove(id);
            self.alive.insert(*id);
            self.ended.remove(id);
            if self.classes[SOURCES].contains(id) {
                self.sources_left.insert(*id);
            }
            // Once for each of its instances, which does no harm: none has started.
            self.stages[*stage].reset();
            if ends && self.stages[*stage].kind != StageKind::Source {
                self.stages[*stage].cancel.cancel();
            }
        }
        true
    }

    /// Gives it up for good.
    pub fn give_up(&mut self) {
        self.life = Life::GivenUp;
        self.start += 1;
        self.own_stages().for_each(|s| s.tear());
        for id in self.classes[self.next_class..].concat() {
            self.alive.remove(&id);
        }
        self.sources_left.clear();
    }

    /// An instance's thread has ended.
    pub fn closed(&mut self, id: InstanceId) {
        self.alive.remove(&id);
        self.sources_left.remove(&id);
        self.settled.insert(id);
        if self.survivors.contains(&id) {
            // It had committed the run's last epoch when its region fell, which has another now.
            match self.life {
                Life::Running => self.tear_down(Some(id)),
                _ => self.survivor_failed(id),
            }
        }
        self.wait_if_torn();
    }

    /// Leaves an instance that hangs to itself.
    pub fn abandon(&mut self, id: InstanceId) {
        self.alive.remove(&id);
    }

    /// Tells a source that the run ends for it.
    pub fn drain_source(&mut self, id: InstanceId) {
        if self.life != Life::Running || !self.drained.insert(id) {
            return;
        }
        if self.opened.contains(&id) || self.survivors.contains(&id) {
            self.tell(id, Control::Drain);
        } else if let Some(stage) = self.stage(id) {
            // Still on its way in: that is called off.
            stage.cancel.cancel();
        }
    }

    /// An instance is open.
    pub fn is_open(&mut self, id: InstanceId) {
        self.opened.insert(id);
        self.settled.insert(id);
        if self.drained.contains(&id) && !self.survivors.contains(&id) {
            self.tell(id, Control::Drain);
        }
    }
}
