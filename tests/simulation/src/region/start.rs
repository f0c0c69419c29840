//! How a region starts: from which epoch, and class by class.

use std::sync::Arc;

use host::{
    checkpoint::{coordinator::InstanceId, epoch::LettersMark},
    engine::edge::{Birth, Control},
};

use super::{CLASSES, Decided, Life, Region, SOURCES, bit};
use crate::{mistake::Mistake, oracle, world};

impl Region {
    /// Starts the classes whose turn it is.
    pub fn start_classes(&mut self) -> Result<(), String> {
        while self.life == Life::Running && self.next_class < CLASSES.len() && self.all_open() {
            if self.next_class > 0 || self.classes[0].is_empty() {
                self.decide()?;
            }
            let class = self.next_class;
            self.next_class += 1;
            for id in self.classes[class].clone() {
                if self.survivors & bit(id) != 0 {
                    let epoch = self.decided.as_ref().map_or(0, |d| d.epoch);
                    self.tell(id, Control::Reattach(epoch));
                } else {
                    self.spawn(id)?;
                }
            }
        }
        if self.sources_started() && self.all_open() && !self.whole {
            (self.whole, self.began) = (true, true);
            self.survivors = 0;
            let epoch = self.decided.as_ref().map_or(0, |d| d.epoch);
            let known = self.found.unwrap_or(0);
            let now = world::with(|w| w.now_ns);
            let order = self.coordinator.restored(epoch, known, now);
            self.obey(order);
        }
        Ok(())
    }

    fn spawn(&mut self, id: InstanceId) -> Result<(), String> {
        let mut instance = self.wired.instance(id, &self.letters);
        instance.birth = self.decided.as_ref().map(|d| self.birth(id, d));
        instance.epochs = self.numbers()?;
        self.instances.insert(id, Some(instance));
        Ok(())
    }

    fn numbers(&self) -> Result<Vec<u64>, String> {
        let numbers = self.store.numbers().map_err(|e| e.to_string())?;
        Ok(match self.begins_anew(numbers.first().copied()) {
            true => Vec::new(),
            false => numbers,
        })
    }

    fn begins_anew(&self, newest: Option<u64>) -> bool {
        newest.is_some() && self.complete == newest
    }

    fn birth(&self, id: InstanceId, decided: &Decided) -> Birth {
        let name = &self.wired.prints[id].name;
        let snapshot = decided.content.as_ref().and_then(|e| e.instances.get(name));
        let stands = self.shared(id).live && self.began;
        let counted = snapshot.filter(|_| decided.counts_on).map(|s| s.tally);
        Birth {
            epoch: decided.epoch,
            snapshot: snapshot.cloned().map(Arc::new),
            tally: (!stands).then(|| counted.unwrap_or_default()),
        }
    }

    pub(super) fn recovered(&mut self, id: InstanceId, said: Option<u64>) -> Result<(), String> {
        self.recovered.insert(id, said);
        let all = self.classes[0]
            .iter()
            .all(|id| self.recovered.contains_key(id));
        if self.life != Life::Running || self.decided.is_some() || !all {
            return Ok(());
        }
        self.decide()?;
        let decided = self.decided.clone().unwrap_or_default();
        for id in &self.classes[0] {
            self.tell(*id, Control::Restore(self.birth(*id, &decided)));
        }
        Ok(())
    }

    fn decide(&mut self) -> Result<(), String> {
        if self.decided.is_some() {
            return Ok(());
        }
        let words = |e: std::io::Error| e.to_string();
        let numbers = self.store.numbers().map_err(words)?;
        let said = self.recovered.values().flatten().copied().min();
        // A sink whose own record outlived the store begins behind what it has.
        let known = said.filter(|n| *n == 0 || numbers.contains(n));
        let mut mark = LettersMark::default();
        let mut decided = Decided::default();
        if self.begins_anew(known.or(numbers.first().copied())) {
            // What came behind it was not kept by all.
            if let Some(epoch) = self.store.restore(known).map_err(words)? {
                mark = epoch.letters;
                mark.count = 0;
            }
        } else {
            if let (Some(said), None, false) = (said, known, numbers.is_empty()) {
                return Err(format!(
                    "a sink says that epoch {said} is true: {numbers:?}"
                ));
            }
            if let Some(epoch) = self.store.restore(known).map_err(words)? {
                mark = epoch.letters.clone();
                if !self.began {
                    self.begun_from = epoch.number;
                }
                decided.counts_on = !(epoch.last && self.begun_from == epoch.number);
                if !decided.counts_on {
                    mark.count = 0;
                }
                decided.epoch = epoch.number;
                decided.content = Some(Arc::new(epoch));
            }
        }
        if let Some(said) = said {
            self.found = self.found.max(Some(said));
        }
        self.letters.restore(&mark).map_err(words)?;
        self.count_against_limits(&decided);
        crate::trace(|| {
            format!(
                "region {} decides on {} (said {said:?}, found {:?}, last {:?}, counts on {}, began {})",
                self.index,
                decided.epoch,
                self.found,
                decided.content.as_ref().map(|c| c.last),
                decided.counts_on,
                self.began
            )
        });
        let start = oracle::Start {
            fresh: !self.began,
            counts_on: decided.counts_on,
        };
        oracle::ask(|k| k.decided(&self.wired, self.index, decided.content.as_deref(), start));
        self.decided = Some(decided);
        Ok(())
    }

    fn count_against_limits(&self, decided: &Decided) {
        let content = decided.content.as_ref().filter(|_| decided.counts_on);
        for id in &self.classes[SOURCES] {
            let shared = self.shared(*id);
            if shared.live && self.began {
                continue;
            }
            let name = &self.wired.prints[*id].name;
            let tally = content.and_then(|c| Some(c.instances.get(name)?.tally));
            let emitted = match world::mistaken(Mistake::LimitNotInEpoch) {
                true => 0,
                false => tally.unwrap_or_default().emitted,
            };
            shared.count_against_limit(emitted);
        }
    }
}
