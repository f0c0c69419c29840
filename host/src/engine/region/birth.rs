//! From which epoch a region starts, and what each of its instances gets of it.

use std::{collections::BTreeMap, sync::Arc};

use plugin_api::StageError;

use super::{Decided, Life, Region};
use crate::{
    checkpoint::{
        coordinator::InstanceId,
        epoch::{Epoch, LettersMark, Snapshot},
        replay,
    },
    engine::{
        edge::{Birth, Control},
        instance::Blueprint,
        shared::StageShared,
    },
};

impl Region {
    /// Whether the newest epoch is that of a run that came to its end: this one begins anew.
    pub(super) fn begins_anew(&self, newest: Option<u64>) -> bool {
        newest.is_some() && self.complete == newest
    }

    /// Epochs that may be true.
    pub(super) fn epochs(&self) -> Result<Vec<u64>, StageError> {
        let numbers = self.store.numbers().map_err(|e| self.store_trouble(&e))?;
        if self.begins_anew(numbers.first().copied()) {
            return Ok(Vec::new());
        }
        Ok(numbers)
    }

    pub(super) fn store_trouble(&self, e: &std::io::Error) -> StageError {
        StageError::fatal(format!(
            "the checkpoints in {} cannot be used: {e}",
            self.store.folder().display()
        ))
    }

    pub(super) fn birth(&self, print: &Blueprint, decided: &Decided) -> Birth {
        let content = decided.content.as_ref();
        let mut snapshot = content
            .and_then(|e| e.instances.get(&print.name))
            .or_else(|| decided.kept.get(&print.name))
            .cloned();
        // What a live source has read since the process began is not read again.
        let stands = print.shared.live && self.began;
        let mut counts_on = decided.counts_on;
        if let Some(s) = snapshot.as_mut()
            && replay::stage_of(&print.name).is_some()
            && !self.began
        {
            // There may be more letters than when it finished, and each replay has its own account.
            s.finished = false;
            counts_on = false;
        }
        let counted = snapshot.as_ref().filter(|_| counts_on).map(|s| s.tally);
        Birth {
            epoch: decided.epoch,
            snapshot: snapshot.map(Arc::new),
            tally: (!stands).then(|| counted.unwrap_or_default()),
        }
    }

    /// A sink has said which epoch is true.
    pub fn recovered(&mut self, id: InstanceId, said: Option<u64>) -> Result<(), StageError> {
        self.recovered.insert(id, said);
        if self.life != Life::Running
            || self.decided.is_some()
            || !self.classes[0]
                .iter()
                .all(|id| self.recovered.contains_key(id))
        {
            return Ok(());
        }
        self.decide()?;
        let decided = self.decided.clone().unwrap_or_default();
        for id in &self.classes[0] {
            if let Some(print) = self.prints.get(id) {
                self.tell(*id, Control::Restore(self.birth(print, &decided)));
            }
        }
        Ok(())
    }

    /// Settles from which epoch everything starts.
    pub(super) fn decide(&mut self) -> Result<(), StageError> {
        if self.decided.is_some() {
            return Ok(());
        }
        let trouble = |e: std::io::Error| self.store_trouble(&e);
        let numbers = self.store.numbers().map_err(trouble)?;
        let said = self.recovered.values().flatten().copied().min();
        // A sink whose own record outlived the store begins behind what it has.
        let known = said.filter(|n| *n == 0 || numbers.contains(n));
        let mut mark = LettersMark::default();
        let mut decided = Decided::default();
        if self.begins_anew(known.or(numbers.first().copied())) {
            // What came behind it was not kept by all.
            if let Some(epoch) = self.store.restore(known).map_err(trouble)? {
                decided.kept = self.kept(&epoch);
                mark = epoch.letters;
                mark.count = 0;
            }
        } else {
            if let (Some(said), None, false) = (said, known, numbers.is_empty()) {
                return Err(StageError::fatal(format!(
                    "a sink says that epoch {said} is true, which is not in {}",
                    self.store.folder().display()
                )));
            }
            if let Some(epoch) = self.store.restore(known).map_err(trouble)? {
                mark = epoch.letters.clone();
                // The account of a run that ended is told; the next one has its own.
                if !self.began {
                    self.begun_from = epoch.number;
                }
                decided.counts_on = !(epoch.last && self.begun_from == epoch.number);
                if !decided.counts_on {
                    mark.count = 0;
                }
                decided.epoch = epoch.number;
                decided.kept = self.kept(&epoch);
                decided.content = Some(Arc::new(epoch));
            }
        }
        if let Some(said) = said {
            self.found = self.found.max(Some(said));
        }
        self.letters
            .restore(&mark)
            .map_err(|e| StageError::fatal(format!("the dead letters cannot be used: {e}")))?;
        let emitted = |stage: &StageShared| -> u64 {
            let content = decided.content.as_ref().filter(|_| decided.counts_on);
            let tallies = self.prints.values().filter(|p| p.shared.name == stage.name);
            tallies
                .filter_map(|p| Some(content?.instances.get(&p.name)?.tally.emitted))
                .sum()
        };
        // What a live source has read in this process stands.
        for stage in self.own_stages().filter(|s| !(s.live && self.began)) {
            stage.count_against_limit(emitted(stage));
        }
        if decided.epoch > 0 {
            tracing::info!(
                host = self.shared.host,
                "goes on from epoch {} of {}",
                decided.epoch,
                self.shared.name
            );
        }
        self.decided = Some(decided);
        Ok(())
    }

    /// What of an epoch outlives a run that came to its end.
    pub(super) fn kept(&self, epoch: &Epoch) -> BTreeMap<String, Snapshot> {
        let parked = |name: &str| self.prints.values().any(|p| p.parked && p.name == name);
        let instances = epoch.instances.iter();
        instances
            .filter(|(name, _)| replay::stage_of(name).is_some() || parked(name))
            .map(|(name, snapshot)| (name.clone(), snapshot.clone()))
            .collect()
    }

    /// Adds to an epoch what no stage of this run answers for, and takes away what has no state.
    pub(super) fn complete(&self, epoch: &mut Epoch) {
        // A parked source that never ran has none.
        epoch.instances.retain(|_, s| !s.plugin.is_empty());
        for (name, snapshot) in self.decided.iter().flat_map(|d| &d.kept) {
            let entry = epoch.instances.entry(name.clone());
            entry.or_insert_with(|| snapshot.clone());
        }
    }
}
